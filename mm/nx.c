/* SPDX-License-Identifier: GPL-2.0-only */
/* The pass of the worker that takes back what the NX mitigation split; see nx.h. */
#include "mm/nx.h"

#include "mm/lock.h"
#include "mm/recover.h"

/* Ticks between two passes: 90 s of a 3 GHz clock.  A page in use costs a fault per pass. */
#define NX_PERIOD (1ul << 38)

static void pass_later(struct mmu_vm *vm)
{
	atomic_store_explicit(&vm->nx.due, port_clock() + NX_PERIOD, memory_order_relaxed);
}

void nx_init(struct mmu_vm *vm)
{
	pass_later(vm);
}

static bool pass_is_due(const struct mmu_vm *vm)
{
	/* Relaxed: a step more or less. */
	return port_clock() >= atomic_load_explicit(&vm->nx.due, memory_order_relaxed);
}

void nx_note_split(struct mmu_vm *vm)
{
	stat_add(vm, nx_split, 1);
	if (pass_is_due(vm))
		port_work_kick(vm);
}

void mmu_nx_recover(struct mmu_vm *vm)
{
	atomic_store_explicit(&vm->nx.due, 0, memory_order_relaxed);
	if (vm->nx_huge_pages)
		port_work_kick(vm);
}

bool nx_step(struct mmu_vm *vm)
{
	if (!stat_read(vm, nx_tables) || !pass_is_due(vm))
		return false;
	mmu_write_lock(vm, MMU_OP_NX_RECOVER, 0, 0);
	mmu_lock_about(vm, vm->nx.next, 0);
	recover_some(vm, &vm->nx.next, vm->gfn_limit, SPTE_NX_SPLIT);
	bool more = vm->nx.next < vm->gfn_limit;

	if (!more) {
		vm->nx.next = 0;
		pass_later(vm);
	}
	mmu_write_unlock(vm);
	return more;
}
