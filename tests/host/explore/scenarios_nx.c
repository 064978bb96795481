/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * 4K against 2M at the same place, which is what the NX mitigation asks for: who fetches wants the
 * one, who reads the other, and the worker makes one of the other.
 */
#include "scenarios.h"
#include "scene.h"

#define GFN_A 5ul

static void setup_empty(void)
{
	struct mmu_config cfg = scene_config(PG_LEVEL_2M);
	uint64_t zero = 0;

	cfg.nx_huge_pages = true;
	scene_open(cfg, 2);
	scene_add_slot(0, 0, level_pages(PG_LEVEL_2M));
	scene_page(GFN_A);
	scene_page(GFN_A + 1);
	/* The 2M page is there; that nobody has mapped it is what the scenarios begin with. */
	EXPLORE_CHECK(mmu_write_guest(scene.vm, 0, &zero, sizeof(zero)) == 0);
}

static void setup_nx(void)
{
	setup_empty();
	guest_read(1, GFN_A);
	guest_leave(1);
}

static void cpu0_fetches(void)
{
	guest_access(0, GFN_A, ACC_X);
	guest_write(0, GFN_A);
	guest_access(0, GFN_A, ACC_X);
	guest_leave(0);
}

static void cpu1_reads(void)
{
	guest_read(1, GFN_A);
	guest_write(1, GFN_A + 1);
	guest_access(1, GFN_A + 1, ACC_X);
	guest_leave(1);
}

static void cpu1_reads_first(void)
{
	guest_read(1, GFN_A + 1);
	guest_write(1, GFN_A);
	guest_leave(1);
}

static void unmaps(void)
{
	op_unmap(GFN_A, 1, 0);
}

static void recovers(void)
{
	mmu_nx_recover(scene.vm);
	op_work(2);
	mmu_nx_recover(scene.vm);
	op_work(2);
}

const struct explore_scenario scenario_recovery_fetch = {
	.name = "recovery-fetch",
	.about = "fetches split a 2M page under the NX mitigation while the worker recovers it",
	.setup = setup_nx,
	.thread = { { "vcpu0", cpu0_fetches }, { "vcpu1", cpu1_reads }, { "worker", recovers } },
	.finish = scene_work_and_close,
};

const struct explore_scenario scenario_fault_fault_mixed = {
	.name = "fault-fault-mixed",
	.about = "first touches: one vCPU wants 4K, the other 2M, and an unmap brings more of them",
	.setup = setup_empty,
	.thread = { { "vcpu0", cpu0_fetches }, { "vcpu1", cpu1_reads_first }, { "unmap", unmaps } },
	.finish = scene_work_and_close,
};
