/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Mapping under the read lock: many vCPUs install tables and leaves in one tree
 * at a time.  Every entry goes from empty to its value by one compare-exchange; who
 * loses it looks again and finds what the winner put there.  What is present is changed in
 * two ways only, and neither needs a flush: a leaf gets more permissions, and a
 * huge leaf becomes a table that maps the same (split.c).
 *
 * A 2M fault that meets a table (a neighbour was mapped at 4K first) maps its 4K
 * page in there; a 4K fault that meets a 2M leaf is done, or splits it when the leaf may
 * not have the permission that the fault needs.  Neither loses the other's tables.
 */
#include "mm/tdp.h"

#include "mm/cache.h"
#include "mm/dirty.h"
#include "mm/huge.h"
#include "mm/leaf.h"
#include "mm/mmio.h"
#include "mm/nx.h"
#include "mm/split.h"

/* ---- the books --------------------------------------------------------------- */

static void account_table(struct mmu_vm *vm, spte_t table, uint64_t n)
{
	stat_add(vm, tables, n);
	if (table.raw & SPTE_NX_SPLIT)
		stat_add(vm, nx_tables, n);
}

/* What the old leaf knew and the new entry does not goes to the page and to the log. */
static void fold_leaf(struct mmu_vm *vm, const struct mmu_format *fmt, gfn_t gfn, unsigned level,
		      spte_t old, spte_t new) REQUIRES_SHARED(vm->mmu_lock)
{
	unsigned lost = leaf_lost(fmt, old, new);

	/* Only pages of ours have a state to fold into. */
	if (lost && leaf_is_refcounted(fmt, old))
		backing_fold(vm, gfn, level, lost);
	dirty_fold(vm, fmt, gfn, level, old, new);
}

/* May old become new in one step, without a flush in between? */
static bool change_is_legal(const struct mmu_format *fmt, unsigned level, spte_t old, spte_t new)
{
	if (!spte_is_present(old) || !spte_is_present(new))
		return true;
	if (format_is_leaf(fmt, old, level) != format_is_leaf(fmt, new, level))
		return format_is_table(fmt, new, level) && split_maps_same(fmt, level, old, new);
	return format_hpa(fmt, old) == format_hpa(fmt, new);
}

void tdp_account(struct mmu_vm *vm, const struct mmu_format *fmt, gfn_t gfn, unsigned level,
		 spte_t old, spte_t new)
{
	bool was_leaf = format_is_leaf(fmt, old, level), is_leaf = format_is_leaf(fmt, new, level);
	bool was_table = format_is_table(fmt, old, level);
	bool is_table = format_is_table(fmt, new, level);

	MM_BUG_ON(!change_is_legal(fmt, level, old, new));
	if (was_leaf && !is_leaf) {
		tdp_account_leaves(vm, level, -1);
		/* The table that a leaf is split into is full. */
		if (is_table)
			tdp_account_leaves(vm, level - 1, PT_ENTRIES);
		else
			stat_add(vm, zap_leaf, 1);
	}
	if (is_leaf && !was_leaf)
		tdp_account_leaves(vm, level, 1);
	if (was_table != is_table)
		account_table(vm, is_table ? new : old, is_table ? 1 : -1ul);
	if (was_leaf && !is_table)
		fold_leaf(vm, fmt, gfn, level, old, new);
}

/* tdp_try_set() without the books. */
static inline bool try_set(struct mmu_vm *vm, struct tdp_iter *it, spte_t new)
{
	if (!spte_cmpxchg(it->cell, &it->old, new)) {
		stat_add(vm, cmpxchg_fail, 1);
		return false;
	}
	it->old = new;
	return true;
}

bool tdp_try_set(struct mmu_vm *vm, struct tdp_iter *it, spte_t new)
{
	spte_t old = it->old;

	if (!try_set(vm, it, new))
		return false;
	tdp_account(vm, it->root->fmt, it->gfn, it->level, old, new);
	return true;
}

/* The most frequent change: a leaf where nothing is. */
static bool try_set_leaf(struct mmu_vm *vm, struct tdp_iter *it, spte_t leaf)
	REQUIRES_SHARED(vm->mmu_lock)
{
	if (!try_set(vm, it, leaf))
		return false;
	tdp_account_leaves(vm, it->level, 1);
	return true;
}

/* Nobody else changes entries now; the exchange is for the processors' A and D, and for readers. */
void tdp_zap(struct mmu_vm *vm, struct tdp_iter *it)
{
	assert_held_write(&vm->mmu_lock);
	spte_t old = spte_xchg(it->cell, (spte_t){ 0 });

	tdp_account(vm, it->root->fmt, it->gfn, it->level, old, (spte_t){ 0 });
}

