/* SPDX-License-Identifier: GPL-2.0-only */
/* The locks of mm/sync.h: exclusion, order, and what a holder is told of who waits. */
#include "mm/sync.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "ktap.h"
#include "mm/port.h"

#define THREADS 4
#define ROUNDS  20000

/* ---- exclusion ---------------------------------------------------------------- */

static spinlock_t spin;
static rwlock_t rw;
/* Plain on purpose: the sanitizers and the sums tell when a lock does not exclude. */
static uint64_t plain_a, plain_b;
static _Atomic uint64_t tries_won, inside_readers;

static void *spin_worker(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		if (i % 4 == 0) {
			if (!spin_trylock(&spin))
				continue;
			atomic_fetch_add(&tries_won, 1);
		} else {
			spin_lock(&spin);
		}
		plain_a++;
		spin_unlock(&spin);
	}
	return NULL;
}

static void run(void *(*fn)(void *), unsigned n)
{
	pthread_t t[THREADS];

	for (unsigned i = 0; i < n; i++)
		pthread_create(&t[i], NULL, fn, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

static void spin_from(uint32_t first_ticket)
{
	atomic_store(&spin.next, first_ticket);
	atomic_store(&spin.owner, first_ticket);
	plain_a = 0;
	atomic_store(&tries_won, 0);
	run(spin_worker, THREADS);
	CHECK_EQ(plain_a, THREADS * ROUNDS / 4 * 3 + atomic_load(&tries_won));
	CHECK(!spin_is_held(&spin));
}

static void test_spinlock(void)
{
	spin_init(&spin);
	CHECK(spin_trylock(&spin));
	CHECK(spin_is_held(&spin));
	CHECK(!spin_trylock(&spin));
	spin_unlock(&spin);
	CHECK(!spin_is_held(&spin));
	spin_from(0);
	spin_from(UINT32_MAX - 1000); /* tickets wrap */
}

static void *rw_worker(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		if ((i + id) % 4 == 0) {
			write_lock(&rw);
			assert_held_write(&rw);
			CHECK_EQ(atomic_load(&inside_readers), 0);
			plain_a++;
			plain_b += 2;
			write_unlock(&rw);
			continue;
		}
		read_lock(&rw);
		assert_held_read(&rw);
		atomic_fetch_add(&inside_readers, 1);
		CHECK_EQ(plain_b, 2 * plain_a);
		atomic_fetch_sub(&inside_readers, 1);
		read_unlock(&rw);
	}
	return NULL;
}

static void rw_from(uint32_t ticket, uint32_t readers)
{
	rwlock_init(&rw);
	atomic_store(&rw.tickets, ticket);
	atomic_store(&rw.serving, ticket);
	atomic_store(&rw.state, readers << 8);
	atomic_store(&rw.left, readers << 8);
	plain_a = plain_b = 0;
	run(rw_worker, THREADS);
	CHECK_EQ(plain_a, THREADS * ROUNDS / 4);
	CHECK(!rwlock_needbreak(&rw));
}

static void test_rwlock(void)
{
	rw_from(0, 0);
	rw_from(UINT32_MAX - 1000, (1u << 24) - 1000); /* both counters wrap */
}

/* ---- order ---------------------------------------------------------------------- */

static _Atomic unsigned stage_of_writer, stage_of_reader, clock_hand;

static void *late_writer(void *arg)
{
	write_lock(&rw);
	atomic_store(&stage_of_writer, atomic_fetch_add(&clock_hand, 1) + 1);
	write_unlock(&rw);
	return NULL;
}

static void *late_reader(void *arg)
{
	read_lock(&rw);
	atomic_store(&stage_of_reader, atomic_fetch_add(&clock_hand, 1) + 1);
	read_unlock(&rw);
	return NULL;
}

static void begin_order(void)
{
	rwlock_init(&rw);
	atomic_store(&stage_of_writer, 0);
	atomic_store(&stage_of_reader, 0);
	atomic_store(&clock_hand, 0);
}

/* A thread waits once the lock says so; 10 s are forever. */
static bool wait_until(bool (*cond)(void))
{
	for (uint64_t start = port_clock(); port_clock() - start < 10000000000ul; sched_yield())
		if (cond())
			return true;
	return false;
}

static bool needbreak(void)
{
	return rwlock_needbreak(&rw);
}

static bool writer_announced(void)
{
	return atomic_load(&rw.state) & 2;
}

static bool reader_arrived(void)
{
	return (atomic_load(&rw.state) >> 8) == 2;
}

/* A reader is inside, a writer waits: a new reader does not get past the writer. */
static void test_writer_stops_readers(void)
{
	pthread_t writer, reader;

	begin_order();
	read_lock(&rw);
	CHECK(!rwlock_needbreak(&rw));
	pthread_create(&writer, NULL, late_writer, NULL);
	CHECK(wait_until(writer_announced));
	CHECK(rwlock_needbreak(&rw));
	pthread_create(&reader, NULL, late_reader, NULL);
	CHECK(wait_until(reader_arrived));
	CHECK_EQ(atomic_load(&clock_hand), 0);
	read_unlock(&rw);
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
	CHECK_EQ(atomic_load(&stage_of_writer), 1);
	CHECK_EQ(atomic_load(&stage_of_reader), 2);
}

static bool two_writers(void)
{
	return atomic_load(&rw.tickets) - atomic_load(&rw.serving) == 2;
}

static bool one_reader(void)
{
	return (atomic_load(&rw.state) >> 8) == 1;
}

/* A writer is inside, a writer and a reader wait: the reader goes first. */
static void test_readers_before_next_writer(void)
{
	pthread_t writer, reader;

	begin_order();
	write_lock(&rw);
	CHECK(!rwlock_needbreak(&rw));
	pthread_create(&writer, NULL, late_writer, NULL);
	CHECK(wait_until(two_writers));
	CHECK(rwlock_needbreak(&rw));
	pthread_create(&reader, NULL, late_reader, NULL);
	CHECK(wait_until(one_reader));
	write_unlock(&rw);
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
	CHECK_EQ(atomic_load(&stage_of_reader), 1);
	CHECK_EQ(atomic_load(&stage_of_writer), 2);
}

/* A reader that waits is reason enough for a writer to give way. */
static void test_needbreak_for_reader(void)
{
	pthread_t reader;

	begin_order();
	write_lock(&rw);
	pthread_create(&reader, NULL, late_reader, NULL);
	CHECK(wait_until(needbreak));
	write_unlock(&rw);
	pthread_join(reader, NULL);
	CHECK(!rwlock_needbreak(&rw));
}

/*
 * Readers that come and go without a gap do not keep a writer out, nor the reverse.  How many
 * pass while one waits is counted from the moment when the lock makes it wait, so how the threads
 * are scheduled does not matter.
 */
#define WAITS 300u

static _Atomic uint64_t reads, writes, worst_pass, waits;
static _Atomic bool stop;

struct patience {
	struct lock_wait told; /* first */
	_Atomic uint64_t *others;
	bool waited;
	uint64_t before;
};

static void has_to_wait(struct lock_wait *told)
{
	struct patience *p = (struct patience *)told;

	p->waited = true;
	p->before = atomic_load(p->others);
}

/* Inside: who got past it while it waited? */
static void note_pass(const struct patience *p)
{
	uint64_t passed = atomic_load(p->others) - p->before, worst = atomic_load(&worst_pass);

	if (!p->waited)
		return;
	atomic_fetch_add(&waits, 1);
	while (passed > worst && !atomic_compare_exchange_weak(&worst_pass, &worst, passed))
		;
}

/* Somebody else gets a chance to come while we are inside. */
static void linger(uint64_t turn)
{
	if (turn % 4 == 0)
		sched_yield();
}

static bool goes_on(const void *patient)
{
	return patient ? atomic_load(&waits) < WAITS : !atomic_load(&stop);
}

static void *greedy_reader(void *patient)
{
	while (goes_on(patient)) {
		struct patience p = { .told.begins = has_to_wait, .others = &writes };

		read_lock_told(&rw, &p.told);
		if (patient)
			note_pass(&p);
		linger(atomic_fetch_add(&reads, 1));
		read_unlock(&rw);
	}
	return NULL;
}

static void *greedy_writer(void *patient)
{
	while (goes_on(patient)) {
		struct patience p = { .told.begins = has_to_wait, .others = &reads };

		write_lock_told(&rw, &p.told);
		if (patient)
			note_pass(&p);
		linger(atomic_fetch_add(&writes, 1));
		write_unlock(&rw);
	}
	return NULL;
}

/* One of one kind, whose patience is measured, against all others of the other. */
static void greed(void *(*one)(void *), void *(*others)(void *), uint64_t bound)
{
	pthread_t t[THREADS];

	rwlock_init(&rw);
	atomic_store(&worst_pass, 0);
	atomic_store(&waits, 0);
	atomic_store(&stop, false);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, i ? others : one, i ? NULL : &rw);
	pthread_join(t[0], NULL);
	atomic_store(&stop, true);
	for (unsigned i = 1; i < THREADS; i++)
		pthread_join(t[i], NULL);
	CHECK(atomic_load(&worst_pass) <= bound);
	printf("# waited %lu times, at most %lu passed\n", atomic_load(&waits),
	       atomic_load(&worst_pass));
}

static void test_no_starvation(void)
{
	/* Those that were inside when the writer came; and the writer that was, or comes next. */
	greed(greedy_writer, greedy_reader, THREADS - 1);
	greed(greedy_reader, greedy_writer, 1);
}

static const struct ktap_test tests[] = {
	KTAP(test_spinlock),
	KTAP(test_rwlock),
	KTAP(test_writer_stops_readers),
	KTAP(test_readers_before_next_writer),
	KTAP(test_needbreak_for_reader),
	KTAP(test_no_starvation),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
