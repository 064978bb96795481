/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Everything goes at once: roots that become invalid while vCPUs sleep on them, slots that are
 * deleted, moved and protected under running vCPUs; and single pages that move or are protected.
 */
#include "scenarios.h"
#include "scene.h"

#define GFN_A 5ul
#define GFN_B 700ul /* in a slot of its own */
#define GFN_MOVED (GFN_B + 512)

static void setup(unsigned level)
{
	scene_open(scene_config(level), 2);
	scene_add_slot(0, 0, level_pages(PG_LEVEL_2M));
	scene_page(GFN_A);
}

static void setup_roots(void)
{
	setup(PG_LEVEL_4K);
	/* Both have loaded the root; who runs next, and when, is the seed's. */
	guest_write(0, GFN_A);
	guest_write(1, GFN_A);
	guest_leave(0);
	guest_leave(1);
}

static void setup_slots(void)
{
	setup(explore_choose(2) ? PG_LEVEL_2M : PG_LEVEL_4K);
	scene_add_slot(1, 512, 512);
	scene_page(GFN_B);
	guest_write(0, GFN_B);
	guest_leave(0);
}

/* The page's other place is away until the slot is there. */
static void setup_moving(void)
{
	setup_slots();
	scene_page(GFN_MOVED)->changes = 1;
	scene_same_page(GFN_B, GFN_MOVED);
}

/* ---- the guests ------------------------------------------------------------------------------ */

static void uses_both(unsigned cpu)
{
	guest_write(cpu, GFN_A);
	guest_read(cpu, GFN_A);
	guest_leave(cpu);
}

static void cpu0_uses(void)
{
	uses_both(0);
	uses_both(0);
}

static void cpu1_uses(void)
{
	uses_both(1);
}

static void cpu0_uses_slot(void)
{
	guest_write(0, GFN_B);
	guest_read(0, GFN_A);
	guest_write(0, GFN_B);
	guest_read(0, GFN_B);
	guest_leave(0);
}

static void cpu1_uses_slot(void)
{
	guest_read(1, GFN_B);
	guest_write(1, GFN_B);
	guest_leave(1);
}

/* ---- beside them ------------------------------------------------------------------------------ */

static void zaps_all_twice(void)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t begin = explore_now();

		explore_note("zap of everything");
		mmu_zap_all(scene.vm);
		scene_revoke(0, 1024, begin);
	}
}

static void works(void)
{
	op_work(5);
}

static void recreates_slot(void)
{
	op_slot_delete(1, 512, 512);
	explore_yield();
	op_slot_create(1, 512, 512);
}

static void moves_slot(void)
{
	op_slot_move(1, 512, 1024, 512);
	explore_yield();
	op_slot_move(1, 1024, 512, 512);
}

static void cpu1_follows_slot(void)
{
	guest_write(1, GFN_B);
	guest_write(1, GFN_MOVED);
	guest_read(1, GFN_B);
	guest_leave(1);
}

static void readonly_slot(void)
{
	op_slot_readonly(1, 512, 512);
}

static void unmaps(void)
{
	op_unmap(0, 16, MMU_MAY_BLOCK);
	op_balloon(GFN_A, 1, MMU_MAY_BLOCK);
}

static void looks_up(void)
{
	uint64_t young;
	int err = mmu_age(scene.vm, 512, 512, &young);

	EXPLORE_CHECK(err == 0 || err == -ENOENT);
}

const struct explore_scenario scenario_zap_root = {
	.name = "zap-root",
	.about = "everything is zapped twice beside a worker and vCPUs that sleep and wake",
	.setup = setup_roots,
	.thread = { { "vcpu0", cpu0_uses }, { "vcpu1", cpu1_uses }, { "zap", zaps_all_twice },
		    { "worker", works } },
	.finish = scene_work_and_close,
};

const struct explore_scenario scenario_slot_fault = {
	.name = "slot-fault",
	.about = "a slot is deleted and made again under two vCPUs and a walker without the lock",
	.setup = setup_slots,
	.thread = { { "vcpu0", cpu0_uses_slot }, { "vcpu1", cpu1_uses_slot },
		    { "slots", recreates_slot }, { "age", looks_up } },
	.finish = scene_work_and_close,
};

const struct explore_scenario scenario_roots_unmap = {
	.name = "roots-unmap",
	.about = "unmap and balloon while there are two roots, of which one is torn down",
	.setup = setup_roots,
	.thread = { { "vcpu0", cpu0_uses }, { "zap", zaps_all_twice }, { "unmap", unmaps },
		    { "worker", works } },
	.finish = scene_work_and_close,
};

const struct explore_scenario scenario_slot_move = {
	.name = "slot-move",
	.about = "a slot moves away and back under two vCPUs",
	.setup = setup_moving,
	.thread = { { "vcpu0", cpu0_uses_slot }, { "vcpu1", cpu1_follows_slot },
		    { "slots", moves_slot } },
	.finish = scene_work_and_close,
};

const struct explore_scenario scenario_slot_readonly = {
	.name = "slot-readonly",
	.about = "a slot becomes read-only and writable again under two vCPUs",
	.setup = setup_slots,
	.thread = { { "vcpu0", cpu0_uses_slot }, { "vcpu1", cpu1_uses_slot },
		    { "slots", readonly_slot } },
	.finish = scene_work_and_close,
};

/* ---- pages that move, and protection ----------------------------------------------------------- */

static void migrates(void)
{
	op_migrate(GFN_A, 1, 0);
	op_migrate(GFN_A, 2, MMU_MAY_BLOCK);
}

static void protects(void)
{
	op_protect(GFN_A, 1, ACC_R | ACC_X);
	op_protect(GFN_A, 1, 0);
}

const struct explore_scenario scenario_migrate_write = {
	.name = "migrate-write",
	.about = "two vCPUs write to a page that gets another host page",
	.setup = setup_roots,
	.thread = { { "vcpu0", cpu0_uses }, { "vcpu1", cpu1_uses }, { "migrate", migrates } },
	.finish = scene_work_and_close,
};

const struct explore_scenario scenario_protect_write = {
	.name = "protect-write",
	.about = "two vCPUs write to a page whose protection changes",
	.setup = setup_roots,
	.thread = { { "vcpu0", cpu0_uses }, { "vcpu1", cpu1_uses }, { "protect", protects } },
	.finish = scene_work_and_close,
};
