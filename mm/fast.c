/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fast page fault: a leaf that maps the page already gets a permission back by one
 * compare-exchange, as a reader (rcu.h) and without mmu_lock.
 *
 * Write access comes back to a leaf with SPTE_MMU_WRITABLE, which a dirty log took it from;
 * all permissions come back to a leaf that ageing parked.  The leaf itself says that, so
 * nothing else has to be looked up: whoever forbids it takes the bit out of the leaf (and
 * flushes), and the compare-exchange fails.  Should the same value stand there again, then
 * the same is permitted again.  A log needs no word either: it reads the leaves (dirty.c).
 *
 * Whether the table is still linked does not matter: who unlinks one takes its leaves out
 * before or after, and finds what was put into them.
 */
#include "mm/fast.h"

#include "mm/iter.h"
#include "mm/leaf.h"
#include "mm/rcu.h"

/* The processors may set A and D in between; anything else is for the slow path. */
#define FAST_TRIES 4

/* What the leaf may become for this access; the same as before when that is not enough. */
static spte_t fast_restore(const struct mmu_format *fmt, spte_t leaf, unsigned access)
{
	spte_t new = leaf_untrack(fmt, leaf);

	if ((access & ACC_W) && (new.raw & SPTE_MMU_WRITABLE))
		new.raw |= fmt->allow_w;
	if (!format_permits(fmt, new, access))
		return leaf;
	/* The access is about to happen: spare the processor an update. */
	if (fmt->ad)
		new.raw |= fmt->accessed | (access & ACC_W ? fmt->dirty : 0);
	return new;
}

static enum mmu_pf_result fast_fix(struct mmu_vcpu *vcpu, struct page_fault *pf)
{
	const struct mmu_format *fmt = vcpu->loaded->fmt;
	unsigned level = vcpu->loaded->level;
	spte_t leaf;
	spte_cell_t *cell = iter_lowest(fmt, vcpu->root, pf->gpa >> PAGE_SHIFT, &level, &leaf);

	for (unsigned i = 0; i < FAST_TRIES; i++) {
		if (!format_is_leaf(fmt, leaf, level))
			return MMU_PF_RETRY;
		if (format_permits(fmt, leaf, pf->access))
			return MMU_PF_SPURIOUS;
		spte_t new = fast_restore(fmt, leaf, pf->access);

		if (new.raw == leaf.raw)
			return MMU_PF_RETRY;
		pf->goal_level = (uint8_t)level;
		if (spte_cmpxchg(cell, &leaf, new))
			return MMU_PF_FIXED;
		stat_add(vcpu->vm, cmpxchg_fail, 1);
	}
	return MMU_PF_RETRY;
}

enum mmu_pf_result fast_fault(struct mmu_vcpu *vcpu, struct page_fault *pf)
{
	rcu_enter(vcpu->vm, &vcpu->reader);
	enum mmu_pf_result result = fast_fix(vcpu, pf);

	rcu_exit(vcpu->vm, &vcpu->reader);
	if (result == MMU_PF_FIXED)
		stat_add(vcpu->vm, pf_fast, 1);
	return result;
}
