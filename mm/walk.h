/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A walk over a range of gfns in all roots at once, under mmu_lock for write, that can
 * let others in between.
 *
 *	walk = { .vm, .next, .end, .flags, .visit };
 *	while (walk_step(&walk)) {
 *		// [old next, walk.next) is done in every root, and flushed
 *		invalidate_advance(vm, &inv, walk.next);
 *		walk_yield(vm);
 *	}
 *
 * Roots are few (the valid one, and invalid ones that are being torn down).  Each step takes
 * the first from next on until there is a reason to yield, the second as far as the
 * first came, and so on: what all have done is done.  Doing a part twice must do no harm.
 */
#pragma once

#include "mm/run.h"
#include "mm/vm.h"

/*
 * Beside MMU_*: what is in the range goes for good, and with it the shadows of guest tables that
 * lie there.
 */
#define WALK_TABLES (1u << 16)

struct range_walk {
	struct mmu_vm *vm;
	gfn_t next;     /* first gfn not yet done */
	gfn_t end;
	unsigned flags; /* with MMU_MAY_BLOCK a step ends when somebody waits */
	/* Called for all entries that are not tables, run by run; may change them by run_*(). */
	void (*visit)(struct range_walk *walk, struct leaf_run *run);
	bool unlink;    /* take out tables that are found empty */

	void *ctx;      /* for visit() */

	/* of the walk */
	bool flush_owed; /* a processor could still use what is gone */
	hpa_t dead;      /* unlinked tables */
	/* entries visited since we looked whether to yield */
	uint64_t visited;
};

/* True: there is more, and a reason to yield.  All flushes are done and dead tables freed. */
bool walk_step(struct range_walk *walk) REQUIRES(walk->vm->mmu_lock);

/*
 * One root only, at most budget entries more or less, without a flush at the end: for a
 * root that no processor uses.
 */
void walk_root_step(struct range_walk *walk, const struct mmu_root *root, uint64_t budget)
	REQUIRES(walk->vm->mmu_lock);

/* The run that begins where it stands: visited and booked.  How many entries it had. */
unsigned walk_run(struct range_walk *walk, const struct tdp_iter *it, struct leaf_run *run)
	REQUIRES(walk->vm->mmu_lock);

/* Does a holder of mmu_lock for write that may block have a reason to let others in? */
bool walk_should_yield(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);
/* Drop mmu_lock, let others run, take it again.  No flush is owed. */
void walk_yield(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);

/* So many entries or words were visited under mmu_lock without looking whether to yield. */
void hold_note_write(struct mmu_vm *vm, uint64_t visited);
void hold_note_read(struct mmu_vm *vm, uint64_t visited);
