/* SPDX-License-Identifier: GPL-2.0-only */
/* Entries that remember that there is no memory: made, used, outdated, bounded. */
#include "ktap.h"
#include "mm/iter.h"
#include "mm/memslot.h"
#include "mm/mmio.h"
#include "mm/port.h"
#include "world.h"

#define CHUNK 512ul
#define HOLE  (64 * CHUNK) /* a gfn without memory */

static struct world w;

static spte_cell_t *cell_of(gfn_t gfn)
{
	struct tdp_iter it;

	for (iter_begin(&it, w.vm->root, gfn, gfn + 1, 0); it.valid; iter_next(&it))
		if (it.level == PG_LEVEL_4K)
			return it.cell;
	return NULL;
}

static uint64_t entries(void)
{
	return atomic_load(&w.vm->mmio_entries);
}

static enum mmu_pf_result touch(gfn_t gfn)
{
	uint64_t value = 0;

	return fake_cpu_touch(&w.cpu[0], gfn * PAGE_SIZE, ACC_W, &value);
}

static int add(unsigned id, gfn_t base, uint64_t npages)
{
	struct mmu_slot_desc d = { id, base, npages, 0, 0 };

	return mmu_slot_create(w.vm, &d);
}

/* The second access is answered by the entry, and a slot that comes makes it stale. */
static void cached(const struct world_variant *v)
{
	world_open(&w, v, CHUNK);
	CHECK_EQ(touch(HOLE), MMU_PF_EMULATE);
	CHECK_EQ(entries(), 1);
	CHECK_EQ(world_stats(&w).pf_mmio_spte, 0);
	CHECK(mmio_is_entry(w.vm->fmt, spte_load(cell_of(HOLE))));
	CHECK_EQ(touch(HOLE), MMU_PF_EMULATE);
	CHECK_EQ(world_stats(&w).pf_mmio_spte, 1);
	world_audit(&w);
	CHECK_EQ(add(1, HOLE, 8), 0);
	CHECK_EQ(touch(HOLE), MMU_PF_FIXED);
	CHECK_EQ(entries(), 0);
	CHECK_EQ(world_stats(&w).pf_mmio_spte, 1);
	/* And one that goes takes its leaf along before an entry takes the place. */
	CHECK_EQ(mmu_slot_delete(w.vm, 1), 0);
	CHECK_EQ(touch(HOLE), MMU_PF_EMULATE);
	CHECK_EQ(touch(HOLE), MMU_PF_EMULATE);
	CHECK_EQ(world_stats(&w).pf_mmio_spte, 2);
	/* Any other change makes it stale too; then it is made anew. */
	CHECK_EQ(add(2, 2 * HOLE, 8), 0);
	CHECK_EQ(touch(HOLE), MMU_PF_EMULATE);
	CHECK_EQ(world_stats(&w).pf_mmio_spte, 2);
	CHECK_EQ(entries(), 1);
	CHECK_EQ(touch(HOLE), MMU_PF_EMULATE);
	CHECK_EQ(world_stats(&w).pf_mmio_spte, 3);
	world_close(&w);
}

static void test_cached(void)
{
	world_for_each(cached);
}

/* The numbers in the entries repeat: an entry of then is not taken for one of now. */
static void wraps(const struct world_variant *v)
{
	world_open(&w, v, CHUNK);
	CHECK_EQ(touch(HOLE), MMU_PF_EMULATE);
	spte_t first = spte_load(cell_of(HOLE));

	for (uint64_t i = 0; i < 1ul << MMIO_GEN_BITS; i++)
		CHECK_EQ(mmu_slot_set_flags(w.vm, 0, i % 2 ? 0 : MMU_SLOT_READONLY), 0);
	uint64_t hits = world_stats(&w).pf_mmio_spte;

	/* The number is the same as at first. */
	CHECK_EQ(first.raw >> PAGE_SHIFT & MMIO_GEN_MASK,
		 memslots_get(w.vm)->generation & MMIO_GEN_MASK);
	CHECK_EQ(touch(HOLE), MMU_PF_EMULATE);
	CHECK_EQ(world_stats(&w).pf_mmio_spte, hits);
	CHECK_EQ(touch(HOLE), MMU_PF_EMULATE);
	CHECK_EQ(world_stats(&w).pf_mmio_spte, hits + 1);
	mmu_work_flush(w.vm);
	CHECK_EQ(entries(), 1);
	world_close(&w);
}

static void test_wraps(void)
{
	world_for_each(wraps);
}

