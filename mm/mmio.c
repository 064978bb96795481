/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entries for gfns without memory; see mmio.h.
 *
 *   EPT   writable and executable but not readable: misconfigured, whatever else it says
 *   NPT   present, with the address bits that the processor does not have (all but 52-bit
 *         processors lack some; there, nothing is cached)
 *
 * A leaf is never replaced by such an entry: where one is found there is memory, or a slot that
 * is just being taken down, and its leaves go by zap and flush.
 */
#include "mm/mmio.h"

#include "mm/cache.h"
#include "mm/lock.h"
#include "mm/memslot.h"
#include "mm/root.h"
#include "mm/tdp.h"

#define GEN_SHIFT PAGE_SHIFT /* in the place of an address: bits that every processor has */

/* What makes an entry malformed; 0: nothing does. */
static uint64_t mmio_value(const struct mmu_vm *vm)
{
	const struct mmu_format *fmt = vm->fmt;
	uint64_t beyond = fmt->address & ~((1ul << vm->maxphyaddr) - 1);

	if (fmt->allow_x)
		return fmt->allow_w | fmt->allow_x;
	return beyond ? fmt->present | beyond : 0;
}

static spte_t mmio_make(struct mmu_vm *vm)
{
	uint64_t gen = memslots_get(vm)->generation & MMIO_GEN_MASK;

	return (spte_t){ mmio_value(vm) | gen << GEN_SHIFT };
}

void mmio_remove(struct mmu_vm *vm, spte_cell_t *cell, spte_t seen)
{
	if (spte_cmpxchg(cell, &seen, (spte_t){ 0 }))
		atomic_fetch_sub_explicit(&vm->mmio_entries, 1, memory_order_relaxed);
}

void mmio_new_generation(struct mmu_vm *vm, uint64_t generation)
{
	assert_held_write(&vm->mmu_lock);
	/* Entries of 2^MMIO_GEN_BITS changes ago would pass for new ones. */
	if (!(generation & MMIO_GEN_MASK) &&
	    atomic_load_explicit(&vm->mmio_entries, memory_order_relaxed))
		root_invalidate_all(vm);
}

static bool mmio_reserve(struct mmu_vm *vm)
{
	uint64_t n = atomic_fetch_add_explicit(&vm->mmio_entries, 1, memory_order_relaxed);

	if (n < MMIO_ENTRIES_MAX)
		return true;
	atomic_fetch_sub_explicit(&vm->mmio_entries, 1, memory_order_relaxed);
	return false;
}

/* Put it where nothing is. */
static void mmio_put(struct mmu_vm *vm, struct tdp_iter *it)
{
	spte_t old = { 0 };

	if (it->old.raw || !mmio_reserve(vm))
		return;
	if (!spte_cmpxchg(it->cell, &old, mmio_make(vm)))
		atomic_fetch_sub_explicit(&vm->mmio_entries, 1, memory_order_relaxed);
}

/* A table for an entry below; false: no memory, or something else is there. */
static bool mmio_grow(struct mmu_vcpu *vcpu, struct tdp_iter *it)
	REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	hpa_t hpa = it->old.raw ? HPA_INVALID : cache_take(&vcpu->cache);

	if (hpa == HPA_INVALID)
		return false;
	if (tdp_try_set(vcpu->vm, it, format_make_table(it->root->fmt, hpa)))
		return true;
	cache_put(&vcpu->cache, hpa);
	return format_is_table(it->root->fmt, it->old, it->level);
}

static void mmio_walk(struct mmu_vcpu *vcpu, gfn_t gfn) REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	struct tdp_iter it;

	for (iter_begin(&it, vcpu->loaded, gfn, gfn + 1, 0); it.valid; iter_next(&it)) {
		if (it.level == PG_LEVEL_4K) {
			mmio_put(vcpu->vm, &it);
			return;
		}
		if (!format_is_table(it.root->fmt, it.old, it.level) && !mmio_grow(vcpu, &it))
			return;
	}
}

void mmio_remember(struct mmu_vcpu *vcpu, gfn_t gfn)
{
	uint64_t who = who_make(MMU_OP_MMIO, gfn), since;
	struct mmu_vm *vm = vcpu->vm;

	/* Full: no table for it either. */
	if (vm->shadow || !mmio_value(vm) || gfn >= vm->gfn_limit ||
	    atomic_load_explicit(&vm->mmio_entries, memory_order_relaxed) >= MMIO_ENTRIES_MAX)
		return;
	since = mmu_fault_lock(vcpu, who);
	/* Under the lock the slots stay as they are; a dying one has leaves. */
	if (root_is_valid(vcpu->loaded) && !memslot_find_any(vm, gfn))
		mmio_walk(vcpu, gfn);
	mmu_fault_unlock(vcpu, who, since);
}

/* ---- a fault that says "malformed" --------------------------------------------------- */

/* Is this an entry that a processor could take offence at? */
static bool is_malformed(const struct mmu_vm *vm, const struct mmu_format *fmt, spte_t spte)
{
	unsigned access = format_access(fmt, spte);

	if (!(spte.raw & fmt->present))
		return false;
	return (format_hpa(fmt, spte) >> vm->maxphyaddr) || ((access & ACC_W) && !(access & ACC_R));
}

static enum mmio_answer mmio_judge(struct mmu_vcpu *vcpu, struct tdp_iter *it)
	REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	struct mmu_vm *vm = vcpu->vm;
	const struct mmu_format *fmt = it->root->fmt;

	if (!mmio_is_entry(fmt, it->old))
		/* Somebody may have changed it since the processor looked. */
		return is_malformed(vm, fmt, it->old) ? MMIO_FOREIGN : MMIO_STALE;
	if (it->old.raw == mmio_make(vm).raw)
		return MMIO_CURRENT;
	mmio_remove(vm, it->cell, it->old);
	return MMIO_STALE;
}

/* A guest uses few devices, and slots seldom change: then there still is no memory, whatever the entry says. */
static bool is_hole_again(struct mmu_vcpu *vcpu, gfn_t gfn)
{
	rcu_enter(vcpu->vm, &vcpu->reader);
	bool again = vcpu->hole == gfn &&
		     vcpu->hole_generation == memslots_get(vcpu->vm)->generation;

	rcu_exit(vcpu->vm, &vcpu->reader);
	return again;
}

static enum mmio_answer mmio_search(struct mmu_vcpu *vcpu, gfn_t gfn)
{
	uint64_t who = who_make(MMU_OP_MMIO, gfn), since;
	struct mmu_vm *vm = vcpu->vm;
	enum mmio_answer answer = MMIO_STALE;
	struct tdp_iter it;

	since = mmu_fault_lock(vcpu, who);
	for (iter_begin(&it, vcpu->loaded, gfn, gfn + 1, 0);
	     it.valid && answer == MMIO_STALE; iter_next(&it))
		answer = mmio_judge(vcpu, &it);
	if (answer == MMIO_CURRENT) {
		vcpu->hole = gfn;
		vcpu->hole_generation = memslots_get(vm)->generation;
	}
	mmu_fault_unlock(vcpu, who, since);
	return answer;
}

enum mmio_answer mmio_lookup(struct mmu_vcpu *vcpu, gfn_t gfn)
{
	if (gfn >= vcpu->vm->gfn_limit)
		return MMIO_FOREIGN;
	return is_hole_again(vcpu, gfn) ? MMIO_CURRENT : mmio_search(vcpu, gfn);
}
