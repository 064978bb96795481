/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dirty logs: start and stop; see dirty.h.
 *
 * A log is published first and then cleans all leaves, in chunks, with its own ears closed
 * (log->starting): what it would hear was written before it began.  From the moment when it opens
 * them every write is in a leaf or in the bitmap.
 */
#include "mm/dirty.h"

#include "mm/dirty_op.h"
#include "mm/lock.h"
#include "mm/recover.h"

static bool style_is_possible(const struct mmu_vm *vm, enum mmu_dirty_style style)
{
	switch (style) {
	case MMU_DIRTY_WRPROT:
		return true;
	case MMU_DIRTY_DBIT:
		return vm->fmt->ad;
	case MMU_DIRTY_PML:
		return vm->fmt->ad && vm->pml;
	}
	return false;
}

/* May a log of npages begin there?  npages 0: of whatever size the slot has. */
static int may_start(struct mmu_vm *vm, unsigned id, uint64_t npages, const struct memslot **slot)
	REQUIRES_SHARED(vm->mmu_lock)
{
	*slot = memslot_by_id(vm, id);
	if (!*slot || (npages && (*slot)->npages != npages))
		return -ENOENT;
	if ((*slot)->flags & MMU_SLOT_DEVICE)
		return -EINVAL;
	return dirty_log_of(*slot) ? -EBUSY : 0;
}

static int log_publish(struct mmu_vm *vm, unsigned id, struct dirty_log *log)
	EXCLUDES(vm->mmu_lock)
{
	const struct memslot *slot;

	mmu_write_lock(vm, MMU_OP_DIRTY_START, 0, 0);
	int err = may_start(vm, id, log->npages, &slot);

	if (!err) {
		/* Release: pairs with the acquire in dirty_log_of(). */
		atomic_store_explicit(&slot->state->log, log, memory_order_release);
		atomic_fetch_add_explicit(&vm->dirty_logs, 1, memory_order_relaxed);
		if (log->style == MMU_DIRTY_PML)
			atomic_fetch_add_explicit(&vm->pml_logs, 1, memory_order_relaxed);
	}
	mmu_write_unlock(vm);
	return err;
}

/* Clean all there is; what was written until now was before the log. */
static int log_begin(struct dirty_op *op) EXCLUDES(op->vm->mmu_lock)
{
	int err = dirty_op_split(op);

	if (err)
		return err;
	mmu_write_lock(op->vm, op->what, 0, 0);
	err = dirty_op_clean(op);
	if (!err)
		op->log->starting = false;
	mmu_write_unlock(op->vm);
	return err;
}

int mmu_dirty_start(struct mmu_vm *vm, unsigned slot, enum mmu_dirty_style style, unsigned flags)
{
	struct dirty_op op = { .vm = vm, .id = slot, .what = MMU_OP_DIRTY_START };
	struct mmu_reading r = MMU_READING(DIRTY_START, 0, 0);
	const struct memslot *found;

	if ((flags & ~(unsigned)(MMU_DIRTY_ALL_SET | MMU_DIRTY_NO_SPLIT)) ||
	    !style_is_possible(vm, style))
		return -EINVAL;
	mmu_read_lock(vm, &r);
	int err = may_start(vm, slot, 0, &found);

	if (!err)
		op.npages = found->npages;
	mmu_read_unlock(vm, &r);
	if (err)
		return err;
	struct dirty_log *log = dirty_log_alloc(style, op.npages, flags);

	if (!log)
		return -ENOMEM;
	err = log_publish(vm, slot, log);
	if (err)
		port_obj_free(log, dirty_log_size(op.npages));
	else if (!(flags & MMU_DIRTY_ALL_SET))
		err = log_begin(&op);
	return err;
}

void dirty_slot_gone(struct mmu_vm *vm, struct memslot_state *state)
{
	assert_held_write(&vm->mmu_lock);
	/* Acquire: pairs with the release in log_publish(). */
	struct dirty_log *log = atomic_load_explicit(&state->log, memory_order_acquire);

	if (!log)
		return;
	atomic_store_explicit(&state->log, NULL, memory_order_relaxed);
	atomic_fetch_sub_explicit(&vm->dirty_logs, 1, memory_order_relaxed);
	if (log->style == MMU_DIRTY_PML)
		atomic_fetch_sub_explicit(&vm->pml_logs, 1, memory_order_relaxed);
	rcu_defer_obj(vm, &log->rcu, dirty_log_size(log->npages));
}

static int stop(struct dirty_op *op) REQUIRES(op->vm->mmu_lock)
{
	int err = dirty_op_look(op);

	if (err)
		return err;
	dirty_slot_gone(op->vm, op->slot->state);
	recover_request(op->vm, op->slot->base, op->slot->base + op->slot->npages);
	return 0;
}

int mmu_dirty_stop(struct mmu_vm *vm, unsigned slot)
{
	struct dirty_op op = { .vm = vm, .id = slot, .npages = 1 }, *o = &op;

	mmu_write_lock(o->vm, MMU_OP_DIRTY_STOP, 0, 0);
	int err = stop(o);

	mmu_write_unlock(o->vm);
	rcu_poll(vm);
	return err;
}
