/* SPDX-License-Identifier: GPL-2.0-only */
/* Opening and closing runs; see run.h. */
#include "mm/run.h"

#include "mm/tdp.h"

static unsigned min_count(unsigned a, uint64_t b)
{
	return a < b ? a : (unsigned)b;
}

/* What hears of it: a log that starts does not, what leaves say was before it. */
static struct dirty_log *listening(const struct memslot *slot)
{
	struct dirty_log *log = dirty_log_of(slot);

	return log && !log->starting ? log : NULL;
}

void run_open(struct leaf_run *run, struct mmu_vm *vm, const struct tdp_iter *it)
{
	gfn_t gfn = it->gfn, slot_end;

	*run = (struct leaf_run){
		.vm = vm, .fmt = it->root->fmt, .cell = it->cell, .gfn = gfn,
		.level = it->level, .slot = memslot_span(vm, gfn, &slot_end),
	};
	run->count = min_count(iter_run(it), slot_end - gfn);
	/* Nobody will ask what the pages of a slot were that goes for good. */
	if (!run->slot || run->slot->state->backing.dead)
		return;
	run->log = listening(run->slot);
	run->marks = run->log ? dirty_marks(run->fmt, run->log) : 0;
	run->count = min_count(run->count, backing_row(run->slot, gfn, run->level, &run->row));
	run->folds = run->row.cell || run->log;
}

void run_close(struct leaf_run *run)
{
	struct mmu_vm *vm = run->vm;

	assert_held_write(&run->vm->mmu_lock);
	if (run->gone) {
		tdp_account_leaves(run->vm, run->level, -(int64_t)run->gone);
		stat_add(vm, zap_leaf, run->gone);
	}
	if (!run->dirty)
		return;
	uint64_t page = run->gfn - run->slot->base;

	if (run->level == PG_LEVEL_4K)
		dirty_log_mark_bits(vm, run->log, page, run->dirty);
	else
		dirty_log_mark(vm, run->log, page, level_pages(run->level));
}
