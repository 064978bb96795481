/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The dirty log of a slot: which of its pages were written since somebody last asked.
 *
 * While a log runs, the leaves are its truth: a page is dirty when its leaf is writable
 * (MMU_DIRTY_WRPROT) or has Dirty (MMU_DIRTY_DBIT, MMU_DIRTY_PML).  The bitmap holds what the
 * leaves say no longer, because they were cleaned or taken out, and what others wrote:
 * tdp_account() brings it here.  So a fault that gives write access has nothing to log,
 * and cannot be too late with it.
 *
 * Leaves are 4K as long as a log runs.  A huge one from before has no write access, unless
 * all its pages are set in the bitmap (MMU_DIRTY_ALL_SET, until they are cleaned).
 */
#pragma once

#include "mm/leaf.h"
#include "mm/memslot.h"
#include "mm/vm.h"

struct dirty_log {
	struct rcu_head rcu;
	enum mmu_dirty_style style;
	bool eager;            /* huge leaves are split before they are written */
	bool starting;         /* mmu_lock: what leaves lose now was written before the log began */
	uint64_t npages;       /* of the slot */
	_Atomic uint64_t word[]; /* bit i of word n: page 64 * n + i of the slot */
};

/* Under mmu_lock or as an RCU reader.  NULL: no log. */
static inline struct dirty_log *dirty_log_of(const struct memslot *slot)
{
	/* Acquire: pairs with the release that publishes a log in dirty.c. */
	return slot->state ? atomic_load_explicit(&slot->state->log, memory_order_acquire) : NULL;
}

struct dirty_log *dirty_log_alloc(enum mmu_dirty_style style, uint64_t npages, unsigned flags);
size_t dirty_log_size(uint64_t npages);

/* Any of these bits in a leaf of the slot says that its page was written. */
static inline uint64_t dirty_marks(const struct mmu_format *fmt, const struct dirty_log *log)
{
	return log->style == MMU_DIRTY_WRPROT ? fmt->allow_w | SPTE_SAVED_W : fmt->dirty;
}

/* Of a leaf of this level, these bits are taken to make it clean until the page is written again. */
static inline uint64_t dirty_cleaned(const struct mmu_format *fmt, const struct dirty_log *log,
				     unsigned level)
{
	uint64_t bits = dirty_marks(fmt, log);

	/* A huge leaf does not get write access back: it would not tell which page was written. */
	if (level > PG_LEVEL_4K)
		bits |= fmt->allow_w | SPTE_SAVED_W | SPTE_MMU_WRITABLE;
	return bits;
}

/* Did the leaf say with one of these marks what takes its place, leaf or not, says no longer? */
static inline bool dirty_lost(uint64_t marks, spte_t old, spte_t new)
{
	return (old.raw & marks) && !(spte_is_present(new) && (new.raw & marks));
}

/* Pages [page, page + n) of the slot, as far as it reaches, are dirty. */
void dirty_log_mark(struct mmu_vm *vm, struct dirty_log *log, uint64_t page, uint64_t n);
/* The same of up to 64 pages from page on, of those that have a bit. */
void dirty_log_mark_bits(struct mmu_vm *vm, struct dirty_log *log, uint64_t page, uint64_t bits);
/*
 * The bits of up to 64 pages from page on, as far as mask goes (bit 0 is page); clear takes
 * them away.
 */
uint64_t dirty_log_bits(struct dirty_log *log, uint64_t page, uint64_t mask, bool clear);

/* An entry at gfn, the first of its span, changed: what the new one says no longer is logged. */
void dirty_fold(struct mmu_vm *vm, const struct mmu_format *fmt, gfn_t gfn, unsigned level,
		spte_t old, spte_t new) REQUIRES_SHARED(vm->mmu_lock);
/* Somebody wrote to the page beside the guest's own tables. */
void dirty_mark(struct mmu_vm *vm, gfn_t gfn) REQUIRES_SHARED(vm->mmu_lock);

/* The slot goes, and its log with it. */
void dirty_slot_gone(struct mmu_vm *vm, struct memslot_state *state) REQUIRES(vm->mmu_lock);
