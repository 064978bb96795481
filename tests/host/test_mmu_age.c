/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ageing: what counts as young, in every format and with Accessed bits or tracked entries;
 * that Dirty survives it, beside zaps and splits (threads), and what is refused.
 */
#include <pthread.h>
#include <string.h>

#include "ktap.h"
#include "mm/backing.h"
#include "mm/flush.h"
#include "mm/leaf.h"
#include "world.h"

#define CHUNK 512ul

static struct world w;

static uint64_t age(gfn_t gfn, uint64_t n)
{
	uint64_t young = ~0ul;

	CHECK_EQ(mmu_age(w.vm, gfn, n, &young), 0);
	return young;
}

static bool is_young(gfn_t gfn, uint64_t n)
{
	bool young = false;

	CHECK_EQ(mmu_test_age(w.vm, gfn, n, &young), 0);
	return young;
}

/* The TLBs forget: from here on every access says that it was there. */
static void flush_all(void)
{
	write_lock(&w.vm->mmu_lock);
	flush_vm(w.vm);
	write_unlock(&w.vm->mmu_lock);
}

/* What the page of gfn has kept of leaves that are gone. */
static struct backing_page page_state(gfn_t gfn)
{
	struct backing_page page = { 0 };

	read_lock(&w.vm->mmu_lock);
	CHECK_EQ(backing_lookup(w.vm, gfn, &page), 0);
	read_unlock(&w.vm->mmu_lock);
	return page;
}

/* ---- one page, two pages --------------------------------------------------------- */

static void age_4k(const struct world_variant *v)
{
	world_open(&w, v, 2 * CHUNK);
	hosted_deny_2m(true);
	CHECK_EQ(age(0, 2 * CHUNK), 0);
	CHECK(!is_young(0, 2 * CHUNK));
	world_read(&w, 3, 0);
	world_write(&w, 700, 0, 7);
	CHECK(is_young(0, 2 * CHUNK));
	CHECK(!is_young(4, 600));
	CHECK(is_young(700, 1));
	/* Asking changes nothing; ageing does, once. */
	CHECK_EQ(age(0, 2 * CHUNK), 2);
	CHECK_EQ(age(0, 2 * CHUNK), 0);
	CHECK(!is_young(0, 2 * CHUNK));
	flush_all();
	CHECK_EQ(world_read(&w, 700, 0), 7);
	CHECK(is_young(700, 1));
	CHECK(!is_young(3, 1));
	CHECK_EQ(age(0, 2 * CHUNK), 1);
	world_audit(&w);
	/* A page that is not mapped is old. */
	CHECK_EQ(mmu_unmap(w.vm, 0, 2 * CHUNK, 0), 0);
	CHECK_EQ(age(0, 2 * CHUNK), 0);
	CHECK_EQ(world_stats(&w).age_young, 3);
	world_close(&w);
}

static void test_age_4k(void)
{
	world_for_each(age_4k);
}

/* A huge page is young as a whole, as far as the range reaches. */
static void age_2m(const struct world_variant *v)
{
	world_open(&w, v, 2 * CHUNK);
	world_write(&w, 5, 0, 1);
	if (world_stats(&w).pages_2m) {
		CHECK(is_young(100, 1));
		CHECK_EQ(age(100, 20), 20);
		CHECK_EQ(age(0, CHUNK), 0);
		flush_all();
		world_read(&w, 511, 0);
		CHECK_EQ(age(0, 2 * CHUNK), CHUNK);
		flush_all();
		world_read(&w, 511, 0);
		world_write(&w, CHUNK, 0, 1);
		CHECK_EQ(age(0, 2 * CHUNK), 2 * CHUNK);
	}
	world_close(&w);
}

static void test_age_2m(void)
{
	world_for_each(age_2m);
}

static void age_bitmap(const struct world_variant *v)
{
	uint64_t bits[5];

	world_open(&w, v, 2 * CHUNK);
	hosted_deny_2m(true);
	world_read(&w, 10, 0);
	world_read(&w, 73, 0);
	world_read(&w, 74, 0);
	world_read(&w, 300, 0);
	memset(bits, 0xff, sizeof(bits));
	CHECK_EQ(mmu_age_bitmap(w.vm, 10, 70, false, bits), 0);
	CHECK_EQ(bits[0], 1ul | 1ul << 63);
	CHECK_EQ(bits[1], 1);
	CHECK_EQ(bits[2], ~0ul);
	CHECK_EQ(mmu_age_bitmap(w.vm, 0, 256, true, bits), 0);
	CHECK_EQ(bits[0], 1ul << 10);
	CHECK_EQ(bits[1], 1ul << 9 | 1ul << 10);
	CHECK_EQ(bits[2] | bits[3], 0);
	CHECK_EQ(mmu_age_bitmap(w.vm, 0, 256, true, bits), 0);
	CHECK_EQ(bits[0] | bits[1], 0);
	CHECK_EQ(age(0, 2 * CHUNK), 1);
	world_close(&w);
}

static void test_age_bitmap(void)
{
	world_for_each(age_bitmap);
}

static void test_age_refused(void)
{
	uint64_t young = 1, bits[2] = { 42, 42 };
	bool any = true;

	world_open(&w, &world_variants[0], CHUNK);
	world_read(&w, 5, 0);
	CHECK_EQ(mmu_age(w.vm, 0, 0, &young), -EINVAL);
	CHECK_EQ(mmu_age(w.vm, ~0ul, 2, &young), -EINVAL);
	CHECK_EQ(mmu_age(w.vm, 0, CHUNK + 1, &young), -ENOENT);
	CHECK_EQ(mmu_test_age(w.vm, CHUNK, 1, &any), -ENOENT);
	CHECK_EQ(mmu_age_bitmap(w.vm, CHUNK - 1, 2, true, bits), -ENOENT);
	CHECK_EQ(bits[0], 42);
	/* Nothing has changed. */
	CHECK(is_young(5, 1));
	world_close(&w);
}

