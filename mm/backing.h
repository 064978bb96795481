/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host pages behind the gfns of a slot: what the page tables may map.
 *
 * A radix tree per slot, of words that say what lies behind a span of gfns:
 *
 *   absent      nothing yet; a touch brings a zeroed page
 *   page        a host page, of 4K (level 1), 2M (level 2) or 1G (level 3)
 *   ballooned   nothing, and a touch brings nothing until the balloon comes in
 *   node        a page of 512 words for the next lower level
 *
 * and all but nodes also say what mmu_protect() permits.  A page's word says too whether it
 * was accessed and whether it is dirty, as far as no leaf says so any more.
 *
 * The tree is indexed from the slot's beginning, set off by what the beginning was beyond
 * a multiple of 1G at first, so that huge pages lie aligned in both and the pages can
 * move with the slot.  Moved to where they lie unaligned they are mapped in smaller leaves.
 *
 * Under mmu_lock: read to publish by compare-exchange (absent → page or node), and
 * to set a page's bits; write for everything that removes or protects.  A page is removed
 * only after the mappings of it are gone and flushed.  Walking is for RCU readers, too.
 *
 * A device slot has no tree: its pages are where it says, and nothing is known about them.
 */
#pragma once

#include "mm/mmu.h"
#include "mm/port.h"
#include "mm/sync.h"
#include "mm/vm.h"

struct memslot;
struct mmu_reading;

struct backing {
	hpa_t top;      /* HPA_INVALID: a device's; as it is until the end */
	uint8_t level;  /* of the words in top */
	bool dead;      /* mmu_lock: the slot is being deleted, no page comes any more */
	gfn_t skew;     /* index of the slot's first gfn */
	gfn_t emptied;  /* mmu_lock: indices that backing_empty_step() is through with */
};

struct backing_page {
	pfn_t pfn;       /* first host page */
	gfn_t gfn;       /* which backs this gfn */
	uint8_t level;   /* of the largest leaf that may map it */
	uint8_t access;  /* ACC_* that mmu_protect() permits */
	bool refcounted; /* RAM that the backing owns */
	bool accessed, dirty; /* a leaf said so that is gone */
};

/* Pages that one walk may need for nodes: one per level above the lowest. */
#define BACKING_NODES(vm) ((unsigned)(vm)->root_level - 1)

int backing_init(const struct mmu_vm *vm, struct backing *backing,
		 const struct mmu_slot_desc *desc);
/* Every page that is left goes back to the host; nothing maps any. */
void backing_destroy(struct mmu_vm *vm, struct backing *backing);

/* The largest level at which a slot at base, and its tree, are aligned alike. */
unsigned backing_alike(const struct backing *backing, gfn_t base);

/* For the cap on the VM's pages. */
static inline void backing_count_nodes(struct mmu_vm *vm, int more)
{
	atomic_fetch_add_explicit(&vm->backing_nodes, (uint64_t)(int64_t)more, memory_order_relaxed);
}


/*
 * What backs gfn now.  0; -ENOENT when absent, out->level then says how large the
 * absent span is; -EFAULT when ballooned or no slot is there.
 */
int backing_lookup(struct mmu_vm *vm, gfn_t gfn, struct backing_page *out)
	REQUIRES_SHARED(vm->mmu_lock);
/* The same as backing_lookup() when the slot is known. */
int backing_lookup_in(struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn,
		      struct backing_page *out) REQUIRES_SHARED(vm->mmu_lock);
/*
 * The same without the lock, for an RCU reader (rcu.h): may be out of date as soon as it returns,
 * which invalidate_is_stale() tells of a page, and backing_bring() of what was absent.
 */
int backing_look(const struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn,
		 struct backing_page *out);

/* A page that is to back a gfn. */
struct backing_fresh {
	hpa_t hpa; /* HPA_INVALID: none */
	uint8_t level;
};

