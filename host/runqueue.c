/* SPDX-License-Identifier: GPL-2.0-only */
/* See runqueue.h. */
#include "host/runqueue.h"

#include <stddef.h>

#include "lib/util.h"

/* From the clock of the queue that it joins, for whoever comes from a CPU with another clock. */
#define APART_SLICES 4
/* Between CPUs whose clocks have nothing to do with each other, every so many ticks one moves. */
#define ROTATE_TICKS 4

void rq_init(struct runqueue *rq, uint64_t slice)
{
	rq->head.prev = rq->head.next = &rq->head;
	rq->waiting = 0;
	rq->clock = 0;
	rq->slice = slice;
}

/* From the end: who has just run has run most, and those are many. */
void rq_enqueue(struct runqueue *rq, struct rq_entity *e)
{
	struct rq_entity *before = rq->head.prev;

	while (before != &rq->head && before->vruntime > e->vruntime)
		before = before->prev;
	e->prev = before;
	e->next = before->next;
	before->next->prev = e;
	before->next = e;
	rq->waiting++;
}

void rq_dequeue(struct runqueue *rq, struct rq_entity *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
	e->prev = e->next = NULL;
	rq->waiting--;
}

bool rq_is_queued(const struct rq_entity *e)
{
	return e->next;
}

struct rq_entity *rq_first(const struct runqueue *rq,
			   bool (*filter)(const struct rq_entity *e, void *ctx), void *ctx)
{
	for (struct rq_entity *e = rq->head.next; e != &rq->head; e = e->next)
		if (filter(e, ctx))
			return e;
	return NULL;
}

/* ---- the clock -------------------------------------------------------------------- */

void rq_advance(struct runqueue *rq, const struct rq_entity *running)
{
	const struct rq_entity *first = rq->waiting ? rq->head.next : running;

	if (!first)
		return;
	uint64_t least = running ? MIN(first->vruntime, running->vruntime) : first->vruntime;

	rq->clock = MAX(rq->clock, least);
}

void rq_leave_idle(struct runqueue *rq, uint64_t others_clock)
{
	rq->clock = MAX(rq->clock, others_clock);
}

static uint64_t back(uint64_t from, uint64_t by)
{
	return from > by ? from - by : 0;
}

void rq_place(const struct runqueue *rq, struct rq_entity *e, enum rq_arrival how, bool idle)
{
	uint64_t behind = how == RQ_WOKEN ? rq->slice : APART_SLICES * rq->slice;

	if (how == RQ_NEW) {
		e->vruntime = rq->clock;
		return;
	}
	e->vruntime = MAX(e->vruntime, back(rq->clock, behind));
	/* On an idle CPU there is nobody whom it could be ahead of. */
	if (!idle)
		e->vruntime = MIN(e->vruntime, rq->clock + APART_SLICES * rq->slice);
}

/* ---- whose turn it is --------------------------------------------------------------- */

bool rq_slice_is_over(const struct runqueue *rq, const struct rq_entity *running)
{
	return rq->waiting && rq->head.next->vruntime < running->vruntime;
}

bool rq_goes_before(const struct runqueue *rq, const struct rq_entity *other,
		    const struct rq_entity *yields)
{
	return other != yields && other->vruntime <= yields->vruntime + rq->slice;
}

bool rq_preempts(const struct runqueue *rq, const struct rq_entity *woken, uint64_t running_vruntime)
{
	return woken->vruntime + rq->slice / 4 < running_vruntime;
}

/* ---- other CPUs --------------------------------------------------------------------- */

bool rq_should_pull(const struct runqueue *mine, const struct rq_load *my_load,
		    const struct rq_entity *running, const struct rq_load *theirs, uint64_t round)
{
	uint64_t apart = theirs->clock > mine->clock ? theirs->clock - mine->clock :
						       mine->clock - theirs->clock;

	if (!theirs->waiting || theirs->runnable <= my_load->runnable)
		return false;
	if (theirs->runnable >= my_load->runnable + 2)
		return true;
	/* One more there than here: whoever takes the odd one has it, until somebody else is ahead. */
	if (apart > 2 * APART_SLICES * mine->slice)
		return round % ROTATE_TICKS == 0;
	return theirs->first + mine->slice < running->vruntime;
}

bool rq_is_busier(const struct rq_load *a, const struct rq_load *b)
{
	return a->runnable != b->runnable ? a->runnable > b->runnable : a->first < b->first;
}
