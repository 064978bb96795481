/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Creating, deleting, moving and changing slots; see memslot.h.
 *
 * A change fills a new table, which it allocated before, from the one that is there, and
 * publishes it, all under mmu_lock for write.  What was replaced is freed behind a
 * grace period.  Everything that an operation can lack it fetches first: having begun
 * it cannot fail for want of memory.
 *
 *   delete:  slot DYING ─ zap, flush, free pages (in steps) ─ table without it
 *   move:    slot DYING ─ zap, flush (in steps) ─ table with it at the new place
 *   flags:   table with new flags ─ zap, flush (in steps)
 */
#include "mm/memslot.h"

#include "mm/dirty.h"
#include "mm/huge.h"
#include "mm/lock.h"
#include "mm/mmio.h"
#include "mm/rmap_slot.h"
#include "mm/shadow.h"
#include "mm/zap.h"

/* ---- one change of the table ------------------------------------------------------ */

/* What an operation of two steps can need. */
struct spare {
	struct memslots *table[2];
	struct memslot *slot[2];
};

static void spare_free(struct spare *spare)
{
	for (unsigned i = 0; i < 2; i++) {
		port_obj_free(spare->table[i], sizeof(*spare->table[i]));
		port_obj_free(spare->slot[i], sizeof(*spare->slot[i]));
	}
}

static int spare_alloc(struct spare *spare, unsigned steps)
{
	*spare = (struct spare){ 0 };
	for (unsigned i = 0; i < steps; i++) {
		spare->table[i] = port_obj_alloc(sizeof(*spare->table[i]));
		spare->slot[i] = port_obj_alloc(sizeof(*spare->slot[i]));
		if (!spare->table[i] || !spare->slot[i]) {
			spare_free(spare);
			return -ENOMEM;
		}
	}
	return 0;
}

/* Is there room for in, out being gone? */
static int check_place(struct mmu_vm *vm, const struct memslot *in, const struct memslot *out)
{
	const struct memslots *slots = memslots_get(vm);

	for (unsigned i = 0; i < slots->count; i++) {
		const struct memslot *s = slots->slot[i];

		if (s != out && (s->id == in->id || (s->base < in->base + in->npages &&
						     in->base < s->base + s->npages)))
			return -EEXIST;
	}
	return 0;
}

/* new = old - out + in, by base. */
static void slots_fill(struct memslots *new, const struct memslots *old,
		       const struct memslot *out, const struct memslot *in)
{
	for (unsigned i = 0; i < old->count; i++) {
		if (in && in->base < old->slot[i]->base) {
			new->slot[new->count++] = in;
			in = NULL;
		}
		if (old->slot[i] != out)
			new->slot[new->count++] = old->slot[i];
	}
	if (in)
		new->slot[new->count++] = in;
}

/* Takes the table of this step from spare; in comes from there too. */
static void slots_replace(struct mmu_vm *vm, struct spare *spare, unsigned step,
			  const struct memslot *out, const struct memslot *in)
	REQUIRES(vm->mmu_lock)
{
	struct memslots *old = atomic_load_explicit(&vm->slots, memory_order_relaxed);
	struct memslots *new = spare->table[step];

	spare->table[step] = NULL;
	if (in)
		spare->slot[step] = NULL;
	/* Tables that the guest had where there was no memory. */
	if (vm->shadow && in) {
		shadow_zap_tables(vm, in->base, in->base + in->npages);
		shadow_settle(vm);
	}
	slots_fill(new, old, out, in);
	new->generation = old->generation + 1;
	/* Release: pairs with the acquire in memslots_get(). */
	atomic_store_explicit(&vm->slots, new, memory_order_release);
	rcu_defer_obj(vm, &old->rcu, sizeof(*old));
	if (out)
		rcu_defer_obj(vm, (struct rcu_head *)(uintptr_t)&out->rcu, sizeof(*out));
	mmio_new_generation(vm, new->generation);
}

/* ---- the VM's beginning and end ------------------------------------------------------ */

int memslot_init(struct mmu_vm *vm)
{
	struct memslots *empty = port_obj_alloc(sizeof(*empty));

	if (!empty)
		return -ENOMEM;
	atomic_init(&vm->slots, empty);
	return 0;
}

static void state_free(struct mmu_vm *vm, struct memslot_state *state)
{
	backing_destroy(vm, &state->backing);
	slot_rmaps_free(state->rmaps);
	port_obj_free(state->huge, state->huge->size);
	port_obj_free(state, sizeof(*state));
}

/* Gigabytes of pages are a long way: others run in between. */
static void empty_in_steps(struct mmu_vm *vm, const struct memslot *slot)
{
	bool more;

	do {
		mmu_write_lock(vm, MMU_OP_SLOT_DELETE, slot->base, slot->npages);
		more = backing_empty_step(vm, slot);
		mmu_write_unlock(vm);
		if (port_need_resched())
			port_resched();
	} while (more);
}

