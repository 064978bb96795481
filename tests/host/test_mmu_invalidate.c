/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The range of an invalidation shrinks as its walk advances: a fault behind the walk goes
 * through while the end of the range is still being walked, and gets what is true now.
 */
#include <pthread.h>

#include "ktap.h"
#include "mm/invalidate.h"
#include "mm/iter.h"
#include "mm/port.h"
#include "world.h"

#define CHUNK 512ul

static struct world w;
static unsigned rescheds, behind, ahead;

/* 4K leaves all over, each page with its number in it. */
static void open_used(const struct world_variant *v, uint64_t npages)
{
	rescheds = behind = ahead = 0;
	world_open(&w, v, npages);
	hosted_deny_2m(true);
	for (gfn_t gfn = 0; gfn < npages; gfn++)
		world_write(&w, gfn, 0, gfn + 1);
}

static enum mmu_pf_result fault_at(gfn_t gfn, unsigned cpu)
{
	struct page_fault pf = { .gpa = gfn * PAGE_SIZE, .access = ACC_R };

	return mmu_page_fault(&w.cpu[cpu].mmu, &pf);
}

/* Not yet walked: the fault has to wait, unless it finds the old leaf without the lock. */
static void check_waits(gfn_t gfn)
{
	CHECK_EQ(fault_at(gfn, 1), w.cfg.hw_ad ? MMU_PF_RETRY : MMU_PF_SPURIOUS);
}

/* ---- unmap ------------------------------------------------------------------------- */

/* The walk has come to gfn zapped of 2 * CHUNK, with its lock let go. */
static void on_resched_unmap(void)
{
	gfn_t done = world_stats(&w).zap_leaf;

	hosted_hooks.resched = NULL;
	rescheds++;
	if (done && done < 2 * CHUNK) {
		/* The first gfn is done: its fault succeeds, and only once. */
		enum mmu_pf_result r = fault_at(0, 1);

		CHECK_EQ(r, behind ? MMU_PF_SPURIOUS : MMU_PF_FIXED);
		behind++;
		/* The last is not. */
		check_waits(2 * CHUNK - 1);
		ahead++;
	}
	hosted_hooks.resched = on_resched_unmap;
}

static void shrinks(const struct world_variant *v)
{
	open_used(v, 2 * CHUNK);
	CHECK(fake_cpu_enter(&w.cpu[1]));
	fake_cpu_exit(&w.cpu[1]);
	hosted_hooks.resched = on_resched_unmap;
	hosted_hooks.need_resched = true;
	CHECK_EQ(mmu_unmap(w.vm, 0, 2 * CHUNK, MMU_MAY_BLOCK), 0);
	hosted_hooks.need_resched = false;
	hosted_hooks.resched = NULL;
	CHECK(rescheds > CHUNK / ITER_RUN);
	CHECK(behind > CHUNK / ITER_RUN && ahead == behind);
	/* What was mapped behind the walk stays. */
	CHECK_EQ(world_stats(&w).pages_4k, 1);
	CHECK_EQ(world_read(&w, 0, 0), 1);
	CHECK_EQ(world_read(&w, 2 * CHUNK - 1, 0), 2 * CHUNK);
	world_close(&w);
}

static void test_shrinks(void)
{
	world_for_each(shrinks);
}

/* ---- balloon: behind the walk the pages are gone for good ------------------------------- */

static void on_resched_balloon(void)
{
	hosted_hooks.resched = NULL;
	rescheds++;
	/* The first page is ballooned already, the last has its page but may not be mapped. */
	CHECK_EQ(fault_at(0, 1), MMU_PF_EMULATE);
	if (world_stats(&w).ballooned_pages < 2 * CHUNK - 1)
		check_waits(2 * CHUNK - 1);
	hosted_hooks.resched = on_resched_balloon;
}

static void balloon_shrinks(const struct world_variant *v)
{
	uint64_t changed;

	open_used(v, 2 * CHUNK);
	CHECK(fake_cpu_enter(&w.cpu[1]));
	fake_cpu_exit(&w.cpu[1]);
	hosted_hooks.resched = on_resched_balloon;
	hosted_hooks.need_resched = true;
	CHECK_EQ(mmu_balloon_out(w.vm, 0, 2 * CHUNK, MMU_MAY_BLOCK, &changed), 0);
	hosted_hooks.need_resched = false;
	hosted_hooks.resched = NULL;
	CHECK_EQ(changed, 2 * CHUNK);
	CHECK(rescheds > CHUNK / ITER_RUN);
	CHECK_EQ(world_stats(&w).pages_4k, 0);
	CHECK_EQ(world_stats(&w).backing_pages, 0);
	world_close(&w);
}

