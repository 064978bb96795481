/* SPDX-License-Identifier: GPL-2.0-only */
/* Taking mappings away: unlink → flush → free, always. */
#pragma once

#include "mm/vm.h"

/*
 * Remove every leaf that maps a gfn of [start, end) (a 2M leaf goes as a whole) and
 * every table left empty.  All flushes are done when it returns.  With MMU_MAY_BLOCK
 * mmu_lock may have been dropped in between, never with a flush owed; the caller's
 * invalidation keeps faults out meanwhile.
 */
void zap_range(struct mmu_vm *vm, gfn_t start, gfn_t end, unsigned flags)
	REQUIRES(vm->mmu_lock);

/* Does a holder of mmu_lock for write that may block have a reason to let others in? */
bool zap_should_yield(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);
/* Drop mmu_lock, let others run, take it again.  No flush is owed. */
void zap_yield(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);
