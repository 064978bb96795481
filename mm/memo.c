/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memos: a finished walk of the guest's page tables, kept so that it can be checked instead of made again.
 *
 * A memo holds the addresses at which the walk found the guest's entries, and what they said.  If nothing
 * was invalidated since (which a slot that goes or moves is, too), the addresses still are those of the guest's
 * memory; if the entries still say the same, another walk would come to the same page.  Nothing is assumed about what the
 * guest flushed.
 */
#include "mm/backing.h"
#include "mm/invalidate.h"
#include "mm/lock.h"
#include "mm/memslot.h"

/* The hypervisor's address of guest memory, or NULL. */
static const void *address_of(struct mmu_vm *vm, gpa_t gpa) REQUIRES_SHARED(vm->mmu_lock)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;
	const struct memslot *slot = memslot_find(vm, gfn);
	struct backing_page page;

	if (!slot || backing_lookup_in(vm, slot, gfn, &page) || !page.refcounted)
		return NULL;
	hpa_t hpa = (page.pfn.n + (gfn - page.gfn)) << PAGE_SHIFT;

	return port_hpa_to_va(hpa | (gpa & ~PAGE_MASK));
}

static inline uint64_t entry_at(const void *at, unsigned size)
{
	/* The guest may write it at this moment: one load, as a processor would. */
	if (size == 8)
		return __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED);
	return __atomic_load_n((const uint32_t *)at, __ATOMIC_RELAXED);
}

static bool take_locked(struct mmu_vm *vm, const struct mmu_guest_walk *walk,
			struct mmu_memo *memo) REQUIRES_SHARED(vm->mmu_lock)
{
	memo->sequence = invalidate_snapshot(vm);
	memo->entry_size = walk->entry_size;
	memo->count = walk->count;
	for (unsigned i = 0; i < walk->count; i++) {
		memo->entry[i] = walk->entry[i];
		memo->at[i] = address_of(vm, walk->at[i]);
		if (!memo->at[i])
			return false;
	}
	memo->bytes = address_of(vm, walk->gpa);
	return memo->bytes != NULL;
}

bool mmu_memo_take(struct mmu_vm *vm, const struct mmu_guest_walk *walk, struct mmu_memo *memo)
{
	struct mmu_reading r = MMU_READING(COPY, walk->gpa >> PAGE_SHIFT, 1);

	mmu_read_lock(vm, &r);
	bool taken = take_locked(vm, walk, memo);

	mmu_read_unlock(vm, &r);
	return taken;
}

/* While an invalidation runs, pages of its part may go without the sequence telling it yet. */
static bool pages_are_same(struct mmu_vm *vm, const struct mmu_memo *memo)
	REQUIRES_SHARED(vm->mmu_lock)
{
	return !vm->invalidate.active && invalidate_snapshot(vm) == memo->sequence;
}

static bool entries_are_same(const struct mmu_memo *memo)
{
	uint64_t differ = 0;

	/* Once for each size, so that the loop does not ask. */
	if (memo->entry_size == 8)
		for (unsigned i = 0; i < memo->count; i++)
			differ |= entry_at(memo->at[i], 8) ^ memo->entry[i];
	else
		for (unsigned i = 0; i < memo->count; i++)
			differ |= entry_at(memo->at[i], 4) ^ memo->entry[i];
	return !differ;
}

/* Most instructions that exit are two or three bytes long. */
static bool bytes_are_same(const unsigned char *at, const unsigned char *bytes, unsigned n)
{
	unsigned char differ = 0;

	for (unsigned i = 0; i < n; i++)
		differ |= __atomic_load_n(&at[i], __ATOMIC_RELAXED) ^ bytes[i];
	return !differ;
}

bool mmu_memo_holds(struct mmu_vm *vm, const struct mmu_memo *memo, const void *bytes, unsigned n)
{
	mmu_glance_lock(vm);
	bool holds = pages_are_same(vm, memo) && entries_are_same(memo) &&
		     bytes_are_same(memo->bytes, bytes, n);

	mmu_glance_unlock(vm);
	return holds;
}
