/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The decisions of host/runqueue.c: order, bounds, who moves.  And a scheduler of the test's own,
 * some lines long, that uses them on random work: what comes out has to be fair.
 */
#include "host/runqueue.h"

#include <stdlib.h>
#include <string.h>

#include "ktap.h"

#define SLICE 1000ul

static bool anybody(const struct rq_entity *e, void *ctx)
{
	return true;
}

static struct rq_entity *first(const struct runqueue *rq)
{
	return rq_first(rq, anybody, NULL);
}

/* ---- one queue ------------------------------------------------------------------------ */

static void test_order(void)
{
	struct rq_entity e[4] = { { .vruntime = 30 }, { .vruntime = 10 }, { .vruntime = 20 },
				  { .vruntime = 10 } };
	static const unsigned order[] = { 1, 3, 2, 0 };
	struct runqueue rq;

	rq_init(&rq, SLICE);
	CHECK(!first(&rq));
	for (unsigned i = 0; i < 4; i++) {
		CHECK(!rq_is_queued(&e[i]));
		rq_enqueue(&rq, &e[i]);
		CHECK(rq_is_queued(&e[i]));
	}
	CHECK_EQ(rq.waiting, 4);
	for (unsigned i = 0; i < 4; i++) {
		CHECK(first(&rq) == &e[order[i]]);
		rq_dequeue(&rq, &e[order[i]]);
		CHECK(!rq_is_queued(&e[order[i]]));
	}
	CHECK_EQ(rq.waiting, 0);
}

static bool is_not(const struct rq_entity *e, void *ctx)
{
	return e != ctx;
}

static void test_filter(void)
{
	struct rq_entity a = { .vruntime = 1 }, b = { .vruntime = 2 };
	struct runqueue rq;

	rq_init(&rq, SLICE);
	rq_enqueue(&rq, &b);
	rq_enqueue(&rq, &a);
	CHECK(rq_first(&rq, is_not, &a) == &b);
	rq_dequeue(&rq, &b);
	CHECK(!rq_first(&rq, is_not, &a));
}

static void test_clock(void)
{
	struct rq_entity running = { .vruntime = 500 }, waits = { .vruntime = 700 };
	struct runqueue rq;

	rq_init(&rq, SLICE);
	rq_advance(&rq, NULL);
	CHECK_EQ(rq.clock, 0);
	rq_advance(&rq, &running);
	CHECK_EQ(rq.clock, 500);
	rq_enqueue(&rq, &waits);
	running.vruntime = 900;
	rq_advance(&rq, &running);
	CHECK_EQ(rq.clock, 700);
	/* Whoever comes from behind does not turn it back. */
	waits.vruntime = 100;
	rq_advance(&rq, &running);
	CHECK_EQ(rq.clock, 700);
	rq_leave_idle(&rq, 650);
	CHECK_EQ(rq.clock, 700);
	rq_leave_idle(&rq, 5000);
	CHECK_EQ(rq.clock, 5000);
}

static uint64_t placed(uint64_t vruntime, enum rq_arrival how, bool idle)
{
	struct rq_entity e = { .vruntime = vruntime };
	struct runqueue rq;

	rq_init(&rq, SLICE);
	rq.clock = 100 * SLICE;
	rq_place(&rq, &e, how, idle);
	return e.vruntime;
}

static void test_place(void)
{
	uint64_t clock = 100 * SLICE;

	CHECK_EQ(placed(3, RQ_NEW, false), clock);
	CHECK_EQ(placed(3, RQ_NEW, true), clock);
	/* A long sleep is worth a slice, a short one what it lasted. */
	CHECK_EQ(placed(3, RQ_WOKEN, false), clock - SLICE);
	CHECK_EQ(placed(clock - 10, RQ_WOKEN, false), clock - 10);
	CHECK_EQ(placed(clock + 10, RQ_WOKEN, false), clock + 10);
	/* Who moves keeps what it has, within bounds. */
	CHECK_EQ(placed(clock - 3 * SLICE, RQ_MOVED, false), clock - 3 * SLICE);
	CHECK_EQ(placed(3, RQ_MOVED, false), clock - 4 * SLICE);
	CHECK_EQ(placed(clock + 3 * SLICE, RQ_MOVED, false), clock + 3 * SLICE);
	CHECK_EQ(placed(clock + 50 * SLICE, RQ_MOVED, false), clock + 4 * SLICE);
	CHECK_EQ(placed(clock + 50 * SLICE, RQ_WOKEN, false), clock + 4 * SLICE);
	CHECK_EQ(placed(clock + 50 * SLICE, RQ_MOVED, true), clock + 50 * SLICE);
}

