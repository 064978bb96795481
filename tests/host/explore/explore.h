/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What scenarios and models are made of, and what they may ask; README.md has the whole story.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPLORE_THREADS 4

struct explore_scenario {
	const char *name;
	const char *about;
	/* Not scheduled: everything that is there before the threads begin. */
	void (*setup)(void);
	/* Threads run until their function returns; the array ends with the first NULL. */
	struct {
		const char *name;
		void (*fn)(void);
	} thread[EXPLORE_THREADS];
	/* Not scheduled: what must be true at the end; takes everything down again. */
	void (*finish)(void);
	/*
	 * A model: every state is visited, once.  All that the threads share is made known by
	 * explore_track(), nothing is allocated, and setup() leaves everything the same each time.
	 */
	bool exhaustive;
};

/* All there are; ends with NULL. */
extern const struct explore_scenario *const explore_scenarios[];

/* The interleaving has failed: says so with the command that replays it, and abandons it. */
_Noreturn void explore_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define EXPLORE_CHECK(cond)                                                               \
	do {                                                                              \
		if (!(cond))                                                              \
			explore_fail("%s:%d: not true: %s", __FILE__, __LINE__, #cond);   \
	} while (0)

/* One of 0 … n - 1: a decision that belongs to the interleaving, as those of the scheduler do. */
unsigned explore_choose(unsigned n);
/* The clock: an operation done before has a smaller number than one that is yet to come. */
uint64_t explore_now(void);
/* When the calling thread did the operation before its last one. */
uint64_t explore_op_before_last(void);
/* A line of the trace, when there is one. */
void explore_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* What an address is called in the trace. */
void explore_name(const void *p, size_t size, const char *name);
/* Operations there are not worth a preemption: counters. */
void explore_quiet(const void *p, size_t size);
/* Part of the state of an exhaustive model. */
void explore_track(void *p, size_t size);
/* A model's own end of an object, instead of port_obj_free()'s; forgotten with the model. */
extern void (*explore_obj_free)(void *obj);
/* port_cpu_relax(): the caller polls, and cannot go on until somebody else has changed something. */
void explore_relax(void);
/* port_resched(): others may go first. */
void explore_yield(void);
