/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How vmm/main.c brings the machine up, in this order.  Each step needs the one before,
 * and pages_init() has to come between the first two.
 */
#pragma once

#include <stdint.h>

struct boot_info;

/* COM1 as a log sink, descriptor tables and exception handlers; 8259s masked.  Cannot fail. */
void machine_init_early(const struct boot_info *bi);

/*
 * The final page tables: the image with W^X, all RAM in the direct map, guard pages under
 * the stacks, nothing at low addresses.  0 or -ENOMEM.
 */
int machine_init_paging(const struct boot_info *bi);

/* The framebuffer or the EGA text screen as a log sink, where the firmware gave one. */
void machine_init_screen(const struct boot_info *bi);

/*
 * Local APIC, clock, the other CPUs of the MADT (at most max_cpus in all), the 100 Hz
 * tick.  Interrupts are on afterwards.  A CPU that does not start is named in the log
 * and left out; an error is returned only when the boot CPU itself cannot be set up.
 */
int machine_init_cpus(const struct boot_info *bi, unsigned max_cpus);

/*
 * Break something on purpose; kind is param.crash.  Returns from what only the watchdog minds.
 */
void machine_crash(unsigned kind);
