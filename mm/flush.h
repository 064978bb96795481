/* SPDX-License-Identifier: GPL-2.0-only */
/* Getting stale translations out of the processors; see flush.c. */
#pragma once

#include "mm/vm.h"

/*
 * When it returns, no vCPU of the VM can use a translation that was not in the
 * tables when it was called.  mmu_lock is held for write, because it is never
 * dropped with a flush owed; a vCPU needs no lock to leave guest mode.
 */
void flush_vm(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);
