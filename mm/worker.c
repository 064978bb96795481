/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VM's one worker: what may be done later, in bounded steps.  Whoever has time
 * calls it; a flag sees to it that one does at a time.
 */
#include "mm/nx.h"
#include "mm/recover.h"
#include "mm/root.h"
#include "mm/shadow.h"

enum work { WORK_DONE, WORK_MORE, WORK_BUSY };

/* One piece of each kind of work, so that none waits for another to end. */
static bool work_pieces(struct mmu_vm *vm)
{
	bool more = root_teardown_step(vm);

	if (vm->shadow)
		more |= shadow_teardown_step(vm);
	more |= recover_step(vm);
	more |= nx_step(vm);
	more |= rcu_poll(vm);
	return more;
}

static enum work work_step(struct mmu_vm *vm)
{
	/* Acquire: pairs with the release below, of the step before. */
	if (atomic_exchange_explicit(&vm->working, true, memory_order_acquire))
		return WORK_BUSY;
	bool more = work_pieces(vm);

	stat_add(vm, worker_steps, 1);
	/* Release: pairs with the acquire above. */
	atomic_store_explicit(&vm->working, false, memory_order_release);
	return more ? WORK_MORE : WORK_DONE;
}

bool mmu_work_step(struct mmu_vm *vm)
{
	return work_step(vm) == WORK_MORE;
}

void mmu_work_flush(struct mmu_vm *vm)
{
	/* Each step is bounded, and so is what there is to do when nobody adds to it. */
	while (work_step(vm) != WORK_DONE)
		port_resched();
}
