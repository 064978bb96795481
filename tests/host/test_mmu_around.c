/* SPDX-License-Identifier: GPL-2.0-only */
/* Fault-around: what one fault maps beside its page, and where it stops. */
#include "ktap.h"
#include "mm/invalidate.h"
#include "mm/leaf.h"
#include "world.h"

#define CHUNK  512ul
#define WINDOW 16ul

static struct world w;

static struct mmu_config config(const struct world_variant *v)
{
	struct mmu_config cfg = world_config(v);

	cfg.max_leaf_level = PG_LEVEL_4K;
	cfg.fault_around = WINDOW;
	return cfg;
}

/* Every page is there and none is mapped. */
static void open_backed(const struct world_variant *v, uint64_t npages)
{
	struct mmu_config cfg = config(v);

	world_open_config(&w, &cfg, npages);
	for (gfn_t gfn = 0; gfn < npages; gfn++)
		world_write(&w, gfn, 0, gfn + 1);
	CHECK_EQ(mmu_unmap(w.vm, 0, npages, 0), 0);
}

static bool is_mapped(gfn_t gfn)
{
	unsigned level;

	return world_leaf(&w, gfn, &level).raw;
}

/* A slot that moved aside: its windows lie across the backing's nodes.  What the pages hold looks like words. */
static void moved_aside(const struct world_variant *v, bool table)
{
	static uint64_t words[PAGE_SIZE / 8];
	struct mmu_config cfg = config(v);

	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		words[i] = 0x123000 | 1;
	world_open_config(&w, &cfg, 2 * CHUNK);
	for (gfn_t gfn = 0; gfn < 2 * CHUNK; gfn++)
		CHECK_EQ(mmu_write_guest(w.vm, gfn << PAGE_SHIFT, words, sizeof(words)), 0);
	CHECK_EQ(mmu_slot_move(w.vm, 0, 8 * CHUNK + 3), 0);
	/* The table of the leaves is there already, or not. */
	if (table)
		CHECK_EQ(world_touch(&w, 9 * CHUNK + 100, ACC_R), MMU_PF_FIXED);
	CHECK_EQ(world_touch(&w, 8 * CHUNK + 3 + CHUNK - 1, ACC_R), MMU_PF_FIXED);
	CHECK(is_mapped(8 * CHUNK + 3 + CHUNK));
	world_audit(&w);
	world_close(&w);
}

static void moved_without_table(const struct world_variant *v)
{
	moved_aside(v, false);
}

static void moved_with_table(const struct world_variant *v)
{
	moved_aside(v, true);
}

static void test_moved_aside(void)
{
	world_for_each(moved_without_table);
	world_for_each(moved_with_table);
}

/* Faults of a first walk over memory that is there: one a window. */
static void dense(const struct world_variant *v)
{
	open_backed(v, 4 * CHUNK);
	struct mmu_stats before = world_stats(&w);

	for (gfn_t gfn = 0; gfn < 4 * CHUNK; gfn++)
		CHECK_EQ(world_read(&w, gfn, 0), gfn + 1);
	struct mmu_stats after = world_stats(&w);

	CHECK_EQ(after.pf_taken - before.pf_taken, 4 * CHUNK / WINDOW);
	CHECK_EQ(after.pf_around - before.pf_around, 4 * CHUNK / WINDOW * (WINDOW - 1));
	CHECK_EQ(after.pages_4k, 4 * CHUNK);
	world_audit(&w);
	/* Writes: with Dirty from the processor there is nothing to fault for. */
	for (gfn_t gfn = 0; gfn < 4 * CHUNK; gfn++)
		world_write(&w, gfn, 0, gfn + 2);
	uint64_t faults = world_stats(&w).pf_taken - after.pf_taken;

	CHECK_EQ(faults, v->hw_ad ? 0 : world_stats(&w).pf_fast - after.pf_fast);
	for (gfn_t gfn = 0; gfn < 4 * CHUNK; gfn++)
		CHECK_EQ(world_read(&w, gfn, 0), gfn + 2);
	world_close(&w);
}

static void test_dense(void)
{
	world_for_each(dense);
}

