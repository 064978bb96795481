/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A nested page fault, from the processor's report to the installed leaf.
 *
 * What may take time or memory happens first, without a lock; what was looked up then
 * is checked again under mmu_lock (invalidate.h) before it is used.  A fault that only needs a
 * permission back that we took away ourselves does without all that (fast.c).
 */
#include "mm/fault.h"

#include "mm/around.h"
#include "mm/backing.h"
#include "mm/cache.h"
#include "mm/fast.h"
#include "mm/invalidate.h"
#include "mm/lock.h"
#include "mm/memslot.h"
#include "mm/mmio.h"
#include "mm/root.h"
#include "mm/tdp.h"

/* Pages that one fault can use up: a path of tables and one of nodes. */
static unsigned fault_cache_want(const struct mmu_vm *vm)
{
	return (unsigned)vm->root_level - 1 + BACKING_NODES(vm);
}

enum mmu_pf_result fault_backing_error(int err)
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

/* What was looked up, unless an invalidation got in between, of it or of all mappings. */
static enum mmu_pf_result fault_install(struct mmu_vcpu *vcpu, struct page_fault *pf,
					const struct memslot *slot, const struct backing_page *page,
					uint64_t snapshot, bool around)
	REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	unsigned access = memslot_access(slot) & page->access;

	/* All that a leaf of the page could span, not only the gfn that faulted. */
	if (!root_is_valid(vcpu->loaded) ||
	    invalidate_is_stale(vcpu->vm, snapshot, page->gfn,
				page->gfn + level_pages(page->level)))
		return MMU_PF_RETRY;
	if (!(access & pf->access))
		return MMU_PF_PROTECTED;
	struct tdp_iter it;
	enum mmu_pf_result result = tdp_map(vcpu, pf, slot, page, access, &it);

	if (around && result == MMU_PF_FIXED && pf->goal_level == PG_LEVEL_4K)
		around_map(vcpu, slot, page, &it);
	return result;
}

/*
 * Under one hold of the lock: a page that was fetched goes to the backing, and the leaf into the
 * table.  -ENOENT in *err: not this page, but a smaller one.
 */
static enum mmu_pf_result fault_locked(struct mmu_vcpu *vcpu, struct page_fault *pf,
				       const struct memslot *slot, struct backing_fresh *fresh,
				       struct backing_page *page, uint64_t snapshot, int *err)
{
	gfn_t gfn = pf->gpa >> PAGE_SHIFT;
	struct mmu_reading r = { .op = MMU_OP_FAULT, .gfn = gfn, .npages = 1, .vcpu = vcpu };
	enum mmu_pf_result result;

	/* Where the page was not there yet its neighbours will not be either. */
	bool brings = fresh->hpa != HPA_INVALID, around = vcpu->vm->fault_around > 1 && !brings;

	mmu_read_lock(vcpu->vm, &r);
	if (brings)
		*err = backing_bring(vcpu->vm, &vcpu->cache, slot, gfn, fresh, page);
	result = *err ? fault_backing_error(*err)
		      : fault_install(vcpu, pf, slot, page, snapshot, around);
	mmu_read_unlock(vcpu->vm, &r);
	return result;
}

/* As an RCU reader, so that the slot stays, and what is looked at of its backing. */
static enum mmu_pf_result fault_in_slot(struct mmu_vcpu *vcpu, struct page_fault *pf,
					const struct memslot *slot, uint64_t snapshot)
{
	struct backing_fresh fresh = { .hpa = HPA_INVALID };
	gfn_t gfn = pf->gpa >> PAGE_SHIFT;
	enum mmu_pf_result result;
	struct backing_page page;
	int err;

	if (!(memslot_access(slot) & pf->access))
		return MMU_PF_EMULATE;
	do {
		err = backing_look(vcpu->vm, slot, gfn, &page);
		if (err == -EFAULT)
			return MMU_PF_EMULATE;
		/* Said before a page is fetched for it. */
		if (!(page.access & pf->access))
			return MMU_PF_PROTECTED;
		if (err)
			err = backing_fetch(vcpu->vm, slot, gfn, page.level, &fresh);
		if (err)
			return fault_backing_error(err);
		result = fault_locked(vcpu, pf, slot, &fresh, &page, snapshot, &err);
		backing_drop(vcpu->vm, &fresh);
	} while (err == -ENOENT);
	return result;
}

