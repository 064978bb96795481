/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The scheduler as the machine sees it: what brings CPUs into it, and what interrupts tell it.
 * What threads themselves use is in thread.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "host/machine.h"
#include "host/thread.h"

/*
 * The caller, on this stack, becomes the first thread, "main", which stays on this CPU.  Once, on the boot
 * CPU, when there are memory and a clock, and before the others start.  0 or -ENOMEM.
 */
int sched_init(const struct stack *mine);
/*
 * Room for another CPU, of the next number, which will idle on this stack.  On the boot CPU, before that
 * one starts.  0 or -ENOMEM.
 */
int sched_cpu_prepare(unsigned cpu, const struct stack *idle_stack);
/*
 * On the new CPU, again and again, interrupts on: runs what there is to run, or waits for an interrupt.
 */
void sched_idle(void);
/* The tick, on each CPU, in interrupt context.  Safe before sched_init(). */
void sched_tick(void);

/* ---- figures; relaxed, each exact by itself ----------------------------------------- */

struct sched_stats {
	uint64_t switches;   /* to another thread, or to nothing */
	uint64_t migrations; /* taken over from other CPUs */
	uint64_t wakeups;    /* threads that began to wait here: woken up, started, sent on */
	uint64_t kicks;      /* sent to it for that */
	uint64_t idle_cycles;
};
/* cpu < machine_cpu_count() */
void sched_stats(unsigned cpu, struct sched_stats *out);

struct thread_info {
	char name[THREAD_NAME_MAX];
	unsigned cpu;
	const char *state; /* "runs", "ready", "parked" */
	uint64_t run_cycles, switches, migrations, wakeups;
};
/* The oldest first, from number `skip` on; how many there are in all. */
unsigned threads_list(struct thread_info *out, unsigned skip, unsigned max);