static void test_place_near_zero(void)
{
	struct rq_entity e = { .vruntime = 0 };
	struct runqueue rq;

	rq_init(&rq, SLICE);
	rq.clock = SLICE / 2;
	rq_place(&rq, &e, RQ_WOKEN, false);
	CHECK_EQ(e.vruntime, 0);
}

static void test_slice(void)
{
	struct rq_entity running = { .vruntime = 500 }, waits = { .vruntime = 500 };
	struct runqueue rq;

	rq_init(&rq, SLICE);
	CHECK(!rq_slice_is_over(&rq, &running));
	rq_enqueue(&rq, &waits);
	CHECK(!rq_slice_is_over(&rq, &running));
	running.vruntime++;
	CHECK(rq_slice_is_over(&rq, &running));
	CHECK(!rq_preempts(&rq, &waits, 500 + SLICE / 4));
	CHECK(rq_preempts(&rq, &waits, 501 + SLICE / 4));
}

static void test_yield(void)
{
	struct rq_entity me = { .vruntime = 500 }, other = { .vruntime = 500 + SLICE };
	struct runqueue rq;

	rq_init(&rq, SLICE);
	CHECK(!rq_goes_before(&rq, &me, &me));
	CHECK(rq_goes_before(&rq, &other, &me));
	other.vruntime++;
	CHECK(!rq_goes_before(&rq, &other, &me));
}

/* ---- two queues ----------------------------------------------------------------------------- */

static bool pulls(unsigned mine, unsigned theirs, uint64_t behind, uint64_t apart, uint64_t round)
{
	struct rq_entity running = { .vruntime = 100 * SLICE };
	struct runqueue rq;
	struct rq_load my_load = { .runnable = mine },
		       load = { .runnable = theirs, .waiting = theirs ? theirs - 1 : 0 };

	rq_init(&rq, SLICE);
	rq.clock = running.vruntime;
	load.clock = rq.clock - apart;
	load.first = running.vruntime - behind;
	return rq_should_pull(&rq, &my_load, &running, &load, round);
}

static void test_pull(void)
{
	CHECK(!pulls(1, 1, 50 * SLICE, 0, 0));
	CHECK(!pulls(2, 2, 50 * SLICE, 0, 0));
	CHECK(!pulls(3, 2, 50 * SLICE, 0, 0));
	/* Two more there: whatever they have run. */
	CHECK(pulls(1, 3, 0, 0, 1));
	/* One more there: when it is a slice behind. */
	CHECK(!pulls(1, 2, SLICE, 0, 1));
	CHECK(pulls(1, 2, SLICE + 1, 0, 1));
	/* Clocks that say nothing: now and then. */
	CHECK(!pulls(1, 2, 50 * SLICE, 50 * SLICE, 1));
	CHECK(pulls(1, 2, 50 * SLICE, 50 * SLICE, 4));
	CHECK(pulls(1, 2, 0, 50 * SLICE, 4));
}

static void test_busier(void)
{
	struct rq_load a = { .runnable = 3, .first = 9 }, b = { .runnable = 2, .first = 1 };

	CHECK(rq_is_busier(&a, &b));
	CHECK(!rq_is_busier(&b, &a));
	b.runnable = 3;
	CHECK(rq_is_busier(&b, &a));
}

/* ---- random work ------------------------------------------------------------------------------ */

/*
 * CPUs in lockstep, a slice a round.  The model knows who is where and what each has run;
 * the queues only order.
 */
#define CPUS_MAX_ 4
#define THREADS_MAX 12

static struct {
	struct runqueue rq;
	struct rq_entity *running;
} cpu[CPUS_MAX_];
static struct job {
	struct rq_entity e;
	unsigned cpu, allowed; /* bits */
	bool sleeps;
	uint64_t ran;
	enum rq_arrival arrives;
} job[THREADS_MAX];
static unsigned cpus, jobs, lost;

static struct job *job_of(struct rq_entity *e)
{
	return (struct job *)((char *)e - offsetof(struct job, e));
}

static struct rq_load load_of(unsigned c)
{
	struct rq_entity *e = first(&cpu[c].rq);

	return (struct rq_load){
		.runnable = cpu[c].rq.waiting + (cpu[c].running != NULL),
		.waiting = cpu[c].rq.waiting,
		.first = e ? e->vruntime : 0,
		.clock = cpu[c].rq.clock,
	};
}

