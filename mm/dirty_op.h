/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the dirty logs: cleaning and looking, by pages of a slot (dirty_op.c). */
#pragma once

#include "mm/dirty.h"

/* Some pages of a slot, and what becomes of them. */
struct dirty_op {
	struct mmu_vm *vm;
	unsigned id;           /* of the slot */
	enum mmu_op what;      /* for whoever has to wait for it */
	uint64_t first, npages;
	const uint64_t *mask;  /* only pages with a bit here; NULL: all */
	uint64_t *out;         /* bits found, NULL: not asked for */
	uint64_t dirty;        /* how many */
	/* now, under mmu_lock */
	const struct memslot *slot;
	struct dirty_log *log;
};

/* The operation's slot and log as they are now.  -ENOENT: there is none; -EINVAL: a wrong range. */
int dirty_op_look(struct dirty_op *op) REQUIRES_SHARED(op->vm->mmu_lock);
/* What is to be cleaned in 4K is split first, without the lock. */
int dirty_op_split(struct dirty_op *op) EXCLUDES(op->vm->mmu_lock);
/*
 * Make all pages of the operation clean, and report what they were.  An error comes when slot or
 * log go while others are let in.
 */
int dirty_op_clean(struct dirty_op *op) REQUIRES(op->vm->mmu_lock);
