/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where PCT preempts.  Of the undisturbed run it is remembered which operations each thread did at
 * which place in the source: a loop over a table of 512 entries is one place, and as worth a
 * preemption as the one operation behind it.  So half of the preemptions are drawn by place, the other
 * half by step.
 *
 * Operations are counted by thread: another order of the threads moves the steps, but hardly those.
 */
#include "sched.h"

#define PLACES_MAX 512
#define SAMPLES    8

struct place {
	const void *where;
	uint64_t count;
	uint32_t sample[SAMPLES]; /* operations of the thread; the first few, and some of the others */
};

static struct {
	struct place place[PLACES_MAX];
	unsigned count;
	uint64_t length; /* operations of the thread */
} seen[EXPLORE_THREADS];

void places_forget(void)
{
	for (unsigned i = 0; i < EXPLORE_THREADS; i++) {
		seen[i].count = 0;
		seen[i].length = 0;
	}
}

void places_note(unsigned thread, uint64_t op, const void *where)
{
	struct place *p = seen[thread].place, *end = p + seen[thread].count;

	seen[thread].length = op;
	while (p < end && p->where != where)
		p++;
	if (p == end) {
		if (seen[thread].count == PLACES_MAX)
			return;
		seen[thread].count++;
		*p = (struct place){ .where = where };
	}
	/* Of those behind the first four each is as likely to be kept as any other. */
	uint64_t n = p->count++, slot = n;

	if (n >= SAMPLES)
		slot = SAMPLES / 2 + random_next(&sched.rng) % (n - SAMPLES / 2 + 1);
	if (slot < SAMPLES)
		p->sample[slot] = (uint32_t)op;
}

uint64_t places_draw(unsigned thread)
{
	uint64_t by = random_next(&sched.rng), length = seen[thread].length;
	unsigned count = seen[thread].count;

	if (!count || by & 1)
		return 1 + random_next(&sched.rng) % (length + length / 4 + 1);
	const struct place *p = &seen[thread].place[(by >> 1) % count];
	uint64_t n = p->count < SAMPLES ? p->count : SAMPLES;

	return p->sample[random_next(&sched.rng) % n];
}
