/* SPDX-License-Identifier: GPL-2.0-only */
/* Tables become huge leaves again, where nothing needs 4K any more. */
#pragma once

#include "mm/vm.h"

/* All tables over [start, end) may be looked at again, by and by. */
void recover_request(struct mmu_vm *vm, gfn_t start, gfn_t end) REQUIRES(vm->mmu_lock);
/* A bounded step of what was requested.  True: there is more. */
bool recover_step(struct mmu_vm *vm) EXCLUDES(vm->mmu_lock);

/*
 * A bounded step over [*next, end), of tables whose SPTE_NX_SPLIT is as in mark.  *next moves on.
 * All flushes are done when it returns.
 */
void recover_some(struct mmu_vm *vm, gfn_t *next, gfn_t end, uint64_t mark)
	REQUIRES(vm->mmu_lock);
