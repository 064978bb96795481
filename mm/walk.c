/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walks over ranges; see walk.h.
 *
 * A table that turns out empty when the walk leaves it is unlinked and put on the walk's
 * list of dead tables.  Processors may still hold its address in their paging-structure
 * caches, so it goes, like everything, behind the flush; and readers without a lock may
 * be inside, so it is freed behind a grace period.  The list is linked through the first entry
 * of each dead table: an address without flags is not present in any format.
 */
#include "mm/walk.h"

#include "mm/flush.h"
#include "mm/lock.h"
#include "mm/root.h"
#include "mm/shadow.h"
#include "mm/shadow_range.h"
#include "mm/tdp.h"

#define DEAD_END 0ul

/* ---- how long a hold was ------------------------------------------------------ */

static void note_max(_Atomic uint64_t *max, uint64_t n)
{
	uint64_t old = atomic_load_explicit(max, memory_order_relaxed);

	while (old < n && !atomic_compare_exchange_weak_explicit(max, &old, n, memory_order_relaxed,
								 memory_order_relaxed))
		;
}

void hold_note_write(struct mmu_vm *vm, uint64_t visited)
{
	note_max(&vm->hold_write, visited);
}

void hold_note_read(struct mmu_vm *vm, uint64_t visited)
{
	note_max(&vm->hold_read, visited);
}

void mmu_holds_read(struct mmu_vm *vm, struct mmu_holds *out)
{
	out->write_entries = atomic_load_explicit(&vm->hold_write, memory_order_relaxed);
	out->read_entries = atomic_load_explicit(&vm->hold_read, memory_order_relaxed);
}

/* ---- yielding -------------------------------------------------------------------- */

bool walk_should_yield(struct mmu_vm *vm)
{
	return mmu_lock_look(vm);
}

void walk_yield(struct mmu_vm *vm)
{
	stat_add(vm, zap_yield, 1);
	mmu_lock_yield(vm);
}

/* ---- tables ------------------------------------------------------------------------ */

static bool table_is_empty(const spte_cell_t *table)
{
	for (unsigned i = 0; i < PT_ENTRIES; i += 4)
		if (spte_load(&table[i]).raw | spte_load(&table[i + 1]).raw |
		    spte_load(&table[i + 2]).raw | spte_load(&table[i + 3]).raw)
			return false;
	return true;
}

static void unlink_if_empty(struct range_walk *walk, struct tdp_iter *it)
	REQUIRES(walk->vm->mmu_lock)
{
	const struct mmu_format *fmt = it->root->fmt;
	hpa_t hpa = format_hpa(fmt, it->old);
	spte_cell_t *table = spte_table(hpa);

	walk->visited += PT_ENTRIES;
	if (!table_is_empty(table))
		return;
	tdp_zap(walk->vm, it);
	walk->flush_owed = true;
	spte_store(table, (spte_t){ walk->dead });
	walk->dead = hpa;
}

/* Flushed, or never used by a processor: freed when no reader is inside. */
static void bury(struct range_walk *walk)
{
	while (walk->dead != DEAD_END) {
		hpa_t table = walk->dead;

		walk->dead = spte_load(spte_table(table)).raw;
		rcu_defer_table(walk->vm, table);
	}
	rcu_poll(walk->vm);
}

/* ---- the walk ------------------------------------------------------------------------ */

unsigned walk_run(struct range_walk *walk, const struct tdp_iter *it, struct leaf_run *run)
{
	assert_held_write(&walk->vm->mmu_lock);
	run_open(run, walk->vm, it);
	walk->visit(walk, run);
	assert_held_write(&run->vm->mmu_lock);
	run_close(run);
	walk->flush_owed |= run->gone || run->changed;
	walk->visited += run->count;
	return run->count;
}

/* What the walk stands on, and on behind it. */
static void visit(struct range_walk *walk, struct tdp_iter *it) REQUIRES(walk->vm->mmu_lock)
{
	bool table = format_is_table(it->root->fmt, it->old, it->level);
	struct leaf_run run;

	if (it->leaving)
		unlink_if_empty(walk, it);
	if (it->level == PG_LEVEL_4K || (it->old.raw && !table)) {
		iter_skip(it, walk_run(walk, it, &run));
	} else {
		walk->visited++;
		iter_next(it);
	}
}

/*
 * Not at the place where the step began: each has progress, so the walk ends.  Not on the
 * way out of a table either: the next step would not come back to it.
 */
static bool step_is_over(struct range_walk *walk, const struct tdp_iter *it)
	REQUIRES(walk->vm->mmu_lock)
{
	if (!(walk->flags & MMU_MAY_BLOCK) || it->leaving || it->next == walk->next)
		return false;
	hold_note_write(walk->vm, walk->visited);
	walk->visited = 0;
	return walk_should_yield(walk->vm);
}

/* From walk->next to end, or to where it said that the step is over: how far it came. */
static gfn_t walk_root(struct range_walk *walk, const struct mmu_root *root, gfn_t end)
	REQUIRES(walk->vm->mmu_lock)
{
	struct tdp_iter it;

	iter_begin(&it, root, walk->next, end, walk->unlink ? ITER_LEAVE : 0);
	while (it.valid) {
		if (step_is_over(walk, &it))
			return it.next;
		visit(walk, &it);
	}
	return end;
}

bool walk_step(struct range_walk *walk)
{
	struct mmu_vm *vm = walk->vm;
	gfn_t done = walk->end;

	assert_held_write(&vm->mmu_lock);
	walk->visited = 0;
	for_each_root(vm, root)
		done = walk_root(walk, root, done);
	if (vm->shadow)
		done = shadow_walk(walk, done);
	hold_note_write(vm, walk->visited);
	walk->next = done;
	if (!walk->flush_owed && !(vm->shadow && vm->shadow->flush_owed))
		stat_add(vm, tlb_none, 1);
	else
		flush_vm(vm);
	walk->flush_owed = false;
	if (vm->shadow)
		shadow_flushed(vm);
	if (walk->dead != DEAD_END)
		bury(walk);
	return done < walk->end;
}

void walk_root_step(struct range_walk *walk, const struct mmu_root *root, uint64_t budget)
{
	struct tdp_iter it;

	assert_held_write(&walk->vm->mmu_lock);
	walk->visited = 0;
	iter_begin(&it, root, walk->next, walk->end, walk->unlink ? ITER_LEAVE : 0);
	while (it.valid && (walk->visited < budget || it.leaving || it.next == walk->next))
		visit(walk, &it);
	walk->next = it.valid ? it.next : walk->end;
	walk->flush_owed = false;
	hold_note_write(walk->vm, walk->visited);
	if (walk->dead != DEAD_END)
		bury(walk);
}
