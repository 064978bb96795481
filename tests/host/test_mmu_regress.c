/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Orders of events that a mutant, a fuzzer or a stress once came upon, set up step by step.
 */
#include "ktap.h"
#include "world.h"

#define RANGE 1028ul /* ends in the middle of a window of neighbours */
#define TOTAL 1536ul

static struct world w;
static unsigned turns;

/* The first page is freed: from here on the balloon would like to yield. */
static void begin_yielding(hpa_t hpa, unsigned order)
{
	hosted_hooks.need_resched = true;
}

/* Mappings are gone all over the range, pages only from its beginning: a neighbour faults. */
static void fault_behind_range(void)
{
	uint64_t value = 0;

	if (turns++)
		return;
	CHECK(world_stats(&w).backing_pages > TOTAL - RANGE);
	CHECK_EQ(fake_cpu_touch(&w.cpu[1], RANGE * PAGE_SIZE, ACC_R, &value), MMU_PF_FIXED);
}

static void around_beside_balloon(const struct world_variant *v)
{
	struct mmu_config cfg = world_config(v);
	uint64_t changed;

	cfg.fault_around = 8;
	world_open_config(&w, &cfg, TOTAL);
	hosted_deny_2m(true);
	for (gfn_t gfn = 0; gfn < TOTAL; gfn++)
		world_write(&w, gfn, 0, gfn + 1);
	CHECK_EQ(mmu_unmap(w.vm, RANGE, TOTAL - RANGE, 0), 0);
	turns = 0;
	hosted_hooks.page_free = begin_yielding;
	hosted_hooks.resched = fault_behind_range;
	CHECK_EQ(mmu_balloon_out(w.vm, 0, RANGE, MMU_MAY_BLOCK, &changed), 0);
	hosted_hooks.page_free = NULL;
	hosted_hooks.resched = NULL;
	hosted_hooks.need_resched = false;
	CHECK(turns > 0);
	CHECK_EQ(changed, RANGE);
	world_close(&w);
}

/* Fault-around must not map pages that a running balloon is about to free. */
static void test_around_beside_balloon(void)
{
	world_for_each(around_beside_balloon);
}

/* A slot whose last page is alone in its word, and not the word's last. */
#define ODD 129ul

static void last_page_logged(const struct world_variant *v)
{
	uint64_t bitmap[(ODD + 63) / 64], dirty = 0;

	world_open(&w, v, ODD);
	CHECK_EQ(mmu_dirty_start(w.vm, 0, MMU_DIRTY_WRPROT, 0), 0);
	for (unsigned round = 0; round < 3; round++) {
		/* Once its leaf tells, once the log does, once the hypervisor writes. */
		if (round < 2)
			world_write(&w, ODD - 1, 0, 1);
		if (round == 1)
			CHECK_EQ(mmu_unmap(w.vm, 0, ODD, 0), 0);
		if (round == 2)
			CHECK_EQ(mmu_write_guest(w.vm, (ODD - 1) * PAGE_SIZE, &dirty, 8), 0);
		CHECK_EQ(mmu_dirty_get(w.vm, 0, 0, ODD, true, bitmap, &dirty), 0);
		CHECK_EQ(dirty, 1);
		CHECK_EQ(bitmap[2], 1);
	}
	CHECK_EQ(mmu_dirty_stop(w.vm, 0), 0);
	world_close(&w);
}

static void test_last_page_logged(void)
{
	world_for_each(last_page_logged);
}

/* Nobody has used any of the pages since they were aged: the huge leaf is made by nobody's access. */
static void old_pages_recovered(const struct world_variant *v)
{
	struct mmu_config cfg = world_config(v);
	uint64_t value = 0, young;

	if (v->max_leaf_level == PG_LEVEL_4K)
		return;
	cfg.nx_huge_pages = true;
	world_open_config(&w, &cfg, TOTAL);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 5 * PAGE_SIZE, ACC_X, &value), MMU_PF_FIXED);
	CHECK_EQ(mmu_age(w.vm, 0, TOTAL, &young), 0);
	CHECK_EQ(young, 1);
	mmu_nx_recover(w.vm);
	mmu_work_flush(w.vm);
	CHECK_EQ(world_stats(&w).recovered, 1);
	/* The audit of the end would find it executable; and so would the next fetch. */
	world_close(&w);
}

static void test_old_pages_recovered(void)
{
	world_for_each(old_pages_recovered);
}

static const struct ktap_test tests[] = {
	KTAP(test_old_pages_recovered),
	KTAP(test_around_beside_balloon),
	KTAP(test_last_page_logged),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
