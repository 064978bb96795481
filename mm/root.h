/* SPDX-License-Identifier: GPL-2.0-only */
/* Roots and who refers to them; all vCPUs of a VM share one. */
#pragma once

#include "mm/vm.h"

/* The VM gives up its own reference; every vCPU has given up its. */
void root_release(struct mmu_vm *vm);
/* A vCPU that loaded the root goes. */
void root_put(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);
