/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Recovery in place: a table that a dirty log or the NX mitigation made necessary becomes
 * a huge leaf again, under mmu_lock for write.
 *
 *     [ table ]          [ frozen ]            [ frozen ]          [ huge leaf ]
 *      | ... |     →      (| ... |)    →flush→              →
 *     [4K]…[4K]          [4K]…[4K]            [  ]…[  ]
 *
 * The entry is frozen and flushed first, so when the 4K leaves are taken out no processor
 * marks them any more, and their Accessed and Dirty can be taken over for good.  And at no
 * moment does a processor see two sizes with different permissions.  A vCPU that
 * faults on the frozen entry waits for the lock, that is for one step.
 *
 * Dirty goes to the page's state, as when a leaf is zapped: the huge leaf starts clean.
 */
#include "mm/recover.h"

#include "mm/backing.h"
#include "mm/dirty.h"
#include "mm/flush.h"
#include "mm/huge.h"
#include "mm/invalidate.h"
#include "mm/leaf.h"
#include "mm/lock.h"
#include "mm/tdp.h"
#include "mm/walk.h"

/* Tables per step (each costs 512 exchanges), and entries looked at. */
#define RECOVER_BATCH 4u
#define RECOVER_LOOKS 512u

/* A table on its way. */
struct recovery {
	struct tdp_iter it; /* its entry */
	hpa_t table;
	struct backing_page page;
	const struct memslot *slot;
	unsigned access;
};

/* Only leaves and holes, and at least one leaf: nothing that a huge leaf could not stand for. */
static bool table_is_plain(const struct tdp_iter *it)
{
	const struct mmu_format *fmt = it->root->fmt;
	const spte_cell_t *table = spte_table(format_hpa(fmt, it->old));
	bool any = false;

	for (unsigned i = 0; i < PT_ENTRIES; i++) {
		spte_t child = spte_load(&table[i]);

		if (format_is_leaf(fmt, child, it->level - 1))
			any = true;
		else if (child.raw)
			return false;
	}
	return any;
}

/* May the table that the walk stands on be one leaf?  Fills in what is needed for that. */
static bool may_recover(struct mmu_vm *vm, const struct tdp_iter *it, uint64_t mark,
			struct recovery *r) REQUIRES(vm->mmu_lock)
{
	gfn_t end = it->gfn + level_pages(it->level);

	if (!format_is_table(it->root->fmt, it->old, it->level) || it->level > vm->max_leaf_level ||
	    (it->old.raw & SPTE_NX_SPLIT) != mark || invalidate_in_progress(vm, it->gfn, end))
		return false;
	r->slot = memslot_find(vm, it->gfn);
	if (!r->slot || dirty_log_of(r->slot) ||
	    !slot_huge_allowed(vm, r->slot, it->gfn, it->level))
		return false;
	if (backing_lookup_in(vm, r->slot, it->gfn, &r->page) || r->page.level < it->level)
		return false;
	r->access = memslot_access(r->slot) & r->page.access;
	return r->access && table_is_plain(it);
}

static void recover_freeze(struct mmu_vm *vm, struct recovery *r, const struct tdp_iter *it)
	REQUIRES(vm->mmu_lock)
{
	spte_t frozen = { SPTE_FROZEN };

	r->it = *it;
	/* The exchange takes a table entry's own Accessed along, which means nothing. */
	spte_t old = spte_xchg(it->cell, frozen);

	r->table = format_hpa(it->root->fmt, old);
	tdp_account(vm, it->root->fmt, it->gfn, it->level, old, frozen);
}

