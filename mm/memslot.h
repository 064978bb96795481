/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which gfns are memory: a sorted table of slots, replaced as a whole.
 *
 * The table changes under mmu_lock for write.  It is looked up under mmu_lock (and then
 * stays as it is), or without it by an RCU reader (and then may be a table that was
 * replaced, which the invalidation that came with the change tells).
 *
 * A slot that is being deleted or moved is DYING from the first step to the last: no
 * access finds it, but its mappings and pages are still being taken apart.
 */
#pragma once

#include "mm/backing.h"
#include "mm/vm.h"

#define MEMSLOT_DYING (1u << 31) /* beside MMU_SLOT_* */

struct dirty_log;
struct slot_huge;

/* What stays with the slot when it moves or changes its flags. */
struct memslot_state {
	struct rcu_head rcu;
	struct backing backing;
	struct slot_huge *huge;          /* huge.h; never NULL */
	_Atomic(struct dirty_log *) log; /* dirty.h; NULL: none */
	struct slot_rmaps *rmaps;        /* rmap_slot.h; NULL: the VM does not shadow */
};

/* Immutable once published. */
struct memslot {
	struct rcu_head rcu;
	unsigned id;
	uint32_t flags;
	gfn_t base;
	uint64_t npages;
	hpa_t hpa; /* MMU_SLOT_DEVICE */
	uint8_t alike; /* the largest level at which gfns and the backing's tree are aligned alike */
	struct memslot_state *state;
};

/* Immutable once published.  Of full size, so that taking a slot out cannot lack memory. */
struct memslots {
	struct rcu_head rcu;
	uint64_t generation; /* of the table: one more with every change */
	unsigned count;
	const struct memslot *slot[MMU_SLOTS_MAX]; /* by base; never overlapping */
};

int memslot_init(struct mmu_vm *vm);
void memslot_destroy(struct mmu_vm *vm);

/* The table as it is: under mmu_lock, or as an RCU reader. */
static inline const struct memslots *memslots_get(struct mmu_vm *vm)
{
	/* Acquire: pairs with the release in slots_publish(). */
	return atomic_load_explicit(&vm->slots, memory_order_acquire);
}

/* The slot that holds gfn for accesses, or NULL. */
const struct memslot *memslot_find(struct mmu_vm *vm, gfn_t gfn);
const struct memslot *memslot_find_for(struct mmu_vcpu *vcpu, gfn_t gfn);
/* The same for a vCPU's fault, which looks first where the last one was. */
static inline const struct memslot *memslot_find_again(struct mmu_vcpu *vcpu, gfn_t gfn)
{
	const struct memslot *slot = vcpu->slot;

	/* Generations do not come round: the slot is one of this table, if it was. */
	if (slot && vcpu->slot_generation == memslots_get(vcpu->vm)->generation &&
	    gfn - slot->base < slot->npages)
		return slot;
	return memslot_find_for(vcpu, gfn);
}

/* The same, dying ones too. */
const struct memslot *memslot_find_any(struct mmu_vm *vm, gfn_t gfn);
/* The same; *end: where it ends, or the hole that gfn is in. */
const struct memslot *memslot_span(struct mmu_vm *vm, gfn_t gfn, gfn_t *end);
/* By the caller's number; NULL too when it is dying. */
const struct memslot *memslot_by_id(struct mmu_vm *vm, unsigned id);

/*
 * The check of every operation on a range, made once and before anything changes:
 * -EINVAL for empty, overflow or unknown flags, -ENOENT when a gfn has no slot.
 */
int memslot_check_range(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags)
	REQUIRES_SHARED(vm->mmu_lock);
/* The same for an RCU reader without the lock. */
int memslot_check_reader(struct mmu_vm *vm, gfn_t gfn, uint64_t npages);
/* As well: -EINVAL when any of it is a device's. */
int memslot_check_ram(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags)
	REQUIRES_SHARED(vm->mmu_lock);

static inline bool memslot_covers(const struct memslot *slot, gfn_t gfn, uint64_t npages)
{
	return gfn >= slot->base && gfn + npages <= slot->base + slot->npages;
}

/* What a guest may do in it. */
static inline unsigned memslot_access(const struct memslot *slot)
{
	return slot->flags & MMU_SLOT_READONLY ? ACC_R | ACC_X : ACC_RWX;
}
