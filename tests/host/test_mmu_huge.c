/* SPDX-License-Identifier: GPL-2.0-only */
/* Where huge leaves may be: edges of slots, counts of reasons against them, and their end. */
#include <string.h>

#include "ktap.h"
#include "mm/huge.h"
#include "mm/lock.h"
#include "mm/recover.h"
#include "world.h"

#define CHUNK 512ul
#define GIG   (CHUNK * CHUNK)

static struct world w;

static const struct memslot *slot0(void)
{
	return memslot_by_id(w.vm, 0);
}

NO_THREAD_SAFETY_ANALYSIS
static void disallow(gfn_t gfn, unsigned level)
{
	mmu_write_lock(w.vm, MMU_OP_PROTECT, gfn, 1);
	slot_disallow_huge(w.vm, slot0(), gfn, level);
	mmu_write_unlock(w.vm);
}

NO_THREAD_SAFETY_ANALYSIS
static void allow(gfn_t gfn, unsigned level)
{
	mmu_write_lock(w.vm, MMU_OP_PROTECT, gfn, 1);
	slot_allow_huge(w.vm, slot0(), gfn, level);
	mmu_write_unlock(w.vm);
}

NO_THREAD_SAFETY_ANALYSIS
static void recover_all(void)
{
	mmu_write_lock(w.vm, MMU_OP_RECOVER, 0, 0);
	recover_request(w.vm, 0, w.vm->gfn_limit);
	mmu_write_unlock(w.vm);
	mmu_work_flush(w.vm);
}

NO_THREAD_SAFETY_ANALYSIS
static unsigned level_at(gfn_t gfn)
{
	struct mmu_reading r = MMU_READING(SLOT_LOOKUP, gfn, 1);

	mmu_read_lock(w.vm, &r);
	unsigned level = slot_huge_level(w.vm, slot0(), gfn, PG_LEVEL_1G);

	mmu_read_unlock(w.vm, &r);
	return level;
}

/* The level of the leaf that a touch finds or makes. */
static unsigned touch(gfn_t gfn)
{
	unsigned level = 0;

	world_write(&w, gfn, 0, gfn);
	CHECK(spte_is_present(world_leaf(&w, gfn, &level)));
	return level;
}

static void open_slot(const struct world_variant *v, gfn_t base, uint64_t npages)
{
	struct mmu_slot_desc slot = { .base_gfn = base, .npages = npages };

	world_open_empty(&w, v, 0);
	CHECK_EQ(mmu_slot_create(w.vm, &slot), 0);
}

/* ---- edges ---------------------------------------------------------------------- */

static void edges(const struct world_variant *v)
{
	unsigned huge = v->max_leaf_level;

	open_slot(v, 100, 3 * CHUNK + 50);
	CHECK_EQ(level_at(100), PG_LEVEL_4K);
	CHECK_EQ(level_at(CHUNK - 1), PG_LEVEL_4K);
	CHECK_EQ(level_at(CHUNK), PG_LEVEL_2M);
	CHECK_EQ(level_at(3 * CHUNK - 1), PG_LEVEL_2M);
	CHECK_EQ(level_at(3 * CHUNK), PG_LEVEL_4K);
	CHECK_EQ(touch(100), PG_LEVEL_4K);
	CHECK_EQ(touch(CHUNK), huge);
	CHECK_EQ(touch(2 * CHUNK + 7), huge);
	CHECK_EQ(touch(3 * CHUNK + 149), PG_LEVEL_4K);
	world_close(&w);
	/* Both ends in one chunk. */
	open_slot(v, 100, 50);
	CHECK_EQ(level_at(120), PG_LEVEL_4K);
	world_close(&w);
	open_slot(v, GIG, 2 * GIG);
	CHECK_EQ(level_at(GIG), PG_LEVEL_1G);
	CHECK_EQ(level_at(3 * GIG - 1), PG_LEVEL_1G);
	world_close(&w);
	open_slot(v, GIG - CHUNK, 2 * GIG);
	CHECK_EQ(level_at(GIG - CHUNK), PG_LEVEL_2M);
	CHECK_EQ(level_at(GIG), PG_LEVEL_1G);
	CHECK_EQ(level_at(2 * GIG), PG_LEVEL_2M);
	world_close(&w);
}

