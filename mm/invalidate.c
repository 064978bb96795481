/* SPDX-License-Identifier: GPL-2.0-only */
/* The invalidation protocol; see invalidate.h. */
#include "mm/invalidate.h"

void invalidate_begin(struct mmu_vm *vm, gfn_t start, gfn_t end)
{
	struct mmu_invalidate *inv = &vm->invalidate;

	assert_held_write(&vm->mmu_lock);
	if (!inv->active++) {
		inv->start = start;
		inv->end = end;
		return;
	}
	/* One range for all that run: wider than their union, never narrower. */
	inv->start = start < inv->start ? start : inv->start;
	inv->end = end > inv->end ? end : inv->end;
}

void invalidate_end(struct mmu_vm *vm)
{
	struct mmu_invalidate *inv = &vm->invalidate;

	assert_held_write(&vm->mmu_lock);
	MM_BUG_ON(!inv->active);
	inv->active--;
	/*
	 * Release: pairs with the acquire in invalidate_snapshot(); whoever sees the
	 * new number sees the backing as the invalidation left it.
	 */
	atomic_fetch_add_explicit(&inv->seq, 1, memory_order_release);
}

uint64_t invalidate_snapshot(struct mmu_vm *vm)
{
	/* Acquire: pairs with the release in invalidate_end(). */
	return atomic_load_explicit(&vm->invalidate.seq, memory_order_acquire);
}

bool invalidate_is_stale(struct mmu_vm *vm, uint64_t snapshot, gfn_t start, gfn_t end)
{
	const struct mmu_invalidate *inv = &vm->invalidate;

	assert_held_read(&vm->mmu_lock);
	if (inv->active && start < inv->end && end > inv->start)
		return true;
	return atomic_load_explicit(&inv->seq, memory_order_relaxed) != snapshot;
}
