/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The exhaustive search over a small model: depth first through every state, each
 * entered once.
 *
 * A state is the tracked memory and, of each thread, the live part of its stack (which holds its
 * registers while it does not run) and what it waits for.  A transition lets one thread do the
 * operation before which it stands, and go on to the next.  States are remembered as 64-bit hashes.
 * Rubbish in unused stack slots can make one state look like two; that costs time and misses nothing.
 *
 * A waiting thread can go on when a cell that it read since it last waited holds another value.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched.h"

#define TRACKED_MAX  8
#define TRACKED_SIZE 4096
#define STACK_KEPT   2048
#define DEPTH_MAX    4000
#define STATES_MAX   (20ul << 20)

static struct {
	unsigned char *p;
	size_t size;
} tracked[TRACKED_MAX];
static unsigned tracked_count;

struct snapshot {
	unsigned char memory[TRACKED_SIZE];
	struct explore_thread thread[EXPLORE_THREADS];
	unsigned char stack[EXPLORE_THREADS][STACK_KEPT];
};

/* A state on the way from the first to the present one. */
struct node {
	struct snapshot *state;
	unsigned todo;   /* threads that have not been run from it */
	unsigned choice; /* the one that is being run */
};

static struct node node[DEPTH_MAX];
static unsigned depth;
static uint64_t *seen, seen_size, seen_count;
static char path[DEPTH_MAX + 2];

void explore_track(void *p, size_t size)
{
	size_t all = size;

	for (unsigned i = 0; i < tracked_count; i++)
		all += tracked[i].size;
	if (tracked_count == TRACKED_MAX || all > TRACKED_SIZE)
		explore_fail("too much is tracked: %u regions, %zu bytes", tracked_count + 1, all);
	tracked[tracked_count].p = p;
	tracked[tracked_count++].size = size;
}

/* ---- in the threads -------------------------------------------------------------------- */

void search_point(void)
{
	struct explore_thread *me = sched.current;

	explore_next = 0;
	coroutine_switch(&me->co, &sched.main);
}

void search_relax(void)
{
	struct explore_thread *me = sched.current;

	if (me->poll.unknown) {
		me->poll.unknown = false;
		me->poll.count = 0;
		return;
	}
	me->state = THREAD_WAITING;
	search_point();
	me->state = THREAD_READY;
	me->poll.count = 0;
}

static uint64_t cell_value(const void *p, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, p, size);
	return value;
}

void search_result(const void *p, enum explore_op op, unsigned size, uint64_t before,
		   uint64_t after)
{
	struct poll *poll = &sched.current->poll;

	if (before != after || poll->count == POLL_CELLS) {
		poll->unknown = true;
		poll->count = 0;
	}
	if (poll->unknown || trace_is_quiet(p))
		return;
	poll->cell[poll->count].p = p;
	poll->cell[poll->count].size = size;
	poll->cell[poll->count++].value = before;
}

static bool has_news(const struct poll *poll)
{
	for (unsigned i = 0; i < poll->count; i++)
		if (cell_value(poll->cell[i].p, poll->cell[i].size) != poll->cell[i].value)
			return true;
	return false;
}

/* ---- states -------------------------------------------------------------------------------- */

static unsigned runnable_threads(void)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < sched.count; i++) {
		const struct explore_thread *t = &sched.thread[i];

		if (t->state == THREAD_READY || (t->state == THREAD_WAITING && has_news(&t->poll)))
			mask |= 1u << i;
	}
	return mask;
}

static size_t live_stack(const struct explore_thread *t)
{
	size_t n = (size_t)((unsigned char *)t->co.top - (unsigned char *)t->co.sp);

	if (n > STACK_KEPT)
		explore_fail("a model's thread uses %zu bytes of stack", n);
	return t->state == THREAD_DONE ? 0 : n;
}

static void save(struct snapshot *s)
{
	unsigned char *to = s->memory;

	for (unsigned i = 0; i < tracked_count; i++) {
		memcpy(to, tracked[i].p, tracked[i].size);
		to += tracked[i].size;
	}
	memcpy(s->thread, sched.thread, sizeof(s->thread));
	for (unsigned i = 0; i < sched.count; i++)
		memcpy(s->stack[i], sched.thread[i].co.sp, live_stack(&sched.thread[i]));
}