static void test_edges(void)
{
	world_for_each(edges);
}

/* The slot's chunks are others where it has moved to. */
static void moved(const struct world_variant *v)
{
	open_slot(v, CHUNK, 2 * CHUNK);
	CHECK_EQ(touch(CHUNK), v->max_leaf_level);
	CHECK_EQ(mmu_slot_move(w.vm, 0, 4 * CHUNK + 1), 0);
	CHECK_EQ(level_at(4 * CHUNK + 1), PG_LEVEL_4K);
	CHECK_EQ(level_at(5 * CHUNK), PG_LEVEL_2M);
	CHECK_EQ(level_at(6 * CHUNK), PG_LEVEL_4K);
	world_audit(&w);
	CHECK_EQ(world_read(&w, 4 * CHUNK + 1, 0), CHUNK);
	CHECK_EQ(mmu_slot_move(w.vm, 0, 8 * CHUNK), 0);
	CHECK_EQ(level_at(8 * CHUNK), PG_LEVEL_2M);
	CHECK_EQ(level_at(10 * CHUNK - 1), PG_LEVEL_2M);
	CHECK_EQ(world_read(&w, 8 * CHUNK, 0), CHUNK);
	CHECK_EQ(touch(8 * CHUNK), v->max_leaf_level);
	world_close(&w);
}

static void test_moved(void)
{
	world_for_each(moved);
}

/* ---- counts ------------------------------------------------------------------------ */

static void counts(const struct world_variant *v)
{
	unsigned huge = v->max_leaf_level;
	uint64_t flushes;

	open_slot(v, 0, 4 * CHUNK);
	CHECK_EQ(touch(CHUNK + 3), huge);
	CHECK_EQ(touch(2 * CHUNK), huge);
	flushes = world_stats(&w).tlb_flush;
	disallow(CHUNK + 9, PG_LEVEL_2M);
	/* What was huge is gone, from the processors too; 4K leaves and neighbours stay. */
	CHECK_EQ(world_stats(&w).tlb_flush - flushes, huge > PG_LEVEL_4K);
	CHECK_EQ(level_at(CHUNK), PG_LEVEL_4K);
	CHECK_EQ(level_at(2 * CHUNK), PG_LEVEL_2M);
	world_audit(&w);
	CHECK_EQ(world_read(&w, CHUNK + 3, 0), CHUNK + 3);
	CHECK_EQ(touch(CHUNK + 3), PG_LEVEL_4K);
	CHECK_EQ(touch(2 * CHUNK), huge);
	/* Nor does recovery make one. */
	recover_all();
	CHECK_EQ(touch(CHUNK + 3), PG_LEVEL_4K);
	disallow(CHUNK + 9, PG_LEVEL_2M);
	disallow(2 * CHUNK - 1, PG_LEVEL_2M);
	CHECK_EQ(world_stats(&w).tlb_flush - flushes, huge > PG_LEVEL_4K);
	/* As often as it was forbidden. */
	allow(CHUNK + 9, PG_LEVEL_2M);
	allow(2 * CHUNK - 1, PG_LEVEL_2M);
	mmu_work_flush(w.vm);
	CHECK_EQ(level_at(CHUNK), PG_LEVEL_4K);
	CHECK_EQ(touch(CHUNK + 4), PG_LEVEL_4K);
	world_audit(&w);
	allow(CHUNK + 9, PG_LEVEL_2M);
	CHECK_EQ(level_at(CHUNK), PG_LEVEL_2M);
	mmu_work_flush(w.vm);
	CHECK_EQ(touch(CHUNK + 3), huge);
	CHECK_EQ(world_read(&w, CHUNK + 4, 0), CHUNK + 4);
	world_close(&w);
}

static void test_counts(void)
{
	world_for_each(counts);
}