void memslot_destroy(struct mmu_vm *vm)
{
	struct memslots *slots = atomic_load_explicit(&vm->slots, memory_order_relaxed);

	mmu_write_lock(vm, MMU_OP_SLOT_DELETE, 0, 0);
	for (unsigned i = 0; i < slots->count; i++)
		dirty_slot_gone(vm, slots->slot[i]->state);
	mmu_write_unlock(vm);
	for (unsigned i = 0; i < slots->count; i++) {
		empty_in_steps(vm, slots->slot[i]);
		state_free(vm, slots->slot[i]->state);
		port_obj_free((void *)(uintptr_t)slots->slot[i], sizeof(*slots->slot[i]));
	}
	port_obj_free(slots, sizeof(*slots));
}

/* ---- create ---------------------------------------------------------------------------- */

static int check_desc(const struct mmu_vm *vm, const struct mmu_slot_desc *d)
{
	gfn_t end = d->base_gfn + d->npages;
	bool device = d->flags & MMU_SLOT_DEVICE;
	hpa_t hpa_end = d->hpa + d->npages * PAGE_SIZE;

	if (!d->npages || end < d->base_gfn || end > vm->gfn_limit || d->id >= MMU_SLOTS_MAX)
		return -EINVAL;
	if (d->flags & ~(uint32_t)(MMU_SLOT_READONLY | MMU_SLOT_DEVICE))
		return -EINVAL;
	/* npages fits: gfn_limit is below 2^40. */
	if (device && ((d->hpa & ~PAGE_MASK) || hpa_end < d->hpa ||
		       (hpa_end - 1) >> vm->maxphyaddr))
		return -EINVAL;
	return 0;
}

static struct memslot_state *state_alloc(const struct mmu_vm *vm, const struct mmu_slot_desc *d)
{
	struct memslot_state *state = port_obj_alloc(sizeof(*state));

	if (!state)
		return NULL;
	state->rmaps = vm->shadow ? slot_rmaps_alloc(d->npages) : NULL;
	if (vm->shadow && !state->rmaps) {
		port_obj_free(state, sizeof(*state));
		return NULL;
	}
	state->huge = huge_alloc(d->base_gfn, d->npages);
	if (state->huge && !backing_init(vm, &state->backing, d))
		return state;
	if (state->huge)
		port_obj_free(state->huge, state->huge->size);
	slot_rmaps_free(state->rmaps);
	port_obj_free(state, sizeof(*state));
	return NULL;
}

static void slot_place(struct memslot *slot, gfn_t base)
{
	slot->base = base;
	slot->alike = (uint8_t)backing_alike(&slot->state->backing, base);
}

static int create_locked(struct mmu_vm *vm, struct spare *spare) REQUIRES(vm->mmu_lock)
{
	int err = check_place(vm, spare->slot[0], NULL);

	if (!err)
		slots_replace(vm, spare, 0, NULL, spare->slot[0]);
	return err;
}

int mmu_slot_create(struct mmu_vm *vm, const struct mmu_slot_desc *d)
{
	struct memslot_state *state;
	struct spare spare;

	if (check_desc(vm, d))
		return -EINVAL;
	if (spare_alloc(&spare, 1))
		return -ENOMEM;
	state = state_alloc(vm, d);
	int err = state ? 0 : -ENOMEM;

	if (state) {
		*spare.slot[0] = (struct memslot){
			.id = d->id, .flags = d->flags,
			.npages = d->npages, .hpa = d->hpa, .state = state,
		};
		slot_place(spare.slot[0], d->base_gfn);
		mmu_write_lock(vm, MMU_OP_SLOT_CREATE, d->base_gfn, d->npages);
		err = create_locked(vm, &spare);
		mmu_write_unlock(vm);
	}
	if (err && state)
		state_free(vm, state);
	spare_free(&spare);
	rcu_poll(vm);
	return err;
}

/* And say that it is what the lock is held for. */
static const struct memslot *slot_by_id_told(struct mmu_vm *vm, unsigned id)
	REQUIRES(vm->mmu_lock)
{
	const struct memslot *slot = memslot_by_id(vm, id);

	if (slot)
		mmu_lock_about(vm, slot->base, slot->npages);
	return slot;
}

/* ---- delete ------------------------------------------------------------------------------- */

/* The slot as it was, marked: no access finds it from here on. */
static const struct memslot *slot_dies(struct mmu_vm *vm, struct spare *spare,
				       const struct memslot *slot) REQUIRES(vm->mmu_lock)
{
	struct memslot *dying = spare->slot[0];

	*dying = *slot;
	dying->flags |= MEMSLOT_DYING;
	slots_replace(vm, spare, 0, slot, dying);
	return dying;
}

