/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memos: a finished walk of the guest's page tables, kept so that it can be checked instead of made again.
 *
 * A memo holds the addresses at which the walk found the guest's entries and, behind them, bytes, and what
 * was there.  If nothing was invalidated since (which a slot that goes or moves is, too), the addresses still are those of
 * the guest's memory; if the same is there, another walk would come to the same page and find the same bytes.  Nothing is
 * assumed about what the guest flushed.
 *
 * All is compared as aligned words of 8 bytes under a mask: entries of 4 bytes are half of one, and an
 * instruction lies in one to three.
 */
#include "mm/backing.h"
#include "mm/invalidate.h"
#include "mm/lock.h"
#include "mm/memslot.h"
#include "mm/port.h"

/* The hypervisor's address of guest memory, or NULL. */
static const char *address_of(struct mmu_vm *vm, gpa_t gpa) REQUIRES_SHARED(vm->mmu_lock)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;
	const struct memslot *slot = memslot_find(vm, gfn);
	struct backing_page page;

	if (!slot || backing_lookup_in(vm, slot, gfn, &page) || !page.refcounted)
		return NULL;
	hpa_t hpa = (page.pfn.n + (gfn - page.gfn)) << PAGE_SHIFT;

	return port_hpa_to_va(hpa | (gpa & ~PAGE_MASK));
}

/* That these bytes are there, n of them; the last word may end before all are in it. */
static void add_bytes(struct mmu_memo *memo, const char *at, const void *bytes, unsigned n)
{
	const unsigned char *byte = bytes;

	while (n) {
		unsigned first = (uintptr_t)at % 8;
		struct mmu_memo_word *w = &memo->word[memo->count++];

		*w = (struct mmu_memo_word){ .at = (const uint64_t *)(at - first) };
		for (unsigned i = first; i < 8 && n; i++, n--, at++) {
			w->value |= (uint64_t)*byte++ << 8 * i;
			w->mask |= 0xfful << 8 * i;
		}
	}
}

static bool take_locked(struct mmu_vm *vm, const struct mmu_guest_walk *walk, const void *bytes,
			unsigned n, struct mmu_memo *memo) REQUIRES_SHARED(vm->mmu_lock)
{
	const char *at;

	memo->sequence = invalidate_snapshot(vm);
	memo->count = 0;
	for (unsigned i = 0; i < walk->count; i++) {
		at = address_of(vm, walk->at[i]);
		if (!at)
			return false;
		add_bytes(memo, at, &walk->entry[i], walk->entry_size);
	}
	at = address_of(vm, walk->gpa);
	if (at)
		add_bytes(memo, at, bytes, n);
	return at;
}

bool mmu_memo_take(struct mmu_vm *vm, const struct mmu_guest_walk *walk, const void *bytes, unsigned n,
		   struct mmu_memo *memo)
{
	struct mmu_reading r = MMU_READING(COPY, walk->gpa >> PAGE_SHIFT, 1);

	MM_BUG_ON(n > MMU_MEMO_BYTES || (walk->gpa & ~PAGE_MASK) + n > PAGE_SIZE);
	mmu_read_lock(vm, &r);
	bool taken = take_locked(vm, walk, bytes, n, memo);

	mmu_read_unlock(vm, &r);
	return taken;
}

/* While an invalidation runs, pages of its part may go without the sequence telling it yet. */
static bool pages_are_same(struct mmu_vm *vm, const struct mmu_memo *memo)
	REQUIRES_SHARED(vm->mmu_lock)
{
	return !vm->invalidate.active && invalidate_snapshot(vm) == memo->sequence;
}

static bool words_are_same(const struct mmu_memo *memo)
{
	const struct mmu_memo_word *w = memo->word, *end = w + memo->count;

	/* The guest may write it at this moment: one load, as a processor would. */
	while (w != end && !((__atomic_load_n(w->at, __ATOMIC_RELAXED) ^ w->value) & w->mask))
		w++;
	return w == end;
}

bool mmu_memo_holds(struct mmu_vm *vm, const struct mmu_memo *memo)
{
	mmu_glance_lock(vm);
	bool holds = pages_are_same(vm, memo) && words_are_same(memo);

	mmu_glance_unlock(vm);
	return holds;
}
