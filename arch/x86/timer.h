/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Clock and tick.  The TSC is the clock; its rate, and that of the APIC timer, are
 * measured, because no emulator we run on has the TSC-deadline timer and
 * few CPUs say how fast they are.
 */
#pragma once

#define TIMER_HZ 100

struct trap_frame;

/* Now is when the time of the log begins. */
void timer_mark_boot(void);
/* Measure both; on the boot CPU, APIC enabled, interrupts off.  0 or -ENODEV; the log says why. */
int timer_calibrate(void);
/* The tick of this CPU.  It ends a guest that would never exit by itself. */
void timer_start(void);
/* The APIC timer's interrupt: a tick, an alarm, or both. */
void timer_interrupt(const struct trap_frame *frame);
/* With interrupts off, right before HLT: no CPU is to sleep over a timer that has run out. */
void timer_before_idle(void);
