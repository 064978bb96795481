/* SPDX-License-Identifier: GPL-2.0-only */
/* Taking mappings away: unlink → flush → free, always. */
#pragma once

#include "mm/invalidate.h"
#include "mm/walk.h"

/* The visit of walks that take mappings away: these entries go. */
void zap_visit(struct range_walk *walk, struct leaf_run *run);
/* A walk that removes every leaf that maps a gfn of [start, end), a huge leaf as a whole. */
struct range_walk zap_walk(struct mmu_vm *vm, gfn_t start, gfn_t end, unsigned flags);

/*
 * All of it, with its invalidation inside.  With MMU_MAY_BLOCK mmu_lock may have been dropped
 * in between, never with a flush owed; faults stay out of what is not yet done.
 */
void zap_range(struct mmu_vm *vm, gfn_t start, gfn_t end, unsigned flags)
	REQUIRES(vm->mmu_lock);

/* About budget entries of an invalid root.  True: nothing is left in it. */
bool zap_root_step(struct mmu_vm *vm, struct mmu_root *root, uint64_t budget)
	REQUIRES(vm->mmu_lock);