/* The neighbours are clean, and old where the processor can tell. */
static void untouched(const struct world_variant *v)
{
	unsigned level;

	open_backed(v, CHUNK);
	world_write(&w, 20, 0, 5);
	for (gfn_t gfn = 16; gfn < 32; gfn++) {
		spte_t leaf = world_leaf(&w, gfn, &level);

		CHECK_EQ(level, PG_LEVEL_4K);
		CHECK_EQ(leaf_is_dirty(w.vm->fmt, leaf), gfn == 20);
		CHECK_EQ(leaf_is_accessed(w.vm->fmt, leaf), gfn == 20 || !v->hw_ad);
	}
	CHECK(!is_mapped(15) && !is_mapped(32));
	world_close(&w);
}

static void test_untouched(void)
{
	world_for_each(untouched);
}

/* Where the processor cannot tell, they are young once too often, and no more. */
static void young_once(const struct world_variant *v)
{
	uint64_t young;

	open_backed(v, CHUNK);
	world_read(&w, 20, 0);
	CHECK_EQ(mmu_age(w.vm, 16, 16, &young), 0);
	CHECK_EQ(young, v->hw_ad ? 1 : 16);
	fake_cpu_exit(&w.cpu[0]);
	CHECK_EQ(mmu_unmap(w.vm, 100, 1, 0), 0); /* whatever was cached is flushed */
	CHECK_EQ(mmu_age(w.vm, 16, 16, &young), 0);
	CHECK_EQ(young, 0);
	world_read(&w, 25, 0);
	CHECK_EQ(mmu_age(w.vm, 16, 16, &young), 0);
	CHECK_EQ(young, 1);
	world_close(&w);
}

static void test_young_once(void)
{
	world_for_each(young_once);
}

/* Nothing is brought, nothing beyond slot and protection is mapped. */
static void borders(const struct world_variant *v)
{
	struct mmu_slot_desc low = { 0, 4, 16, 0, 0 }, high = { 1, 20, 16, 0, 0 };
	struct mmu_config cfg = config(v);
	uint64_t changed;

	world_open_config(&w, &cfg, 0);
	CHECK_EQ(mmu_slot_create(w.vm, &low), 0);
	CHECK_EQ(mmu_slot_create(w.vm, &high), 0);
	for (gfn_t gfn = 4; gfn < 36; gfn++)
		if (gfn != 9)
			world_write(&w, gfn, 0, 1);
	CHECK_EQ(mmu_protect(w.vm, 6, 2, ACC_R | ACC_X, 0), 0);
	CHECK_EQ(mmu_protect(w.vm, 12, 1, 0, 0), 0);
	CHECK_EQ(mmu_balloon_out(w.vm, 10, 1, 0, &changed), 0);
	CHECK_EQ(mmu_unmap(w.vm, 4, 32, 0), 0);
	world_read(&w, 5, 0);
	for (gfn_t gfn = 4; gfn < 16; gfn++)
		CHECK_EQ(is_mapped(gfn),
			 gfn != 6 && gfn != 7 && gfn != 9 && gfn != 10 && gfn != 12);
	CHECK(!is_mapped(16));
	/* 20 is another slot's, in the same window as 16. */
	world_read(&w, 17, 0);
	for (gfn_t gfn = 16; gfn < 32; gfn++)
		CHECK_EQ(is_mapped(gfn), gfn < 20);
	world_read(&w, 35, 0);
	CHECK(is_mapped(32) && !is_mapped(31));
	world_close(&w);
}

static void test_borders(void)
{
	world_for_each(borders);
}

/* The same where the table is there, and the leaves' states with it. */
static void in_table(const struct world_variant *v)
{
	uint64_t changed;
	unsigned level;

	open_backed(v, 64);
	CHECK_EQ(world_read(&w, 63, 0), 64);
	CHECK_EQ(mmu_protect(w.vm, 6, 1, ACC_R | ACC_X, 0), 0);
	CHECK_EQ(mmu_protect(w.vm, 12, 1, 0, 0), 0);
	CHECK_EQ(mmu_balloon_out(w.vm, 10, 1, 0, &changed), 0);
	world_write(&w, 5, 0, 5);
	for (gfn_t gfn = 0; gfn < 16; gfn++) {
		spte_t leaf = world_leaf(&w, gfn, &level);

		CHECK_EQ(leaf.raw != 0, gfn != 6 && gfn != 10 && gfn != 12);
		CHECK_EQ(leaf.raw && leaf_is_dirty(w.vm->fmt, leaf), gfn == 5);
		CHECK_EQ(leaf.raw && leaf_is_accessed(w.vm->fmt, leaf),
			 leaf.raw && (gfn == 5 || !v->hw_ad));
	}
	CHECK(!is_mapped(16));
	CHECK_EQ(mmu_dirty_start(w.vm, 0, MMU_DIRTY_WRPROT, 0), 0);
	world_write(&w, 20, 0, 7);
	CHECK(leaf_is_writable(w.vm->fmt, world_leaf(&w, 20, &level)));
	CHECK(is_mapped(21) && !leaf_is_writable(w.vm->fmt, world_leaf(&w, 21, &level)));
	world_audit(&w);
	for (gfn_t gfn = 0; gfn < 64; gfn++)
		if (gfn != 5 && gfn != 10 && gfn != 12 && gfn != 20)
			CHECK_EQ(world_read(&w, gfn, 0), gfn + 1);
	world_close(&w);
}

