/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The audit has to notice damage to the states of leaves, to tables, roots and logs; that of
 * pages, slots and gauges is in test_mmu_fail.c.
 */
#include <string.h>

#include "ktap.h"
#include "mm/iter.h"
#include "mm/leaf.h"
#include "mm/rcu.h"
#include "world.h"

#define CHUNK 512ul

static struct world w;

static spte_cell_t *cell_of(gfn_t gfn, unsigned level)
{
	struct tdp_iter it;

	for (iter_begin(&it, w.vm->root, gfn, gfn + 1, 0); it.valid; iter_next(&it))
		if (it.level == level)
			return it.cell;
	return NULL;
}

static void expect(const char *expected)
{
	struct mmu_audit_report report;

	CHECK_EQ(mmu_audit(w.vm, &report), -EIO);
	if (!strstr(report.first, expected))
		ktap_fail(__FILE__, __LINE__, "%s: the audit says \"%s\", not \"%s\"", w.cfg.name,
			  report.first, expected);
}

static void damage(spte_cell_t *cell, uint64_t raw, const char *expected)
{
	spte_t old = spte_xchg(cell, (spte_t){ raw });

	expect(expected);
	spte_store(cell, old);
	world_audit(&w);
}

static void leaves(const struct world_variant *v)
{
	const struct mmu_format *fmt = format_select(v->format, v->hw_ad);

	world_open(&w, v, 2 * CHUNK);
	hosted_deny_2m(true);
	world_write(&w, 5, 0, 1);
	spte_cell_t *cell = cell_of(5, PG_LEVEL_4K);
	spte_t leaf = spte_load(cell);

	damage(cell, leaf.raw | SPTE_TRACKED, "is tracked, but not out of the processor's hands");
	if (v->hw_ad)
		damage(cell, leaf_track(fmt, leaf).raw, "is tracked, but not out");
	damage(cell, leaf.raw | SPTE_SAVED_W, "has parked permissions, but is not tracked");
	damage(cell, leaf.raw & ~SPTE_MMU_WRITABLE, "contradicts its writable bits");
	damage(cell, leaf.raw & ~SPTE_HOST_WRITABLE, "contradicts its writable bits");
	damage(cell, leaf.raw ^ fmt->type, "lacks bits of its format");
	damage(cell, leaf.raw | SPTE_NX_SPLIT, "has bits that no leaf has");
	damage(cell, (leaf.raw & ~(SPTE_REFCOUNTED | fmt->type)) | fmt->type_device,
	       "is wrong about whose page it maps");
	damage(cell, SPTE_FROZEN, "was left frozen");
	world_close(&w);
}

static void test_leaves(void)
{
	world_for_each(leaves);
}

/* A leaf that permits what mmu_protect() forbids. */
static void protection(const struct world_variant *v)
{
	world_open(&w, v, CHUNK);
	hosted_deny_2m(true);
	world_write(&w, 5, 0, 1);
	spte_t leaf = spte_load(cell_of(5, PG_LEVEL_4K));

	CHECK_EQ(mmu_protect(w.vm, 5, 1, ACC_R | ACC_X, 0), 0);
	CHECK_EQ(world_touch(&w, 5, ACC_R), MMU_PF_FIXED);
	damage(cell_of(5, PG_LEVEL_4K), leaf.raw, "permits more than its protection");
	world_close(&w);
}

static void test_protection(void)
{
	world_for_each(protection);
}

static void huge(const struct world_variant *v)
{
	struct mmu_config cfg = world_config(v);
	const struct mmu_format *fmt = format_select(v->format, v->hw_ad);

	if (v->max_leaf_level < PG_LEVEL_2M)
		return;
	cfg.nx_huge_pages = true;
	world_open_config(&w, &cfg, 2 * CHUNK);
	world_write(&w, 5, 0, 1);
	spte_cell_t *cell = cell_of(5, PG_LEVEL_2M);
	spte_t leaf = spte_load(cell);

	damage(cell, leaf_allow_exec(fmt, leaf).raw, "is huge and executable");
	CHECK_EQ(mmu_dirty_start(w.vm, 0, MMU_DIRTY_WRPROT, MMU_DIRTY_NO_SPLIT), 0);
	damage(cell, leaf.raw, "is huge and writable under a dirty log");
	atomic_fetch_add(&w.vm->dirty_logs, 1);
	expect("dirty logs 0x2 is what the books say, but the walk counted 0x1");
	atomic_fetch_sub(&w.vm->dirty_logs, 1);
	CHECK_EQ(world_touch(&w, CHUNK, ACC_X), MMU_PF_FIXED);
	CHECK_EQ(mmu_dirty_stop(w.vm, 0), 0);
	CHECK_EQ(world_touch(&w, 5, ACC_X), MMU_PF_FIXED);
	spte_t table = spte_load(cell_of(5, PG_LEVEL_2M));

	damage(cell_of(5, PG_LEVEL_2M), table.raw & ~SPTE_NX_SPLIT, "nx_tables 0x1 is what");
	world_close(&w);
}

static void test_huge(void)
{
	world_for_each(huge);
}

static void roots(const struct world_variant *v)
{
	world_open(&w, v, CHUNK);
	world_write(&w, 5, 0, 1);
	w.vm->root->refs++;
	expect("has another number of references: 0x3");
	w.vm->root->refs--;
	atomic_store(&w.vm->root->state, ROOT_INVALID);
	expect("is valid and not the VM's");
	atomic_store(&w.vm->root->state, ROOT_VALID);
	/* The root's own page, as if it were waiting to be freed. */
	hpa_t fresh = w.vm->rcu.fresh.tables;
	spte_cell_t *first = spte_table(w.vm->root->hpa);
	spte_t linked = spte_xchg(first, (spte_t){ 0 });

	w.vm->rcu.fresh.tables = w.vm->root->hpa;
	expect("is linked and queued to be freed");
	w.vm->rcu.fresh.tables = fresh;
	spte_store(first, linked);
	world_audit(&w);
	world_close(&w);
}

static void test_roots(void)
{
	world_for_each(roots);
}

static const struct ktap_test tests[] = {
	KTAP(test_leaves), KTAP(test_protection), KTAP(test_huge), KTAP(test_roots),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
