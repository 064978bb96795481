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

struct around {
	struct mmu_vm *vm;
	const struct memslot *slot;
	const struct backing_page *page; /* of the fault */
	unsigned access;
};

static void around_one(const struct around *a, struct tdp_iter *it)
	REQUIRES_SHARED(a->vm->mmu_lock)
{
	const struct mmu_format *fmt = it->root->fmt;
	unsigned used = fmt->ad ? 0 : ACC_R;
	struct backing_page page;

	if (it->old.raw || it->level != PG_LEVEL_4K)
		return;
	if (backing_lookup_in(a->vm, a->slot, it->gfn, &page) || page.access != a->page->access)
		return;
	struct tdp_goal goal = tdp_goal(a->vm, a->slot, &page, a->access, used);

	goal.write_logged |= !fmt->ad;
	if (tdp_try_set(a->vm, it, tdp_leaf(a->vm, fmt, &goal, it->gfn, PG_LEVEL_4K, used)))
		stat_add(a->vm, pf_around, 1);
}

void around_map(struct mmu_vcpu *vcpu, const struct page_fault *pf, const struct memslot *slot,
		const struct backing_page *page, unsigned access)
{
	struct mmu_vm *vm = vcpu->vm;
	struct around a = { .vm = vm, .slot = slot, .page = page, .access = access };
	struct tdp_iter it;

	/* A fault that only gave a leaf more permissions was not the first: nothing is new here. */
	if (vm->fault_around < 2 || pf->goal_level != PG_LEVEL_4K)
		return;
	gfn_t start = (pf->gpa >> PAGE_SHIFT) & ~(gfn_t)(vm->fault_around - 1);
	gfn_t end = start + vm->fault_around;

	start = start > slot->base ? start : slot->base;
	end = end < slot->base + slot->npages ? end : slot->base + slot->npages;
	if (invalidate_in_progress(vcpu->vm, start, end))
		return;
	assert_held_read(&a.vm->mmu_lock);
	for (iter_begin(&it, vcpu->loaded, start, end, 0); it.valid; iter_next(&it))
		around_one(&a, &it);
	hold_note_read(vm, end - start);
}
