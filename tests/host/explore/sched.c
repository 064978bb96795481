/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The scheduler: one host thread runs the threads of a scenario in turns, and everything that
 * decides whose turn it is comes from the seed.
 *
 * Two strategies share the seeds.  The random walk lets any thread go on after a random number of
 * steps.  PCT (Burckhardt et al., 2010) gives the threads random priorities, runs the highest that
 * can run, and lowers a thread's at d operations that places.c draws.  A race that needs few
 * preemptions, as most do, is met again and again, however long the threads are.
 *
 * A thread that polls (explore_relax()) without anything having changed since it last polled is
 * not run until something has; when that is all of them, it is a deadlock.
 */
#include "sched.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STACK_SIZE (64ul << 10)

uint64_t explore_step, explore_next = ~0ul;
uint64_t explore_this_op, explore_before_op, explore_writes;
bool explore_somebody_waits, explore_watching;
uintptr_t explore_last;

struct sched sched;

static unsigned char stacks[EXPLORE_THREADS][STACK_SIZE] __attribute__((aligned(64)));

static uint64_t random_below(uint64_t n)
{
	return random_next(&sched.rng) % n;
}

/* ---- failure -------------------------------------------------------------------- */

void explore_fail(const char *fmt, ...)
{
	va_list ap;

	printf("# %s, thread %s, step %lu: ", sched.scenario->name,
	       sched.current ? sched.current->name : "none", explore_step);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n# to see it again: build/explore/explore replay %s %s\n", sched.scenario->name,
	       sched.seed);
	fflush(stdout);
	longjmp(sched.escape, 1);
}

static void fail_deadlock(void)
{
	char names[128] = "";
	size_t used = 0;

	for (unsigned i = 0; i < sched.count; i++)
		if (sched.thread[i].state == THREAD_WAITING && used < sizeof(names))
			used += (size_t)snprintf(names + used, sizeof(names) - used, " %s",
						 sched.thread[i].name);
	explore_fail("deadlock: nobody will change what these wait for:%s", names);
}

/* ---- whose turn it is --------------------------------------------------------------- */

static bool can_run(const struct explore_thread *t)
{
	return t->state == THREAD_READY ||
	       (t->state == THREAD_WAITING && t->stamp != explore_writes);
}

static struct explore_thread *pick_any(const struct explore_thread *but)
{
	struct explore_thread *can[EXPLORE_THREADS];
	unsigned n = 0;

	for (unsigned i = 0; i < sched.count; i++)
		if (&sched.thread[i] != but && can_run(&sched.thread[i]))
			can[n++] = &sched.thread[i];
	return n ? can[n > 1 ? random_below(n) : 0] : NULL;
}

static struct explore_thread *pick_highest(const struct explore_thread *but)
{
	struct explore_thread *best = NULL;

	for (unsigned i = 0; i < sched.count; i++) {
		struct explore_thread *t = &sched.thread[i];

		if (t != but && can_run(t) && (!best || t->priority > best->priority))
			best = t;
	}
	return best;
}

/* Anybody that can run, or NULL. */
static struct explore_thread *pick(const struct explore_thread *but)
{
	return sched.mode == MODE_PCT ? pick_highest(but) : pick_any(but);
}

static void look_for_waiters(void)
{
	explore_somebody_waits = false;
	for (unsigned i = 0; i < sched.count; i++)
		explore_somebody_waits |= sched.thread[i].state == THREAD_WAITING;
}

/* When does the running thread have to ask again? */
static void arm(void)
{
	if (explore_watching || sched.sequential)
		explore_next = 0;
	else
		explore_next = sched.switch_at < STEPS_MAX ? sched.switch_at : STEPS_MAX;
}

static uint64_t ops_of(const struct explore_thread *t)
{
	return t->ops + explore_step - t->since;
}

static void next_decision(void)
{
	struct explore_thread *t = sched.current;

	if (sched.mode == MODE_WALK) {
		sched.switch_at = explore_step + 1 + random_below(2 * sched.mean);
		return;
	}
	/* Two that fell together, or that it slept through, are one. */
	while (t->next_change < t->changes && t->change[t->next_change] <= ops_of(t))
		t->next_change++;
	sched.switch_at = t->next_change < t->changes ?
			  explore_step + (t->change[t->next_change] - ops_of(t)) : ~0ul;
}

/* From the running thread (or from main, which is NULL) to another one; back when it is our turn. */
static void switch_to(struct explore_thread *t)
{
	struct explore_thread *me = sched.current;

	if (t == me)
		return;
	if (me) {
		me->this_op = explore_this_op;
		me->before_op = explore_before_op;
		me->ops += explore_step - me->since;
	}
	if (t && t->state == THREAD_WAITING) {
		t->state = THREAD_READY;
		t->stamp = explore_writes;
	}
	if (t) {
		explore_this_op = t->this_op;
		explore_before_op = t->before_op;
		t->since = explore_step;
	}
	sched.current = t;
	if (t && sched.mode == MODE_PCT)
		next_decision();
	explore_last = 0;
	look_for_waiters();
	arm();
	coroutine_switch(me ? &me->co : &sched.main, t ? &t->co : &sched.main);
}

static void decide(void)
{
	next_decision();
	/* Below all that were never lowered, in random order among the others. */
	if (sched.mode == MODE_PCT)
		sched.current->priority = (int64_t)random_below(1ul << 32);
	switch_to(pick(NULL));
}