/* Forbidden at 2M is forbidden at 1G; the reverse does not hold. */
static void test_levels(void)
{
	open_slot(&world_variants[1], 0, 2 * GIG);
	disallow(5, PG_LEVEL_1G);
	CHECK_EQ(level_at(0), PG_LEVEL_2M);
	CHECK_EQ(level_at(GIG - 1), PG_LEVEL_2M);
	CHECK_EQ(level_at(GIG), PG_LEVEL_1G);
	disallow(CHUNK + 5, PG_LEVEL_2M);
	CHECK_EQ(level_at(CHUNK), PG_LEVEL_4K);
	allow(5, PG_LEVEL_1G);
	CHECK_EQ(level_at(0), PG_LEVEL_2M);
	world_audit(&w);
	allow(CHUNK + 5, PG_LEVEL_2M);
	CHECK_EQ(level_at(CHUNK), PG_LEVEL_1G);
	world_close(&w);
}

/* With the NX mitigation: a table that is there for another reason is not the mitigation's. */
static void test_not_by_nx(void)
{
	struct mmu_config cfg = world_config(&world_variants[1]);
	struct mmu_slot_desc slot = { .npages = 2 * CHUNK };

	cfg.nx_huge_pages = true;
	world_open_config(&w, &cfg, 0);
	CHECK_EQ(mmu_slot_create(w.vm, &slot), 0);
	disallow(3, PG_LEVEL_2M);
	CHECK_EQ(world_touch(&w, 3, ACC_X), MMU_PF_FIXED);
	CHECK_EQ(world_stats(&w).nx_tables, 0);
	CHECK_EQ(world_touch(&w, CHUNK, ACC_X), MMU_PF_FIXED);
	CHECK_EQ(world_stats(&w).nx_tables, 1);
	allow(3, PG_LEVEL_2M);
	world_close(&w);
}

/* ---- the audit --------------------------------------------------------------------- */

static void check_sentence(const char *want)
{
	struct mmu_audit_report report;

	CHECK_EQ(mmu_audit(w.vm, &report), -EIO);
	if (!strstr(report.first, want))
		ktap_fail(__FILE__, __LINE__, "the audit says: %s", report.first);
}

static void test_audit(void)
{
	open_slot(&world_variants[1], 0, 2 * CHUNK);
	struct slot_huge *huge = slot0()->state->huge;

	CHECK_EQ(touch(CHUNK), PG_LEVEL_2M);
	huge->count[0][1]++;
	huge->held[0]++;
	check_sentence("the 2M leaf at gfn 0x200 is huge where that is forbidden");
	huge->count[0][1]--;
	check_sentence("do not add up");
	huge->held[0]--;
	world_close(&w);
}

/* ---- two levels ----------------------------------------------------------------------- */

static unsigned fault_level(gfn_t gfn)
{
	struct page_fault pf = { .gpa = gfn * PAGE_SIZE, .access = ACC_W };

	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_FIXED);
	return pf.goal_level;
}

/* What becomes 2M again makes 1G possible, of which the worker had the entry behind it. */
static void giant_again(const struct world_variant *v)
{
	struct mmu_slot_desc device = { .npages = GIG, .flags = MMU_SLOT_DEVICE, .hpa = 1ul << 41 };
	struct mmu_config cfg = world_config(v);

	cfg.max_leaf_level = PG_LEVEL_1G;
	world_open_config(&w, &cfg, 0);
	CHECK_EQ(mmu_slot_create(w.vm, &device), 0);
	CHECK(fake_cpu_enter(&w.cpu[0]));
	fake_cpu_exit(&w.cpu[0]);
	disallow(CHUNK + 5, PG_LEVEL_2M);
	CHECK_EQ(fault_level(CHUNK + 5), PG_LEVEL_4K);
	CHECK_EQ(fault_level(5), PG_LEVEL_2M);
	allow(CHUNK + 5, PG_LEVEL_2M);
	mmu_work_flush(w.vm);
	CHECK_EQ(world_stats(&w).pages_1g, 1);
	CHECK_EQ(world_stats(&w).pages_2m + world_stats(&w).pages_4k, 0);
	CHECK_EQ(world_stats(&w).recovered, 2);
	world_close(&w);
}

static void test_giant_again(void)
{
	world_for_each(giant_again);
}

static const struct ktap_test tests[] = {
	KTAP(test_edges), KTAP(test_moved),	 KTAP(test_counts),
	KTAP(test_levels), KTAP(test_not_by_nx), KTAP(test_audit),
	KTAP(test_giant_again),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
