/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Looking up and bringing host pages; see backing.h.
 *
 * Looking up needs no lock: nodes are freed behind a grace period, so a reader (rcu.h) finds what is
 * there or what was there a moment ago, which the invalidation tells that took it away.  In
 * a node that has just gone the first word reads as absent; whoever wants to bring a page
 * then looks again under mmu_lock.
 *
 * Two vCPUs that touch the same gfn both allocate; one compare-exchange decides, and
 * the loser frees its page.
 */
#include "mm/backing.h"

#include "mm/backing_word.h"
#include "mm/cache.h"
#include "mm/lock.h"

/* ---- how many pages the VM may have ------------------------------------ */

/*
 * Tables and nodes count as well, as many as there are now: they come with the pages, and a guest
 * that spreads its accesses has one of both for each page.
 */
static bool over_cap(struct mmu_vm *vm, uint64_t pages)
{
	return vm->page_cap &&
	       pages + stat_read(vm, tables) +
			       atomic_load_explicit(&vm->backing_nodes, memory_order_relaxed) >
		       vm->page_cap;
}

bool mmu_vm_at_cap(struct mmu_vm *vm)
{
	return over_cap(vm, stat_read(vm, backing_pages) + 1);
}

/*
 * backing_reserved runs ahead of the backing_pages gauge by what is being brought right
 * now, and never passes the cap.  Where the cap is reached only by those, somebody
 * may lose a race and give back.
 */
