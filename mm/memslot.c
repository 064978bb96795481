/* SPDX-License-Identifier: GPL-2.0-only */
/* Looking slots up; see memslot.h.  slot_change.c replaces the table. */
#include "mm/memslot.h"

#include "mm/lock.h"

/* Index of the first slot that ends behind gfn; count if there is none. */
static unsigned slots_search(const struct memslots *slots, gfn_t gfn)
{
	unsigned lo = 0, hi = slots->count;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (slots->slot[mid]->base + slots->slot[mid]->npages <= gfn)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct memslot *memslot_find_any(struct mmu_vm *vm, gfn_t gfn)
{
	const struct memslots *slots = memslots_get(vm);
	unsigned i = slots_search(slots, gfn);

	return i < slots->count && slots->slot[i]->base <= gfn ? slots->slot[i] : NULL;
}

const struct memslot *memslot_span(struct mmu_vm *vm, gfn_t gfn, gfn_t *end)
{
	const struct memslots *slots = memslots_get(vm);
	unsigned i = slots_search(slots, gfn);
	const struct memslot *slot = i < slots->count ? slots->slot[i] : NULL;

	if (slot && slot->base <= gfn) {
		*end = slot->base + slot->npages;
		return slot;
	}
	*end = slot ? slot->base : vm->gfn_limit;
	return NULL;
}

const struct memslot *memslot_find(struct mmu_vm *vm, gfn_t gfn)
{
	const struct memslot *slot = memslot_find_any(vm, gfn);

	return slot && !(slot->flags & MEMSLOT_DYING) ? slot : NULL;
}

const struct memslot *memslot_find_for(struct mmu_vcpu *vcpu, gfn_t gfn)
{
	/* The table may change from one look to the next: of the older, so as to look again. */
	vcpu->slot_generation = memslots_get(vcpu->vm)->generation;
	vcpu->slot = memslot_find(vcpu->vm, gfn);
	return vcpu->slot;
}

const struct memslot *memslot_by_id(struct mmu_vm *vm, unsigned id)
{
	const struct memslots *slots = memslots_get(vm);

	for (unsigned i = 0; i < slots->count; i++)
		if (slots->slot[i]->id == id && !(slots->slot[i]->flags & MEMSLOT_DYING))
			return slots->slot[i];
	return NULL;
}

static int check_range(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags,
		       uint32_t unwanted)
{
	const struct memslots *slots = memslots_get(vm);
	gfn_t end = gfn + npages;
	uint32_t seen = 0;

	if (!npages || end < gfn || (flags & ~(unsigned)MMU_MAY_BLOCK))
		return -EINVAL;
	for (unsigned i = slots_search(slots, gfn); gfn < end; i++) {
		if (i == slots->count || slots->slot[i]->base > gfn ||
		    (slots->slot[i]->flags & MEMSLOT_DYING))
			return -ENOENT;
		seen |= slots->slot[i]->flags;
		gfn = slots->slot[i]->base + slots->slot[i]->npages;
	}
	return seen & unwanted ? -EINVAL : 0;
}

int memslot_check_range(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags)
{
	assert_held_read(&vm->mmu_lock);
	return check_range(vm, gfn, npages, flags, 0);
}

int memslot_check_reader(struct mmu_vm *vm, gfn_t gfn, uint64_t npages)
{
	return check_range(vm, gfn, npages, 0, 0);
}

int memslot_check_ram(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags)
{
	assert_held_read(&vm->mmu_lock);
	return check_range(vm, gfn, npages, flags, MMU_SLOT_DEVICE);
}

int mmu_slot_info(struct mmu_vm *vm, unsigned id, struct mmu_slot_desc *out)
{
	struct mmu_reading r = MMU_READING(SLOT_LOOKUP, 0, 0);

	mmu_read_lock(vm, &r);
	const struct memslot *slot = memslot_by_id(vm, id);

	if (slot)
		*out = (struct mmu_slot_desc){ slot->id, slot->base, slot->npages, slot->flags,
					       slot->hpa };
	mmu_read_unlock(vm, &r);
	return slot ? 0 : -ENOENT;
}

gfn_t mmu_slot_end(struct mmu_vm *vm)
{
	struct mmu_reading r = MMU_READING(SLOT_LOOKUP, 0, 0);
	gfn_t end = 0;

	mmu_read_lock(vm, &r);
	const struct memslots *slots = memslots_get(vm);

	if (slots->count)
		end = slots->slot[slots->count - 1]->base + slots->slot[slots->count - 1]->npages;
	mmu_read_unlock(vm, &r);
	return end;
}
