/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The NX mitigation (mmu_config.nx_huge_pages): what is executable is mapped at 4K only,
 * for processors that can be hung by a change of size under an executable page.
 *
 * A huge leaf never gets ACC_X (tdp_leaf()); who executes splits it, or gets a 4K mapping where
 * there was none (tdp.c), in a table with SPTE_NX_SPLIT.  The worker makes such tables
 * huge again from time to time, in case nobody executes there any more; the huge leaf is not
 * executable from its first moment on, and the next fetch splits it again.
 */
#pragma once

#include "mm/vm.h"

/* At the VM's creation: the first pass is due later. */
void nx_init(struct mmu_vm *vm);
/* A table was made because of a fetch. */
void nx_note_split(struct mmu_vm *vm);
/* A bounded step of a pass that is due.  True: there is more. */
bool nx_step(struct mmu_vm *vm) EXCLUDES(vm->mmu_lock);