static void delete_locked(struct mmu_vm *vm, struct spare *spare, const struct memslot *slot)
	REQUIRES(vm->mmu_lock)
{
	struct memslot_state *state = slot->state;
	const struct memslot *dying = slot_dies(vm, spare, slot);

	/* Whoever still holds the slot brings no more pages: backing_bring(). */
	state->backing.dead = true;
	zap_range(vm, dying->base, dying->base + dying->npages, MMU_MAY_BLOCK | WALK_TABLES);
	while (backing_empty_step(vm, dying))
		if (walk_should_yield(vm))
			walk_yield(vm);
	slots_replace(vm, spare, 1, dying, NULL);
	dirty_slot_gone(vm, state);
	backing_destroy(vm, &state->backing);
	slot_rmaps_defer(vm, state->rmaps);
	rcu_defer_obj(vm, &state->huge->rcu, state->huge->size);
	rcu_defer_obj(vm, &state->rcu, sizeof(*state));
}

int mmu_slot_delete(struct mmu_vm *vm, unsigned id)
{
	struct spare spare;

	if (spare_alloc(&spare, 2))
		return -ENOMEM;
	mmu_write_lock(vm, MMU_OP_SLOT_DELETE, 0, 0);
	const struct memslot *slot = slot_by_id_told(vm, id);

	if (slot)
		delete_locked(vm, &spare, slot);
	mmu_write_unlock(vm);
	spare_free(&spare);
	rcu_poll(vm);
	return slot ? 0 : -ENOENT;
}

/* ---- move ----------------------------------------------------------------------------------- */

/*
 * The new place is looked at twice: while the mappings were taken down others may have put
 * a slot there.  Then this one comes back where it was.
 */
static int move_locked(struct mmu_vm *vm, struct spare *spare, const struct memslot *slot,
		       gfn_t new_base) REQUIRES(vm->mmu_lock)
{
	struct memslot *moved = spare->slot[1];
	gfn_t old_base = slot->base;

	*moved = *slot;
	slot_place(moved, new_base);
	int err = check_place(vm, moved, slot);

	if (err)
		return err;
	const struct memslot *dying = slot_dies(vm, spare, slot);

	zap_range(vm, dying->base, dying->base + dying->npages, MMU_MAY_BLOCK | WALK_TABLES);
	err = check_place(vm, moved, dying);
	if (err)
		slot_place(moved, old_base);
	huge_move(vm, moved->state->huge, moved->base);
	slots_replace(vm, spare, 1, dying, moved);
	return err;
}

int mmu_slot_move(struct mmu_vm *vm, unsigned id, gfn_t new_base)
{
	struct spare spare;
	int err = -ENOENT;

	if (spare_alloc(&spare, 2))
		return -ENOMEM;
	mmu_write_lock(vm, MMU_OP_SLOT_MOVE, 0, 0);
	const struct memslot *slot = slot_by_id_told(vm, id);

	if (slot && (new_base + slot->npages < new_base ||
		     new_base + slot->npages > vm->gfn_limit))
		err = -EINVAL;
	else if (slot)
		err = move_locked(vm, &spare, slot, new_base);
	mmu_write_unlock(vm);
	spare_free(&spare);
	rcu_poll(vm);
	return err;
}

/* ---- flags ----------------------------------------------------------------------------------- */

static int set_flags_locked(struct mmu_vm *vm, struct spare *spare, const struct memslot *slot,
			    uint32_t flags) REQUIRES(vm->mmu_lock)
{
	struct memslot *changed = spare->slot[0];

	if ((slot->flags ^ flags) & ~(uint32_t)MMU_SLOT_READONLY)
		return -EINVAL;
	if (slot->flags == flags)
		return 0;
	gfn_t start = slot->base, end = slot->base + slot->npages;

	*changed = *slot;
	changed->flags = flags;
	slots_replace(vm, spare, 0, slot, changed);
	/* Faults see the new flags already, or will see that the range was invalidated. */
	zap_range(vm, start, end, MMU_MAY_BLOCK | WALK_TABLES);
	return 0;
}

int mmu_slot_set_flags(struct mmu_vm *vm, unsigned id, uint32_t flags)
{
	struct spare spare;
	int err = -ENOENT;

	if (spare_alloc(&spare, 1))
		return -ENOMEM;
	mmu_write_lock(vm, MMU_OP_SLOT_FLAGS, 0, 0);
	const struct memslot *slot = slot_by_id_told(vm, id);

	if (slot)
		err = set_flags_locked(vm, &spare, slot, flags);
	mmu_write_unlock(vm);
	spare_free(&spare);
	rcu_poll(vm);
	return err;
}
