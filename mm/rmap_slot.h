/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reverse maps of a slot's pages: one per 4K, 2M and 1G page, in chunks that come with the
 * first mapping of a page in them, so that memory goes with what is mapped and not with what a slot
 * could hold.  Only VMs that shadow have any.
 */
#pragma once

#include "mm/memslot.h"
#include "mm/rmap.h"
#include "mm/vm.h"

#define RMAP_LEVELS PG_LEVEL_1G

/* As many as fill a page with the head. */
#define RMAP_CHUNK 510u

struct rmap_chunk {
	struct rcu_head rcu;
	struct rmap rmap[RMAP_CHUNK];
};

struct slot_rmaps {
	struct rcu_head rcu;
	size_t size;
	uint64_t chunks[RMAP_LEVELS];                     /* by level - 1 */
	_Atomic(struct rmap_chunk *) *chunk[RMAP_LEVELS]; /* NULL: nothing was mapped there yet */
};

/* NULL: no memory. */
struct slot_rmaps *slot_rmaps_alloc(uint64_t npages);
/* Nobody looks any more.  They need not be empty; lets others run in between. */
void slot_rmaps_free(struct slot_rmaps *rmaps);
/* Behind a grace period.  They are empty and stay so: what is prepared later is dropped. */
void slot_rmaps_defer(struct mmu_vm *vm, struct slot_rmaps *rmaps);

/*
 * Have chunks for gfn at every level up to top, unless the slot is gone.  Under mmu_lock or as an RCU
 * reader; -ENOMEM.
 */
int slot_rmaps_prepare(const struct memslot *slot, gfn_t gfn, unsigned top);

/* The rmap of the page of this level that holds gfn; NULL: nothing in its chunk was ever mapped. */
struct rmap *slot_rmap(const struct memslot *slot, gfn_t gfn, unsigned level);
/*
 * The same of 4K, with how many lie side by side from there on, in the slot or behind its end; NULL: so
 * many there are none of, up to where one could be or a page of 2M begins.
 */
struct rmap *slot_rmap_row(const struct memslot *slot, gfn_t gfn, uint64_t *count);
