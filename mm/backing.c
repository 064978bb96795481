/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Looking up and bringing host pages; see backing.h.
 *
 * Two vCPUs that touch the same gfn both allocate; one compare-exchange decides, and
 * the loser frees its page.
 */
#include "mm/backing.h"

#include "mm/backing_word.h"
#include "mm/cache.h"

/* ---- how many pages the VM may have ------------------------------------ */

/*
 * backing_reserved runs ahead of the backing_pages gauge by what is being brought right
 * now, and never passes the cap.  Where the cap is reached only by those, somebody
 * may lose a race and give back.
 */
static int backing_reserve(struct mmu_vm *vm, uint64_t n)
{
	uint64_t have = atomic_load_explicit(&vm->backing_reserved, memory_order_relaxed);

	do {
		if (vm->page_cap && have + n > vm->page_cap)
			return stat_read(vm, backing_pages) + n > vm->page_cap ? -ENOMEM : -EAGAIN;
	} while (!atomic_compare_exchange_weak_explicit(&vm->backing_reserved, &have, have + n,
							memory_order_relaxed,
							memory_order_relaxed));
	return 0;
}

static void backing_unreserve(struct mmu_vm *vm, uint64_t n)
{
	atomic_fetch_sub_explicit(&vm->backing_reserved, n, memory_order_relaxed);
}

/* ---- looking up ----------------------------------------------------------- */

/*
 * Where the way down to gfn ends: a cell that is no node, or the one at bottom.  The
 * word is what was seen there; looking twice could show a node that came since.
 */
struct backing_spot {
	backing_cell_t *cell;
	uint64_t word;
	unsigned level;
};

static struct backing_spot backing_find(struct mmu_vm *vm, gfn_t gfn, unsigned bottom)
{
	backing_cell_t *node = backing_node(vm->backing_top);

	for (unsigned level = vm->root_level;; level--) {
		backing_cell_t *cell = &node[level_index(gfn, level)];
		uint64_t word = word_load(cell);

		if (word_kind(word) != BACKING_NODE || level == bottom)
			return (struct backing_spot){ cell, word, level };
		node = backing_node(word_hpa(word));
	}
}

int backing_lookup(struct mmu_vm *vm, gfn_t gfn, struct backing_page *out)
{
	assert_held_read(&vm->mmu_lock);
	struct backing_spot spot = backing_find(vm, gfn, PG_LEVEL_4K);

	out->level = (uint8_t)spot.level;
	out->gfn = level_gfn_base(gfn, spot.level);
	out->pfn.n = word_hpa(spot.word) >> PAGE_SHIFT;
	switch (word_kind(spot.word)) {
	case BACKING_PAGE:
		return 0;
	case BACKING_ABSENT:
		return -ENOENT;
	default:
		return -EFAULT;
	}
}

/* ---- bringing a page --------------------------------------------------------- */

/*
 * Put a word of this level where nothing is yet.  -EEXIST: somebody was first, or the
 * spot is covered at a higher level; -ENOMEM: no page for a node.
 */
static int backing_publish(struct mmu_vm *vm, struct mmu_cache *cache, gfn_t gfn,
			   unsigned goal, uint64_t word) REQUIRES_SHARED(vm->mmu_lock)
{
	for (;;) {
		struct backing_spot spot = backing_find(vm, gfn, goal);

		if (word_kind(spot.word) != BACKING_ABSENT)
			return -EEXIST;
		if (spot.level == goal)
			return word_publish(spot.cell, word) ? 0 : -EEXIST;
		hpa_t hpa = cache_take(cache);

		if (hpa == HPA_INVALID)
			return -ENOMEM;
		if (!word_publish(spot.cell, word_make(BACKING_NODE, hpa)))
			cache_put(cache, hpa);
	}
}

/* Bring a page of this size for gfn.  0 and -EEXIST both mean: there is one now. */
static int backing_bring(struct mmu_vm *vm, struct mmu_cache *cache, gfn_t gfn, unsigned level)
	EXCLUDES(vm->mmu_lock)
{
	unsigned order = 9 * (level - 1);
	int err = backing_reserve(vm, level_pages(level));

	if (err)
		return err;
	hpa_t hpa = port_pages_alloc(order, PORT_ZERO);

	if (hpa == HPA_INVALID) {
		backing_unreserve(vm, level_pages(level));
		return -ENOMEM;
	}
	read_lock(&vm->mmu_lock);
	err = backing_publish(vm, cache, gfn, level, word_make(BACKING_PAGE, hpa));
	if (!err)
		stat_add(vm, backing_pages, level_pages(level));
	read_unlock(&vm->mmu_lock);
	if (err) {
		port_pages_free(hpa, order);
		backing_unreserve(vm, level_pages(level));
	}
	return err;
}

/* May the chunk around gfn become one 2M page, absent_level being all that is absent? */
static bool backing_wants_2m(const struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn,
			     unsigned absent_level)
{
	return vm->max_leaf_level >= PG_LEVEL_2M && absent_level >= PG_LEVEL_2M &&
	       memslot_covers(slot, level_gfn_base(gfn, PG_LEVEL_2M), level_pages(PG_LEVEL_2M));
}

int backing_touch(struct mmu_vm *vm, struct mmu_cache *cache, const struct memslot *slot,
		  gfn_t gfn, struct backing_page *out)
{
	for (;;) {
		read_lock(&vm->mmu_lock);
		int err = backing_lookup(vm, gfn, out);

		read_unlock(&vm->mmu_lock);
		if (err != -ENOENT)
			return err;
		/* Whatever keeps us from 2M, 4K may still be had. */
		err = -ENOMEM;
		if (backing_wants_2m(vm, slot, gfn, out->level))
			err = backing_bring(vm, cache, gfn, PG_LEVEL_2M);
		if (err == -ENOMEM || err == -EAGAIN)
			err = backing_bring(vm, cache, gfn, PG_LEVEL_4K);
		if (err && err != -EEXIST)
			return err;
	}
}

int backing_init(struct mmu_vm *vm)
{
	vm->backing_top = port_pages_alloc(0, PORT_ZERO);
	return vm->backing_top == HPA_INVALID ? -ENOMEM : 0;
}
