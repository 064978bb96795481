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
#include "mm/quick.h"
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

/* Was what was looked up taken away since: all that a leaf of the page could span, or all mappings? */
static inline bool fault_is_late(struct mmu_vcpu *vcpu, gfn_t gfn, unsigned level, uint64_t snapshot)
	REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	return !root_is_valid(vcpu->loaded) ||
	       invalidate_is_stale(vcpu->vm, snapshot, gfn, gfn + level_pages(level));
}

/* What was looked up, unless an invalidation got in between. */
static enum mmu_pf_result fault_install(struct mmu_vcpu *vcpu, struct page_fault *pf,
					const struct memslot *slot, const struct backing_page *page,
					uint64_t snapshot, bool around)
	REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	unsigned access = memslot_access(slot) & page->access;

	if (fault_is_late(vcpu, page->gfn, page->level, snapshot))
		return MMU_PF_RETRY;
	if (!(access & pf->access))
		return MMU_PF_PROTECTED;
	struct tdp_iter it;
	enum mmu_pf_result result = tdp_map(vcpu, pf, slot, page, access, &it);

	if (around && result == MMU_PF_FIXED && pf->goal_level == PG_LEVEL_4K)
		around_map(vcpu, slot, page, &it);
	return result;
}

/* The page is there: the leaf, under one hold of the lock. */
static enum mmu_pf_result fault_map(struct mmu_vcpu *vcpu, struct page_fault *pf,
				    const struct memslot *slot, const struct backing_page *page,
				    uint64_t snapshot)
{
	uint64_t who = who_make(MMU_OP_FAULT, pf->gpa >> PAGE_SHIFT);
	uint64_t since = mmu_fault_lock(vcpu, who);
	enum mmu_pf_result result = fault_install(vcpu, pf, slot, page, snapshot,
						  vcpu->vm->fault_around > 1);

	mmu_fault_unlock(vcpu, who, since);
	return result;
}

/* There is more to it than a leaf.  Looked up again under the lock: it is what it was. */
static __attribute__((noinline)) enum mmu_pf_result
fault_not_quick(struct mmu_vcpu *vcpu, struct page_fault *pf, const struct memslot *slot,
		uint64_t snapshot) REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	struct backing_page page;
	int err = backing_look(vcpu->vm, slot, pf->gpa >> PAGE_SHIFT, &page);

	return err ? fault_backing_error(err)
		   : fault_install(vcpu, pf, slot, &page, snapshot, vcpu->vm->fault_around > 1);
}

/* The same for a plain word, most of the time with nothing but the leaf missing. */
static inline enum mmu_pf_result fault_map_plain(struct mmu_vcpu *vcpu, struct page_fault *pf,
						 const struct memslot *slot, uint64_t snapshot)
{
	enum mmu_pf_result result = MMU_PF_FIXED;
	gfn_t gfn = pf->gpa >> PAGE_SHIFT;
	uint64_t who = who_make(MMU_OP_FAULT, gfn), since = mmu_fault_lock(vcpu, who);

	if (fault_is_late(vcpu, gfn, PG_LEVEL_4K, snapshot))
		result = MMU_PF_RETRY;
	else if (!quick_map(vcpu, pf, slot))
		result = fault_not_quick(vcpu, pf, slot, snapshot);
	mmu_fault_unlock(vcpu, who, since);
	return result;
}

/*
 * The page that was fetched goes to the backing, and the leaf into the table, under one hold as well.
 * Where the page was not there yet its neighbours will not be either.
 */
static enum mmu_pf_result fault_bring(struct mmu_vcpu *vcpu, struct page_fault *pf,
				      const struct memslot *slot, struct backing_fresh *fresh,
				      uint64_t snapshot, int *err)
{
	gfn_t gfn = pf->gpa >> PAGE_SHIFT;
	uint64_t who = who_make(MMU_OP_FAULT, gfn), since = mmu_fault_lock(vcpu, who);
	struct backing_page page;

	*err = backing_bring(vcpu->vm, &vcpu->cache, slot, gfn, fresh, &page);
	enum mmu_pf_result result = *err ? fault_backing_error(*err)
					 : fault_install(vcpu, pf, slot, &page, snapshot, false);

	mmu_fault_unlock(vcpu, who, since);
	backing_drop(vcpu->vm, fresh);
	return result;
}

/*
 * There is no page yet: one is brought, of the absent span's level or smaller.  -ENOENT in *err: others
 * have divided the span meanwhile, look again.
 */
static __attribute__((noinline)) enum mmu_pf_result
fault_absent(struct mmu_vcpu *vcpu, struct page_fault *pf, const struct memslot *slot,
	     unsigned level, uint64_t snapshot, int *err)
{
	struct backing_fresh fresh = { .hpa = HPA_INVALID };

	*err = backing_fetch(vcpu->vm, slot, pf->gpa >> PAGE_SHIFT, level, &fresh);
	return *err ? fault_backing_error(*err)
		    : fault_bring(vcpu, pf, slot, &fresh, snapshot, err);
}

/* As an RCU reader, so that the slot stays, and what is looked at of its backing. */
static __attribute__((noinline)) enum mmu_pf_result
fault_in_slot(struct mmu_vcpu *vcpu, struct page_fault *pf, const struct memslot *slot,
	      uint64_t snapshot)
{
	enum mmu_pf_result result;
	struct backing_page page;
	int err;

	if (!(memslot_access(slot) & pf->access))
		return MMU_PF_EMULATE;
	do {
		err = backing_look(vcpu->vm, slot, pf->gpa >> PAGE_SHIFT, &page);
		if (err == -EFAULT)
			return MMU_PF_EMULATE;
		/* Said before a page is fetched for it. */
		if (!(page.access & pf->access))
			return MMU_PF_PROTECTED;
		if (!err)
			return fault_map(vcpu, pf, slot, &page, snapshot);
		result = fault_absent(vcpu, pf, slot, page.level, snapshot, &err);
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
	/* Neither read-only nor a device's. */
	bool plain = slot && !slot->flags && backing_plain(slot, gfn);

	if (plain)
		result = fault_map_plain(vcpu, pf, slot, snapshot);
	else if (slot)
		result = fault_in_slot(vcpu, pf, slot, snapshot);
	rcu_exit(vm, &vcpu->reader);
	if (!slot)
		mmio_remember(vcpu, gfn);
	return result;
}

/*
 * The processor found an entry malformed.  Our MMIO entries are, and say that there is no
 * memory; about anything else the guest can do nothing, and neither must it stop us.  RETRY: it
 * is a fault like others.
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
		return MMU_PF_RETRY;
	}
}

/* From the shortest way to the longest. */
static enum mmu_pf_result fault_any(struct mmu_vcpu *vcpu, struct page_fault *pf)
{
	enum mmu_pf_result result = MMU_PF_RETRY;

	if (pf->reserved)
		result = fault_reserved(vcpu, pf);
	/* Without Accessed from the processor, a leaf may be there and not be present for it. */
	else if (pf->present || !vcpu->loaded->fmt->ad)
		result = fast_fault(vcpu, pf);
	return result == MMU_PF_RETRY ? fault_handle(vcpu, pf) : result;
}

void fault_took_long(struct mmu_vcpu *vcpu, uint64_t start, uint64_t end, gfn_t gfn)
{
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

void fault_note_rare(struct mmu_vm *vm, enum mmu_pf_result result)
{
	switch (result) {
	case MMU_PF_FIXED:
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
