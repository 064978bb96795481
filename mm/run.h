/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs: neighbouring entries of one table that an operation on a range changes one after the other, under
 * mmu_lock for write.
 *
 *	table     [ .  .  a  b  c  d  e  f  .  . ]     iter_run(), of one slot
 *	                  |  |  |  |  |  |
 *	backing   [ .  .  a  b  c  d  e  f  .  . ]     one node of its tree, or one word for all
 *
 * What is the same for all of them is looked up once, when the run is opened; what there is to book is added
 * up, and booked when it is closed.  Each entry is changed by an atomic operation of its own nevertheless,
 * because processors set Accessed and Dirty in them.
 */
#pragma once

#include "mm/backing_word.h"
#include "mm/dirty.h"
#include "mm/iter.h"
#include "mm/leaf.h"

struct leaf_run {
	struct mmu_vm *vm;
	const struct mmu_format *fmt;
	spte_cell_t *cell;       /* the first entry */
	gfn_t gfn;               /* which it spans first */
	unsigned count;
	unsigned level;          /* above 4K there is one entry */
	const struct memslot *slot; /* a dying one, too; NULL: no memory is there */
	struct dirty_log *log;   /* that listens to marks (dirty.h); or NULL, and no marks */
	uint64_t marks;
	struct backing_row row;
	bool folds;              /* somebody keeps what leaves said: there is a row, or a log */
	/* to be booked */
	unsigned changed, gone;
	uint64_t dirty;          /* bit i: entry i said so to the log, and says it no longer */
};

/* From the entry that the walk stands on as far as iter_run() says, or less. */
void run_open(struct leaf_run *run, struct mmu_vm *vm, const struct tdp_iter *it)
	REQUIRES(vm->mmu_lock);
void run_close(struct leaf_run *run) REQUIRES(run->vm->mmu_lock);

/* What is about to change leaves Accessed and Dirty as they are: pages have nothing to keep. */
static inline void run_keeps_used(struct leaf_run *run)
{
	run->row.cell = NULL;
	run->folds = run->log;
}

/* What leaf i knew, and what takes its place does not: to its page, and to the log. */
static inline void run_fold(struct leaf_run *run, unsigned i, spte_t old, spte_t new)
{
	/* Only pages of ours have a state to fold into: where there is a row, all are. */
	unsigned lost = run->row.cell ? leaf_lost(run->fmt, old, new) : 0;

	if (lost)
		backing_keep(&run->row.cell[i * run->row.step], lost);
	if (dirty_lost(run->marks, old, new))
		run->dirty |= 1ul << i;
}

/* Take leaf i out.  Nobody else changes entries now but processors, and readers. */
static inline void run_zap(struct leaf_run *run, unsigned i)
{
	spte_t none = { 0 }, old = spte_xchg(&run->cell[i], none);

	run->gone++;
	if (run->folds)
		run_fold(run, i, old, none);
}

/* The same page without these bits. */
static inline void run_clear(struct leaf_run *run, unsigned i, uint64_t bits)
{
	spte_t old = spte_clear_bits(&run->cell[i], bits);

	run->changed++;
	if (run->folds)
		run_fold(run, i, old, (spte_t){ old.raw & ~bits });
}

/* The same page with less; false: the processor has just set A or D, *old says it. */
static inline bool run_try_set(struct leaf_run *run, unsigned i, spte_t *old, spte_t new)
{
	if (!spte_cmpxchg(&run->cell[i], old, new))
		return false;
	run->changed++;
	if (run->folds)
		run_fold(run, i, *old, new);
	return true;
}