/*
 * A zeroed page for gfn in an absent span of this level: as large as the slot and the VM allow and
 * the host has one.  -ENOMEM no page, or the cap is reached; -EAGAIN it is reached, but by
 * somebody who may give back.
 */
int backing_fetch(struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn, unsigned absent_level,
		  struct backing_fresh *fresh) EXCLUDES(vm->mmu_lock);
/*
 * Put it behind gfn unless something is there, and look what is: as backing_lookup_in(); -ENOENT:
 * others have divided the span meanwhile, a smaller page is due.  -ENOMEM: cache has no page for a
 * node; -EAGAIN: the slot is being deleted.
 */
int backing_bring(struct mmu_vm *vm, struct mmu_cache *cache, const struct memslot *slot,
		  gfn_t gfn, struct backing_fresh *fresh, struct backing_page *out)
	REQUIRES_SHARED(vm->mmu_lock);
/* Give it back if it was not needed. */
void backing_drop(struct mmu_vm *vm, struct backing_fresh *fresh);

/* All of that: there is a page behind gfn.  By an RCU reader; r: who asks. */
int backing_touch(struct mmu_vm *vm, struct mmu_cache *cache, const struct memslot *slot,
		  gfn_t gfn, struct mmu_reading *r) EXCLUDES(vm->mmu_lock);

/*
 * A leaf of this level at gfn is gone, or has lost what it said (LEAF_* in leaf.h): the page keeps it.
 * Nothing happens where no page of ours is.
 */
void backing_fold(struct mmu_vm *vm, gfn_t gfn, unsigned level, unsigned lost)
	REQUIRES_SHARED(vm->mmu_lock);

/* ---- changes of whole ranges --------------------------------------------------- */

enum backing_op {
	BACKING_OUT,     /* to ballooned; pages are freed */
	BACKING_IN,      /* from ballooned to absent */
	BACKING_PROTECT, /* to what access says */
};

/* In steps that a walk can yield between. */
struct backing_change {
	gfn_t end;                /* of the range */
	enum backing_op op;
	unsigned access;          /* BACKING_PROTECT */
	struct mmu_cache *spare;  /* for nodes at the two edges: 2 * BACKING_NODES() suffice */
	gfn_t next;               /* first gfn not yet done; begin with the range's first */
	uint64_t changed;         /* gfns that changed so far */
};

/*
 * Go on for a bounded number of words, but not beyond limit; no further at all while limit lies within
 * a word that the range covers.  Frees the pages it takes out: no
 * mapping of them exists and an invalidation runs.  -ENOMEM: spare is empty; -ENOENT: the
 * slot went away while the walk yielded.
 */
int backing_change_step(struct mmu_vm *vm, struct backing_change *c, gfn_t limit)
	REQUIRES(vm->mmu_lock);
/* Free pages of a dying slot, a bounded number: all is absent then.  True: there are more. */
bool backing_empty_step(struct mmu_vm *vm, const struct memslot *slot) REQUIRES(vm->mmu_lock);

/*
 * The page behind gfn becomes one of level 4K.  Takes nodes from spare, one per level; nothing
 * maps the page it is a part of.  -ENOMEM: spare is empty.
 */
int backing_break(struct mmu_vm *vm, gfn_t gfn, struct mmu_cache *spare) REQUIRES(vm->mmu_lock);
/*
 * Put another page behind gfn, which has one of level 4K and no mapping: the old one is
 * returned, for the caller to free.
 */
hpa_t backing_exchange(struct mmu_vm *vm, gfn_t gfn, hpa_t page) REQUIRES(vm->mmu_lock);

/* Count everything by walking it, for the audit. */
struct backing_count {
	uint64_t pages;      /* host pages (4K) */
	uint64_t ballooned;  /* gfns */
	gfn_t stray;         /* a gfn outside its slot that has a page; else GFN_INVALID */
};
void backing_count(struct mmu_vm *vm, struct backing_count *out) REQUIRES(vm->mmu_lock);
