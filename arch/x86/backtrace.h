/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

/*
 * Print the calls that led to rip by the chain of frame pointers at rbp; nothing of it is
 * trusted.  symbol+offset lines go to the log raw.
 */
void backtrace_print(uint64_t rip, uint64_t rbp);

/*
 * The same in two parts: at most max addresses, rip first, from any context; and the lines.  The caller
 * of a function that was interrupted where it has no frame is left out.
 */
unsigned backtrace_take(uint64_t rip, uint64_t rbp, uint64_t *address, unsigned max);
void backtrace_print_taken(const uint64_t *address, unsigned count);
