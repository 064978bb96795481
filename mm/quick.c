/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The most frequent fault, straight on: a 4K page of RAM that may be used in every way, in a table that is
 * there.  What is decided here case by case elsewhere (tdp.c, around.c) is known beforehand, and what
 * both have in common is theirs: how a leaf looks, which neighbours are mapped and how.
 */
#include "mm/quick.h"

#include "mm/around.h"
#include "mm/invalidate.h"
#include "mm/tdp.h"
#include "mm/walk.h"

/*
 * Are the words of a window of n pages in one node, and is nothing of it about to go?  Words beyond the
 * slot name no pages.
 */
static bool window_is_plain(struct mmu_vm *vm, gfn_t start, const backing_cell_t *word, unsigned n)
	REQUIRES_SHARED(vm->mmu_lock)
{
	uintptr_t first = (uintptr_t)word, last = (uintptr_t)(word + n - 1);

	return !((first ^ last) & PAGE_MASK) && !invalidate_in_progress(vm, start, start + n);
}

bool quick_map(struct mmu_vcpu *vcpu, struct page_fault *pf, const struct memslot *slot)
{
	const struct mmu_root *root = vcpu->loaded;
	const struct mmu_format *fmt = root->fmt;
	struct mmu_vm *vm = vcpu->vm;
	gfn_t gfn = pf->gpa >> PAGE_SHIFT;
	unsigned level = root->level, n = vm->fault_around, before = gfn & (n - 1), set = 0;
	spte_t old;

	assert_held_read(&vm->mmu_lock);
	/* Now, and not before we had the lock: words fold, and their node goes, when others beside them change. */
	const backing_cell_t *word = backing_plain(slot, gfn);

	if (!word || !window_is_plain(vm, gfn - before, word - before, n))
		return false;
	spte_cell_t *cell = iter_lowest(fmt, root->hpa, gfn, &level, &old);

	if (level != PG_LEVEL_4K || old.raw)
		return false;
	const struct dirty_log *log = dirty_log_of(slot);
	const struct tdp_leaf_kind kind = {
		.level = PG_LEVEL_4K, .access = ACC_RWX, .pf_access = pf->access,
		.refcounted = true, .write_logged = log && log->style == MMU_DIRTY_WRPROT,
	};
	spte_t leaf = tdp_leaf_of(vm, fmt, (pfn_t){ word_load(word) >> PAGE_SHIFT }, &kind);

	if (!spte_cmpxchg(cell, &old, leaf)) {
		stat_add(vm, cmpxchg_fail, 1);
		return false;
	}
	pf->goal_level = PG_LEVEL_4K;
	if (n > 1) {
		set = around_words(word - before, n, 0, cell - before, around_leaf(fmt, log, leaf));
		stat_add(vm, pf_around, set);
		hold_note_read(vm, n);
	}
	tdp_account_leaves(vm, PG_LEVEL_4K, 1 + set);
	return true;
}
