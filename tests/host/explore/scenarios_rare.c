/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is rare: pages of 1G, huge leaves that become forbidden, memory that runs out in the middle of
 * a race, and the generation in MMIO entries that comes round.
 */
#include "mm/huge.h"
#include "mm/lock.h"
#include "mm/mmio.h"
#include "scenarios.h"
#include "scene.h"

#define CHUNK 512ul
#define GIG   (CHUNK * CHUNK)
#define GFN_A 5ul
#define GFN_B (7 * CHUNK + 3) /* in the same 1G */

/* ---- 1G ------------------------------------------------------------------------------- */

static void setup_1g(void)
{
	scene_open(scene_config(PG_LEVEL_1G), 2);
	scene_add_slot(0, 0, GIG);
	scene_page(GFN_A);
	scene_page(GFN_B);
}

static void cpu0_uses_both(void)
{
	guest_write(0, GFN_A);
	guest_read(0, GFN_B);
	guest_write(0, GFN_B);
	guest_read(0, GFN_A);
	guest_leave(0);
}

static void cpu1_uses_both(void)
{
	guest_read(1, GFN_B);
	guest_write(1, GFN_A);
	guest_write(1, GFN_B);
	guest_leave(1);
}

/* Breaking a page of 1G makes the books long: seldom. */
static void unmaps_1g(void)
{
	op_unmap(GFN_A, 1, 0);
	if (explore_choose(16))
		op_unmap(0, GIG, MMU_MAY_BLOCK);
	else
		op_balloon(GFN_B, 1, MMU_MAY_BLOCK);
}

const struct explore_scenario scenario_fault_unmap_1g = {
	.name = "fault-unmap-1g",
	.about = "two vCPUs use a page of 1G for the first time, beside unmaps and a balloon",
	.setup = setup_1g,
	.thread = { { "vcpu0", cpu0_uses_both }, { "vcpu1", cpu1_uses_both },
		    { "unmap", unmaps_1g } },
	.finish = scene_work_and_close,
};

/* ---- forbidden -------------------------------------------------------------------------- */

static void forbid(gfn_t gfn, unsigned level, bool on)
{
	uint64_t begin = explore_now();

	mmu_write_lock(scene.vm, MMU_OP_PROTECT, gfn, 1);
	const struct memslot *slot = memslot_by_id(scene.vm, 0);

	if (on)
		slot_disallow_huge(scene.vm, slot, gfn, level);
	else
		slot_allow_huge(scene.vm, slot, gfn, level);
	mmu_write_unlock(scene.vm);
	explore_note("huge leaves over gfn 0x%lx, from level %u: %s, since %lu", gfn, level,
		     on ? "no" : "yes", begin);
}

/* The audit finds what is huge and must not be. */
static void forbids(void)
{
	struct mmu_audit_report report;
	unsigned level = explore_choose(2) ? PG_LEVEL_2M : PG_LEVEL_1G;

	for (unsigned i = 0; i < 2; i++) {
		forbid(GFN_A, level, true);
		explore_yield();
		if (mmu_audit(scene.vm, &report))
			explore_fail("audit: %s", report.first);
		forbid(GFN_A, level, false);
	}
}

static void works(void)
{
	op_work(4);
}

const struct explore_scenario scenario_disallow_fault = {
	.name = "disallow-fault",
	.about = "huge leaves become forbidden and permitted again under two vCPUs and the worker",
	.setup = setup_1g,
	.thread = { { "vcpu0", cpu0_uses_both }, { "vcpu1", cpu1_uses_both },
		    { "forbid", forbids }, { "worker", works } },
	.finish = scene_work_and_close,
};

/* ---- no memory ---------------------------------------------------------------------------- */

#define GFN_NEAR 6ul

static void setup_nomem(void)
{
	scene_open(scene_config(explore_choose(2) ? PG_LEVEL_2M : PG_LEVEL_4K), 2);
	scene_add_slot(0, 0, 2 * CHUNK);
	scene_page(GFN_A);
	scene_page(GFN_NEAR);
	scene_page(CHUNK);
	/* Both have a root: without one there is nothing to try. */
	scene_page(2 * CHUNK - 1);
	guest_read(0, 2 * CHUNK - 1);
	guest_read(1, 2 * CHUNK - 1);
	guest_leave(0);
	guest_leave(1);
	explore_deny = 3;
}

static void cpu0_insists(void)
{
	guest_write(0, GFN_A);
	guest_write(0, GFN_NEAR);
	guest_read(0, CHUNK);
	guest_read(0, GFN_A);
	guest_leave(0);
}

static void cpu1_insists(void)
{
	guest_read(1, CHUNK);
	guest_write(1, GFN_A);
	guest_access(1, GFN_NEAR, ACC_X);
	guest_leave(1);
}

