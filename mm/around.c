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

#include "mm/invalidate.h"
#include "mm/tdp.h"
#include "mm/walk.h"

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

/* Of a larger page, the words that it would have. */
static unsigned set_part(const struct piece *p, const struct backing_page *page, spte_cell_t *cell,
			 spte_t like)
{
	hpa_t hpa = (page->pfn.n + (p->gfn - page->gfn)) << PAGE_SHIFT;
	unsigned set = 0;

	for (unsigned i = 0; i < p->count; i++)
		set += around_set(&cell[i], like, hpa + i * PAGE_SIZE);
	return set;
}

void around_map(struct mmu_vcpu *vcpu, const struct memslot *slot, const struct backing_page *page,
		const struct tdp_iter *it)
{
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
	spte_t like = around_leaf(it->root->fmt, dirty_log_of(slot), it->old);

	/* The window lies in one table, which the fault's leaf is in, and which stays while we hold the lock. */
	for (struct piece p; start < end; start += p.count) {
		spte_cell_t *cell = it->cell - (gfn - start);

		p = piece_at(slot, start, end);
		if (p.row.step)
			set += around_words(p.row.cell, p.count, word_protection(page->access),
					    cell, like);
		/* Of another large page than the fault's we know nothing yet. */
		else if (gfn - start < p.count)
			set += set_part(&p, page, cell, like);
	}
	tdp_account_leaves(vm, PG_LEVEL_4K, set);
	stat_add(vm, pf_around, set);
	hold_note_read(vm, vm->fault_around);
}
