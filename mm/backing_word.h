/* SPDX-License-Identifier: GPL-2.0-only */
/* How backing.c and backing_change.c write down a word. */
#pragma once

#include <stdatomic.h>

#include "mm/backing.h"

/* An address and, in the bits that its alignment leaves, the kind. */
typedef _Atomic uint64_t backing_cell_t;

enum backing_kind {
	BACKING_ABSENT = 0, /* a zeroed page is a node of absent words */
	BACKING_PAGE,
	BACKING_BALLOONED,
	BACKING_NODE,
};

#define BACKING_KIND_MASK 0xful

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

/* Acquire: pairs with the releases in word_publish() and word_store(). */
static inline uint64_t word_load(const backing_cell_t *cell)
{
	return atomic_load_explicit(cell, memory_order_acquire);
}

/* Under mmu_lock for read: turn absent into word, unless somebody was first. */
static inline bool word_publish(backing_cell_t *cell, uint64_t word)
{
	uint64_t absent = BACKING_ABSENT;

	/* Release: pairs with the acquire in word_load(). */
	return atomic_compare_exchange_strong_explicit(cell, &absent, word, memory_order_release,
						       memory_order_relaxed);
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