/* ---- what a leaf is to be ------------------------------------------------------ */

static inline struct tdp_goal goal_of(struct mmu_vm *vm, const struct memslot *slot,
				      const struct backing_page *page, gfn_t gfn, unsigned access,
				      unsigned pf_access) REQUIRES_SHARED(vm->mmu_lock)
{
	const struct dirty_log *log = dirty_log_of(slot);
	struct tdp_goal goal = { .page = page, .slot = slot, .access = access };

	goal.max_level = page->level < vm->max_leaf_level ? page->level : vm->max_leaf_level;
	if (goal.max_level > PG_LEVEL_4K)
		goal.max_level = (uint8_t)slot_huge_level(vm, slot, gfn, goal.max_level);
	/* A log wants to know which 4K page it was, and the NX mitigation who executes. */
	if (log || (vm->nx_huge_pages && (pf_access & ACC_X)))
		goal.max_level = PG_LEVEL_4K;
	goal.write_logged = log && log->style == MMU_DIRTY_WRPROT;
	return goal;
}

struct tdp_goal tdp_goal(struct mmu_vm *vm, const struct memslot *slot,
			 const struct backing_page *page, gfn_t gfn, unsigned access,
			 unsigned pf_access)
{
	return goal_of(vm, slot, page, gfn, access, pf_access);
}

static inline spte_t leaf_of(const struct mmu_vm *vm, const struct mmu_format *fmt,
			     const struct tdp_goal *goal, gfn_t gfn, unsigned level,
			     unsigned pf_access)
{
	const struct tdp_leaf_kind kind = {
		.level = level, .access = goal->access, .pf_access = pf_access,
		.refcounted = goal->page->refcounted, .write_logged = goal->write_logged,
	};

	return tdp_leaf_of(vm, fmt, (pfn_t){ goal->page->pfn.n + (gfn - goal->page->gfn) }, &kind);
}

spte_t tdp_leaf(const struct mmu_vm *vm, const struct mmu_format *fmt, const struct tdp_goal *goal,
		gfn_t gfn, unsigned level, unsigned pf_access)
{
	return leaf_of(vm, fmt, goal, gfn, level, pf_access);
}

/* ---- the fault ------------------------------------------------------------------- */

/* An empty table where there is none.  0 also when somebody else put something there. */
static int tdp_link_table(struct mmu_vcpu *vcpu, struct tdp_iter *it, uint64_t mark)
	REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	hpa_t hpa = cache_take(&vcpu->cache);

	if (hpa == HPA_INVALID)
		return -ENOMEM;
	spte_t table = format_make_table(it->root->fmt, hpa);

	table.raw |= mark;
	if (!tdp_try_set(vcpu->vm, it, table)) {
		cache_put(&vcpu->cache, hpa);
		return 0;
	}
	if (mark)
		nx_note_split(vcpu->vm);
	return 0;
}

/* Was it the NX mitigation alone that made a table necessary where page could be a leaf? */
static uint64_t nx_mark(struct mmu_vm *vm, const struct tdp_iter *it, const struct page_fault *pf,
			const struct tdp_goal *goal) REQUIRES_SHARED(vm->mmu_lock)
{
	bool could_be_leaf = it->level <= goal->page->level && it->level <= vm->max_leaf_level &&
			     slot_huge_allowed(vm, goal->slot, it->gfn, it->level);

	return vm->nx_huge_pages && (pf->access & ACC_X) && could_be_leaf &&
	       !dirty_log_of(goal->slot) ? SPTE_NX_SPLIT : 0;
}

static int tdp_split(struct mmu_vcpu *vcpu, struct tdp_iter *it, struct page_fault *pf,
		     uint64_t mark) REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	hpa_t hpa = cache_take(&vcpu->cache);

	if (hpa == HPA_INVALID)
		return -ENOMEM;
	if (!split_leaf(vcpu->vm, it, hpa, mark)) {
		port_pages_free(hpa, 0);
		return 0;
	}
	pf->goal_level = (uint8_t)(it->level - 1);
	if (mark)
		nx_note_split(vcpu->vm);
	return 0;
}

/* The same leaf with what the fault needs besides. */
static spte_t leaf_grant(const struct mmu_format *fmt, spte_t leaf, unsigned pf_access)
{
	leaf = leaf_untrack(fmt, leaf);
	if (pf_access & ACC_W)
		leaf.raw |= fmt->allow_w | SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE;
	if (pf_access & ACC_X)
		leaf = leaf_allow_exec(fmt, leaf);
	if (fmt->ad)
		leaf.raw |= fmt->accessed | (pf_access & ACC_W ? fmt->dirty : 0);
	return leaf;
}

