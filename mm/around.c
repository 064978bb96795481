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
#include "mm/memslot.h"
#include "mm/tdp.h"
#include "mm/walk.h"

#define AROUND_MAX 64u

/* What lies around the page of the fault, in its slot. */
struct around {
	gfn_t start;
	unsigned count;
	hpa_t page[AROUND_MAX]; /* HPA_INVALID: none, or it is protected otherwise */
};

static void find_pages(struct mmu_vm *vm, const struct memslot *slot,
		       const struct backing_page *page, gfn_t gfn, struct around *a)
	REQUIRES_SHARED(vm->mmu_lock)
{
	gfn_t start = gfn & ~(gfn_t)(vm->fault_around - 1), end = start + vm->fault_around;

	a->start = start > slot->base ? start : slot->base;
	end = end < slot->base + slot->npages ? end : slot->base + slot->npages;
	a->count = (unsigned)(end - a->start);
	backing_pages_at(vm, slot, a->start, a->count, page->access, a->page);
}

/* All leaves are alike but for the page. */
static unsigned set_leaves(const struct mmu_format *fmt, spte_cell_t *cell, spte_t like,
			   const struct around *a)
{
	unsigned set = 0;

	like.raw &= ~fmt->address;
	for (unsigned i = 0; i < a->count; i++) {
		spte_t old = { 0 };

		if (a->page[i] != HPA_INVALID && !spte_load(&cell[i]).raw)
			set += spte_cmpxchg(&cell[i], &old, (spte_t){ like.raw | a->page[i] });
	}
	return set;
}

void around_map(struct mmu_vcpu *vcpu, const struct page_fault *pf, const struct memslot *slot,
		const struct backing_page *page, unsigned access)
{
	const struct mmu_format *fmt = vcpu->loaded->fmt;
	unsigned used = fmt->ad ? 0 : ACC_R;
	gfn_t gfn = pf->gpa >> PAGE_SHIFT;
	struct mmu_vm *vm = vcpu->vm;
	struct tdp_iter it;
	struct around a;

	/* A fault that only gave a leaf more permissions was not the first: nothing is new here. */
	if (vm->fault_around < 2 || pf->goal_level != PG_LEVEL_4K)
		return;
	assert_held_read(&vm->mmu_lock);
	find_pages(vm, slot, page, gfn, &a);
	if (invalidate_in_progress(vm, a.start, a.start + a.count))
		return;
	struct tdp_goal goal = tdp_goal(vm, slot, page, gfn, access, used);

	goal.write_logged |= !fmt->ad;
	iter_begin(&it, vcpu->loaded, a.start, a.start + a.count, 0);
	iter_sink(&it);
	/* The window lies in one table, which the fault's leaf is in, and which stays while we hold the lock. */
	MM_BUG_ON(it.level != PG_LEVEL_4K);
	unsigned set = set_leaves(fmt, it.cell, tdp_leaf(vm, fmt, &goal, gfn, PG_LEVEL_4K, used), &a);

	tdp_account_leaves(vm, PG_LEVEL_4K, set);
	stat_add(vm, pf_around, set);
	hold_note_read(vm, a.count);
}
