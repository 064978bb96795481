/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where huge leaves may be: for each 2M and each 1G that a slot touches, the number of reasons
 * against a leaf of that size.
 *
 *   slot          [ . . . |#######|#######|####. . ]
 *   counts at 2M      1       0       0       1        an edge inside a chunk is a reason for good
 *
 * Whoever needs to see accesses to a single page of a chunk, as the tracking of writes does, forbids
 * huge leaves over it and permits them again.  Beside this, a leaf is never larger than its page
 * in the backing (backing.h) or than a dirty log wants it.
 *
 * Under mmu_lock: read to ask, write to change.  Who forbids has let go when the slot begins to
 * die, at the latest in the zap of it: what a slot that moves takes along are its edges only.
 */
#pragma once

#include "mm/memslot.h"

#define HUGE_LEVELS 2u /* 2M and 1G */

struct slot_huge {
	struct rcu_head rcu;
	size_t size;                      /* of all this */
	gfn_t base;                       /* for which the counts stand */
	uint64_t npages;
	uint64_t held[HUGE_LEVELS];       /* sums of the counts, without edges */
	uint32_t *count[HUGE_LEVELS];     /* of chunk gfn / size - base / size */
	uint32_t counts[];
};

/* NULL: no memory.  Freed by port_obj_free(), with its size. */
struct slot_huge *huge_alloc(gfn_t base, uint64_t npages);
/* The slot goes to another place. */
void huge_move(struct mmu_vm *vm, struct slot_huge *huge, gfn_t base) REQUIRES(vm->mmu_lock);

/* The largest level up to max at which a leaf over gfn may be. */
unsigned slot_huge_level(struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn, unsigned max)
	REQUIRES_SHARED(vm->mmu_lock);
static inline bool slot_huge_allowed(struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn,
				     unsigned level) REQUIRES_SHARED(vm->mmu_lock)
{
	return slot_huge_level(vm, slot, gfn, level) == level;
}

/*
 * No leaf over gfn of this level (PG_LEVEL_2M: none that is huge) or above, until permitted as often
 * as forbidden.  A huge leaf that is there goes, with its flush; 4K leaves stay.
 */
void slot_disallow_huge(struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn, unsigned level)
	REQUIRES(vm->mmu_lock);
/* With the last one the worker may make the chunk huge again. */
void slot_allow_huge(struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn, unsigned level)
	REQUIRES(vm->mmu_lock);

/* For the audit: do the counts add up to what is held and the edges? */
bool huge_adds_up(const struct slot_huge *huge);
