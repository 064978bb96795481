/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Invalidations: how a fault learns that the page it looked up without a lock may be gone.
 *
 *   fault                                 invalidation
 *   s = invalidate_snapshot()             write_lock(mmu_lock)
 *   page = backing_look()                 invalidate_begin(range)
 *   read_lock(mmu_lock)                   zap, flush, change the backing of a part
 *   invalidate_is_stale(s, leaf)? retry   invalidate_advance(): that part is done
 *   install                               … yield, and so on with the next part …
 *                                         invalidate_end()
 *                                         write_unlock(mmu_lock)
 *
 * If the fault saw the page before the backing changed, it took its snapshot before that
 * part was done.  So when it gets the lock it finds the part not begun (what it installs
 * will be zapped), in progress (the range that is left says retry) or done since its
 * snapshot (the sequence has moved, and the last parts done are remembered).
 *
 * The range shrinks as the walk advances, so that a fault inside it waits for its own page
 * and not for the whole operation.  The sequence is 64 bits wide and does not come round.
 */
#pragma once

#include "mm/vm.h"

/* One that runs now; lies with whoever runs it, on the list of the VM. */
struct invalidation {
	gfn_t start, end; /* what is not yet done */
	struct invalidation *next;
};

void invalidate_begin(struct mmu_vm *vm, struct invalidation *inv, gfn_t start, gfn_t end)
	REQUIRES(vm->mmu_lock);
/* Zapped, flushed and changed up to here. */
void invalidate_advance(struct mmu_vm *vm, struct invalidation *inv, gfn_t start)
	REQUIRES(vm->mmu_lock);
/* All that was left is done, or given up unchanged. */
void invalidate_end(struct mmu_vm *vm, struct invalidation *inv) REQUIRES(vm->mmu_lock);

static inline uint64_t invalidate_snapshot(const struct mmu_vm *vm)
{
	/* Acquire: pairs with the release in remember(), in invalidate.c. */
	return atomic_load_explicit(&vm->invalidate.seq, memory_order_acquire);
}

/* Of those that run, and those that were done since the snapshot, does one overlap [start, end)? */
bool invalidate_overlaps(struct mmu_vm *vm, uint64_t snapshot, gfn_t start, gfn_t end)
	REQUIRES_SHARED(vm->mmu_lock);
/* May a page that was looked up after the snapshot not be installed at [start, end)? */
static inline bool invalidate_is_stale(struct mmu_vm *vm, uint64_t snapshot, gfn_t start, gfn_t end)
	REQUIRES_SHARED(vm->mmu_lock)
{
	return (vm->invalidate.active || invalidate_snapshot(vm) != snapshot) &&
	       invalidate_overlaps(vm, snapshot, start, end);
}

bool invalidate_any_in_progress(struct mmu_vm *vm, gfn_t start, gfn_t end)
	REQUIRES_SHARED(vm->mmu_lock);
/* Is any of [start, end) about to go?  For what was looked up under the same hold of the lock. */
static inline bool invalidate_in_progress(struct mmu_vm *vm, gfn_t start, gfn_t end)
	REQUIRES_SHARED(vm->mmu_lock)
{
	return vm->invalidate.active && invalidate_any_in_progress(vm, start, end);
}