void explore_slow(const void *p, enum explore_op op, unsigned size)
{
	const void *where = __builtin_return_address(0);

	if (!sched.current) {
		explore_next = ~0ul;
		return;
	}
	if (sched.mode == MODE_SEARCH) {
		if (!trace_is_quiet(p))
			search_point();
		trace_pending(p, op, size, where);
		return;
	}
	if (explore_step >= STEPS_MAX)
		explore_fail("livelock: no end after %lu steps", explore_step);
	if (explore_step >= sched.switch_at) {
		if (trace_is_quiet(p))
			sched.switch_at = explore_step + 1;
		else
			decide();
	} else if (explore_somebody_waits && sched.mode == MODE_PCT) {
		switch_to(pick(NULL));
	}
	arm();
	if (sched.sequential && !trace_is_quiet(p))
		places_note((unsigned)(sched.current - sched.thread), ops_of(sched.current), where);
	trace_pending(p, op, size, where);
}

void explore_result(uint64_t before, uint64_t after)
{
	if (sched.current)
		trace_result(before, after);
}

void explore_relax(void)
{
	struct explore_thread *me = sched.current;
	static uint64_t alone;

	if (!me) {
		if (alone == explore_writes)
			explore_fail("waits for somebody, but nobody else is there");
		alone = explore_writes;
		return;
	}
	if (sched.mode == MODE_SEARCH) {
		search_relax();
		return;
	}
	/* Poll once more: something moved since it began to. */
	if (me->stamp != explore_writes) {
		me->stamp = explore_writes;
		return;
	}
	me->state = THREAD_WAITING;
	struct explore_thread *t = pick(NULL);

	if (!t)
		fail_deadlock();
	switch_to(t);
}

void explore_yield(void)
{
	struct explore_thread *me = sched.current;

	if (!me || sched.mode == MODE_SEARCH)
		return;
	me->priority = --sched.lowest;
	struct explore_thread *t = pick(me);

	if (t && (sched.mode == MODE_PCT || random_below(8)))
		switch_to(t);
}

unsigned explore_choose(unsigned n)
{
	return sched.sequential || sched.mode == MODE_SEARCH ? 0 : (unsigned)random_below(n);
}

uint64_t explore_now(void)
{
	return explore_step;
}

uint64_t explore_op_before_last(void)
{
	return explore_before_op;
}

/* ---- one interleaving ---------------------------------------------------------------- */

static void thread_main(void *arg)
{
	struct explore_thread *me = arg;

	me->fn();
	me->state = THREAD_DONE;
	if (sched.mode == MODE_SEARCH)
		search_point();
	struct explore_thread *t = pick(me);

	if (!t && explore_somebody_waits)
		fail_deadlock();
	switch_to(t);
	__builtin_unreachable();
}

void sched_prepare(const struct explore_scenario *s)
{
	sched.count = 0;
	while (sched.count < EXPLORE_THREADS && s->thread[sched.count].fn) {
		unsigned i = sched.count++;

		sched.thread[i] = (struct explore_thread){
			.name = s->thread[i].name,
			.fn = s->thread[i].fn,
			.poll = { .unknown = true },
			.stamp = ~0ul,
		};
		coroutine_prepare(&sched.thread[i].co, stacks[i], STACK_SIZE, thread_main,
				  &sched.thread[i]);
	}
}

/* Another place to preempt this thread at, in order. */
static void add_change(struct explore_thread *t)
{
	uint64_t at = places_draw((unsigned)(t - sched.thread));
	unsigned k = t->changes++;

	for (; k && t->change[k - 1] > at; k--)
		t->change[k] = t->change[k - 1];
	t->change[k] = at;
}

static void choose_strategy(void)
{
	static const unsigned means[] = { 2, 6, 20, 60 };
	uint64_t kind = random_below(16);

	sched.mode = kind < 4 ? MODE_WALK : MODE_PCT;
	sched.mean = means[kind % 4];
	for (unsigned i = 0; i < sched.count; i++)
		sched.thread[i].priority = (int64_t)(1ul << 32 | random_next(&sched.rng) >> 32);
	for (unsigned i = 0; sched.mode == MODE_PCT && i <= kind % CHANGES_MAX; i++)
		add_change(&sched.thread[random_below(sched.count)]);
}

static void choose_sequential(void)
{
	places_forget();
	sched.mode = MODE_PCT;
	for (unsigned i = 0; i < sched.count; i++)
		sched.thread[i].priority = (int64_t)(EXPLORE_THREADS - i) << 32;
}

static void run_threads(void)
{
	explore_step = 0;
	sched.lowest = 0;
	sched.switch_at = 0;
	if (sched.sequential)
		choose_sequential();
	else
		choose_strategy();
	explore_watching = trace_on;
	switch_to(pick(NULL));
	explore_watching = false;
}

static bool run_interleaving(const struct explore_scenario *s)
{
	sched.scenario = s;
	sched.mode = MODE_SINGLE;
	sched.current = NULL;
	explore_next = ~0ul;
	explore_watching = explore_somebody_waits = false;
	trace_forget_names();
	if (setjmp(sched.escape)) {
		sched.current = NULL;
		explore_watching = false;
		return false;
	}
	port_explore_reset(!sched.sequential && random_below(2));
	s->setup();
	sched_prepare(s);
	run_threads();
	uint64_t steps = explore_step;

	sched.mode = MODE_SINGLE;
	explore_next = ~0ul;
	s->finish();
	port_explore_check_empty();
	if (sched.sequential)
		sched.length = steps;
	return true;
}

bool sched_run(const struct explore_scenario *s, uint64_t seed)
{
	static char text[24];

	snprintf(text, sizeof(text), "%lu", seed);
	sched.seed = text;
	sched.rng = seed;
	sched.sequential = false;
	return run_interleaving(s);
}

bool sched_measure(const struct explore_scenario *s)
{
	sched.seed = "sequential";
	sched.rng = 0;
	sched.sequential = true;
	return run_interleaving(s);
}