/* ---- Dirty ------------------------------------------------------------------------- */

/* What a leaf says when it goes is kept with the page; for a page that is nobody's it is not. */
static void dirty_folds(const struct world_variant *v)
{
	world_open(&w, v, CHUNK);
	hosted_deny_2m(true);
	world_read(&w, 1, 0);
	world_write(&w, 2, 0, 1);
	CHECK(!page_state(2).dirty && !page_state(2).accessed);
	/* Old, and still dirty. */
	CHECK_EQ(age(0, CHUNK), 2);
	CHECK_EQ(mmu_unmap(w.vm, 0, CHUNK, 0), 0);
	CHECK(page_state(2).dirty);
	CHECK(!page_state(2).accessed);
	/* Without Dirty bits, a leaf that may be written counts as dirty. */
	CHECK_EQ(page_state(1).dirty, !v->hw_ad);
	world_read(&w, 1, 0);
	CHECK_EQ(mmu_unmap(w.vm, 0, CHUNK, 0), 0);
	CHECK(page_state(1).accessed);
	world_close(&w);
}

/* Two slots whose leaves lie in one table, of which the second lies aside. */
static void folds_across_slots(const struct world_variant *v)
{
	struct mmu_slot_desc d = { .id = 7, .base_gfn = 4 * CHUNK, .npages = 32 };

	world_open(&w, v, 16);
	CHECK_EQ(mmu_slot_create(w.vm, &d), 0);
	CHECK_EQ(mmu_slot_move(w.vm, 7, 16), 0);
	world_write(&w, 15, 0, 1);
	world_write(&w, 20, 0, 1);
	CHECK_EQ(mmu_unmap(w.vm, 0, 48, 0), 0);
	CHECK(page_state(15).dirty && page_state(20).dirty);
	world_close(&w);
}

static void test_dirty_folds(void)
{
	world_for_each(dirty_folds);
	world_for_each(folds_across_slots);
}

/* A tracked leaf comes back with what it had, whatever access it is that comes. */
static void tracked(const struct world_variant *v)
{
	unsigned level;

	world_open(&w, v, CHUNK);
	hosted_deny_2m(true);
	world_write(&w, 1, 0, 11);
	spte_t before = world_leaf(&w, 1, &level);

	age(0, CHUNK);
	spte_t parked = world_leaf(&w, 1, &level);

	CHECK_EQ(leaf_is_tracked(parked), !v->hw_ad);
	CHECK_EQ(leaf_access(w.vm->fmt, parked), leaf_access(w.vm->fmt, before));
	CHECK_EQ(format_access(w.vm->fmt, parked) != 0, v->hw_ad);
	flush_all();
	uint64_t fast = world_stats(&w).pf_fast;

	CHECK_EQ(world_touch(&w, 1, ACC_X), MMU_PF_FIXED);
	CHECK_EQ(world_stats(&w).pf_fast - fast, !v->hw_ad);
	CHECK_EQ(world_leaf(&w, 1, &level).raw & ~w.vm->fmt->accessed,
		 before.raw & ~w.vm->fmt->accessed);
	world_close(&w);
}

static void test_tracked(void)
{
	world_for_each(tracked);
}

/* ---- beside others ---------------------------------------------------------------------- */

#define ROUNDS 800

static _Atomic bool stop;

static void *ager(void *arg)
{
	uint64_t young, bits[CHUNK / 64];
	bool any;

	while (!atomic_load(&stop)) {
		mmu_age(w.vm, 0, CHUNK, &young);
		mmu_test_age(w.vm, 0, CHUNK, &any);
		mmu_age_bitmap(w.vm, 0, CHUNK, true, bits);
	}
	return NULL;
}

/*
 * Every round writes a page, takes its mapping away and looks whether the page knows; ageing
 * goes on beside it all the time.  The page is another one each time, so that what it
 * knows is from this round.
 */
static void dirty_beside_ageing(const struct world_variant *v)
{
	pthread_t threads[2];
	uint64_t changed;

	world_open(&w, v, CHUNK);
	atomic_store(&stop, false);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, ager, NULL);
	for (unsigned i = 0; i < ROUNDS; i++) {
		gfn_t gfn = i % CHUNK;

		world_write(&w, gfn, 0, i + 1);
		CHECK_EQ(mmu_unmap(w.vm, gfn, 1, 0), 0);
		CHECK(page_state(gfn).dirty);
		CHECK_EQ(world_read(&w, gfn, 0), i + 1);
		CHECK_EQ(mmu_balloon_out(w.vm, gfn, 1, 0, &changed), 0);
		CHECK_EQ(mmu_balloon_in(w.vm, gfn, 1, 0, &changed), 0);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	world_close(&w);
}

static void test_dirty_beside_ageing(void)
{
	world_for_each(dirty_beside_ageing);
}

static const struct ktap_test tests[] = {
	KTAP(test_age_4k),      KTAP(test_age_2m),  KTAP(test_age_bitmap),
	KTAP(test_age_refused), KTAP(test_dirty_folds), KTAP(test_tracked),
	KTAP(test_dirty_beside_ageing),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