/* A guest that asks everywhere gets no more tables than that. */
static void bounded(const struct world_variant *v)
{
	world_open(&w, v, CHUNK);
	for (gfn_t i = 0; i < MMIO_ENTRIES_MAX + 100; i++)
		CHECK_EQ(touch(HOLE + i * CHUNK), MMU_PF_EMULATE);
	CHECK_EQ(entries(), MMIO_ENTRIES_MAX);
	CHECK(world_stats(&w).tables <= MMIO_ENTRIES_MAX + 8);
	/* Beyond any memory at all nothing is cached. */
	CHECK_EQ(touch((1ul << 34) + 5), MMU_PF_EMULATE);
	mmu_zap_all(w.vm);
	mmu_work_flush(w.vm);
	CHECK_EQ(entries(), 0);
	CHECK_EQ(touch(HOLE), MMU_PF_EMULATE);
	CHECK_EQ(entries(), 1);
	world_close(&w);
}

static void test_bounded(void)
{
	world_for_each(bounded);
}

/* A leaf is not overwritten: while a slot is being taken down its leaves are still there. */
static enum mmu_pf_result during;

static void touch_dying(void)
{
	const gfn_t gfn = ITER_RUN + 9; /* not yet done when the first run is */
	struct page_fault pf = { .gpa = gfn * PAGE_SIZE, .access = ACC_R };

	hosted_hooks.resched = NULL;
	during = mmu_page_fault(&w.cpu[1].mmu, &pf);
	CHECK_EQ(entries(), 0);
	CHECK(spte_is_present(spte_load(cell_of(gfn))));
	world_audit(&w);
}

static void dying(const struct world_variant *v)
{
	world_open(&w, v, CHUNK);
	hosted_deny_2m(true);
	for (gfn_t gfn = 0; gfn < 2 * ITER_RUN; gfn++)
		world_write(&w, gfn, 0, 1);
	CHECK(fake_cpu_enter(&w.cpu[1]));
	fake_cpu_exit(&w.cpu[1]);
	hosted_hooks.resched = touch_dying;
	hosted_hooks.need_resched = true;
	CHECK_EQ(mmu_slot_delete(w.vm, 0), 0);
	hosted_hooks.need_resched = false;
	CHECK_EQ(during, v->hw_ad ? MMU_PF_EMULATE : MMU_PF_SPURIOUS);
	world_close(&w);
}

static void test_dying(void)
{
	world_for_each(dying);
}

/* Malformed, and not by us: no reason to stop.  Well-formed by now: an ordinary fault. */
static void foreign(const struct world_variant *v)
{
	struct page_fault pf = { .gpa = 3 * PAGE_SIZE, .access = ACC_R, .reserved = true };

	world_open(&w, v, CHUNK);
	hosted_deny_2m(true);
	world_write(&w, 3, 0, 1);
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_SPURIOUS);
	pf.gpa = 4 * PAGE_SIZE;
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_FIXED);
	spte_cell_t *cell = cell_of(3);
	spte_t good = spte_load(cell);

	spte_store(cell, (spte_t){ good.raw | 1ul << 50 });
	pf.gpa = 3 * PAGE_SIZE;
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_EMULATE);
	spte_store(cell, good);
	pf.gpa = 1ul << 55;
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_EMULATE);
	world_close(&w);
}

static void test_foreign(void)
{
	world_for_each(foreign);
}

/* Without memory for the tables the access is emulated all the same. */
static void no_memory(const struct world_variant *v)
{
	for (uint64_t n = 0; n < 12; n++) {
		world_open(&w, v, CHUNK);
		CHECK(fake_cpu_enter(&w.cpu[0]));
		fake_cpu_exit(&w.cpu[0]);
		hosted_fail_at(n, true);
		CHECK_EQ(touch(HOLE), MMU_PF_EMULATE);
		hosted_fail_off();
		CHECK_EQ(touch(HOLE), MMU_PF_EMULATE);
		CHECK_EQ(entries(), 1);
		world_close(&w);
	}
}

static void test_no_memory(void)
{
	world_for_each(no_memory);
}

/* A processor with all 52 address bits has no reserved one: NPT caches nothing then. */
static void test_52_bits(void)
{
	struct mmu_config cfg = world_config(&world_variants[1]);

	for (unsigned i = 0; i < 2; i++) {
		cfg.format = i ? MMU_FORMAT_NPT : MMU_FORMAT_EPT;
		cfg.maxphyaddr = 52;
		world_open_config(&w, &cfg, CHUNK);
		CHECK_EQ(touch(HOLE), MMU_PF_EMULATE);
		CHECK_EQ(entries(), i ? 0 : 1);
		world_close(&w);
	}
}

static const struct ktap_test tests[] = {
	KTAP(test_cached),  KTAP(test_wraps),     KTAP(test_bounded), KTAP(test_dying),
	KTAP(test_foreign), KTAP(test_no_memory), KTAP(test_52_bits),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
