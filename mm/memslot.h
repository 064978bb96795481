/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which gfns are memory: a sorted array of slots, replaced as a whole and looked
 * up without a lock.
 */
#pragma once

#include "mm/vm.h"

struct memslot {
	gfn_t base;
	uint64_t npages;
	uint32_t flags;
};

/* Immutable once published. */
struct memslots {
	struct memslots *retired; /* the one it replaced; all live until the VM's end */
	unsigned count;
	struct memslot slot[];    /* by base; never overlapping */
};

int memslot_init(struct mmu_vm *vm);
void memslot_destroy(struct mmu_vm *vm);

/* The slot that holds gfn, or NULL.  It stays valid as long as the VM. */
const struct memslot *memslot_find(struct mmu_vm *vm, gfn_t gfn);

/*
 * The check of every operation on a range, made once and before anything changes:
 * -EINVAL for empty, overflow or unknown flags, -ENOENT when a gfn has no slot.
 */
int memslot_check_range(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags);

static inline bool memslot_covers(const struct memslot *slot, gfn_t gfn, uint64_t npages)
{
	return gfn >= slot->base && gfn + npages <= slot->base + slot->npages;
}

/* What a guest may do in it. */
static inline unsigned memslot_access(const struct memslot *slot)
{
	return slot->flags & MMU_SLOT_READONLY ? ACC_R | ACC_X : ACC_RWX;
}
