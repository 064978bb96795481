/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by thread.c, the life of a thread, and sched.c, the CPUs. */
#pragma once

#include <stdatomic.h>

#include "host/machine.h"
#include "host/runqueue.h"
#include "host/sched.h"
#include "host/timer.h"
#include "mm/sync.h"

#define CPU_WORDS (CPUS_MAX / 64)

/*
 * One word decides between who parks and who wakes up:
 *
 *   RUNNING  -> PARKED              the thread itself, by compare-exchange, before it leaves its stack
 *   any      -> NOTIFIED            unpark, by exchange: it was PARKED: the waker queues it
 *   RUNNING, PARKED -> TIMED_OUT    its timer, by compare-exchange; PARKED as above
 *   NOTIFIED, TIMED_OUT -> RUNNING  the thread itself, which has used it up
 *
 * So each change away from PARKED has exactly one owner, who puts the thread into a queue.
 */
enum thread_state { THREAD_RUNNING, THREAD_PARKED, THREAD_NOTIFIED, THREAD_TIMED_OUT };

struct thread {
	struct rq_entity entity;   /* under the lock of the queue it is in, else its owner's */
	_Atomic unsigned cpu;      /* runs there, waits there, or ran there last; as entity */
	_Atomic unsigned state;    /* enum thread_state */
	/*
	 * A CPU is on its stack.  Set by the CPU that picks it; cleared by the same CPU, with release, once
	 * it is on another stack.  Until then nobody takes the thread to another CPU.
	 */
	_Atomic bool on_cpu;
	enum rq_arrival arrives;   /* how it joins its next queue; as entity */
	bool is_idle, exits;       /* the thread's own */
	_Atomic uint64_t allowed[CPU_WORDS];
	uint64_t since;            /* charged up to here; under its CPU's lock while it runs */
	unsigned background;       /* each cycle counts for 2^background; the thread's own */
	struct context context;
	struct stack stack;
	struct thread_hooks hooks; /* by itself only, interrupts off */
	struct timer timer;        /* thread_park_until() */

	void (*fn)(void *arg);
	void *arg;
	/* NULL, who waits in thread_join(), or GONE once it has returned. */
	_Atomic(struct thread *) joiner;
	_Atomic bool finished;     /* nobody touches it any more but who joins it */

	_Atomic uint64_t run_cycles, switches, migrations, wakeups;
	struct thread *next, **link; /* of all threads */
	char name[THREAD_NAME_MAX];
};

struct sched_cpu {
	spinlock_t lock; /* interrupts off; never two of them */
	unsigned id;
	struct runqueue rq;
	uint64_t round;  /* ticks */
	/* Written under the lock, on this CPU. */
	_Atomic(struct thread *) current;
	/* This CPU's own. */
	struct thread *idle, *left;
	bool strangers;  /* somebody was seen waiting here who may not run here */
	_Atomic bool need_resched;
	/* The load as others see it: written under the lock. */
	_Atomic unsigned runnable, waiting;
	_Atomic uint64_t first, clock;
	_Atomic uint64_t switches, migrations, wakeups, kicks;
};

/* Not static: a hosted test begins again from zeroes. */
struct sched_state {
	struct sched_cpu *cpu[CPUS_MAX];
	_Atomic unsigned cpus; /* prepared */
	spinlock_t list_lock;  /* interrupts off */
	struct thread *first, **last;
	unsigned threads;
	spinlock_t affinity_lock; /* who writes .allowed; interrupts off */
};
extern struct sched_state sched_state;

static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* This CPU's; NULL before sched_init(). */
struct sched_cpu *sched_this(void);
/* Has it run, by this clock, until now. */
void sched_charge(struct sched_cpu *c, struct thread *t) REQUIRES(c->lock);
/* Let t, which nobody else can move, wait for a CPU.  Interrupts off. */
void sched_enqueue(struct thread *t);
/* That CPU has to look for the thread to run again. Interrupts off. */
void sched_resched(struct sched_cpu *c);
bool sched_may_run(const struct thread *t, unsigned cpu);

enum leave {
	LEAVE_YIELD,  /* others first, if there are any */
	LEAVE_PARKED, /* not before it is woken up, which may have happened by now */
	LEAVE_FOR_GOOD,
};
/* Interrupts off. */
void sched_leave(enum leave how);
/* What a new thread does first. */
void sched_arrive(void);

/* thread.c: left its stack for the last time; with interrupts off. */
void thread_gone(struct thread *t);
/* The idle thread of a CPU, or main: what runs on that stack already, or will. NULL: no memory. */
struct thread *thread_adopt(const char *name, unsigned cpu, const struct stack *stack);