/* Take out the leaves of the frozen table; was any of them used? */
static bool recover_empty(struct mmu_vm *vm, const struct recovery *r) REQUIRES(vm->mmu_lock)
{
	const struct mmu_format *fmt = r->it.root->fmt;
	spte_cell_t *table = spte_table(r->table);
	unsigned level = r->it.level - 1;
	bool young = false;

	for (unsigned i = 0; i < PT_ENTRIES; i++) {
		spte_t old = spte_xchg(&table[i], (spte_t){ 0 });

		if (!spte_is_present(old))
			continue;
		young |= leaf_is_accessed(fmt, old);
		tdp_account(vm, fmt, r->it.gfn + i * level_pages(level), level, old, (spte_t){ 0 });
	}
	return young;
}

static void recover_finish(struct mmu_vm *vm, struct recovery *r) REQUIRES(vm->mmu_lock)
{
	const struct mmu_format *fmt = r->it.root->fmt;
	unsigned used = recover_empty(vm, r) ? ACC_R : 0;
	struct tdp_goal goal = tdp_goal(vm, r->slot, &r->page, r->it.gfn, r->access, used);

	/* Nobody writes now: where write access counts as Dirty, it comes with the next write. */
	goal.write_logged |= !fmt->ad;
	spte_t leaf = tdp_leaf(vm, fmt, &goal, r->it.gfn, r->it.level, used);

	spte_store(r->it.cell, leaf);
	tdp_account(vm, fmt, r->it.gfn, r->it.level, (spte_t){ SPTE_FROZEN }, leaf);
	rcu_defer_table(vm, r->table);
	stat_add(vm, recovered, 1);
}

static void range_widen(struct gfn_range *range, gfn_t start, gfn_t end)
{
	if (range->start >= range->end)
		*range = (struct gfn_range){ start, end };
	range->start = start < range->start ? start : range->start;
	range->end = end > range->end ? end : range->end;
}

/* The walk was at the table above before; now it may have become one of leaves only. */
static void look_above(struct mmu_vm *vm, const struct recovery *r) REQUIRES(vm->mmu_lock)
{
	unsigned above = r->it.level + 1u;
	gfn_t start = level_gfn_base(r->it.gfn, above);

	if (above <= vm->max_leaf_level)
		range_widen(&vm->recover_next, start, start + level_pages(above));
}

void recover_some(struct mmu_vm *vm, gfn_t *next, gfn_t end, uint64_t mark)
{
	struct recovery batch[RECOVER_BATCH];
	unsigned count = 0, looks = 0;
	struct tdp_iter it;

	assert_held_write(&vm->mmu_lock);
	if (!vm->root) {
		*next = end;
		return;
	}
	for (iter_begin(&it, vm->root, *next, end, ITER_HUGE);
	     it.valid && count < RECOVER_BATCH && looks < RECOVER_LOOKS; looks++) {
		if (may_recover(vm, &it, mark, &batch[count])) {
			recover_freeze(vm, &batch[count++], &it);
			iter_reload(&it);
		}
		iter_next(&it);
	}
	*next = it.valid ? it.next : end;
	if (count)
		flush_vm(vm);
	for (unsigned i = 0; i < count; i++) {
		recover_finish(vm, &batch[i]);
		if (!mark) /* the NX pass comes again by itself */
			look_above(vm, &batch[i]);
	}
	hold_note_write(vm, looks + (uint64_t)count * PT_ENTRIES);
}

void recover_request(struct mmu_vm *vm, gfn_t start, gfn_t end)
{
	assert_held_write(&vm->mmu_lock);
	range_widen(&vm->recover, start, end);
	port_work_kick(vm);
}

bool recover_step(struct mmu_vm *vm)
{
	struct gfn_range *todo = &vm->recover;

	mmu_write_lock(vm, MMU_OP_RECOVER, 0, 0);
	mmu_lock_about(vm, todo->start, 0);
	if (todo->start < todo->end)
		recover_some(vm, &todo->start, todo->end, 0);
	if (todo->start >= todo->end) {
		*todo = vm->recover_next;
		vm->recover_next = (struct gfn_range){ 0, 0 };
	}
	bool more = todo->start < todo->end;

	mmu_write_unlock(vm);
	return more;
}
