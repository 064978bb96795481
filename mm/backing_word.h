/* SPDX-License-Identifier: GPL-2.0-only */
/* How backing.c and backing_change.c write down a word. */
#pragma once

#include <stdatomic.h>

#include "mm/backing.h"
#include "mm/memslot.h"

/* An address and, in the bits that its alignment leaves, the kind and the page's state. */
typedef _Atomic uint64_t backing_cell_t;

enum backing_kind {
	BACKING_ABSENT = 0, /* a zeroed page is a node of absent words */
	BACKING_PAGE,
	BACKING_BALLOONED,
	BACKING_NODE,
};

#define BACKING_KIND_MASK 0xful
#define WORD_ACCESSED (1ul << 4) /* both as in LEAF_*, but for the place */
#define WORD_DIRTY    (1ul << 5)
#define WORD_SINGLES  (1ul << 6) /* above 4K: its 4K pages are freed one by one */
#define WORD_NO_WRITE (1ul << 7)
#define WORD_NO_TOUCH (1ul << 8)

#define WORD_PROTECTION (WORD_NO_WRITE | WORD_NO_TOUCH)
#define WORD_STATE (WORD_ACCESSED | WORD_DIRTY | WORD_PROTECTION) /* of a page of 4K */

static inline enum backing_kind word_kind(uint64_t word)
{
	return (enum backing_kind)(word & BACKING_KIND_MASK);
}

static inline hpa_t word_hpa(uint64_t word)
{
	return word & PAGE_MASK;
}

static inline uint64_t word_make(enum backing_kind kind, hpa_t hpa)
{
	return hpa | kind;
}

/* What mmu_protect() said, as bits and back. */
static inline uint64_t word_protection(unsigned access)
{
	if (!(access & ACC_R))
		return WORD_PROTECTION;
	return access & ACC_W ? 0 : WORD_NO_WRITE;
}

static inline unsigned word_access(uint64_t word)
{
	if (word & WORD_NO_TOUCH)
		return 0;
	return word & WORD_NO_WRITE ? ACC_R | ACC_X : ACC_RWX;
}

/* Acquire: pairs with the releases in backing_publish() and word_store(). */
static inline uint64_t word_load(const backing_cell_t *cell)
{
	return atomic_load_explicit(cell, memory_order_acquire);
}

/* Under mmu_lock for write, or in a node that nobody else sees. */
static inline void word_store(backing_cell_t *cell, uint64_t word)
{
	atomic_store_explicit(cell, word, memory_order_release);
}

static inline backing_cell_t *backing_node(hpa_t hpa)
{
	return port_hpa_to_va(hpa);
}

/* A zeroed page becomes a node whose words are all the same. */
static inline void node_fill(hpa_t hpa, uint64_t word)
{
	for (unsigned i = 0; i < PT_ENTRIES; i++)
		word_store(&backing_node(hpa)[i], word);
}

/* Where in the tree a gfn of the slot is. */
static inline gfn_t backing_index(const struct memslot *slot, gfn_t gfn)
{
	return gfn - slot->base + slot->state->backing.skew;
}

static inline bool backing_is_device(const struct memslot *slot)
{
	return slot->flags & MMU_SLOT_DEVICE;
}

/* The lowest cell on the way to index that is not a node, but not below bottom; and what it said. */
static inline backing_cell_t *backing_read(const struct backing *b, gfn_t index, unsigned bottom,
					   unsigned *level, uint64_t *word)
{
	backing_cell_t *node = backing_node(b->top), *cell;
	unsigned l = b->level;
	uint64_t w;

	for (;; l--) {
		cell = &node[level_index(index, l)];
		w = word_load(cell);
		if (word_kind(w) != BACKING_NODE || l == bottom)
			break;
		node = backing_node(word_hpa(w));
	}
	*level = l;
	*word = w;
	return cell;
}

static inline backing_cell_t *backing_find(const struct backing *b, gfn_t index, unsigned bottom,
					   unsigned *level)
{
	uint64_t word;

	return backing_read(b, index, bottom, level, &word);
}

/*
 * The word behind gfn, in a slot of RAM, if it is that of a 4K page that may be used in every way; NULL: it is
 * not.  Under mmu_lock; or by an RCU reader, but then it is not to be read again: when a neighbour
 * changes, words may fold, and their node goes.
 */
static inline backing_cell_t *backing_plain(const struct memslot *slot, gfn_t gfn)
{
	unsigned level;
	uint64_t word;
	backing_cell_t *cell = backing_read(&slot->state->backing, backing_index(slot, gfn),
					    PG_LEVEL_4K, &level, &word);

	return level == PG_LEVEL_4K &&
	       (word & (BACKING_KIND_MASK | WORD_PROTECTION)) == BACKING_PAGE ? cell : NULL;
}

/* The words behind neighbouring gfns: word i is cell[i * step]. */
struct backing_row {
	backing_cell_t *cell; /* NULL: a device's, which has none */
	unsigned step;        /* 0: one word for all */
};

/*
 * From gfn on, for entries of this level.  Returns how many gfns have their words there, which may
 * lie beyond the slot.
 */
uint64_t backing_row(const struct memslot *slot, gfn_t gfn, unsigned level, struct backing_row *row);

/*
 * The page keeps what its leaf has lost (LEAF_*); nothing happens where none is.  Under mmu_lock: pages leave
 * under it for write, so it stays one.
 */
static inline void backing_keep(backing_cell_t *cell, unsigned lost)
{
	uint64_t word = word_load(cell), bits = (uint64_t)lost * WORD_ACCESSED;

	if (word_kind(word) == BACKING_PAGE && (word & bits) != bits)
		atomic_fetch_or_explicit(cell, bits, memory_order_relaxed);
}
