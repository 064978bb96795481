/* SPDX-License-Identifier: GPL-2.0-only */
/* The invalidation protocol; see invalidate.h. */
#include "mm/invalidate.h"

static bool overlaps(gfn_t a_start, gfn_t a_end, gfn_t b_start, gfn_t b_end)
{
	return a_start < b_end && b_start < a_end;
}

void invalidate_begin(struct mmu_vm *vm, struct invalidation *inv, gfn_t start, gfn_t end)
{
	assert_held_write(&vm->mmu_lock);
	*inv = (struct invalidation){ start, end, vm->invalidate.active };
	vm->invalidate.active = inv;
}

/* [start, end) is done: whoever looked a page up in there before has to look again. */
static void remember(struct mmu_invalidate *all, gfn_t start, gfn_t end)
{
	uint64_t seq = atomic_load_explicit(&all->seq, memory_order_relaxed);

	all->done[seq % INVALIDATE_DONE] = (struct gfn_range){ start, end };
	/*
	 * Release: pairs with the acquire in invalidate_snapshot(); whoever sees the
	 * new number sees the backing as the invalidation left it.
	 */
	atomic_store_explicit(&all->seq, seq + 1, memory_order_release);
}

void invalidate_advance(struct mmu_vm *vm, struct invalidation *inv, gfn_t start)
{
	assert_held_write(&vm->mmu_lock);
	if (start <= inv->start)
		return;
	remember(&vm->invalidate, inv->start, start);
	inv->start = start;
}

void invalidate_end(struct mmu_vm *vm, struct invalidation *inv)
{
	struct invalidation **link = &vm->invalidate.active;

	assert_held_write(&vm->mmu_lock);
	while (*link != inv)
		link = &(*link)->next;
	*link = inv->next;
	remember(&vm->invalidate, inv->start, inv->end);
}

bool invalidate_any_in_progress(struct mmu_vm *vm, gfn_t start, gfn_t end)
{
	assert_held_read(&vm->mmu_lock);
	for (const struct invalidation *inv = vm->invalidate.active; inv; inv = inv->next)
		if (overlaps(start, end, inv->start, inv->end))
			return true;
	return false;
}

/* Too many were done since the snapshot to remember them all: then any may overlap. */
static bool done_since(const struct mmu_invalidate *all, uint64_t snapshot, gfn_t start, gfn_t end)
{
	uint64_t seq = atomic_load_explicit(&all->seq, memory_order_relaxed);

	if (seq - snapshot > INVALIDATE_DONE)
		return true;
	for (uint64_t s = snapshot; s != seq; s++) {
		const struct gfn_range *r = &all->done[s % INVALIDATE_DONE];

		if (overlaps(start, end, r->start, r->end))
			return true;
	}
	return false;
}

bool invalidate_overlaps(struct mmu_vm *vm, uint64_t snapshot, gfn_t start, gfn_t end)
{
	return invalidate_in_progress(vm, start, end) ||
	       done_since(&vm->invalidate, snapshot, start, end);
}