static void balloons(void)
{
	op_balloon(GFN_A, 1, MMU_MAY_BLOCK);
	op_balloon(GFN_A, 2, 0);
}

/* Whatever it cannot get, it has changed nothing that the oracle knows of. */
static void migrates(void)
{
	uint64_t changed;
	int err = mmu_migrate(scene.vm, 0, 2 * CHUNK, MMU_MAY_BLOCK, &changed);

	EXPLORE_CHECK(!err || err == -ENOMEM);
}

const struct explore_scenario scenario_nomem_race = {
	.name = "nomem-race",
	.about = "first touches, a balloon and a migration, with every third allocation failing",
	.setup = setup_nomem,
	.thread = { { "vcpu0", cpu0_insists }, { "vcpu1", cpu1_insists }, { "balloon", balloons },
		    { "migrate", migrates } },
	.finish = scene_work_and_close,
};

/* ---- the generation comes round -------------------------------------------------------------- */

#define GFN_MMIO (2 * CHUNK)

static void set_generation(uint64_t generation)
{
	((struct memslots *)(uintptr_t)memslots_get(scene.vm))->generation = generation;
}

/* An entry of generation 1 is there, and the next change but one will be another 1. */
static void setup_wrap(void)
{
	scene_open(scene_config(PG_LEVEL_4K), 2);
	scene_add_slot(0, 0, 16);
	scene_page(GFN_A);
	scene_page(GFN_MMIO)->changes = 1;
	set_generation(1);
	guest_access(0, GFN_MMIO, ACC_R);
	guest_access(0, GFN_MMIO, ACC_R);
	guest_leave(0);
	set_generation(MMIO_GEN_MASK);
}

static void cpu_asks(unsigned cpu)
{
	guest_write(cpu, GFN_MMIO);
	guest_read(cpu, GFN_A);
	guest_write(cpu, GFN_MMIO);
	guest_read(cpu, GFN_MMIO);
	guest_leave(cpu);
}

static void cpu0_asks(void)
{
	cpu_asks(0);
}

static void cpu1_asks(void)
{
	cpu_asks(1);
}

static void changes_slots(void)
{
	op_slot_create(1, GFN_MMIO, 16);
	explore_yield();
	/* Another place altogether, but a generation further. */
	op_slot_create(2, GFN_MMIO + CHUNK, 16);
	explore_yield();
	op_slot_delete(1, GFN_MMIO, 16);
	op_slot_create(1, GFN_MMIO, 16);
}

const struct explore_scenario scenario_mmio_wrap = {
	.name = "mmio-wrap",
	.about = "slots come and go where MMIO entries of an old generation of the same number are",
	.setup = setup_wrap,
	.thread = { { "vcpu0", cpu0_asks }, { "vcpu1", cpu1_asks }, { "slots", changes_slots },
		    { "worker", works } },
	.finish = scene_work_and_close,
};

/* ---- a node goes while somebody looks into it --------------------------------------------------- */

/* A page of 2M that may be read only, divided because one of its pages may not even be read. */
static void setup_fold(void)
{
	scene_open(scene_config(PG_LEVEL_2M), 2);
	scene_add_slot(0, 0, CHUNK);
	scene_page(0);
	guest_write(0, 0);
	guest_leave(0);
	EXPLORE_CHECK(mmu_protect(scene.vm, 0, CHUNK, ACC_R | ACC_X, 0) == 0);
	EXPLORE_CHECK(mmu_protect(scene.vm, 7, 1, 0, 0) == 0);
	guest_read(0, 0);
	guest_leave(0);
	/* A refusal is right, all the time, and a write never. */
	scene_page(0)->changes = 1;
	scene_page(0)->forbidden = ACC_W;
}

static void cpu0_tries(void)
{
	for (unsigned i = 0; i < 3; i++)
		guest_write(0, 0);
	guest_read(0, 0);
	guest_leave(0);
}

/* Nothing of this is about gfn 0, but its node goes and comes. */
static void folds(void)
{
	EXPLORE_CHECK(mmu_protect(scene.vm, 7, 1, ACC_R | ACC_X, 0) == 0);
	EXPLORE_CHECK(mmu_protect(scene.vm, 7, 1, 0, 0) == 0);
	EXPLORE_CHECK(mmu_protect(scene.vm, 7, 1, ACC_R | ACC_X, 0) == 0);
}

const struct explore_scenario scenario_fold_look = {
	.name = "fold-look",
	.about = "a node of the backing folds and is broken again while a fault looks into it",
	.setup = setup_fold,
	.thread = { { "vcpu0", cpu0_tries }, { "protect", folds }, { "worker", works } },
	.finish = scene_work_and_close,
};
