/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The states of a leaf, beside mapping a page.
 *
 * Who may write.  SPTE_HOST_WRITABLE: slot and backing permit it.  SPTE_MMU_WRITABLE: and
 * nothing of ours forbids that this very leaf gets write access back; a fault may then
 * restore it without a lock (fast.c).  The processor's write bit comes last:
 *
 *   write bit  →  SPTE_MMU_WRITABLE  →  SPTE_HOST_WRITABLE        (→: only with)
 *
 * Who used it.  Where the processor sets Accessed and Dirty (fmt->ad), these bits say so.  Where
 * it does not, a leaf with write access counts as dirty, and a leaf is old when it is tracked:
 *
 *   plain     r w x                          young; dirty if w
 *     │ ageing parks the permissions  ↑ a fault brings them back: the page was used
 *   tracked   - - -  SPTE_TRACKED, SAVED_*   old; dirty if SAVED_W
 *
 * A tracked leaf is SPTE_PRESENT for us and not present for the processor.  What made it
 * dirty stays written in it, so ageing cannot lose Dirty.
 */
#pragma once

#include "mm/format.h"
#include "mm/spte.h"

static inline bool leaf_is_tracked(spte_t leaf)
{
	return leaf.raw & SPTE_TRACKED;
}

/* As ageing takes it away. */
static inline spte_t leaf_track(const struct mmu_format *fmt, spte_t leaf)
{
	unsigned access = format_access(fmt, leaf);

	leaf.raw &= ~(fmt->present | fmt->allow_w);
	leaf.raw |= SPTE_TRACKED;
	leaf.raw |= access & ACC_W ? SPTE_SAVED_W : 0;
	leaf.raw |= access & ACC_X ? SPTE_SAVED_X : 0;
	return leaf;
}

/* Back again; a leaf that is not tracked stays as it is. */
static inline spte_t leaf_untrack(const struct mmu_format *fmt, spte_t leaf)
{
	uint64_t saved = leaf.raw;

	if (!leaf_is_tracked(leaf))
		return leaf;
	leaf.raw &= ~SPTE_SAVED;
	leaf.raw |= fmt->allow_r;
	leaf.raw |= saved & SPTE_SAVED_W ? fmt->allow_w : 0;
	leaf.raw |= saved & SPTE_SAVED_X ? fmt->allow_x : 0;
	return leaf;
}

/* ACC_* that it permits, parked or not. */
static inline unsigned leaf_access(const struct mmu_format *fmt, spte_t leaf)
{
	return format_access(fmt, leaf_untrack(fmt, leaf));
}

/* Only a tracked leaf has SPTE_SAVED_W, and it has nothing else. */
static inline bool leaf_is_writable(const struct mmu_format *fmt, spte_t leaf)
{
	return leaf.raw & (fmt->allow_w | SPTE_SAVED_W);
}

static inline bool leaf_is_accessed(const struct mmu_format *fmt, spte_t leaf)
{
	return fmt->ad ? leaf.raw & fmt->accessed : !leaf_is_tracked(leaf);
}

static inline bool leaf_is_dirty(const struct mmu_format *fmt, spte_t leaf)
{
	return fmt->ad ? leaf.raw & fmt->dirty : leaf_is_writable(fmt, leaf);
}

/* Has the page a state of ours?  Where a format has no room to say so, all have. */
static inline bool leaf_is_refcounted(const struct mmu_format *fmt, spte_t leaf)
{
	return !fmt->software || (leaf.raw & SPTE_REFCOUNTED);
}

enum {
	LEAF_ACCESSED = 1 << 0,
	LEAF_DIRTY = 1 << 1,
};

/* Without help from the processor. */
static inline unsigned leaf_says(const struct mmu_format *fmt, spte_t leaf)
{
	return (leaf_is_tracked(leaf) ? 0 : LEAF_ACCESSED) |
	       (leaf_is_writable(fmt, leaf) ? LEAF_DIRTY : 0);
}

/* What a leaf said, and what takes its place, leaf or not, does not. */
static inline unsigned leaf_lost(const struct mmu_format *fmt, spte_t old, spte_t new)
{
	bool kept = spte_is_present(new);

	if (fmt->ad)
		return (old.raw & ~(kept ? new.raw : 0)) >> fmt->used_shift &
		       (LEAF_ACCESSED | LEAF_DIRTY);
	return leaf_says(fmt, old) & ~(kept ? leaf_says(fmt, new) : 0);
}

/* Old.  Dirty stays. */
static inline spte_t leaf_age(const struct mmu_format *fmt, spte_t leaf)
{
	if (!fmt->ad)
		return leaf_is_tracked(leaf) ? leaf : leaf_track(fmt, leaf);
	leaf.raw &= ~fmt->accessed;
	return leaf;
}

/* Without write access, parked or not; a fault may give it back as far as the leaf's bits say. */
static inline spte_t leaf_wrprot(const struct mmu_format *fmt, spte_t leaf)
{
	leaf.raw &= ~(fmt->allow_w | SPTE_SAVED_W);
	return leaf;
}

/* The same for good: slot, backing or protection forbid it from now on. */
static inline spte_t leaf_revoke_write(const struct mmu_format *fmt, spte_t leaf)
{
	leaf = leaf_wrprot(fmt, leaf);
	leaf.raw &= ~(SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE);
	return leaf;
}

/* Executable, when it comes back from being tracked if it is. */
static inline spte_t leaf_allow_exec(const struct mmu_format *fmt, spte_t leaf)
{
	leaf.raw &= ~fmt->deny_x;
	leaf.raw |= leaf_is_tracked(leaf) ? SPTE_SAVED_X : fmt->allow_x;
	return leaf;
}

static inline spte_t leaf_deny_exec(const struct mmu_format *fmt, spte_t leaf)
{
	leaf.raw &= ~fmt->allow_x;
	leaf.raw |= fmt->deny_x;
	if (leaf_is_tracked(leaf))
		leaf.raw &= ~SPTE_SAVED_X;
	return leaf;
}
