/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

/*
 * Print the calls that led to rip by the chain of frame pointers at rbp; nothing of it is
 * trusted.  symbol+offset lines go to the log raw.
 */
void backtrace_print(uint64_t rip, uint64_t rbp);
