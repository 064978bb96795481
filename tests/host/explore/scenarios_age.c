/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ageing without the lock beside zaps and faults, and what must survive it: that a page was
 * written.  The pages are clean until the threads run; the one write of each must be known in the end.
 */
#include "mm/backing.h"
#include "scenarios.h"
#include "scene.h"

#define GFN_A 5ul
#define GFN_B 9ul

extern __typeof__(backing_lookup) plain_backing_lookup;

static void setup_pages(void)
{
	scene_open(scene_config(PG_LEVEL_4K), 2);
	scene_add_slot(0, 0, 64);
	scene_page(GFN_A);
	scene_page(GFN_B);
}

static void setup_mapped(void)
{
	setup_pages();
	guest_read(0, GFN_A);
	guest_read(1, GFN_B);
	guest_leave(0);
	guest_leave(1);
}

/* ---- threads ----------------------------------------------------------------------------- */

static void writes_once(void)
{
	guest_write(0, GFN_A);
	guest_read(0, GFN_A);
	guest_leave(0);
}

static void reads_then_writes(void)
{
	guest_read(1, GFN_B);
	guest_read(1, GFN_A);
	guest_write(1, GFN_B);
	guest_leave(1);
}

static void ages(void)
{
	uint64_t young;
	bool any;

	EXPLORE_CHECK(mmu_age(scene.vm, 0, 16, &young) == 0 && young <= 2);
	EXPLORE_CHECK(mmu_test_age(scene.vm, GFN_A, 1, &any) == 0);
	EXPLORE_CHECK(mmu_age(scene.vm, GFN_A, 5, &young) == 0);
}

static void ages_by_bitmap(void)
{
	uint64_t bitmap = ~0ul;

	EXPLORE_CHECK(mmu_age_bitmap(scene.vm, 0, 16, true, &bitmap) == 0);
	EXPLORE_CHECK(!(bitmap & ~(1ul << GFN_A | 1ul << GFN_B)));
}

static void zaps(void)
{
	op_unmap(GFN_A, 1, 0);
	op_unmap(0, 16, MMU_MAY_BLOCK);
}

/* ---- the end ------------------------------------------------------------------------------ */

/* With nothing mapped any more, the backing alone knows. */
NO_THREAD_SAFETY_ANALYSIS
static void finish_dirty(void)
{
	struct backing_page page;

	EXPLORE_CHECK(plain_mmu_unmap(scene.vm, 0, 64, 0) == 0);
	read_lock(&scene.vm->mmu_lock);
	for (unsigned i = 0; i < scene.pages; i++) {
		EXPLORE_CHECK(plain_backing_lookup(scene.vm, scene.page[i].gfn, &page) == 0);
		if (scene.page[i].written && !page.dirty)
			explore_fail("that gfn 0x%lx was written is lost", scene.page[i].gfn);
	}
	read_unlock(&scene.vm->mmu_lock);
	scene_work_and_close();
}

const struct explore_scenario scenario_age_zap = {
	.name = "age-zap",
	.about = "a vCPU writes pages that are aged and zapped",
	.setup = setup_mapped,
	.thread = { { "vcpu0", writes_once }, { "age", ages }, { "zap", zaps } },
	.finish = finish_dirty,
};

const struct explore_scenario scenario_age_fault = {
	.name = "age-fault",
	.about = "two vCPUs use pages that are aged by two",
	.setup = setup_pages,
	.thread = { { "vcpu0", writes_once }, { "vcpu1", reads_then_writes }, { "age", ages },
		    { "bitmap", ages_by_bitmap } },
	.finish = finish_dirty,
};