static void test_in_table(void)
{
	world_for_each(in_table);
}

/* A read-only slot is not written, whatever its pages' words say. */
static void readonly_slot(const struct world_variant *v)
{
	open_backed(v, 64);
	CHECK_EQ(world_read(&w, 63, 0), 64);
	CHECK_EQ(mmu_slot_set_flags(w.vm, 0, MMU_SLOT_READONLY), 0);
	CHECK_EQ(world_touch(&w, 63, ACC_R), MMU_PF_FIXED);
	CHECK_EQ(world_touch(&w, 20, ACC_R), MMU_PF_FIXED);
	CHECK_EQ(world_touch(&w, 20, ACC_W), MMU_PF_EMULATE);
	CHECK_EQ(world_touch(&w, 40, ACC_W), MMU_PF_EMULATE);
	world_close(&w);
}

static void test_readonly_slot(void)
{
	world_for_each(readonly_slot);
}

/* What is just being invalidated is not mapped behind the walk's back. */
static void invalidated(const struct world_variant *v, bool table)
{
	struct page_fault pf = { .gpa = 0, .access = ACC_R };
	struct invalidation inv;
	uint64_t changed;

	open_backed(v, 64);
	if (table)
		CHECK_EQ(world_read(&w, 63, 0), 64);
	CHECK(fake_cpu_enter(&w.cpu[1]));
	fake_cpu_exit(&w.cpu[1]);
	/* A walk has yielded where gfn 0 is done, and the rest of its window is not. */
	write_lock(&w.vm->mmu_lock);
	invalidate_begin(w.vm, &inv, 1, 64);
	write_unlock(&w.vm->mmu_lock);
	uint64_t before = world_stats(&w).pages_4k;

	CHECK_EQ(mmu_page_fault(&w.cpu[1].mmu, &pf), MMU_PF_FIXED);
	CHECK_EQ(world_stats(&w).pages_4k, before + 1);
	write_lock(&w.vm->mmu_lock);
	invalidate_end(w.vm, &inv);
	write_unlock(&w.vm->mmu_lock);
	CHECK_EQ(mmu_balloon_out(w.vm, 0, 64, 0, &changed), 0);
	world_close(&w);
}

static void invalidated_without_table(const struct world_variant *v)
{
	invalidated(v, false);
}

static void invalidated_in_table(const struct world_variant *v)
{
	invalidated(v, true);
}

static void test_invalidated(void)
{
	world_for_each(invalidated_without_table);
	world_for_each(invalidated_in_table);
}

/* A log by write-protection hears of the first write to each page, a neighbour's too. */
static void logged(const struct world_variant *v)
{
	uint64_t bitmap, dirty;
	unsigned level;

	open_backed(v, 64);
	CHECK_EQ(mmu_dirty_start(w.vm, 0, MMU_DIRTY_WRPROT, 0), 0);
	world_write(&w, 8, 0, 1);
	CHECK(is_mapped(9));
	CHECK(!leaf_is_writable(w.vm->fmt, world_leaf(&w, 9, &level)));
	CHECK_EQ(mmu_dirty_get(w.vm, 0, 0, 64, true, &bitmap, &dirty), 0);
	CHECK_EQ(bitmap, 1ul << 8);
	world_close(&w);
}

static void test_logged(void)
{
	world_for_each(logged);
}

static const struct ktap_test tests[] = {
	KTAP(test_logged),
	KTAP(test_moved_aside),
	KTAP(test_dense), KTAP(test_untouched), KTAP(test_young_once), KTAP(test_borders),
	KTAP(test_in_table), KTAP(test_readonly_slot), KTAP(test_invalidated),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