static void join(unsigned c, struct job *j)
{
	bool idle = !cpu[c].running && !cpu[c].rq.waiting;
	uint64_t least = ~0ul;

	for (unsigned i = 0; i < cpus; i++)
		if (i != c && load_of(i).runnable && cpu[i].rq.clock < least)
			least = cpu[i].rq.clock;
	if (idle)
		rq_leave_idle(&cpu[c].rq, least == ~0ul ? 0 : least);
	rq_place(&cpu[c].rq, &j->e, j->arrives, idle);
	j->arrives = RQ_MOVED;
	j->cpu = c;
	rq_enqueue(&cpu[c].rq, &j->e);
}

static bool may_run(const struct rq_entity *e, void *ctx)
{
	return job_of((struct rq_entity *)e)->allowed >> *(unsigned *)ctx & 1;
}

static bool take_from(unsigned c, unsigned victim)
{
	struct rq_entity *e = rq_first(&cpu[victim].rq, may_run, &c);

	if (!e)
		return false;
	rq_dequeue(&cpu[victim].rq, e);
	join(c, job_of(e));
	return true;
}

/* -1: nobody waits anywhere else */
static int busiest(unsigned c)
{
	int best = -1;

	for (unsigned i = 0; i < cpus; i++) {
		struct rq_load load = load_of(i), other;

		if (i == c || !load.waiting)
			continue;
		other = best < 0 ? load : load_of((unsigned)best);
		if (best < 0 || rq_is_busier(&load, &other))
			best = (int)i;
	}
	return best;
}

static void run_round(uint64_t round)
{
	for (unsigned c = 0; c < cpus; c++) {
		int victim = busiest(c);
		struct rq_load mine = load_of(c), theirs;

		if (victim >= 0)
			theirs = load_of((unsigned)victim);
		if (victim >= 0 && !cpu[c].running)
			take_from(c, (unsigned)victim);
		else if (victim >= 0 && rq_should_pull(&cpu[c].rq, &mine, cpu[c].running, &theirs, round))
			take_from(c, (unsigned)victim);
		if (cpu[c].running)
			rq_enqueue(&cpu[c].rq, cpu[c].running);
		cpu[c].running = rq_first(&cpu[c].rq, may_run, &c);
		if (!cpu[c].running)
			continue;
		rq_dequeue(&cpu[c].rq, cpu[c].running);
		cpu[c].running->vruntime += SLICE;
		job_of(cpu[c].running)->ran += SLICE;
		rq_advance(&cpu[c].rq, cpu[c].running);
	}
}

/* Each job is in one place exactly, and where it may be. */
static void check_places(void)
{
	unsigned found = 0;

	for (unsigned c = 0; c < cpus; c++) {
		uint64_t last = 0;

		for (struct rq_entity *e = cpu[c].rq.head.next; e != &cpu[c].rq.head; e = e->next) {
			found++;
			lost += e->vruntime < last || job_of(e)->sleeps || job_of(e)->cpu != c;
			last = e->vruntime;
		}
		found += cpu[c].running != NULL;
		lost += cpu[c].running && !may_run(cpu[c].running, &c);
	}
	for (unsigned i = 0; i < jobs; i++)
		found += job[i].sleeps;
	lost += found != jobs;
}

static void begin(unsigned n_cpus, unsigned n_jobs)
{
	memset(job, 0, sizeof(job));
	cpus = n_cpus;
	jobs = n_jobs;
	lost = 0;
	for (unsigned c = 0; c < cpus; c++) {
		cpu[c].running = NULL;
		rq_init(&cpu[c].rq, SLICE);
	}
}

static void add_all(void)
{
	for (unsigned i = 0; i < jobs; i++) {
		job[i].arrives = RQ_NEW;
		if (!job[i].allowed)
			job[i].allowed = (1u << cpus) - 1;
		join((unsigned)__builtin_ctz(job[i].allowed), &job[i]);
	}
}

#define ROUNDS 4000

/* All alike: each gets the same, to a few slices, however they started. */
static void test_fair_share(void)
{
	for (unsigned n = 1; n <= CPUS_MAX_; n++)
		for (unsigned m = n; m <= THREADS_MAX; m++) {
			uint64_t share = (uint64_t)ROUNDS * n * SLICE / m;

			begin(n, m);
			add_all();
			for (unsigned r = 0; r < ROUNDS; r++)
				run_round(r);
			check_places();
			CHECK_EQ(lost, 0);
			for (unsigned i = 0; i < m; i++)
				if (job[i].ran + share / 50 + 4 * SLICE < share ||
				    job[i].ran > share + share / 50 + 4 * SLICE)
					ktap_fail(__FILE__, __LINE__,
						  "%u on %u: number %u ran %lu, its share is %lu", m,
						  n, i, job[i].ran, share);
		}
}