static int backing_reserve(struct mmu_vm *vm, uint64_t n)
{
	uint64_t have = atomic_load_explicit(&vm->backing_reserved, memory_order_relaxed);

	do {
		if (over_cap(vm, have + n))
			return over_cap(vm, stat_read(vm, backing_pages) + n) ? -ENOMEM : -EAGAIN;
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

unsigned backing_alike(const struct backing *b, gfn_t base)
{
	unsigned level = PG_LEVEL_1G;

	while (level > PG_LEVEL_4K && ((base - b->skew) & (level_pages(level) - 1)))
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

	*out = (struct backing_page){ .pfn.n = base + shift, .gfn = base, .level = (uint8_t)level,
				      .access = ACC_RWX };
}

/* A word of a larger page than of 4K: what may be mapped of it around gfn. */
static void page_around(const struct memslot *slot, gfn_t gfn, unsigned level,
			struct backing_page *out)
{
	unsigned leaf = level < slot->alike ? level : slot->alike;
	gfn_t index = backing_index(slot, gfn);

	out->level = (uint8_t)leaf;
	out->gfn = level_gfn_base(gfn, leaf);
	out->pfn.n += index - level_gfn_base(index, level) - (gfn - out->gfn);
}

/* What a word of this level says of gfn. */
static inline void page_of(const struct memslot *slot, gfn_t gfn, unsigned level, uint64_t word,
			   struct backing_page *out)
{
	out->pfn.n = word >> PAGE_SHIFT;
	out->gfn = gfn;
	out->level = PG_LEVEL_4K;
	out->access = (uint8_t)word_access(word);
	out->refcounted = true;
	out->accessed = word & WORD_ACCESSED;
	out->dirty = word & WORD_DIRTY;
	if (level > PG_LEVEL_4K)
		page_around(slot, gfn, level, out);
}

int backing_look(const struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn,
		 struct backing_page *out)
{
	if (backing_is_device(slot)) {
		lookup_device(vm, slot, gfn, out);
		return 0;
	}
	const struct backing *b = &slot->state->backing;
	gfn_t index = backing_index(slot, gfn);
	backing_cell_t *cell;
	unsigned level;
	uint64_t word;

	/* A node that has just gone may say absent where there is a page: the way leads elsewhere by now. */
	do
		cell = backing_read(b, index, PG_LEVEL_4K, &level, &word);
	while (word_kind(word) == BACKING_ABSENT &&
	       backing_find(b, index, PG_LEVEL_4K, &level) != cell);
	page_of(slot, gfn, level, word, out);
	switch (word_kind(word)) {
	case BACKING_PAGE:
		return 0;
	case BACKING_ABSENT:
		return -ENOENT;
	default:
		return -EFAULT;
	}
}

int backing_lookup_in(struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn,
		      struct backing_page *out)
{
	assert_held_read(&vm->mmu_lock);
	return backing_look(vm, slot, gfn, out);
}

int backing_lookup(struct mmu_vm *vm, gfn_t gfn, struct backing_page *out)
{
	const struct memslot *slot = memslot_find_any(vm, gfn);

	return slot ? backing_lookup_in(vm, slot, gfn, out) : -EFAULT;
}

uint64_t backing_row(const struct memslot *slot, gfn_t gfn, unsigned level, struct backing_row *row)
{
	gfn_t index = backing_index(slot, gfn);
	unsigned found;

	*row = (struct backing_row){ 0 };
	if (backing_is_device(slot))
		return slot->base + slot->npages - gfn;
	row->cell = backing_find(&slot->state->backing, index, level, &found);
	row->step = found == PG_LEVEL_4K;
	/* The words of a node, or all that one word spans. */
	found += row->step;
	return level_gfn_base(index, found) + level_pages(found) - index;
}

void backing_fold(struct mmu_vm *vm, gfn_t gfn, unsigned level, unsigned lost)
{
	const struct memslot *slot = memslot_find_any(vm, gfn);
	struct backing_row row;

	assert_held_read(&vm->mmu_lock);
	if (!slot)
		return;
	backing_row(slot, gfn, level, &row);
	if (row.cell)
		backing_keep(row.cell, lost);
}

/* ---- bringing a page --------------------------------------------------------- */

/*
 * Put an empty node where old is, which it goes on saying.  -ENOMEM: no page for it.  Success
 * also when somebody else was first.
 */
static int backing_grow(struct mmu_vm *vm, struct mmu_cache *cache, backing_cell_t *cell,
			uint64_t old)
{
	hpa_t hpa = cache_take(cache);

	if (hpa == HPA_INVALID)
		return -ENOMEM;
	if (old)
		node_fill(hpa, old);
	/* Release: pairs with the acquire in word_load(). */
	if (atomic_compare_exchange_strong_explicit(cell, &old, word_make(BACKING_NODE, hpa),
						    memory_order_release, memory_order_relaxed)) {
		backing_count_nodes(vm, 1);
		return 0;
	}
	/* The cache holds zeroed pages; what we wrote is not zero only if old was not. */
	node_fill(hpa, 0);
	cache_put(cache, hpa);
	return 0;
}

/*
 * Put the page where nothing is yet; *word: how it was written down.  -EEXIST: somebody was first, or the
 * spot is covered at a higher level; -ENOMEM: no page for a node.
 */
static int backing_publish(struct mmu_vm *vm, struct mmu_cache *cache, const struct memslot *slot,
			   gfn_t gfn, const struct backing_fresh *fresh, uint64_t *word)
	REQUIRES_SHARED(vm->mmu_lock)
{
	const struct backing *b = &slot->state->backing;

	if (b->dead)
		return -EAGAIN;
	for (;;) {
		unsigned level;
		uint64_t old;
		backing_cell_t *cell = backing_read(b, backing_index(slot, gfn), fresh->level,
						    &level, &old);

		if (word_kind(old) != BACKING_ABSENT)
			return -EEXIST;
		*word = word_make(BACKING_PAGE, fresh->hpa) | (old & WORD_PROTECTION);
		/* Release: pairs with the acquire in word_load(). */
		if (level == fresh->level)
			return atomic_compare_exchange_strong_explicit(
				       cell, &old, *word, memory_order_release,
				       memory_order_relaxed) ? 0 : -EEXIST;
		if (backing_grow(vm, cache, cell, old))
			return -ENOMEM;
	}
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

static int fetch_level(struct mmu_vm *vm, unsigned level, struct backing_fresh *fresh)
{
	int err = backing_reserve(vm, level_pages(level));

	if (err)
		return err;
	fresh->hpa = port_pages_alloc(9 * (level - 1), PORT_ZERO);
	fresh->level = (uint8_t)level;
	if (fresh->hpa != HPA_INVALID)
		return 0;
	backing_unreserve(vm, level_pages(level));
	return -ENOMEM;
}

int backing_fetch(struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn, unsigned absent_level,
		  struct backing_fresh *fresh)
{
	unsigned level = backing_wants(vm, slot, gfn, absent_level);
	int err;

	/* Whatever keeps us from a large page, a smaller may still be had. */
	do
		err = fetch_level(vm, level, fresh);
	while (err && --level >= PG_LEVEL_4K);
	return err;
}

int backing_bring(struct mmu_vm *vm, struct mmu_cache *cache, const struct memslot *slot,
		  gfn_t gfn, struct backing_fresh *fresh, struct backing_page *out)
{
	uint64_t word;
	int err = backing_publish(vm, cache, slot, gfn, fresh, &word);

	assert_held_read(&vm->mmu_lock);
	if (err)
		return err == -EEXIST ? backing_lookup_in(vm, slot, gfn, out) : err;
	stat_add(vm, backing_pages, level_pages(fresh->level));
	fresh->hpa = HPA_INVALID;
	page_of(slot, gfn, fresh->level, word, out);
	return 0;
}

void backing_drop(struct mmu_vm *vm, struct backing_fresh *fresh)
{
	if (fresh->hpa == HPA_INVALID)
		return;
	port_pages_free(fresh->hpa, 9 * (fresh->level - 1u));
	backing_unreserve(vm, level_pages(fresh->level));
	fresh->hpa = HPA_INVALID;
}

int backing_touch(struct mmu_vm *vm, struct mmu_cache *cache, const struct memslot *slot,
		  gfn_t gfn, struct mmu_reading *r)
{
	struct backing_fresh fresh = { .hpa = HPA_INVALID };
	struct backing_page page;
	int err;

	while ((err = backing_look(vm, slot, gfn, &page)) == -ENOENT) {
		err = backing_fetch(vm, slot, gfn, page.level, &fresh);
		if (err)
			break;
		mmu_read_lock(vm, r);
		err = backing_bring(vm, cache, slot, gfn, &fresh, &page);
		mmu_read_unlock(vm, r);
		backing_drop(vm, &fresh);
		if (err != -ENOENT)
			break;
	}
	return err;
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
