/* SPDX-License-Identifier: GPL-2.0-only */
/* Faults against each other and against operations that take mappings or pages away. */
#include "scene.h"
#include "scenarios.h"

/* In one table, in another table of the same parent, in another 1G. */
#define GFN_A 3ul
#define GFN_B 4ul
#define GFN_C 600ul

static void setup_4k(void)
{
	scene_open(scene_config(PG_LEVEL_4K), 2);
	scene_add_slot(0, 0, 1024);
	scene_page(GFN_A);
	scene_page(GFN_B);
	scene_page(GFN_C);
}

static void setup_4k_mapped(void)
{
	setup_4k();
	guest_write(0, GFN_A);
	guest_write(1, GFN_A);
	guest_write(0, GFN_B);
	guest_leave(0);
	guest_leave(1);
}

/* The table is there, for GFN_B's sake; GFN_A and the page before it have no leaves yet. */
static void setup_4k_in_table(void)
{
	scene_open(scene_config(PG_LEVEL_4K), 2);
	scene_add_slot(0, 0, 1024);
	scene_page(GFN_B);
	guest_write(0, GFN_B);
	guest_leave(0);
	scene_page(GFN_A);
	scene_page(GFN_A - 1);
}

static void setup_2m(void)
{
	scene_open(scene_config(PG_LEVEL_2M), 2);
	scene_add_slot(0, 0, 1024);
	scene_page(GFN_A);
	scene_page(GFN_B);
	scene_page(GFN_C);
}

/* ---- the guests ------------------------------------------------------------------------------ */

static void cpu0_touches(void)
{
	guest_write(0, GFN_A);
	guest_read(0, GFN_A);
	guest_write(0, GFN_C);
	guest_read(0, GFN_C);
	guest_leave(0);
}

static void cpu1_touches(void)
{
	guest_read(1, GFN_A);
	guest_write(1, GFN_A);
	guest_read(1, GFN_C);
	guest_read(1, GFN_A);
	guest_leave(1);
}

static void cpu1_touches_backwards(void)
{
	guest_write(1, GFN_B);
	guest_read(1, GFN_A);
	guest_write(1, GFN_A);
	guest_read(1, GFN_B);
	guest_leave(1);
}

static void cpu0_loops(void)
{
	for (unsigned i = 0; i < 3; i++) {
		guest_write(0, GFN_A);
		guest_read(0, GFN_B);
		guest_read(0, GFN_A);
	}
	guest_leave(0);
}

/* ---- beside them ------------------------------------------------------------------------------ */

static void unmaps(void)
{
	op_unmap(GFN_A, 1, 0);
	op_unmap(0, 8, MMU_MAY_BLOCK);
}

static void balloons(void)
{
	op_balloon(GFN_A, 1, MMU_MAY_BLOCK);
	op_balloon(GFN_A, 2, 0);
}

static void balloons_chunk(void)
{
	op_balloon(GFN_A, 2, MMU_MAY_BLOCK);
	op_balloon(GFN_A, 1, 0);
}

/* Two chunks: between them the balloon may yield. */
static void balloons_two_chunks(void)
{
	op_balloon(0, 1024, MMU_MAY_BLOCK);
}

static void copies(void)
{
	op_copy(GFN_A);
	op_copy(GFN_C);
}

static void unmaps_again(void)
{
	op_unmap(GFN_A, 2, MMU_MAY_BLOCK);
}

static void finish_two(void)
{
	struct mmu_stats stats = scene_stats();

	EXPLORE_CHECK(stats.pages_4k == 2 && stats.backing_pages == 2);
	scene_close();
}

const struct explore_scenario scenario_fault_fault = {
	.name = "fault-fault",
	.about = "two vCPUs touch the same pages for the first time, 4K",
	.setup = setup_4k,
	.thread = { { "vcpu0", cpu0_touches }, { "vcpu1", cpu1_touches } },
	.finish = finish_two,
};

const struct explore_scenario scenario_fault_fault_2m = {
	.name = "fault-fault-2m",
	.about = "two vCPUs touch the same chunks for the first time, 2M",
	.setup = setup_2m,
	.thread = { { "vcpu0", cpu0_touches }, { "vcpu1", cpu1_touches } },
	.finish = scene_close,
};

const struct explore_scenario scenario_fault_unmap = {
	.name = "fault-unmap",
	.about = "two vCPUs at work, and unmaps",
	.setup = setup_4k_mapped,
	.thread = { { "vcpu0", cpu0_loops }, { "vcpu1", cpu1_touches_backwards }, { "unmap", unmaps } },
	.finish = scene_close,
};

const struct explore_scenario scenario_fault_unmap_2m = {
	.name = "fault-unmap-2m",
	.about = "two vCPUs at work on 2M pages, and two unmaps at once",
	.setup = setup_2m,
	.thread = { { "vcpu0", cpu0_loops }, { "vcpu1", cpu1_touches }, { "unmap", unmaps },
	  { "unmap2", unmaps_again } },
	.finish = scene_close,
};

const struct explore_scenario scenario_fault_balloon = {
	.name = "fault-balloon",
	.about = "two vCPUs at work, and the balloon takes and gives pages",
	.setup = setup_4k_mapped,
	.thread = { { "vcpu0", cpu0_loops }, { "vcpu1", cpu1_touches_backwards },
		    { "balloon", balloons }, { "host", copies } },
	.finish = scene_close,
};

static void cpu0_around(void)
{
	guest_write(0, GFN_A);
	guest_read(0, GFN_A - 1);
	guest_leave(0);
}

static void cpu1_around(void)
{
	guest_read(1, GFN_A - 1);
	guest_write(1, GFN_A);
	guest_leave(1);
}

static void balloons_around(void)
{
	op_balloon(GFN_A - 1, 2, MMU_MAY_BLOCK);
}

const struct explore_scenario scenario_plain_balloon = {
	.name = "plain-fault-balloon",
	.about = "two vCPUs map the same leaves in a table that is there, and the balloon takes their pages",
	.setup = setup_4k_in_table,
	.thread = { { "vcpu0", cpu0_around }, { "vcpu1", cpu1_around },
		    { "balloon", balloons_around } },
	.finish = scene_close,
};

const struct explore_scenario scenario_fault_balloon_2m = {
	.name = "fault-balloon-2m",
	.about = "two vCPUs at work on 2M pages that the balloon takes and breaks",
	.setup = setup_2m,
	.thread = { { "vcpu0", cpu0_loops }, { "vcpu1", cpu1_touches_backwards },
	  { "balloon", balloons_chunk } },
	.finish = scene_close,
};

const struct explore_scenario scenario_fault_balloon_two = {
	.name = "fault-balloon-two",
	.about = "two vCPUs at work on two 2M pages that the balloon takes one after the other",
	.setup = setup_2m,
	.thread = { { "vcpu0", cpu0_touches }, { "vcpu1", cpu1_touches },
		    { "balloon", balloons_two_chunks }, { "host", copies } },
	.finish = scene_close,
};

/* One vCPU only, but what is in flight is seen by two who take away. */
const struct explore_scenario scenario_first_balloon = {
	.name = "first-touch-balloon",
	.about = "a first touch whose page is taken away before it is mapped",
	.setup = setup_4k,
	.thread = { { "vcpu0", cpu0_touches }, { "balloon", balloons }, { "unmap", unmaps_again } },
	.finish = scene_close,
};
