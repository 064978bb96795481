/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Splitting huge leaves, under mmu_lock in either mode.
 *
 *        [ 2M leaf ]              [ table ]
 *             |            →       |  |     |
 *        pages 0…511           [4K][4K] … [4K]
 *
 * One compare-exchange, so an Accessed or Dirty that the processor sets at the last
 * moment makes it fail and is in the next attempt.  Nothing needs a flush: who still has the
 * huge translation cached gets to the same pages with the same permissions, and whoever takes
 * permissions or Dirty away from one of the new leaves flushes then.
 */
#include "mm/split.h"

#include "mm/cache.h"
#include "mm/leaf.h"
#include "mm/lock.h"
#include "mm/tdp.h"
#include "mm/walk.h"

/* Entries visited before others get a chance. */
#define SPLIT_STEP 512

/* The part of a leaf at level that its i-th child maps. */
static spte_t split_child(const struct mmu_vm *vm, const struct mmu_format *fmt, spte_t leaf,
			  unsigned level, unsigned i)
{
	hpa_t hpa = format_hpa(fmt, leaf) + i * level_pages(level - 1) * PAGE_SIZE;
	spte_t child = { (leaf.raw & ~(fmt->address | fmt->huge)) | hpa };

	if (level - 1 > PG_LEVEL_4K) {
		child.raw |= fmt->huge;
		return child;
	}
	/* What was withheld from the huge leaf only because it is huge. */
	if (leaf.raw & SPTE_HOST_WRITABLE)
		child.raw |= SPTE_MMU_WRITABLE;
	return vm->nx_huge_pages ? leaf_allow_exec(fmt, child) : child;
}

static void split_fill(const struct mmu_vm *vm, const struct tdp_iter *it, spte_cell_t *table)
{
	for (unsigned i = 0; i < PT_ENTRIES; i++)
		spte_store(&table[i], split_child(vm, it->root->fmt, it->old, it->level, i));
}

bool split_leaf(struct mmu_vm *vm, struct tdp_iter *it, hpa_t hpa, uint64_t mark)
{
	const struct mmu_format *fmt = it->root->fmt;
	spte_t table = format_make_table(fmt, hpa);

	assert_held_read(&vm->mmu_lock);
	table.raw |= mark;
	while (format_is_leaf(fmt, it->old, it->level)) {
		split_fill(vm, it, spte_table(hpa));
		if (tdp_try_set(vm, it, table)) {
			stat_add(vm, split, 1);
			return true;
		}
	}
	return false;
}

bool split_maps_same(const struct mmu_format *fmt, unsigned level, spte_t old, spte_t new)
{
	spte_t first = spte_load(spte_table(format_hpa(fmt, new)));

	/* Somebody may have split it further by now. */
	return format_is_table(fmt, first, level - 1) ||
	       format_hpa(fmt, first) == format_hpa(fmt, old);
}

/* One step of the walk; false: the cache is empty. */
static bool split_step(struct mmu_vm *vm, struct tdp_iter *it, struct mmu_cache *cache)
	REQUIRES_SHARED(vm->mmu_lock)
{
	if (it->level > PG_LEVEL_4K && format_is_leaf(it->root->fmt, it->old, it->level)) {
		hpa_t hpa = cache_take(cache);

		if (hpa == HPA_INVALID)
			return false;
		if (!split_leaf(vm, it, hpa, 0))
			port_pages_free(hpa, 0);
		/* Look at what is there now; it may be a table of huge leaves. */
		return true;
	}
	iter_next(it);
	return true;
}

/* How far it came; *hungry: a table was missing. */
static gfn_t split_some(struct mmu_vm *vm, struct mmu_cache *cache, gfn_t start, gfn_t end,
			bool *hungry) REQUIRES_SHARED(vm->mmu_lock)
{
	unsigned looks = 0;
	struct tdp_iter it;

	*hungry = false;
	if (!vm->root)
		return end;
	iter_begin(&it, vm->root, start, end, ITER_HUGE);
	for (; it.valid && looks < SPLIT_STEP && !*hungry; looks++)
		*hungry = !split_step(vm, &it, cache);
	hold_note_read(vm, looks);
	return it.valid ? it.next : end;
}

/* Most ranges have nothing to split: tables are fetched when the first one is missing. */
void split_range(struct mmu_vm *vm, gfn_t start, gfn_t end)
{
	struct mmu_cache cache = { 0 };
	bool hungry;

	while (start < end) {
		struct mmu_reading r = MMU_READING(SPLIT, start, end - start);

		mmu_read_lock(vm, &r);
		start = split_some(vm, &cache, start, end, &hungry);
		mmu_read_unlock(vm, &r);
		if (hungry)
			(void)cache_topup(&cache, MMU_CACHE_PAGES);
		if (hungry && !cache.count)
			break;
		port_resched();
	}
	cache_drain(&cache);
}
