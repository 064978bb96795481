/* SPDX-License-Identifier: GPL-2.0-only */
/* A huge leaf becomes a table of leaves that map the same. */
#pragma once

#include "mm/iter.h"
#include "mm/vm.h"

/*
 * Replace the huge leaf that the walk stands on by a table at hpa, a page of ours, filled
 * with the leaves of the next lower level: the same pages, permissions, and used as
 * much.  mark is 0 or SPTE_NX_SPLIT.  The walk then stands on the table.  False: another CPU
 * made something else of the leaf, which it->old says; the page is still ours, but no longer
 * zero.
 */
bool split_leaf(struct mmu_vm *vm, struct tdp_iter *it, hpa_t hpa, uint64_t mark)
	REQUIRES_SHARED(vm->mmu_lock);

/* Does the table of entry new begin with the page that leaf old maps at level? */
bool split_maps_same(const struct mmu_format *fmt, unsigned level, spte_t old, spte_t new);

/*
 * Split every huge leaf over [start, end) down to 4K, as far as there is memory for tables.
 * mmu_lock is given up to allocate, and now and then to let others in.
 */
void split_range(struct mmu_vm *vm, gfn_t start, gfn_t end) EXCLUDES(vm->mmu_lock);
