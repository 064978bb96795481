/* SPDX-License-Identifier: GPL-2.0-only */
/* Reverse maps by themselves: every size against a plain list, and the lock. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "hosted.h"
#include "ktap.h"
#include "mm/errno.h"
#include "mm/port.h"
#include "mm/rmap.h"

#define CELLS 4096u

static spte_cell_t cells[CELLS];
static struct rmap rmap;
static struct rmap_reserve reserve;
static bool in[CELLS];
static unsigned count;

static void open_rmap(void)
{
	hosted_reset(4ul << 20);
	memset(&rmap, 0, sizeof(rmap));
	memset(in, 0, sizeof(in));
	count = 0;
}

static void close_rmap(void)
{
	rmap_reserve_drain(&reserve);
	CHECK_EQ(hosted_objects_used(), 0);
}

static void add(unsigned i)
{
	CHECK_EQ(rmap_reserve_fill(&reserve, 1), 0);
	rmap_add(&rmap, &cells[i], &reserve);
	in[i] = true;
	count++;
}

static void take(unsigned i)
{
	if (count == 1)
		rmap_remove_only(&rmap, &cells[i]);
	else
		rmap_remove(&rmap, &cells[i]);
	in[i] = false;
	count--;
}

/* Each entry once, no other, and as many as it says. */
static void check(void)
{
	static bool seen[CELLS];
	unsigned n = 0;

	memset(seen, 0, sizeof(seen));
	for (struct rmap_cursor c = rmap_begin(rmap_word(&rmap)); c.cell; rmap_next(&c), n++) {
		size_t i = (size_t)(c.cell - cells);

		CHECK(i < CELLS && in[i] && !seen[i]);
		seen[i] = true;
	}
	CHECK_EQ(n, count);
	CHECK_EQ(rmap_count(&rmap), count);
	CHECK((rmap_first(&rmap) == NULL) == (count == 0));
}

static void test_every_size(void)
{
	open_rmap();
	check();
	for (unsigned i = 0; i < 100; i++) {
		add(i);
		check();
	}
	for (unsigned i = 0; i < 100; i++) {
		take((i * 37) % 100);
		check();
	}
	CHECK_EQ(rmap_word(&rmap), 0);
	add(5);
	CHECK_EQ(rmap_word(&rmap), (uintptr_t)&cells[5]);
	take(5);
	close_rmap();
}

static void test_random(void)
{
	open_rmap();
	srand(1);
	for (unsigned n = 0; n < 20000; n++) {
		unsigned i = (unsigned)rand() % (n < 10000 ? 40 : 200);

		if (in[i])
			take(i);
		else
			add(i);
		if (n % 16 == 0)
			check();
	}
	for (unsigned i = 0; i < CELLS; i++)
		if (in[i])
			take(i);
	check();
	close_rmap();
}

static void test_many_from_the_front(void)
{
	open_rmap();
	for (unsigned i = 0; i < CELLS; i++)
		add(i);
	check();
	/* As a zap does it. */
	for (unsigned i = 0; i < CELLS; i++)
		take((unsigned)(rmap_first(&rmap) - cells));
	check();
	close_rmap();
}

static void test_no_memory(void)
{
	open_rmap();
	hosted_fail_at(2, true);
	CHECK_EQ(rmap_reserve_fill(&reserve, 5), -ENOMEM);
	CHECK_EQ(reserve.count, 2);
	hosted_fail_off();
	CHECK_EQ(rmap_reserve_fill(&reserve, 5), 0);
	CHECK_EQ(reserve.count, 5);
	close_rmap();
}

/* How far neighbours are alike, whatever is in the way at whatever place. */
static void test_run(void)
{
	static struct rmap row[20];

	open_rmap();
	for (unsigned from = 0; from < 20; from++)
		for (unsigned other = from + 1; other <= 20; other++) {
			memset(row, 0, sizeof(row));
			CHECK_EQ(rmap_run(&row[from], 20 - from), 20 - from);
			CHECK_EQ(rmap_reserve_fill(&reserve, 1), 0);
			for (unsigned i = 0; i < 20; i++)
				rmap_add(&row[i], &cells[100 + i + (i >= other)], &reserve);
			CHECK_EQ(rmap_run(&row[from], 20 - from), other - from);
			CHECK_EQ(rmap_run(&row[from], 1), 1);
			rmap_add(&row[from], &cells[0], &reserve);
			CHECK_EQ(rmap_run(&row[from], 20 - from), 1);
			rmap_discard(&row[from]);
		}
	close_rmap();
}

static void test_readonly_lock(void)
{
	open_rmap();
	/* Empty: nothing is locked, and what comes in between stays. */
	uintptr_t word = rmap_lock_readonly(&rmap);

	CHECK_EQ(word, 0);
	add(1);
	rmap_unlock_readonly(&rmap, word);
	CHECK_EQ(rmap_count(&rmap), 1);
	word = rmap_lock_readonly(&rmap);
	CHECK(rmap.word & RMAP_LOCKED);
	CHECK_EQ(word, (uintptr_t)&cells[1]);
	/* Whoever has mmu_lock may look all the same. */
	check();
	rmap_unlock_readonly(&rmap, word);
	CHECK(!(rmap.word & RMAP_LOCKED));
	take(1);
	close_rmap();
}

/* ---- threads --------------------------------------------------------------------------- */

#define ROUNDS 20000u

static _Atomic bool stop;

/* Looks at what the entries point to: a race if an entry were to go meanwhile. */
static void *reader(void *arg)
{
	uint64_t *sum = arg;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uintptr_t word = rmap_lock_readonly(&rmap);

		for (struct rmap_cursor c = rmap_begin(word); c.cell; rmap_next(&c))
			*sum += *(uint64_t *)(void *)c.cell;
		rmap_unlock_readonly(&rmap, word);
	}
	return NULL;
}

/*
 * One thread changes (as under mmu_lock), two read.  Plain accesses of the reader inside and of
 * the writer behind the removal: only the lock's acquire and release keep them apart, which the
 * thread sanitizer sees.
 */
static void test_threads(void)
{
	uint64_t sums[2] = { 0 };
	pthread_t thread[2];

	open_rmap();
	memset(cells, 0, sizeof(cells));
	atomic_store(&stop, false);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, reader, &sums[i]);
	for (unsigned n = 0; n < ROUNDS; n++) {
		unsigned i = n * 7 % 29;

		if (!in[i]) {
			*(uint64_t *)(void *)&cells[i] = 1;
			add(i);
		} else {
			take(i);
			*(uint64_t *)(void *)&cells[i] = 1ul << 40;
		}
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < 2; i++)
		CHECK(sums[i] < 1ul << 40);
	check();
	for (unsigned i = 0; i < CELLS; i++)
		if (in[i])
			take(i);
	close_rmap();
}

static const struct ktap_test tests[] = {
	KTAP(test_every_size),
	KTAP(test_random),
	KTAP(test_many_from_the_front),
	KTAP(test_no_memory),
	KTAP(test_run),
	KTAP(test_readonly_lock),
	KTAP(test_threads),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