static void test_balloon_shrinks(void)
{
	world_for_each(balloon_shrinks);
}

/* ---- a fault that began before a part was done ------------------------------------------- */

static gfn_t stale_gfn;

/* Between this fault's lookup and its install the part with its page is done. */
static void balloon_behind_the_back(unsigned order)
{
	uint64_t changed;

	hosted_hooks.page_alloc = NULL;
	CHECK_EQ(mmu_balloon_out(w.vm, stale_gfn, 1, 0, &changed), 0);
}

/* More parts are done than are remembered: then everything is stale, and that is all. */
static void forgotten(const struct world_variant *v)
{
	struct page_fault pf = { .gpa = 100 * PAGE_SIZE, .access = ACC_R };

	world_open(&w, v, CHUNK);
	write_lock(&w.vm->mmu_lock);
	uint64_t s = invalidate_snapshot(w.vm);
	struct invalidation inv;

	invalidate_begin(w.vm, &inv, 0, 100);
	for (gfn_t gfn = 1; gfn <= INVALIDATE_DONE; gfn++)
		invalidate_advance(w.vm, &inv, gfn);
	/* Nothing moves when nothing is done. */
	invalidate_advance(w.vm, &inv, 3);
	CHECK(!invalidate_is_stale(w.vm, s, 200, 201));
	CHECK(invalidate_is_stale(w.vm, s, 0, 1));
	CHECK(invalidate_is_stale(w.vm, s, 50, 51));
	CHECK(!invalidate_is_stale(w.vm, invalidate_snapshot(w.vm), 0, 1));
	invalidate_advance(w.vm, &inv, 50);
	CHECK(invalidate_is_stale(w.vm, s, 200, 201));
	invalidate_end(w.vm, &inv);
	CHECK(!invalidate_is_stale(w.vm, invalidate_snapshot(w.vm), 0, 100));
	write_unlock(&w.vm->mmu_lock);
	/* A fault beside what is invalidated meanwhile need not retry. */
	CHECK(fake_cpu_enter(&w.cpu[0]));
	fake_cpu_exit(&w.cpu[0]);
	CHECK_EQ(fault_at(CHUNK, 0), MMU_PF_EMULATE);
	CHECK_EQ(fault_at(CHUNK, 0), MMU_PF_EMULATE);
	hosted_deny_2m(true);
	stale_gfn = 300;
	hosted_hooks.page_alloc = balloon_behind_the_back;
	enum mmu_pf_result r = mmu_page_fault(&w.cpu[0].mmu, &pf);

	CHECK(!hosted_hooks.page_alloc);
	/* Where 2M were tried first, the balloon broke the chunk before our 4K page came. */
	CHECK_EQ(r, MMU_PF_FIXED);
	world_close(&w);
}

static void test_forgotten(void)
{
	world_for_each(forgotten);
}

/* ---- threads ---------------------------------------------------------------------------- */

static _Atomic bool stop;

/* Reads the first pages over and over while others unmap the whole range. */
static void *reader(void *arg)
{
	struct fake_cpu *cpu = arg;
	uint64_t value, n = 0;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		gfn_t gfn = n++ % 4;

		if (fake_cpu_touch(cpu, gfn * PAGE_SIZE, ACC_R, &value) != MMU_PF_FIXED ||
		    value != gfn + 1)
			port_bug(__FILE__, __LINE__, "a page behind the walk was lost");
	}
	return NULL;
}

static void threads(const struct world_variant *v)
{
	pthread_t t[2];
	uint64_t value;

	open_used(v, 2 * CHUNK);
	atomic_store(&stop, false);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, reader, &w.cpu[i]);
	for (unsigned i = 0; i < 30; i++) {
		CHECK_EQ(mmu_unmap(w.vm, 0, 2 * CHUNK, MMU_MAY_BLOCK), 0);
		for (gfn_t gfn = 0; gfn < 2 * CHUNK; gfn += 7)
			(void)fake_cpu_touch(&w.cpu[2], gfn * PAGE_SIZE, ACC_R, &value);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	world_close(&w);
}

static void test_threads(void)
{
	world_for_each(threads);
}

static const struct ktap_test tests[] = {
	KTAP(test_shrinks),
	KTAP(test_balloon_shrinks),
	KTAP(test_forgotten),
	KTAP(test_threads),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
