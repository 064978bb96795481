/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reverse map of a page: all entries of shadow tables that map it, or (the parents of a
 * shadow page) all entries that point to one table.
 *
 *   word   0                          no entry
 *          cell                       one
 *          descriptor | RMAP_MANY     more: 14 in the first descriptor, or fewer, and 14 in
 *                                     each behind it; how many those are is counted
 *
 * Bit 1, RMAP_LOCKED, is the lock of this one rmap.  To change it takes mmu_lock for write *and*
 * the bit; to walk it takes either.  So who ages pages needs the bit only, and is shut out just
 * while an entry comes or goes.  An empty rmap is not locked: who may walk it has nothing to
 * walk, and who may fill it has mmu_lock.
 */
#pragma once

#include <stdatomic.h>

#include "mm/spte.h"

struct rmap {
	_Atomic uintptr_t word;
};

#define RMAP_MANY   ((uintptr_t)1)
#define RMAP_LOCKED ((uintptr_t)2)

#define RMAP_DESC_CELLS 14u

struct rmap_desc {
	struct rmap_desc *next;
	uint32_t count;  /* entries here */
	uint32_t behind; /* entries in all the descriptors behind this one */
	spte_cell_t *cell[RMAP_DESC_CELLS];
};

/* Descriptors fetched before mmu_lock was taken. */
struct rmap_reserve {
	struct rmap_desc *free; /* by next */
	unsigned count;
};

/* -ENOMEM leaves what there is. */
int rmap_reserve_fill(struct rmap_reserve *reserve, unsigned want);
void rmap_reserve_drain(struct rmap_reserve *reserve);

/* ---- mmu_lock held for write ------------------------------------------------------------ */

/* One more entry; the reserve has a descriptor. */
void rmap_add(struct rmap *rmap, spte_cell_t *cell, struct rmap_reserve *reserve);
/* It is there. */
void rmap_remove(struct rmap *rmap, spte_cell_t *cell);

/* ---- mmu_lock held in either mode --------------------------------------------------------- */

static inline uintptr_t rmap_word(const struct rmap *rmap)
{
	/* Relaxed: what it points to changes under mmu_lock for write only. */
	return atomic_load_explicit(&rmap->word, memory_order_relaxed) & ~RMAP_LOCKED;
}

unsigned rmap_count(const struct rmap *rmap);
/* The first entry, or NULL: to take them out one by one. */
spte_cell_t *rmap_first(const struct rmap *rmap);

/* ---- without mmu_lock ---------------------------------------------------------------------- */

/*
 * The word to walk from, and to hand to the unlock; 0: it is empty and not locked.  Preemption
 * is off in between; as in every spinning lock that an interrupt could wait for, keep it short.
 */
uintptr_t rmap_lock_readonly(struct rmap *rmap);
void rmap_unlock_readonly(struct rmap *rmap, uintptr_t word);

/* ---- walking from a word --------------------------------------------------------------------- */

struct rmap_cursor {
	const struct rmap_desc *desc;
	unsigned at;
	spte_cell_t *cell; /* NULL: that was all */
};

struct rmap_cursor rmap_begin(uintptr_t word);
void rmap_next(struct rmap_cursor *c);
