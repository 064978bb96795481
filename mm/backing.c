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

/* The largest level at which the tree and the gfns are aligned alike. */
static unsigned alike_level(const struct memslot *slot)
{
	gfn_t shift = slot->base - slot->state->backing.skew;
	unsigned level = PG_LEVEL_1G;

	while (level > PG_LEVEL_4K && (shift & (level_pages(level) - 1)))
		level--;
	return level;
}

static void lookup_device(const struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn,
			  struct backing_page *out)
{
	uint64_t shift = (slot->hpa >> PAGE_SHIFT) - slot->base;
	unsigned level = vm->max_leaf_level;

	while (level > PG_LEVEL_4K &&
	       ((shift & (level_pages(level) - 1)) ||
		!memslot_covers(slot, level_gfn_base(gfn, level), level_pages(level))))
		level--;
	gfn_t base = level_gfn_base(gfn, level);

	*out = (struct backing_page){ { base + shift }, base, (uint8_t)level, ACC_RWX, false,
				      false, false };
}

int backing_lookup_in(struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn,
		      struct backing_page *out)
{
	unsigned level, alike;

	assert_held_read(&vm->mmu_lock);
	if (backing_is_device(slot)) {
		lookup_device(vm, slot, gfn, out);
		return 0;
	}
	gfn_t index = backing_index(slot, gfn);
	uint64_t word;

	/* A node may take the place of what was absent between the two looks at it. */
	do {
		word = word_load(backing_find(&slot->state->backing, index, PG_LEVEL_4K, &level));
	} while (word_kind(word) == BACKING_NODE);
	uint64_t offset = index - level_gfn_base(index, level);

	alike = alike_level(slot);
	level = level < alike ? level : alike;
	out->level = (uint8_t)level;
	out->gfn = level_gfn_base(gfn, level);
	out->pfn.n = (word_hpa(word) >> PAGE_SHIFT) + offset - (gfn - out->gfn);
	out->access = (uint8_t)word_access(word);
	out->refcounted = true;
	out->accessed = word & WORD_ACCESSED;
	out->dirty = word & WORD_DIRTY;
	switch (word_kind(word)) {
	case BACKING_PAGE:
		return 0;
	case BACKING_ABSENT:
		return -ENOENT;
	default:
		return -EFAULT;
	}
}

int backing_lookup(struct mmu_vm *vm, gfn_t gfn, struct backing_page *out)
{
	const struct memslot *slot = memslot_find_any(vm, gfn);

	return slot ? backing_lookup_in(vm, slot, gfn, out) : -EFAULT;
}

void backing_fold(struct mmu_vm *vm, gfn_t gfn, unsigned level, bool accessed, bool dirty)
{
	const struct memslot *slot = memslot_find_any(vm, gfn);
	uint64_t bits = (accessed ? WORD_ACCESSED : 0) | (dirty ? WORD_DIRTY : 0);
	unsigned found;

	assert_held_read(&vm->mmu_lock);
	if (!slot || backing_is_device(slot) || !bits)
		return;
	backing_cell_t *cell = backing_find(&slot->state->backing, backing_index(slot, gfn), level,
					    &found);
	uint64_t word = word_load(cell);

	/* Pages leave under the write lock: it stays one while we hold the lock. */
	if (word_kind(word) == BACKING_PAGE && (word & bits) != bits)
		atomic_fetch_or_explicit(cell, bits, memory_order_relaxed);
}

/* ---- bringing a page --------------------------------------------------------- */

/*
 * Put an empty node where old is, which it goes on saying.  -ENOMEM: no page for it.  Success
 * also when somebody else was first.
 */
static int backing_grow(struct mmu_cache *cache, backing_cell_t *cell, uint64_t old)
{
	hpa_t hpa = cache_take(cache);

	if (hpa == HPA_INVALID)
		return -ENOMEM;
	if (old)
		node_fill(hpa, old);
	/* Release: pairs with the acquire in word_load(). */
	if (atomic_compare_exchange_strong_explicit(cell, &old, word_make(BACKING_NODE, hpa),
						    memory_order_release, memory_order_relaxed))
		return 0;
	/* The cache holds zeroed pages; what we wrote is not zero only if old was not. */
	node_fill(hpa, 0);
	cache_put(cache, hpa);
	return 0;
}

