/* SPDX-License-Identifier: GPL-2.0-only */
/* The scheduler's inside, shared by its strategies, the exhaustive search and the trace. */
#pragma once

#include <setjmp.h>

#include "tests/host/explore/coroutine.h"
#include "tests/host/explore/explore.h"
#include "tests/host/explore/explore_atomics.h"

enum thread_state { THREAD_READY, THREAD_WAITING, THREAD_DONE };

/* What a waiting thread of an exhaustive model read since it last waited. */
#define POLL_CELLS 6
struct poll {
	bool unknown; /* it did more than read */
	unsigned count;
	struct {
		const void *p;
		unsigned size;
		uint64_t value;
	} cell[POLL_CELLS];
};

#define CHANGES_MAX 4

struct explore_thread {
	struct coroutine co;
	const char *name;
	void (*fn)(void);
	enum thread_state state;
	uint64_t stamp;    /* explore_writes when it last began to poll */
	int64_t priority;  /* PCT: the highest that can run does */
	uint64_t this_op, before_op;
	uint64_t ops;      /* before `since`, when it began to run this time */
	uint64_t since;
	unsigned changes, next_change;
	uint64_t change[CHANGES_MAX]; /* PCT: the operations where it loses its priority */
	struct poll poll;  /* exhaustive only */
};

enum sched_mode {
	MODE_SINGLE, /* set-up and end: nobody else is there */
	MODE_WALK,   /* after a random number of steps any thread goes on */
	MODE_PCT,    /* random priorities, lowered at a few random steps */
	MODE_SEARCH, /* exhaust.c decides */
};

struct sched {
	enum sched_mode mode;
	struct explore_thread thread[EXPLORE_THREADS];
	unsigned count;
	struct explore_thread *current; /* NULL: set-up, end, and the search itself */
	struct coroutine main;
	uint64_t rng;
	uint64_t switch_at;  /* the step of the next decision */
	unsigned mean;       /* WALK: steps between decisions */
	int64_t lowest;      /* PCT: below all priorities so far */
	uint64_t length;     /* steps of the undisturbed run */
	bool sequential;     /* that run: no choices either */
	jmp_buf escape;      /* where a failure goes */
	const struct explore_scenario *scenario;
	const char *seed;    /* as the replay command wants it */
};
extern struct sched sched;

/* A thread that did not end within so many steps never will. */
#define STEPS_MAX 2000000ul

/* Get the threads of the scenario ready to run. */
void sched_prepare(const struct explore_scenario *s);
/* Run one interleaving. False: it failed, and has said so. */
bool sched_run(const struct explore_scenario *s, uint64_t seed);
/* Find out how long the undisturbed run is; seeds mean nothing before.  False: it failed. */
bool sched_measure(const struct explore_scenario *s);

/* exhaust.c */
struct search_result {
	uint64_t states, transitions, ends;
};
bool search_run(const struct explore_scenario *s, struct search_result *out);
bool search_replay(const struct explore_scenario *s, const char *path);
void search_point(void);
void search_relax(void);
void search_result(const void *p, enum explore_op op, unsigned size, uint64_t before,
		   uint64_t after);

/* places.c: what the undisturbed run did where, and an operation of a thread to preempt it at */
void places_forget(void);
void places_note(unsigned thread, uint64_t op, const void *where);
uint64_t places_draw(unsigned thread);

/* trace.c */
void trace_pending(const void *p, enum explore_op op, unsigned size, const void *where);
void trace_result(uint64_t before, uint64_t after);
void trace_forget_names(void);
bool trace_is_quiet(const void *p);
extern bool trace_on;

/* port_explore.c */
void port_explore_reset(bool reuse);
void port_explore_check_empty(void);

static inline uint64_t random_next(uint64_t *state)
{
	/* splitmix64 */
	uint64_t z = (*state += 0x9e3779b97f4a7c15ul);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ul;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebul;
	return z ^ (z >> 31);
}
