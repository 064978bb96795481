/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The slot table; see memslot.h.
 *
 * A change copies the array and publishes the copy.  The old one is kept on the
 * new one's retired chain until the VM ends: readers hold no lock and say nothing
 * when they are done, and a VM sees a handful of changes in its life.
 */
#include "mm/memslot.h"

static size_t slots_size(unsigned count)
{
	return sizeof(struct memslots) + count * sizeof(struct memslot);
}

static struct memslots *slots_get(struct mmu_vm *vm)
{
	/* Acquire: pairs with the release in slots_publish(). */
	return atomic_load_explicit(&vm->slots, memory_order_acquire);
}

static void slots_publish(struct mmu_vm *vm, struct memslots *new, struct memslots *old)
{
	new->retired = old;
	/* Release: pairs with the acquire in slots_get(). */
	atomic_store_explicit(&vm->slots, new, memory_order_release);
}

int memslot_init(struct mmu_vm *vm)
{
	struct memslots *empty = port_obj_alloc(slots_size(0));

	if (!empty)
		return -ENOMEM;
	spin_init(&vm->slots_lock);
	atomic_init(&vm->slots, empty);
	return 0;
}

void memslot_destroy(struct mmu_vm *vm)
{
	struct memslots *slots = slots_get(vm);

	while (slots) {
		struct memslots *older = slots->retired;

		port_obj_free(slots, slots_size(slots->count));
		slots = older;
	}
}

/* Index of the first slot that ends behind gfn; count if there is none. */
static unsigned slots_search(const struct memslots *slots, gfn_t gfn)
{
	unsigned lo = 0, hi = slots->count;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (slots->slot[mid].base + slots->slot[mid].npages <= gfn)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct memslot *memslot_find(struct mmu_vm *vm, gfn_t gfn)
{
	const struct memslots *slots = slots_get(vm);
	unsigned i = slots_search(slots, gfn);

	return i < slots->count && slots->slot[i].base <= gfn ? &slots->slot[i] : NULL;
}

int memslot_check_range(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags)
{
	const struct memslots *slots = slots_get(vm);
	gfn_t end = gfn + npages;

	if (!npages || end < gfn || (flags & ~(unsigned)MMU_MAY_BLOCK))
		return -EINVAL;
	for (unsigned i = slots_search(slots, gfn); gfn < end; i++) {
		if (i == slots->count || slots->slot[i].base > gfn)
			return -ENOENT;
		gfn = slots->slot[i].base + slots->slot[i].npages;
	}
	return 0;
}

/* A copy of old with one more slot at index i. */
static struct memslots *slots_copy_with(const struct memslots *old, unsigned i,
					const struct mmu_slot_desc *desc)
{
	struct memslots *new = port_obj_alloc(slots_size(old->count + 1));

	if (!new)
		return NULL;
	new->count = old->count + 1;
	for (unsigned k = 0; k < i; k++)
		new->slot[k] = old->slot[k];
	new->slot[i] = (struct memslot){ desc->base_gfn, desc->npages, desc->flags };
	for (unsigned k = i; k < old->count; k++)
		new->slot[k + 1] = old->slot[k];
	return new;
}

static int slots_insert(struct mmu_vm *vm, const struct mmu_slot_desc *desc)
	REQUIRES(vm->slots_lock)
{
	struct memslots *old = slots_get(vm);
	unsigned i = slots_search(old, desc->base_gfn);

	if (i < old->count && old->slot[i].base < desc->base_gfn + desc->npages)
		return -EEXIST;
	struct memslots *new = slots_copy_with(old, i, desc);

	if (!new)
		return -ENOMEM;
	slots_publish(vm, new, old);
	return 0;
}

int mmu_slot_create(struct mmu_vm *vm, const struct mmu_slot_desc *desc)
{
	gfn_t end = desc->base_gfn + desc->npages;

	if (!desc->npages || end < desc->base_gfn || end > vm->gfn_limit ||
	    (desc->flags & ~(unsigned)MMU_SLOT_READONLY))
		return -EINVAL;
	spin_lock(&vm->slots_lock);
	int err = slots_insert(vm, desc);

	spin_unlock(&vm->slots_lock);
	return err;
}

gfn_t mmu_slot_end(struct mmu_vm *vm)
{
	const struct memslots *slots = slots_get(vm);

	if (!slots->count)
		return 0;
	return slots->slot[slots->count - 1].base + slots->slot[slots->count - 1].npages;
}
