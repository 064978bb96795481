/* SPDX-License-Identifier: GPL-2.0-only */
/* What both multiboot specifications promise a kernel; each function is a part of a test. */
#pragma once

#include "tests/guest/lib/guest.h"

/* Magic in eax, ebx, CR0, EFLAGS as they were at the entry point. */
void bootcheck_registers(uint32_t magic);
/* The map: ordered, without overlaps, and RAM wherever something was put. */
void bootcheck_memory_map(void);
/*
 * Where the modules are.  The words modules=N and modsum=S on the command line say how
 * many there must be and what their bytes add up to.
 */
void bootcheck_modules(void);
void bootcheck_cmdline(void);
/* Addresses 1 MiB apart are different ones. */
void bootcheck_a20(void);
