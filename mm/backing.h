/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host pages behind a VM's gfns: what the page tables may map.
 *
 * A radix tree of the same shape as the page tables, of words that say what
 * lies behind a span of gfns:
 *
 *   absent      nothing yet; a touch brings a zeroed page
 *   page        a host page, of 4K (level 1) or 2M (level 2)
 *   ballooned   nothing, and a touch brings nothing until the balloon comes in
 *   node        a page of 512 words for the next lower level
 *
 * 2M is the largest page here: the host hands out 1G at once too seldom, and zeroing
 * one takes too long inside one fault, for a 1G word to earn its split paths.
 *
 * Under mmu_lock: read to walk, and to publish by compare-exchange (absent → page
 * or node); write for everything that removes.  A page is removed only after the
 * mappings of it are gone and flushed.
 */
#pragma once

#include "mm/memslot.h"
#include "mm/vm.h"

struct backing_page {
	pfn_t pfn;      /* first host page */
	gfn_t gfn;      /* which backs this gfn */
	uint8_t level;  /* PG_LEVEL_4K or PG_LEVEL_2M */
};

/* Pages that one walk may need for nodes: one per level above the lowest. */
#define BACKING_NODES(vm) ((unsigned)(vm)->root_level - 1)

int backing_init(struct mmu_vm *vm);
/* Every page goes back to the host; nothing maps any. */
void backing_destroy(struct mmu_vm *vm);

/*
 * What backs gfn now.  0; -ENOENT when absent, out->level then says how large the
 * absent span is; -EFAULT when ballooned.
 */
int backing_lookup(struct mmu_vm *vm, gfn_t gfn, struct backing_page *out)
	REQUIRES_SHARED(vm->mmu_lock);

/*
 * The same, with a page brought when there is none: 2M when the whole chunk lies
 * in slot, is absent and may be mapped so, else 4K.  cache gives pages for
 * nodes.  -EFAULT ballooned; -ENOMEM no page, no node, or the cap is reached; -EAGAIN
 * the cap is reached, but by somebody who may give it back: try again.
 */
int backing_touch(struct mmu_vm *vm, struct mmu_cache *cache, const struct memslot *slot,
		  gfn_t gfn, struct backing_page *out) EXCLUDES(vm->mmu_lock);

/* A change of the state of a whole range, in steps that a walk can yield between. */
struct backing_change {
	gfn_t start, end;         /* the range */
	bool out;                 /* to ballooned; else from ballooned to absent */
	struct mmu_cache *spare;  /* for nodes at the edges: 2 * BACKING_NODES() suffice */
	gfn_t next;               /* first gfn not yet done; begin with start */
	uint64_t changed;         /* gfns that changed so far */
};

/*
 * Go on for a bounded number of words.  Frees the pages it takes out: no mapping of
 * the range exists and an invalidation of it runs.  -ENOMEM: spare is empty.
 */
int backing_change_step(struct mmu_vm *vm, struct backing_change *c) REQUIRES(vm->mmu_lock);

/* Count everything by walking it, for the audit. */
struct backing_count {
	uint64_t pages;      /* host pages (4K) */
	uint64_t ballooned;  /* gfns */
	gfn_t stray;         /* a gfn outside the slots that has a page; else GFN_INVALID */
};
void backing_count(struct mmu_vm *vm, struct backing_count *out) REQUIRES(vm->mmu_lock);
