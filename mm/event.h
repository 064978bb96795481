/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What was done last to a VM's tables: rings of stays under mmu_lock for write, for whoever looks at a VM that
 * has come to harm.  The holder writes as it lets go.
 */
#pragma once

#include "mm/vm.h"

/* By the holder of mmu_lock for write: it is about to let go, now. */
void event_note(struct mmu_vm *vm, uint64_t now) REQUIRES(vm->mmu_lock);
