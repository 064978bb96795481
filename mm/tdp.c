/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Mapping under the read lock: many vCPUs install tables and leaves in one tree
 * at a time.  Every entry goes from empty to its value by one compare-exchange; who
 * loses it looks again and finds what the winner put there.  Nothing present is ever
 * replaced here, so a mapping needs no flush.
 *
 * A 2M fault that meets a table (a neighbour was mapped at 4K first) maps its 4K
 * page in there; a 4K fault that meets a 2M leaf is done.  Neither replaces the other's
 * work, so no table gets lost.
 */
#include "mm/tdp.h"

#include "mm/cache.h"
#include "mm/iter.h"

static void account_leaf(struct mmu_vm *vm, unsigned level, uint64_t n)
{
	switch (level) {
	case PG_LEVEL_4K:
		stat_add(vm, pages_4k, n);
		break;
	case PG_LEVEL_2M:
		stat_add(vm, pages_2m, n);
		break;
	default:
		stat_add(vm, pages_1g, n);
	}
}

void tdp_account(struct mmu_vm *vm, const struct mmu_format *fmt, unsigned level, spte_t old,
		 spte_t new)
{
	bool was_leaf = format_is_leaf(fmt, old, level), is_leaf = format_is_leaf(fmt, new, level);
	bool was_table = format_is_table(fmt, old, level);
	bool is_table = format_is_table(fmt, new, level);

	/* From one page or table to another: a flush would have to lie in between. */
	MM_BUG_ON(spte_is_present(old) && spte_is_present(new) &&
		  (was_leaf != is_leaf || format_hpa(fmt, old) != format_hpa(fmt, new)));
	if (was_leaf && !is_leaf) {
		account_leaf(vm, level, -1ul);
		stat_add(vm, zap_leaf, 1);
	}
	if (is_leaf && !was_leaf)
		account_leaf(vm, level, 1);
	if (was_table != is_table)
		stat_add(vm, tables, is_table ? 1 : -1ul);
}

/* Replace what the walk saw; false: another CPU was first, it->old says with what. */
static bool tdp_try_set(struct mmu_vm *vm, struct tdp_iter *it, spte_t new)
{
	spte_t old = it->old;

	if (!spte_cmpxchg(it->cell, &it->old, new)) {
		stat_add(vm, cmpxchg_fail, 1);
		return false;
	}
	it->old = new;
	tdp_account(vm, it->root->fmt, it->level, old, new);
	return true;
}

/* An empty table where there is none.  0 also when somebody else put something there. */
static int tdp_link_table(struct mmu_vcpu *vcpu, struct tdp_iter *it)
{
	hpa_t hpa = cache_take(&vcpu->cache);

	if (hpa == HPA_INVALID)
		return -ENOMEM;
	if (!tdp_try_set(vcpu->vm, it, format_make_table(it->root->fmt, hpa)))
		cache_put(&vcpu->cache, hpa);
	return 0;
}

/* The leaf for the gfns that the visited entry spans, which page backs. */
static spte_t tdp_make_leaf(const struct mmu_vm *vm, const struct tdp_iter *it,
			    const struct page_fault *pf, const struct backing_page *page,
			    unsigned access)
{
	const struct mmu_format *fmt = it->root->fmt;
	pfn_t pfn = { page->pfn.n + (it->gfn - page->gfn) };
	uint64_t software = SPTE_REFCOUNTED;

	if (access & ACC_W)
		software |= SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE;
	spte_t leaf = format_make_leaf(fmt, pfn, it->level, access, software);

	/* The access that faulted is about to happen: spare the processor an update. */
	if (vm->hw_ad)
		leaf.raw |= fmt->accessed | (pf->access & ACC_W ? fmt->dirty : 0);
	return leaf;
}

/* There is a leaf already, of the level we want or a larger one. */
static enum mmu_pf_result tdp_found_leaf(const struct tdp_iter *it, const struct page_fault *pf,
					 const struct backing_page *page)
{
	const struct mmu_format *fmt = it->root->fmt;
	uint64_t here = format_pfn(fmt, it->old).n - it->gfn;

	/* The backing is current (the sequence says so), and a leaf goes before its page. */
	MM_BUG_ON(here != page->pfn.n - page->gfn);
	return format_access(fmt, it->old) & pf->access ? MMU_PF_SPURIOUS : MMU_PF_EMULATE;
}

/* One look at the visited entry; true when the fault is settled, with its result. */
static bool tdp_map_step(struct mmu_vcpu *vcpu, struct tdp_iter *it, struct page_fault *pf,
			 const struct backing_page *page, unsigned access,
			 enum mmu_pf_result *result)
{
	const struct mmu_format *fmt = it->root->fmt;

	if (spte_is_frozen(it->old)) {
		*result = MMU_PF_RETRY;
		return true;
	}
	if (format_is_leaf(fmt, it->old, it->level)) {
		*result = tdp_found_leaf(it, pf, page);
		return true;
	}
	if (format_is_table(fmt, it->old, it->level)) {
		iter_next(it);
		return false;
	}
	if (it->level <= page->level) {
		pf->goal_level = it->level;
		*result = MMU_PF_FIXED;
		return tdp_try_set(vcpu->vm, it, tdp_make_leaf(vcpu->vm, it, pf, page, access));
	}
	*result = MMU_PF_NOMEM;
	return tdp_link_table(vcpu, it) != 0;
}

enum mmu_pf_result tdp_map(struct mmu_vcpu *vcpu, struct page_fault *pf,
			   const struct backing_page *page, unsigned access)
{
	gfn_t gfn = pf->gpa >> PAGE_SHIFT;
	enum mmu_pf_result result;
	struct tdp_iter it;

	assert_held_read(&vcpu->vm->mmu_lock);
	iter_begin(&it, vcpu->vm->root, gfn, gfn + 1, 0);
	/* Each step goes down a level or meets an entry that another CPU just filled. */
	while (!tdp_map_step(vcpu, &it, pf, page, access, &result))
		;
	return result;
}
