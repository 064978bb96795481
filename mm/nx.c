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
	return atomic_load_explicit(&vm->nx.asked, memory_order_relaxed) ||
	       port_clock() >= atomic_load_explicit(&vm->nx.due, memory_order_relaxed);
}

void nx_note_split(struct mmu_vm *vm)
{
	stat_add(vm, nx_split, 1);
	if (pass_is_due(vm))
		port_work_kick(vm);
}

void mmu_nx_recover(struct mmu_vm *vm)
{
	/* Release: pairs with the acquire in nx_step(), so that it finds what was split before. */
	atomic_store_explicit(&vm->nx.asked, true, memory_order_release);
	if (vm->nx_huge_pages)
		port_work_kick(vm);
}

/*
 * Who asks from here on may have split what the pass has behind it by then: another one follows.  This one is due
 * until it ends, however it was called for.
 */
static void pass_begins(struct mmu_vm *vm)
{
	atomic_store_explicit(&vm->nx.due, 0, memory_order_relaxed);
	/* Acquire: pairs with the release in mmu_nx_recover(). */
	atomic_exchange_explicit(&vm->nx.asked, false, memory_order_acquire);
}

static void pass_ends(struct mmu_vm *vm) REQUIRES(vm->mmu_lock)
{
	vm->nx.next = 0;
	pass_later(vm);
}

bool nx_step(struct mmu_vm *vm)
{
	if (!pass_is_due(vm))
		return false;
	mmu_write_lock(vm, MMU_OP_NX_RECOVER, 0, 0);
	if (!vm->nx.next)
		pass_begins(vm);
	mmu_lock_about(vm, vm->nx.next, 0);
	if (stat_read(vm, nx_tables))
		recover_some(vm, &vm->nx.next, vm->gfn_limit, SPTE_NX_SPLIT);
	else
		vm->nx.next = vm->gfn_limit;
	if (vm->nx.next >= vm->gfn_limit)
		pass_ends(vm);
	mmu_write_unlock(vm);
	return vm->nx.next || pass_is_due(vm);
}
