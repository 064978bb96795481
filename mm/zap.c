/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Zapping, leaf by leaf under mmu_lock for write; see zap.h.
 *
 * A table that turns out empty when the walk leaves it is unlinked and put on the
 * batch's list of dead tables.  Processors may still hold its address in their
 * paging-structure caches, so it is freed, like everything, after the flush.  The list
 * is linked through the first entry of each dead table: an address without flags is
 * not present in any format.
 */
#include "mm/zap.h"

#include "mm/flush.h"
#include "mm/iter.h"
#include "mm/tdp.h"

struct zap_batch {
	bool flush_owed;
	hpa_t dead; /* list of unlinked tables; no table lies at 0, which ends it */
};

#define DEAD_END 0ul

static void batch_init(struct zap_batch *batch)
{
	batch->flush_owed = false;
	batch->dead = DEAD_END;
}

/* Flush what is owed, then free what was unlinked before. */
static void batch_finish(struct mmu_vm *vm, struct zap_batch *batch) REQUIRES(vm->mmu_lock)
{
	if (batch->flush_owed)
		flush_vm(vm);
	while (batch->dead != DEAD_END) {
		hpa_t table = batch->dead;

		batch->dead = spte_load(spte_table(table)).raw;
		port_pages_free(table, 0);
	}
	batch->flush_owed = false;
}

/* Nobody else changes entries now; the exchange is for the processors' A and D. */
static void zap_entry(struct mmu_vm *vm, struct tdp_iter *it, struct zap_batch *batch)
{
	spte_t old = spte_xchg(it->cell, (spte_t){ 0 });

	tdp_account(vm, it->root->fmt, it->level, old, (spte_t){ 0 });
	batch->flush_owed = true;
}

static bool table_is_empty(const spte_cell_t *table)
{
	for (unsigned i = 0; i < PT_ENTRIES; i++)
		if (spte_load(&table[i]).raw)
			return false;
	return true;
}

static void zap_empty_table(struct mmu_vm *vm, struct tdp_iter *it, struct zap_batch *batch)
{
	hpa_t hpa = format_hpa(it->root->fmt, it->old);
	spte_cell_t *table = spte_table(hpa);

	if (!table_is_empty(table))
		return;
	zap_entry(vm, it, batch);
	spte_store(table, (spte_t){ batch->dead });
	batch->dead = hpa;
}

bool zap_should_yield(struct mmu_vm *vm)
{
	return rwlock_needbreak(&vm->mmu_lock) || port_need_resched();
}

void zap_yield(struct mmu_vm *vm)
{
	stat_add(vm, zap_yield, 1);
	write_unlock(&vm->mmu_lock);
	port_resched();
	write_lock(&vm->mmu_lock);
}

/*
 * Let others in, if that is allowed and wanted.  Not at a place where the walk
 * already did: each yield has progress before it, so the walk ends.  Not on the way
 * out of a table either: the restart would not come back to it.
 */
static bool zap_try_yield(struct mmu_vm *vm, struct tdp_iter *it, struct zap_batch *batch,
			  unsigned flags) REQUIRES(vm->mmu_lock)
{
	if (!(flags & MMU_MAY_BLOCK) || it->leaving || it->next == it->yielded ||
	    !zap_should_yield(vm))
		return false;
	batch_finish(vm, batch);
	zap_yield(vm);
	it->yielded = it->next;
	iter_restart(it);
	return true;
}

void zap_range(struct mmu_vm *vm, gfn_t start, gfn_t end, unsigned flags)
{
	struct zap_batch batch;
	struct tdp_iter it;

	assert_held_write(&vm->mmu_lock);
	if (!vm->root)
		return;
	batch_init(&batch);
	iter_begin(&it, vm->root, start, end, ITER_LEAVE);
	while (it.valid) {
		if (zap_try_yield(vm, &it, &batch, flags))
			continue;
		if (it.leaving)
			zap_empty_table(vm, &it, &batch);
		else if (format_is_leaf(it.root->fmt, it.old, it.level))
			zap_entry(vm, &it, &batch);
		iter_next(&it);
	}
	batch_finish(vm, &batch);
}
