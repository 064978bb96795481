/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Begin/end of an invalidation: how a fault learns that the page it looked up
 * without a lock may be gone.
 *
 *   fault                                 invalidation
 *   s = invalidate_snapshot()             write_lock(mmu_lock)
 *   page = backing_touch()                invalidate_begin(range)
 *   read_lock(mmu_lock)                   zap, flush, change the backing (may yield)
 *   invalidate_is_stale(s, leaf)? retry   invalidate_end()
 *   install                               write_unlock(mmu_lock)
 *
 * If the fault saw the page before the backing changed, it took its snapshot before
 * the end.  So when it gets the lock it finds the invalidation not begun (what it
 * installs will be zapped), in progress (its range says retry) or ended (the sequence
 * has moved).  The sequence is 64 bits wide and does not come round.
 */
#pragma once

#include "mm/vm.h"

void invalidate_begin(struct mmu_vm *vm, gfn_t start, gfn_t end) REQUIRES(vm->mmu_lock);
void invalidate_end(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);

uint64_t invalidate_snapshot(struct mmu_vm *vm);
/* May a page that was looked up after the snapshot not be installed at [start, end)? */
bool invalidate_is_stale(struct mmu_vm *vm, uint64_t snapshot, gfn_t start, gfn_t end)
	REQUIRES_SHARED(vm->mmu_lock);