/*
 * Put a page of this level where nothing is yet.  -EEXIST: somebody was first, or the
 * spot is covered at a higher level; -ENOMEM: no page for a node.
 */
static int backing_publish(struct mmu_vm *vm, struct mmu_cache *cache, const struct memslot *slot,
			   gfn_t gfn, unsigned goal, hpa_t hpa) REQUIRES_SHARED(vm->mmu_lock)
{
	const struct backing *b = &slot->state->backing;

	if (b->dead)
		return -EAGAIN;
	for (;;) {
		unsigned level;
		backing_cell_t *cell = backing_find(b, backing_index(slot, gfn), goal, &level);
		uint64_t old = word_load(cell), new = word_make(BACKING_PAGE, hpa);

		if (word_kind(old) != BACKING_ABSENT)
			return -EEXIST;
		/* Release: pairs with the acquire in word_load(). */
		if (level == goal)
			return atomic_compare_exchange_strong_explicit(
				       cell, &old, new | (old & WORD_PROTECTION),
				       memory_order_release, memory_order_relaxed) ? 0 : -EEXIST;
		if (backing_grow(cache, cell, old))
			return -ENOMEM;
	}
}

/* Bring a page of this size for gfn.  0 and -EEXIST both mean: there is one now. */
static int backing_bring(struct mmu_vm *vm, struct mmu_cache *cache, const struct memslot *slot,
			 gfn_t gfn, unsigned level) EXCLUDES(vm->mmu_lock)
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
	err = backing_publish(vm, cache, slot, gfn, level, hpa);
	if (!err)
		stat_add(vm, backing_pages, level_pages(level));
	read_unlock(&vm->mmu_lock);
	if (err) {
		port_pages_free(hpa, order);
		backing_unreserve(vm, level_pages(level));
	}
	return err;
}

/* The largest page that the absent span around gfn may become. */
static unsigned backing_wants(const struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn,
			      unsigned absent_level)
{
	unsigned level = absent_level < vm->max_leaf_level ? absent_level : vm->max_leaf_level;

	while (level > PG_LEVEL_4K &&
	       !memslot_covers(slot, level_gfn_base(gfn, level), level_pages(level)))
		level--;
	return level;
}

int backing_touch(struct mmu_vm *vm, struct mmu_cache *cache, const struct memslot *slot,
		  gfn_t gfn, struct backing_page *out)
{
	for (;;) {
		read_lock(&vm->mmu_lock);
		/* A dead slot's tree is gone; the slot stays for readers who found it before. */
		int err = slot->state->backing.dead ? -EAGAIN
						    : backing_lookup_in(vm, slot, gfn, out);

		read_unlock(&vm->mmu_lock);
		if (err != -ENOENT)
			return err;
		unsigned level = backing_wants(vm, slot, gfn, out->level);

		/* Whatever keeps us from a large page, a smaller may still be had. */
		do
			err = backing_bring(vm, cache, slot, gfn, level);
		while ((err == -ENOMEM || err == -EAGAIN) && --level >= PG_LEVEL_4K);
		if (err && err != -EEXIST)
			return err;
	}
}

/* ---- the beginning --------------------------------------------------------------- */

int backing_init(const struct mmu_vm *vm, struct backing *b, const struct mmu_slot_desc *desc)
{
	/* High enough for one word to be the largest page. */
	*b = (struct backing){ .top = HPA_INVALID, .level = vm->max_leaf_level };
	if (desc->flags & MMU_SLOT_DEVICE)
		return 0;
	b->skew = desc->base_gfn & (level_pages(PG_LEVEL_1G) - 1);
	while (level_pages(b->level + 1u) < b->skew + desc->npages)
		b->level++;
	MM_BUG_ON(b->level > vm->root_level);
	b->top = port_pages_alloc(0, PORT_ZERO);
	return b->top == HPA_INVALID ? -ENOMEM : 0;
}
