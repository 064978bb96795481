/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Roots, who refers to them, and how all mappings go at once.
 *
 *   VALID ──root_invalidate_all()──▶ INVALID ──worker, in steps──▶ ZAPPED ──last vCPU──▶ freed
 *
 * A root goes only forwards, so one that is queued, or empty and kept alive by a vCPU
 * that sleeps, is never queued again.
 */
#pragma once

#include "mm/vm.h"

/* The VM ends: every vCPU has given up its reference. */
void root_release_all(struct mmu_vm *vm);
/* The vCPU lets go of the root it loaded, if it has one. */
void root_put(struct mmu_vcpu *vcpu) REQUIRES(vcpu->vm->mmu_lock);

/* Every valid root becomes invalid, and no processor uses it when this returns. */
void root_invalidate_all(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);
/*
 * One bounded step of tearing down invalid roots.  True: there is more to do.  Takes
 * mmu_lock for write, for as long as ROOT_STEP entries take.
 */
bool root_teardown_step(struct mmu_vm *vm) EXCLUDES(vm->mmu_lock);
#define ROOT_STEP 512

static inline bool root_is_valid(const struct mmu_root *root)
{
	/*
	 * Relaxed: under mmu_lock, or behind an acquire of the tlb_gen that invalidating
	 * it raised (flush.c).
	 */
	return atomic_load_explicit(&root->state, memory_order_relaxed) == ROOT_VALID;
}

/* All roots, valid or not: under mmu_lock, or as an RCU reader. */
static inline struct mmu_root *root_first(const struct mmu_vm *vm)
{
	/* Acquire: pairs with the release that links a root. */
	return atomic_load_explicit(&vm->roots, memory_order_acquire);
}

static inline struct mmu_root *root_next(const struct mmu_root *root)
{
	return atomic_load_explicit(&root->next, memory_order_acquire);
}

#define for_each_root(vm, root) \
	for (struct mmu_root *root = root_first(vm); root; root = root_next(root))