/* After a time in which CPU 0's clock was left behind by pinned threads, all may move. */
static void test_fair_after_pinned(void)
{
	uint64_t before[THREADS_MAX], share = (uint64_t)ROUNDS * 2 * SLICE / 6;

	begin(2, 6);
	for (unsigned i = 0; i < 6; i++)
		job[i].allowed = i ? 1 : 2;
	add_all();
	for (unsigned r = 0; r < 1000; r++)
		run_round(r);
	CHECK_EQ(job[0].ran, 1000 * SLICE);
	for (unsigned i = 0; i < 6; i++) {
		job[i].allowed = 3;
		before[i] = job[i].ran;
	}
	for (unsigned r = 0; r < ROUNDS; r++)
		run_round(r);
	check_places();
	CHECK_EQ(lost, 0);
	for (unsigned i = 0; i < 6; i++)
		CHECK(job[i].ran - before[i] > share * 3 / 4 &&
		      job[i].ran - before[i] < share * 5 / 4);
}

/* One that sleeps half of its time does not take more than a CPU's fair share from those that do not. */
static void test_sleeper_bounded(void)
{
	begin(1, 2);
	add_all();
	for (unsigned r = 0; r < ROUNDS; r++) {
		run_round(r);
		/* Sleep for 50 rounds, be there for 50. */
		if (r % 100 == 0 && cpu[0].running == &job[0].e)
			cpu[0].running = NULL;
		else if (r % 100 == 0)
			rq_dequeue(&cpu[0].rq, &job[0].e);
		job[0].arrives = RQ_WOKEN;
		if (r % 100 == 50)
			join(0, &job[0]);
	}
	/* While it is there it gets half, and a slice for each sleep. */
	CHECK(job[0].ran >= ROUNDS * SLICE / 4);
	CHECK(job[0].ran <= ROUNDS * SLICE / 4 + ROUNDS / 100 * 2 * SLICE);
}

static void sleep_or_wake(struct job *j, unsigned *seed)
{
	if (j->sleeps) {
		j->sleeps = false;
		j->arrives = RQ_WOKEN;
		do
			j->cpu = (unsigned)rand_r(seed) % cpus;
		while (!(j->allowed >> j->cpu & 1));
		join(j->cpu, j);
		return;
	}
	if (cpu[j->cpu].running == &j->e)
		cpu[j->cpu].running = NULL;
	else
		rq_dequeue(&cpu[j->cpu].rq, &j->e);
	j->sleeps = true;
}

/* Random sleeps and affinities: nobody is lost, nobody runs where it may not, nobody starves. */
static void test_random(void)
{
	for (unsigned seed = 1; seed <= 200; seed++) {
		unsigned s = seed;
		uint64_t longest = 0, waits[THREADS_MAX] = { 0 }, ran[THREADS_MAX] = { 0 };

		begin(1 + (unsigned)rand_r(&s) % CPUS_MAX_, 1 + (unsigned)rand_r(&s) % THREADS_MAX);
		for (unsigned i = 0; i < jobs; i++)
			job[i].allowed = 1 + (unsigned)rand_r(&s) % ((1u << cpus) - 1);
		add_all();
		for (unsigned r = 0; r < 1000; r++) {
			run_round(r);
			for (unsigned i = 0; i < jobs; i++) {
				waits[i] = job[i].sleeps || job[i].ran != ran[i] ? 0 : waits[i] + 1;
				ran[i] = job[i].ran;
				longest = waits[i] > longest ? waits[i] : longest;
			}
			if (rand_r(&s) % 4 == 0)
				sleep_or_wake(&job[(unsigned)rand_r(&s) % jobs], &s);
			check_places();
		}
		CHECK_EQ(lost, 0);
		/* All before it in the queue, with all that they may be behind. */
		if (longest > THREADS_MAX * 9)
			ktap_fail(__FILE__, __LINE__, "seed %u: somebody waited %lu rounds", seed, longest);
	}
}

static const struct ktap_test tests[] = {
	KTAP(test_order),
	KTAP(test_filter),
	KTAP(test_clock),
	KTAP(test_place),
	KTAP(test_place_near_zero),
	KTAP(test_slice),
	KTAP(test_yield),
	KTAP(test_pull),
	KTAP(test_busier),
	KTAP(test_fair_share),
	KTAP(test_fair_after_pinned),
	KTAP(test_sleeper_bounded),
	KTAP(test_random),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
