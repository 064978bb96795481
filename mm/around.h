/* SPDX-License-Identifier: GPL-2.0-only */
/* Fault-around: one fault maps what lies beside its page. */
#pragma once

#include "mm/backing_word.h"
#include "mm/dirty.h"
#include "mm/iter.h"

/*
 * The fault has mapped page in a 4K leaf, where it stands.  Map the neighbours in the aligned
 * window of vm->fault_around pages that the backing already holds: same slot, same
 * protection, 4K leaves in the table that is there.
 */
void around_map(struct mmu_vcpu *vcpu, const struct memslot *slot, const struct backing_page *page,
		const struct tdp_iter *it)
	REQUIRES_SHARED(vcpu->vm->mmu_lock);

/* ---- the parts of it that quick.c has, too -------------------------------------------- */

/* What a word of the backing says besides the page's address, as far as it matters here. */
#define WORD_ASKED (BACKING_KIND_MASK | WORD_PROTECTION)

/* As the fault's leaf, but nobody's access, and without a page. */
static inline spte_t around_leaf(const struct mmu_format *fmt, const struct dirty_log *log,
				 spte_t leaf)
{
	leaf.raw &= ~(fmt->address | (fmt->ad ? fmt->accessed | fmt->dirty : fmt->allow_w));
	/* The log wants to hear of each write. */
	if (log && log->style == MMU_DIRTY_WRPROT)
		leaf = leaf_wrprot(fmt, leaf);
	return leaf;
}

/* A leaf that is like that, for the page that word names, if nothing is there. */
static inline bool around_set(spte_cell_t *cell, spte_t like, uint64_t word)
{
	spte_t old = { 0 };

	return !spte_load(cell).raw &&
	       spte_cmpxchg(cell, &old, (spte_t){ like.raw | word_hpa(word) });
}

/* For n words of 4K pages side by side, those of them that are pages with this protection.  How many. */
static inline unsigned around_words(const backing_cell_t *word, unsigned n, uint64_t protection,
				    spte_cell_t *cell, spte_t like)
{
	unsigned set = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t w = word_load(&word[i]);

		if ((w & WORD_ASKED) == (BACKING_PAGE | protection))
			set += around_set(&cell[i], like, w);
	}
	return set;
}