/* There is a leaf already, of the level we want or another. */
static bool tdp_meet_leaf(struct mmu_vcpu *vcpu, struct tdp_iter *it, struct page_fault *pf,
			  const struct tdp_goal *goal, enum mmu_pf_result *result)
	REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	const struct mmu_format *fmt = it->root->fmt;
	uint64_t here = format_pfn(fmt, it->old).n - it->gfn;

	/* The backing is current (the sequence says so), and a leaf goes before its page. */
	MM_BUG_ON(here != goal->page->pfn.n - goal->page->gfn);
	/* What this fault split may be all it needs. */
	*result = pf->goal_level ? MMU_PF_FIXED : MMU_PF_SPURIOUS;
	if (format_access(fmt, it->old) & pf->access)
		return true;
	if (it->level > goal->max_level) {
		*result = MMU_PF_NOMEM;
		return tdp_split(vcpu, it, pf, nx_mark(vcpu->vm, it, pf, goal)) != 0;
	}
	pf->goal_level = it->level;
	*result = MMU_PF_FIXED;
	return tdp_try_set(vcpu->vm, it, leaf_grant(fmt, it->old, pf->access));
}

/* Nothing is there: the leaf, or a table on the way to it. */
static inline bool tdp_fill(struct mmu_vcpu *vcpu, struct tdp_iter *it, struct page_fault *pf,
			    const struct tdp_goal *goal, enum mmu_pf_result *result)
	REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	if (it->level <= goal->max_level) {
		pf->goal_level = it->level;
		*result = MMU_PF_FIXED;
		return try_set_leaf(vcpu->vm, it, leaf_of(vcpu->vm, it->root->fmt, goal, it->gfn,
							  it->level, pf->access));
	}
	*result = MMU_PF_NOMEM;
	return tdp_link_table(vcpu, it, nx_mark(vcpu->vm, it, pf, goal)) != 0;
}

enum meeting {
	MET_NOTHING, /* that counts: as if the entry were empty */
	MET_SETTLED, /* the fault is */
	MET_CHANGE,  /* look at what is there now */
};

/* The visited entry is not empty. */
static enum meeting tdp_meet(struct mmu_vcpu *vcpu, struct tdp_iter *it, struct page_fault *pf,
			     const struct tdp_goal *goal, enum mmu_pf_result *result)
	REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	const struct mmu_format *fmt = it->root->fmt;

	if (spte_is_frozen(it->old)) {
		*result = MMU_PF_RETRY;
		return MET_SETTLED;
	}
	if (format_is_leaf(fmt, it->old, it->level))
		return tdp_meet_leaf(vcpu, it, pf, goal, result) ? MET_SETTLED : MET_CHANGE;
	if (format_is_table(fmt, it->old, it->level)) {
		iter_down(it, pf->gpa >> PAGE_SHIFT);
		return MET_CHANGE;
	}
	/* Stale, since there is a slot now.  It goes before anything else takes its place. */
	if (mmio_is_entry(fmt, it->old)) {
		mmio_remove(vcpu->vm, it->cell, it->old);
		iter_reload(it);
		return MET_CHANGE;
	}
	return MET_NOTHING;
}

/* One look at the visited entry; true when the fault is settled, with its result. */
static inline bool tdp_map_step(struct mmu_vcpu *vcpu, struct tdp_iter *it, struct page_fault *pf,
				const struct tdp_goal *goal, enum mmu_pf_result *result)
	REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	enum meeting met = it->old.raw ? tdp_meet(vcpu, it, pf, goal, result) : MET_NOTHING;

	return met == MET_NOTHING ? tdp_fill(vcpu, it, pf, goal, result) : met == MET_SETTLED;
}

enum mmu_pf_result tdp_map(struct mmu_vcpu *vcpu, struct page_fault *pf,
			   const struct memslot *slot, const struct backing_page *page,
			   unsigned access, struct tdp_iter *it)
{
	gfn_t gfn = pf->gpa >> PAGE_SHIFT;
	struct tdp_goal goal = goal_of(vcpu->vm, slot, page, gfn, access, pf->access);
	enum mmu_pf_result result;

	assert_held_read(&vcpu->vm->mmu_lock);
	pf->goal_level = PG_LEVEL_NONE;
	iter_find(it, vcpu->vm->root, gfn);
	/* Each step goes down a level or meets an entry that another CPU just filled. */
	while (!tdp_map_step(vcpu, it, pf, &goal, &result))
		;
	return result;
}
