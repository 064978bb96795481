/* SPDX-License-Identifier: GPL-2.0-only */
/* Function names for backtraces, from a table that the link makes (tools/ksyms.py). */
#pragma once

#include <stdint.h>

/* "name" and offset of the function that holds addr; NULL when it is none of ours. */
const char *symbol_lookup(uint64_t addr, uint64_t *offset);
