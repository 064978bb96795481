/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault-around; see around.h.
 *
 * Nobody has touched the neighbours yet, and the leaves must not say so: where the processor
 * sets Accessed and Dirty they are made old and clean.  Where it does not, a leaf that is
 * there is young (an old one would fault, and be of no use here), but it gets no write
 * access, because that would make it dirty; the first write fetches it without the lock.
 *
 * What the backing holds is looked up under the same hold of mmu_lock that maps it, so only
 * invalidations that have yielded right now are in the way.
 */
#include "mm/around.h"

#include "mm/backing_word.h"
#include "mm/dirty.h"
#include "mm/invalidate.h"
#include "mm/memslot.h"
#include "mm/tdp.h"
#include "mm/walk.h"

/* What a word of the backing says besides the page's address, as far as it matters here. */
#define WORD_ASKED (BACKING_KIND_MASK | WORD_PROTECTION)

/* Some of the window, whose pages have their words side by side. */
struct piece {
	gfn_t gfn;
	unsigned count;
	struct backing_row row;
};

static struct piece piece_at(const struct memslot *slot, gfn_t gfn, gfn_t end)
{
	struct piece p = { .gfn = gfn };
	uint64_t n = backing_row(slot, gfn, PG_LEVEL_4K, &p.row);

	p.count = (unsigned)(n < end - gfn ? n : end - gfn);
	return p;
}

/*
 * The words of 4K pages one by one; of a larger page, the words that it would have.  All leaves are
 * alike but for the page; cell is the first page's.
 */
static unsigned set_leaves(const struct piece *p, const struct backing_page *page,
			   spte_cell_t *cell, spte_t like)
{
	uint64_t asked = BACKING_PAGE | word_protection(page->access), set = 0;
	uint64_t word = ((page->pfn.n + (p->gfn - page->gfn)) << PAGE_SHIFT) | asked;

	for (unsigned i = 0; i < p->count; i++, word += PAGE_SIZE) {
		spte_t old = { 0 };

		if (p->row.step)
			word = word_load(&p->row.cell[i]);
		if ((word & WORD_ASKED) == asked && !spte_load(&cell[i]).raw)
			set += spte_cmpxchg(&cell[i], &old, (spte_t){ like.raw | word_hpa(word) });
	}
	return (unsigned)set;
}

/* As the fault's leaf, but nobody's access, and without a page. */
static spte_t like_leaf(const struct mmu_format *fmt, const struct memslot *slot, spte_t leaf)
{
	const struct dirty_log *log = dirty_log_of(slot);

	leaf.raw &= ~(fmt->address | (fmt->ad ? fmt->accessed | fmt->dirty : fmt->allow_w));
	/* The log wants to hear of each write. */
	if (log && log->style == MMU_DIRTY_WRPROT)
		leaf = leaf_wrprot(fmt, leaf);
	return leaf;
}

void around_map(struct mmu_vcpu *vcpu, const struct memslot *slot, const struct backing_page *page,
		const struct tdp_iter *it)
{
	const struct mmu_format *fmt = it->root->fmt;
	struct mmu_vm *vm = vcpu->vm;
	gfn_t gfn = it->gfn, start = gfn & ~(gfn_t)(vm->fault_around - 1);
	gfn_t end = start + vm->fault_around;
	unsigned set = 0;

	assert_held_read(&vm->mmu_lock);
	start = start > slot->base ? start : slot->base;
	end = end < slot->base + slot->npages ? end : slot->base + slot->npages;
	MM_BUG_ON(it->level != PG_LEVEL_4K);
	if (invalidate_in_progress(vm, start, end))
		return;
	spte_t like = like_leaf(fmt, slot, it->old);

	/* The window lies in one table, which the fault's leaf is in, and which stays while we hold the lock. */
	for (struct piece p; start < end; start += p.count) {
		p = piece_at(slot, start, end);
		/* Of another large page than the fault's we know nothing yet. */
		if (p.row.step || gfn - start < p.count)
			set += set_leaves(&p, page, it->cell - (gfn - start), like);
	}
	tdp_account_leaves(vm, PG_LEVEL_4K, set);
	stat_add(vm, pf_around, set);
	hold_note_read(vm, vm->fault_around);
}