static enum mmu_pf_result fault_handle(struct mmu_vcpu *vcpu, struct page_fault *pf)
{
	struct mmu_vm *vm = vcpu->vm;
	gfn_t gfn = pf->gpa >> PAGE_SHIFT;
	enum mmu_pf_result result = MMU_PF_EMULATE;

	/* Most faults need none of these pages: being short matters where one is missing. */
	(void)cache_topup(&vcpu->cache, fault_cache_want(vm));
	rcu_enter(vm, &vcpu->reader);
	uint64_t snapshot = invalidate_snapshot(vm);
	const struct memslot *slot = memslot_find_again(vcpu, gfn);

	if (slot)
		result = fault_in_slot(vcpu, pf, slot, snapshot);
	rcu_exit(vm, &vcpu->reader);
	if (!slot)
		mmio_remember(vcpu, gfn);
	return result;
}

/*
 * The processor found an entry malformed.  Our MMIO entries are, and say that there is no
 * memory; about anything else the guest can do nothing, and neither must it stop us.
 */
static enum mmu_pf_result fault_reserved(struct mmu_vcpu *vcpu, struct page_fault *pf)
{
	switch (mmio_lookup(vcpu, pf->gpa >> PAGE_SHIFT)) {
	case MMIO_CURRENT:
		stat_add(vcpu->vm, pf_mmio_spte, 1);
		return MMU_PF_EMULATE;
	case MMIO_FOREIGN:
		/* Once: a guest that can cause this could do so for ever. */
		if (!atomic_exchange_explicit(&vcpu->vm->malformed_told, true,
					      memory_order_relaxed))
			port_log("mmu: %s: the processor finds the entry for gpa 0x%lx malformed",
				 vcpu->vm->name, (unsigned long)pf->gpa);
		return MMU_PF_EMULATE;
	default:
		return fault_handle(vcpu, pf);
	}
}

static enum mmu_pf_result fault_any(struct mmu_vcpu *vcpu, struct page_fault *pf)
{
	if (pf->reserved)
		return fault_reserved(vcpu, pf);
	/* Without Accessed from the processor, a leaf may be there and not be present for it. */
	if (pf->present || !vcpu->loaded->fmt->ad) {
		enum mmu_pf_result result = fast_fault(vcpu, pf);

		if (result != MMU_PF_RETRY)
			return result;
	}
	return fault_handle(vcpu, pf);
}

/* From beginning to end. */
void fault_time(struct mmu_vcpu *vcpu, uint64_t start, gfn_t gfn)
{
	uint64_t end = port_clock();

	if (!latency_count_vcpu(&vcpu->vm->latency, vcpu, MMU_LATENCY_FAULT, end - start))
		return;
	struct latency_event e = { end - start, end, who_make(MMU_OP_FAULT, gfn), 1,
				   vcpu->waited_for };

	latency_worst(vcpu->vm, MMU_LATENCY_FAULT, &e);
}

static enum mmu_pf_result fault_timed(struct mmu_vcpu *vcpu, struct page_fault *pf)
{
	uint64_t start = port_clock();

	vcpu->waited_for = 0;
	enum mmu_pf_result result = fault_any(vcpu, pf);

	fault_time(vcpu, start, pf->gpa >> PAGE_SHIFT);
	return result;
}

void fault_note(struct mmu_vm *vm, enum mmu_pf_result result)
{
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
	case MMU_PF_PROTECTED:
		stat_add(vm, pf_protected, 1);
		break;
	case MMU_PF_NOMEM:
		stat_add(vm, pf_nomem, 1);
		break;
	case MMU_PF_INJECT:
		stat_add(vm, pf_guest, 1);
		break;
	}
}

enum mmu_pf_result mmu_page_fault(struct mmu_vcpu *vcpu, struct page_fault *pf)
{
	MM_BUG_ON(vcpu->root == HPA_INVALID);
	enum mmu_pf_result result = fault_timed(vcpu, pf);

	fault_note(vcpu->vm, result);
	return result;
}
