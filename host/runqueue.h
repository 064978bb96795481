/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The order in which threads get a CPU, and what moves them to another: decisions only, no locks, no
 * clock, no CPU.  sched.c calls all of it with the queue's lock held.
 *
 * Each thread has a virtual run time, the cycles that it had a CPU, and the one that has run least
 * goes first.  It is the same time on all CPUs, so that a thread that has a CPU for itself gets ahead of those
 * that share one, and its CPU takes one of them over; three threads on two CPUs get two thirds each.
 * Where threads may not move, the clocks of two CPUs drift apart.  Who comes from elsewhere, or from
 * a long sleep, is therefore placed within bounds around the clock of the queue it joins.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rq_entity {
	struct rq_entity *prev, *next; /* in order of vruntime; NULL: in no queue */
	uint64_t vruntime;
};

struct runqueue {
	struct rq_entity head; /* of a ring */
	unsigned waiting;
	uint64_t clock;        /* where the threads here are by now; never goes back */
	uint64_t slice;        /* in cycles, as everything here */
};

/* What other CPUs know of a queue without its lock. */
struct rq_load {
	unsigned runnable;  /* the one that runs included */
	unsigned waiting;
	uint64_t first;     /* vruntime of the first that waits */
	uint64_t clock;
};

void rq_init(struct runqueue *rq, uint64_t slice);

/* Behind those that have run as much. */
void rq_enqueue(struct runqueue *rq, struct rq_entity *e);
void rq_dequeue(struct runqueue *rq, struct rq_entity *e);
bool rq_is_queued(const struct rq_entity *e);
/* The first that the caller's filter lets through; NULL: none. */
struct rq_entity *rq_first(const struct runqueue *rq,
			   bool (*filter)(const struct rq_entity *e, void *ctx), void *ctx);

/* The clock goes on; running NULL: the CPU is idle. */
void rq_advance(struct runqueue *rq, const struct rq_entity *running);
/* A CPU that was idle starts where the others are, not where it stopped. */
void rq_leave_idle(struct runqueue *rq, uint64_t others_clock);

enum rq_arrival {
	RQ_MOVED, /* from another queue: it keeps what it is behind or ahead, within some slices */
	RQ_WOKEN, /* it may be up to a slice behind, no more, however long it slept */
	RQ_NEW,   /* level with those here */
};
/* Its vruntime, before it is queued here.  idle: nobody else is here. */
void rq_place(const struct runqueue *rq, struct rq_entity *e, enum rq_arrival how, bool idle);

/* At the tick: the first that waits deserves the CPU more. */
bool rq_slice_is_over(const struct runqueue *rq, const struct rq_entity *running);
/*
 * One that yields of its own accord lets another go first that has run more, but not by more than a
 * slice: or whoever polls, and yields in between, would get nothing of a CPU that it shares.
 */
bool rq_goes_before(const struct runqueue *rq, const struct rq_entity *other,
		    const struct rq_entity *yields);
/* On a wake-up, before the slice is over: by a margin, or two of a kind would only take turns. */
bool rq_preempts(const struct runqueue *rq, const struct rq_entity *woken, uint64_t running_vruntime);

/* Should a CPU that runs a thread take one over that waits at the other?  round: number of the tick. */
bool rq_should_pull(const struct runqueue *mine, const struct rq_load *my_load,
		    const struct rq_entity *running, const struct rq_load *theirs, uint64_t round);
/* Of two that have threads waiting, is a the one to take from? */
bool rq_is_busier(const struct rq_load *a, const struct rq_load *b);
