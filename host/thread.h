/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads of the hypervisor: vCPUs, workers, the monitor.  Each has a stack of its own and runs
 * until it parks, sleeps, yields or returns; nothing takes its CPU away but interrupt
 * handlers, which give it back.  So between two yield points a thread may use what belongs to the CPU,
 * and whoever runs for long asks thread_should_yield(), as every long walk of mm/ does.
 *
 * Each CPU has a queue of its own, ordered by how much its threads have run; a tick ends the time slice,
 * and a thread that was woken up goes before one that has run more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define THREAD_NAME_MAX 40
#define CPUS_MAX 256

struct thread;

/* CPUs that a thread may run on. */
struct cpu_set {
	uint64_t bits[CPUS_MAX / 64];
};

/*
 * Called around every stretch of a thread on a CPU, on that CPU, with interrupts off: in() before it goes
 * on, out() when it has stopped.  Neither may block.  A vCPU's move its registers.
 */
struct thread_hooks {
	void (*in)(void *arg);
	void (*out)(void *arg);
	void *arg;
};

/*
 * A thread that will run fn(arg) with interrupts on once it is started; cpus NULL: anywhere.  Any
 * thread, no lock held.  NULL: no memory for it or its stack, or none of the CPUs is up.
 */
struct thread *thread_create(const char *name, void (*fn)(void *), void *arg,
			     const struct cpu_set *cpus);
void thread_start(struct thread *t);
/* Wait until it has returned from fn, and free it.  Once per thread, from another one. */
void thread_join(struct thread *t);

struct thread *thread_current(void);
const char *thread_name(const struct thread *t);

/* Of the calling thread, with interrupts off; neither hook is called for what is now. NULL: none. */
void thread_set_hooks(const struct thread_hooks *hooks);

/* Its time slice is over, or a thread waits that should go first. Any context. */
bool thread_should_yield(void);
/*
 * Let others run: when the slice is over, those that have run less; else any that have run at most a slice
 * more, so that whoever polls can wait for them.  No spinning lock held; interrupts may be on or off and are as before on return.
 * It may return on another CPU, as may what sleeps.
 */
void thread_yield(void);

/*
 * Sleep until thread_unpark().  One unpark that came before counts, more count as one; so
 *     publish what I wait for; while (!it_is_there()) thread_park();
 * misses nothing.  As thread_yield().
 */
void thread_park(void);
/* The same with a time limit, in machine_cycles().  false: it was the time. */
bool thread_park_until(uint64_t cycles);
/* Any context, interrupt handlers and other CPUs included. */
void thread_unpark(struct thread *t);

/*
 * From its next switch on it runs on these CPUs only.  0, or -EINVAL: none of them is up.
 */
int thread_set_cpus(struct thread *t, const struct cpu_set *cpus);

/*
 * The calling thread works in the background from now on: beside a thread that does not it gets one part
 * of a CPU against 2^shift.  0: no more so.
 */
void thread_set_background(unsigned shift);

/* Cycles that it had a CPU. */
uint64_t thread_run_cycles(const struct thread *t);
