/* SPDX-License-Identifier: GPL-2.0-only */
/* Walks over ranges by reverse maps, where a VM shadows. */
#pragma once

#include "mm/walk.h"

/* The part of a step of walk.c: from walk->next to end, or how far it came. */
gfn_t shadow_walk(struct range_walk *walk, gfn_t end) REQUIRES(walk->vm->mmu_lock);
/* Every leaf over the range, nothing being changed: n of them of 4K that lie side by side, or one. */
void shadow_look(struct mmu_vm *vm, gfn_t start, gfn_t end,
		 void (*visit)(void *ctx, const struct tdp_iter *it, unsigned n), void *ctx)
	REQUIRES_SHARED(vm->mmu_lock);
