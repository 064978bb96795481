/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The dirty log beside writes: each write is reported by a read of the log that returned after
 * it, the one at the end included.  And what comes and goes with a log: splits and recovery.
 */
#include "scenarios.h"
#include "scene.h"

#define GFN_A 5ul
#define GFN_B 9ul

static void setup(unsigned level)
{
	scene_open(scene_config(level), 2);
	scene_add_slot(0, 0, level_pages(level) > 64 ? level_pages(level) : 64);
	scene_page(GFN_A);
	scene_page(GFN_B);
}

static enum mmu_dirty_style choose_style(void)
{
	if (scene.cfg.pml)
		return MMU_DIRTY_PML;
	return scene.cfg.hw_ad && explore_choose(2) ? MMU_DIRTY_DBIT : MMU_DIRTY_WRPROT;
}

static void start_log(void)
{
	unsigned flags = explore_choose(4);

	EXPLORE_CHECK(mmu_dirty_start(scene.vm, 0, choose_style(), flags) == 0);
}

static void setup_logged(void)
{
	setup(PG_LEVEL_4K);
	guest_write(0, GFN_A);
	guest_read(1, GFN_B);
	guest_leave(0);
	guest_leave(1);
	start_log();
}

static void setup_huge(void)
{
	setup(PG_LEVEL_2M);
	guest_write(0, GFN_A);
	guest_leave(0);
}

static void setup_huge_logged(void)
{
	setup_huge();
	start_log();
}

/* ---- threads ----------------------------------------------------------------------------- */

static void writer0(void)
{
	guest_write(0, GFN_A);
	guest_read(0, GFN_B);
	guest_write(0, GFN_A);
	guest_leave(0);
}

static void writer1(void)
{
	guest_write(1, GFN_B);
	guest_write(1, GFN_A);
	guest_leave(1);
}

static void reads_log(void)
{
	op_dirty_get(0, 16, true);
	op_dirty_get(0, 64, explore_choose(2));
}

static void zaps(void)
{
	op_unmap(GFN_A, 1, 0);
}

static void starts_and_reads(void)
{
	start_log();
	op_dirty_get(0, 16, true);
}

static void stops_and_works(void)
{
	EXPLORE_CHECK(mmu_dirty_stop(scene.vm, 0) == 0);
	op_work(3);
}

/* ---- the end ------------------------------------------------------------------------------ */

static void finish_log(void)
{
	op_dirty_get(0, 64, true);
	for (unsigned i = 0; i < scene.pages; i++)
		if (scene.page[i].written > scene.page[i].reported)
			explore_fail("gfn 0x%lx was written at step %lu, and no later read of the log "
				     "says so", scene.page[i].gfn, scene.page[i].written);
	scene_work_and_close();
}

const struct explore_scenario scenario_dirty_write = {
	.name = "dirty-write",
	.about = "two vCPUs write while the dirty log is read and cleared, and pages are zapped",
	.setup = setup_logged,
	.thread = { { "vcpu0", writer0 }, { "vcpu1", writer1 }, { "log", reads_log },
		    { "zap", zaps } },
	.finish = finish_log,
};

const struct explore_scenario scenario_split_fault = {
	.name = "split-fault",
	.about = "two vCPUs write to a 2M page that a new dirty log splits",
	.setup = setup_huge,
	.thread = { { "vcpu0", writer0 }, { "vcpu1", writer1 }, { "log", starts_and_reads } },
	.finish = scene_work_and_close,
};

const struct explore_scenario scenario_recover_fault = {
	.name = "recover-fault",
	.about = "two vCPUs write while the log ends and the page becomes 2M again",
	.setup = setup_huge_logged,
	.thread = { { "vcpu0", writer0 }, { "vcpu1", writer1 }, { "worker", stops_and_works } },
	.finish = scene_work_and_close,
};
