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
 *
 * A table is freed when all its entries have left their rmaps.  So an rmap that is locked keeps the whole
 * tables that its entries lie in.
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

/* The same of one that has no other.  Acquire and release: as locking and unlocking it. */
static inline void rmap_remove_only(struct rmap *rmap, spte_cell_t *cell)
{
	uintptr_t word = (uintptr_t)cell;

	while (!atomic_compare_exchange_weak_explicit(&rmap->word, &word, 0, memory_order_acq_rel,
						      memory_order_relaxed)) {
		/* Somebody looks at it. */
		MM_BUG_ON((word & ~RMAP_LOCKED) != (uintptr_t)cell);
		port_cpu_relax();
		word = (uintptr_t)cell;
	}
}
/* It is gone with all that it has; nobody looks at it, or at the entries, any more. */
void rmap_discard(struct rmap *rmap);

/* ---- mmu_lock held in either mode --------------------------------------------------------- */

static inline uintptr_t rmap_word(const struct rmap *rmap)
{
	/* Relaxed: what it points to changes under mmu_lock for write only. */
	return atomic_load_explicit(&rmap->word, memory_order_relaxed) & ~RMAP_LOCKED;
}

unsigned rmap_count(const struct rmap *rmap);
/*
 * How many rmaps from this one on are alike: they are empty, or have one entry each, and these lie
 * side by side.  1, when this one has more; max is at least 1.
 */
unsigned rmap_run(const struct rmap *rmap, unsigned max);
/* The first entry, or NULL: to take them out one by one. */
spte_cell_t *rmap_first(const struct rmap *rmap);

/* ---- without mmu_lock ---------------------------------------------------------------------- */

/*
 * The word to walk from, and to hand to the unlock; 0: it is empty and not locked.  Preemption
 * is off from before the lock till behind the unlock; as in every spinning lock that an interrupt could
 * wait for, keep it short.
 */
static inline uintptr_t rmap_lock_readonly(struct rmap *rmap)
{
	uintptr_t word = atomic_load_explicit(&rmap->word, memory_order_relaxed);

	for (;;) {
		if (!word)
			return 0;
		if (word & RMAP_LOCKED) {
			port_cpu_relax();
			word = atomic_load_explicit(&rmap->word, memory_order_relaxed);
			continue;
		}
		/* Acquire: pairs with the releases in the unlocks. */
		if (atomic_compare_exchange_weak_explicit(&rmap->word, &word, word | RMAP_LOCKED,
							  memory_order_acquire,
							  memory_order_relaxed))
			return word;
	}
}

static inline void rmap_unlock_readonly(struct rmap *rmap, uintptr_t word)
{
	/*
	 * An empty one was not locked, and may be anything by now.  Release: pairs with the acquire of
	 * the lock.
	 */
	if (word)
		atomic_store_explicit(&rmap->word, word, memory_order_release);
}

/* Has it this entry and no other?  One that somebody has locked says no. */
static inline bool rmap_has_only(const struct rmap *rmap, const spte_cell_t *cell)
{
	return atomic_load_explicit(&rmap->word, memory_order_relaxed) == (uintptr_t)cell;
}

/* ---- walking from a word --------------------------------------------------------------------- */

struct rmap_cursor {
	const struct rmap_desc *desc;
	unsigned at;
	spte_cell_t *cell; /* NULL: that was all */
};

static inline struct rmap_desc *rmap_desc_of(uintptr_t word)
{
	return (struct rmap_desc *)(word & ~RMAP_MANY);
}

static inline struct rmap_cursor rmap_begin(uintptr_t word)
{
	struct rmap_desc *desc = rmap_desc_of(word);

	if (word & RMAP_MANY)
		return (struct rmap_cursor){ .desc = desc, .cell = desc->cell[0] };
	return (struct rmap_cursor){ .cell = (spte_cell_t *)word };
}

static inline void rmap_next(struct rmap_cursor *c)
{
	if (c->desc && ++c->at == c->desc->count) {
		c->desc = c->desc->next;
		c->at = 0;
	}
	c->cell = c->desc ? c->desc->cell[c->at] : NULL;
}
