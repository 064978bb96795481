/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A nested page fault, from the processor's report to the installed leaf.
 *
 * What may take time or memory happens first, without a lock; what was looked up then
 * is checked again under mmu_lock (invalidate.h) before it is used.
 */
#include "mm/backing.h"
#include "mm/cache.h"
#include "mm/invalidate.h"
#include "mm/tdp.h"

/* Pages that one fault can use up: a path of tables and one of nodes. */
static unsigned fault_cache_want(const struct mmu_vm *vm)
{
	return (unsigned)vm->root_level - 1 + BACKING_NODES(vm);
}

static enum mmu_pf_result backing_error(int err)
{
	switch (err) {
	case -EFAULT:
		return MMU_PF_EMULATE;
	case -EAGAIN:
		return MMU_PF_RETRY;
	default:
		return MMU_PF_NOMEM;
	}
}

/* Install the page unless an invalidation got in between. */
static enum mmu_pf_result fault_install(struct mmu_vcpu *vcpu, struct page_fault *pf,
					const struct backing_page *page, unsigned access,
					uint64_t snapshot)
{
	enum mmu_pf_result result = MMU_PF_RETRY;

	read_lock(&vcpu->vm->mmu_lock);
	/* All that a leaf of the page could span, not only the gfn that faulted. */
	if (!invalidate_is_stale(vcpu->vm, snapshot, page->gfn,
				 page->gfn + level_pages(page->level)))
		result = tdp_map(vcpu, pf, page, access);
	read_unlock(&vcpu->vm->mmu_lock);
	return result;
}

static enum mmu_pf_result fault_handle(struct mmu_vcpu *vcpu, struct page_fault *pf)
{
	struct mmu_vm *vm = vcpu->vm;
	gfn_t gfn = pf->gpa >> PAGE_SHIFT;
	struct backing_page page;

	/* Most faults need none of these pages: being short matters where one is missing. */
	(void)cache_topup(&vcpu->cache, fault_cache_want(vm));
	uint64_t snapshot = invalidate_snapshot(vm);
	const struct memslot *slot = memslot_find(vm, gfn);

	if (!slot || !(memslot_access(slot) & pf->access))
		return MMU_PF_EMULATE;
	int err = backing_touch(vm, &vcpu->cache, slot, gfn, &page);

	if (err)
		return backing_error(err);
	return fault_install(vcpu, pf, &page, memslot_access(slot), snapshot);
}

enum mmu_pf_result mmu_page_fault(struct mmu_vcpu *vcpu, struct page_fault *pf)
{
	struct mmu_vm *vm = vcpu->vm;

	MM_BUG_ON(vcpu->root == HPA_INVALID);
	/*
	 * We never write an entry with reserved bits; but an address beyond what our
	 * tables reach may be reported like this, and that is the guest's affair.
	 */
	enum mmu_pf_result result = pf->reserved ? MMU_PF_EMULATE : fault_handle(vcpu, pf);

	switch (result) {
	case MMU_PF_FIXED:
		stat_add(vm, pf_fixed, 1);
		break;
	case MMU_PF_SPURIOUS:
		stat_add(vm, pf_spurious, 1);
		break;
	case MMU_PF_RETRY:
		stat_add(vm, pf_retry, 1);
		/* Whoever is in our way gets further when we do not fault again at once. */
		port_resched();
		break;
	case MMU_PF_EMULATE:
		stat_add(vm, pf_emulate, 1);
		break;
	case MMU_PF_NOMEM:
		stat_add(vm, pf_nomem, 1);
		break;
	}
	return result;
}