static void restore(const struct snapshot *s)
{
	const unsigned char *from = s->memory;

	for (unsigned i = 0; i < tracked_count; i++) {
		memcpy(tracked[i].p, from, tracked[i].size);
		from += tracked[i].size;
	}
	memcpy(sched.thread, s->thread, sizeof(s->thread));
	for (unsigned i = 0; i < sched.count; i++)
		memcpy(sched.thread[i].co.sp, s->stack[i], live_stack(&sched.thread[i]));
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	__uint128_t product = (__uint128_t)(h ^ v ^ 0x9e3779b97f4a7c15ul) * 0xd6e8feb86659fd93ul;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_bytes(uint64_t h, const unsigned char *p, size_t n)
{
	uint64_t word;

	for (; n >= sizeof(word); n -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		h = mix(h, word);
	}
	word = 0;
	memcpy(&word, p, n);
	return mix(h, word + n);
}

static uint64_t hash_state(void)
{
	uint64_t h = 1;

	for (unsigned i = 0; i < tracked_count; i++)
		h = hash_bytes(h, tracked[i].p, tracked[i].size);
	for (unsigned i = 0; i < sched.count; i++) {
		const struct explore_thread *t = &sched.thread[i];

		h = mix(h, (uint64_t)t->state << 8 | t->poll.unknown);
		h = hash_bytes(h, t->co.sp, live_stack(t));
		for (unsigned k = 0; k < t->poll.count; k++)
			h = mix(mix(h, (uintptr_t)t->poll.cell[k].p), t->poll.cell[k].value);
	}
	return h ? h : 1;
}

static void remember(uint64_t *table, uint64_t size, uint64_t hash)
{
	uint64_t i = hash & (size - 1);

	while (table[i])
		i = (i + 1) & (size - 1);
	table[i] = hash;
}

static void grow(void)
{
	uint64_t size = seen_size ? 4 * seen_size : 1ul << 16;
	uint64_t *table = calloc(size, sizeof(*table));

	if (!table || seen_count > STATES_MAX)
		explore_fail("more than %lu states", seen_count);
	for (uint64_t i = 0; i < seen_size; i++)
		if (seen[i])
			remember(table, size, seen[i]);
	free(seen);
	seen = table;
	seen_size = size;
}

/* False: it was there before. */
static bool is_new(uint64_t hash)
{
	if (2 * seen_count >= seen_size)
		grow();
	for (uint64_t i = hash & (seen_size - 1); seen[i]; i = (i + 1) & (seen_size - 1))
		if (seen[i] == hash)
			return false;
	remember(seen, seen_size, hash);
	seen_count++;
	return true;
}

/* ---- the search ---------------------------------------------------------------------------- */

static void push(void)
{
	if (depth == DEPTH_MAX)
		explore_fail("a path of more than %d steps", DEPTH_MAX);
	if (!node[depth].state)
		node[depth].state = malloc(sizeof(struct snapshot));
	if (!node[depth].state)
		explore_fail("no memory for a state");
	save(node[depth].state);
	node[depth++].todo = runnable_threads();
}

static void run_thread(unsigned i)
{
	sched.current = &sched.thread[i];
	explore_next = 0;
	explore_watching = true;
	/* What counts must not get into a state by way of a register: it would be a new one for ever. */
	explore_last = 0;
	explore_step = explore_writes = explore_this_op = explore_before_op = 0;
	coroutine_switch(&sched.main, &sched.thread[i].co);
	explore_watching = false;
	explore_next = ~0ul;
	sched.current = NULL;
}

static bool all_done(void)
{
	for (unsigned i = 0; i < sched.count; i++)
		if (sched.thread[i].state != THREAD_DONE)
			return false;
	return true;
}

/* Nobody can run: the end, or a deadlock. */
static void check_end(const struct explore_scenario *s)
{
	if (!all_done())
		explore_fail("deadlock: nobody will change what the others wait for");
	sched.mode = MODE_SINGLE;
	s->finish();
	sched.mode = MODE_SEARCH;
}

static void begin(const struct explore_scenario *s)
{
	sched.scenario = s;
	sched.mode = MODE_SINGLE;
	sched.current = NULL;
	explore_next = ~0ul;
	explore_watching = explore_somebody_waits = false;
	trace_forget_names();
	tracked_count = 0;
	port_explore_reset(false);
	s->setup();
	sched_prepare(s);
	sched.mode = MODE_SEARCH;
}

static void step_down(const struct explore_scenario *s, struct search_result *out)
{
	struct node *n = &node[depth - 1];

	n->choice = (unsigned)__builtin_ctz(n->todo);
	n->todo &= n->todo - 1;
	path[depth] = (char)('0' + n->choice);
	path[depth + 1] = '\0';
	restore(n->state);
	run_thread(n->choice);
	out->transitions++;
	if (!runnable_threads()) {
		out->ends++;
		check_end(s);
	} else if (is_new(hash_state())) {
		push();
	}
}

bool search_run(const struct explore_scenario *s, struct search_result *out)
{
	*out = (struct search_result){ 0 };
	depth = 0;
	seen_count = 0;
	if (seen)
		memset(seen, 0, seen_size * sizeof(*seen));
	strcpy(path, "x");
	sched.seed = path;
	if (setjmp(sched.escape))
		return false;
	begin(s);
	is_new(hash_state());
	push();
	while (depth) {
		if (node[depth - 1].todo)
			step_down(s, out);
		else
			depth--;
	}
	out->states = seen_count;
	sched.mode = MODE_SINGLE;
	return true;
}

bool search_replay(const struct explore_scenario *s, const char *steps)
{
	sched.seed = steps;
	if (setjmp(sched.escape))
		return false;
	begin(s);
	for (const char *c = steps + 1; *c; c++) {
		unsigned i = (unsigned)(*c - '0');

		if (i >= sched.count || !(runnable_threads() & 1u << i))
			explore_fail("this path does not fit: thread %c cannot run", *c);
		run_thread(i);
	}
	if (!runnable_threads())
		check_end(s);
	sched.mode = MODE_SINGLE;
	return true;
}
