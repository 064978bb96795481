/* SPDX-License-Identifier: GPL-2.0-only */
/* Mapping pages in a root, and the books of the entries. */
#pragma once

#include "mm/backing.h"
#include "mm/iter.h"
#include "mm/leaf.h"
#include "mm/vm.h"

/* How a page may be mapped. */
struct tdp_goal {
	const struct backing_page *page;
	const struct memslot *slot;
	unsigned access;    /* what slot and backing permit */
	uint8_t max_level;  /* the largest leaf */
	bool write_logged;  /* write access comes with a write only: so the log hears of it */
};

/*
 * As a fault at gfn with pf_access would map it; pf_access 0 is nobody's access yet: such a leaf
 * is old and clean.
 */
struct tdp_goal tdp_goal(struct mmu_vm *vm, const struct memslot *slot,
			 const struct backing_page *page, gfn_t gfn, unsigned access,
			 unsigned pf_access)
	REQUIRES_SHARED(vm->mmu_lock);
/* What all leaves have in common that differ in their pages only. */
struct tdp_leaf_kind {
	unsigned level, access, pf_access; /* as in tdp_goal() */
	bool refcounted, write_logged;
};

/* Write access from the start, or only when there is a write? */
static inline bool tdp_gives_write(const struct mmu_format *fmt, const struct tdp_leaf_kind *kind)
{
	if (!(kind->access & ACC_W))
		return false;
	if (kind->pf_access & ACC_W)
		return true;
	/* Where write access is what counts as Dirty, nobody's access does not give it. */
	return !kind->write_logged && (fmt->ad || kind->pf_access);
}

static inline __attribute__((always_inline)) spte_t
tdp_leaf_of(const struct mmu_vm *vm, const struct mmu_format *fmt, pfn_t pfn,
	    const struct tdp_leaf_kind *kind)
{
	uint64_t software = kind->refcounted ? SPTE_REFCOUNTED : 0;
	unsigned access = kind->access & (ACC_R | ACC_X);

	if (kind->access & ACC_W)
		software |= SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE;
	if (tdp_gives_write(fmt, kind))
		access |= ACC_W;
	if (vm->nx_huge_pages && kind->level > PG_LEVEL_4K)
		access &= ~(unsigned)ACC_X;
	spte_t leaf = format_make_leaf(fmt, pfn, kind->level, access, software);

	if (!kind->pf_access)
		return leaf_age(fmt, leaf);
	/* The access that faulted is about to happen: spare the processor an update. */
	if (fmt->ad)
		leaf.raw |= fmt->accessed | (kind->pf_access & ACC_W ? fmt->dirty : 0);
	return leaf;
}

/* The leaf for the span of level that starts at gfn. */
spte_t tdp_leaf(const struct mmu_vm *vm, const struct mmu_format *fmt, const struct tdp_goal *goal,
		gfn_t gfn, unsigned level, unsigned pf_access);

/*
 * Map page where the fault wants it, with access, what slot and backing permit, which
 * includes what the fault does.  FIXED (pf->goal_level says at which level), SPURIOUS, RETRY, or
 * NOMEM when the cache has no page for a table.  it stands where it was mapped.
 */
enum mmu_pf_result tdp_map(struct mmu_vcpu *vcpu, struct page_fault *pf,
			   const struct memslot *slot, const struct backing_page *page,
			   unsigned access, struct tdp_iter *it)
	REQUIRES_SHARED(vcpu->vm->mmu_lock);

/*
 * Replace what the walk saw, and book it; false: another CPU or the processor was first,
 * it->old says with what.
 */
bool tdp_try_set(struct mmu_vm *vm, struct tdp_iter *it, spte_t new) REQUIRES_SHARED(vm->mmu_lock);

/* Take out the entry that the walk stands on, and book it.  A flush is owed. */
void tdp_zap(struct mmu_vm *vm, struct tdp_iter *it) REQUIRES(vm->mmu_lock);

/*
 * So many leaves more, or fewer: all that there is to book of those that come with nobody's access, and a
 * part of it for those that run.h books.
 */
static inline void tdp_account_leaves(struct mmu_vm *vm, unsigned level, int64_t more)
	REQUIRES_SHARED(vm->mmu_lock)
{
	uint64_t n = (uint64_t)more;

	if (level == PG_LEVEL_4K)
		stat_add(vm, pages_4k, n);
	else if (level == PG_LEVEL_2M)
		stat_add(vm, pages_2m, n);
	else
		stat_add(vm, pages_1g, n);
}

/*
 * Every change of an entry of a root, from whatever to whatever, is booked here (or by run.h, many at
 * a time), by the one whose atomic operation made it: the gauges, and what of Accessed and
 * Dirty is in the entry no longer.  (Ageing and restoring by a fast fault have nothing to
 * book: they map the same, and lose no Dirty.)  gfn is the first that the entry spans.
 */
void tdp_account(struct mmu_vm *vm, const struct mmu_format *fmt, gfn_t gfn, unsigned level,
		 spte_t old, spte_t new) REQUIRES_SHARED(vm->mmu_lock);
