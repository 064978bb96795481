/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changing what a whole range of the backing says; see backing.h.  All under mmu_lock for
 * write, behind the flush, so pages are freed on the spot; nodes behind a grace period, because
 * who looks a page up does so without the lock.
 *
 * A word that lies wholly inside the range changes as a whole, at whatever level
 * it stands; only at the two edges a word has to be broken into a node first.  A node
 * whose words have all become alike is folded back into one, which is what lets a chunk
 * become a huge page again.  What a word spans outside its slot belongs to nobody: an edge
 * there needs no breaking.
 */
#include "mm/backing.h"
#include "mm/backing_word.h"
#include "mm/cache.h"

/* A step ends after so many words, or gfns changed. */
#define CHANGE_STEP 64

/* ---- one word ---------------------------------------------------------------- */

/* What word becomes. */
static uint64_t changed_word(const struct backing_change *c, uint64_t word)
{
	uint64_t protection = word & WORD_PROTECTION;

	switch (c->op) {
	case BACKING_OUT:
		return word_make(BACKING_BALLOONED, 0) | protection;
	case BACKING_IN:
		return word_kind(word) == BACKING_BALLOONED ? protection : word;
	default:
		return (word & ~WORD_PROTECTION) | word_protection(c->access);
	}
}

/* ---- pages on their way back to the host ------------------------------------------ */

/* Single pages are kept in hand as long as the next is a neighbour: often many are. */
struct freeing {
	uint64_t pages;    /* 4K pages freed */
	hpa_t first, next; /* the neighbours in hand */
};

static void hand_over(struct freeing *f)
{
	uint64_t n = (f->next - f->first) >> PAGE_SHIFT;

	if (n)
		port_pages_free_run(f->first, n);
	f->pages += n;
	f->first = f->next;
}

static inline void free_single(struct freeing *f, hpa_t hpa)
{
	if (hpa != f->next) {
		hand_over(f);
		f->first = hpa;
	}
	f->next = hpa + PAGE_SIZE;
}

/* The page that a word names. */
static void free_page(struct freeing *f, uint64_t word, unsigned level)
{
	if (level > PG_LEVEL_4K && !(word & WORD_SINGLES)) {
		port_pages_free(word_hpa(word), 9 * (level - 1));
		f->pages += level_pages(level);
		return;
	}
	for (uint64_t i = 0; i < level_pages(level); i++)
		free_single(f, word_hpa(word) + i * PAGE_SIZE);
}

static void freeing_end(struct mmu_vm *vm, struct freeing *f)
{
	hand_over(f);
	stat_sub(vm, backing_pages, f->pages);
	atomic_fetch_sub_explicit(&vm->backing_reserved, f->pages, memory_order_relaxed);
}

/* ---- one word of a change ----------------------------------------------------------- */

/* Where the walk is: in the slot's tree, in indices. */
struct place {
	const struct memslot *slot;
	gfn_t index;         /* of c->next */
	gfn_t limit;         /* do not change what lies behind yet */
	gfn_t range_end;     /* nor this, ever */
	unsigned *budget;    /* words that this step may still look at */
	struct freeing *freeing;
	backing_cell_t *path[PG_LEVEL_256T + 1];
};

/* How many gfns of the slot a word spans. */
static uint64_t span_in_slot(const struct memslot *slot, gfn_t base, unsigned level)
{
	gfn_t first = slot->state->backing.skew, last = first + slot->npages;
	gfn_t end = base + level_pages(level);

	/* A word broken at the slot's edge has left some of itself outside. */
	if (base >= last || end <= first)
		return 0;
	return (end < last ? end : last) - (base > first ? base : first);
}

static void change_word(struct mmu_vm *vm, struct backing_change *c, const struct place *p,
			unsigned level, uint64_t new)
{
	uint64_t word = word_load(p->path[level]);
	uint64_t span = span_in_slot(p->slot, level_gfn_base(p->index, level), level);

	word_store(p->path[level], new);
	if (word_kind(word) == BACKING_PAGE && word_kind(new) != BACKING_PAGE)
		free_page(p->freeing, word, level);
	c->changed += span;
	if (word_kind(word) == BACKING_BALLOONED && word_kind(new) != BACKING_BALLOONED)
		stat_sub(vm, ballooned_pages, span);
	if (word_kind(word) != BACKING_BALLOONED && word_kind(new) == BACKING_BALLOONED)
		stat_add(vm, ballooned_pages, span);
}

/* The words of n 4K pages side by side, of which the place stands on the first and then on the last. */
static void change_words(struct mmu_vm *vm, struct backing_change *c, struct place *p, unsigned n)
{
	backing_cell_t *cell = p->path[PG_LEVEL_4K];
	uint64_t changed = 0, out = 0, in = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t word = word_load(&cell[i]), new = changed_word(c, word);

		if (new == word)
			continue;
		word_store(&cell[i], new);
		if (word_kind(word) == BACKING_PAGE && word_kind(new) != BACKING_PAGE)
			free_single(p->freeing, word_hpa(word));
		out += word_kind(new) == BACKING_BALLOONED;
		in += word_kind(word) == BACKING_BALLOONED;
		changed++;
	}
	c->changed += changed;
	stat_add(vm, ballooned_pages, out - in);
	p->path[PG_LEVEL_4K] += n - 1;
	p->index += n - 1;
	c->next += n - 1;
}

/* Break a word above 4K into a node of words that say the same. */
static int break_word(struct mmu_vm *vm, struct mmu_cache *spare, backing_cell_t *cell,
		      unsigned level)
{
	hpa_t hpa = cache_take(spare);
	uint64_t word = word_load(cell), step = 0;

	if (hpa == HPA_INVALID)
		return -ENOMEM;
	if (word_kind(word) == BACKING_PAGE) {
		if (!(word & WORD_SINGLES))
			port_pages_split(word_hpa(word), 9 * (level - 1));
		word &= ~WORD_SINGLES;
		word |= level > PG_LEVEL_2M ? WORD_SINGLES : 0;
		step = level_pages(level - 1) * PAGE_SIZE;
	}
	for (unsigned i = 0; i < PT_ENTRIES; i++)
		word_store(&backing_node(hpa)[i], word + i * step);
	word_store(cell, word_make(BACKING_NODE, hpa));
	backing_count_nodes(vm, 1);
	return 0;
}

/* ---- folding ------------------------------------------------------------------- */

/*
 * May the words of this node, of level, become one?  Pages when they are one piece of memory,
 * in single pages (as breaking left them, or as luck had it).
 */
static bool node_folds(const struct mmu_vm *vm, const backing_cell_t *node, unsigned level,
		       uint64_t *into)
{
	uint64_t first = word_load(&node[0]), step = 0, size = level_pages(level + 1) * PAGE_SIZE;

	if (word_kind(first) == BACKING_NODE)
		return false;
	if (word_kind(first) == BACKING_PAGE) {
		if (level >= vm->max_leaf_level || (word_hpa(first) & (size - 1)) ||
		    (level > PG_LEVEL_4K && !(first & WORD_SINGLES)))
			return false;
		step = level_pages(level) * PAGE_SIZE;
	}
	for (unsigned i = 0; i < PT_ENTRIES; i++)
		if (word_load(&node[i]) != first + i * step)
			return false;
	*into = first | (step ? WORD_SINGLES : 0);
	return true;
}

/* We are done with the nodes on the path that end before index, or with the range. */
static void fold_nodes(struct mmu_vm *vm, const struct place *p, unsigned level, bool at_end)
{
	uint64_t into;

	while (++level <= p->slot->state->backing.level) {
		hpa_t node = word_hpa(word_load(p->path[level]));

		if (!at_end && p->index != level_gfn_base(p->index, level))
			return;
		if (!node_folds(vm, backing_node(node), level - 1, &into))
			return;
		word_store(p->path[level], into);
		rcu_defer_table(vm, node);
		backing_count_nodes(vm, -1);
	}
}

/* ---- the walk -------------------------------------------------------------------- */

/* Does the word at level lie below end as a whole, as far as it lies in the slot? */
static bool is_whole(const struct place *p, unsigned level, gfn_t end)
{
	gfn_t base = level_gfn_base(p->index, level);

	return (base == p->index || p->index == p->slot->state->backing.skew) &&
	       base + level_pages(level) <= end;
}

/* As an index, beyond all words for the end of the slot. */
static gfn_t end_index(const struct memslot *slot, gfn_t end)
{
	return end >= slot->base + slot->npages ? level_pages(slot->state->backing.level + 1u)
						: backing_index(slot, end);
}

/* The word at level is as it shall be: on to the next. */
static void change_done(struct mmu_vm *vm, struct backing_change *c, struct place *p,
			unsigned level, gfn_t end)
{
	gfn_t next = level_gfn_base(p->index, level) + level_pages(level);

	next = c->next + ((next < p->limit ? next : p->limit) - p->index);
	p->index += next - c->next;
	c->next = next < end ? next : end;
	fold_nodes(vm, p, level, c->next == end);
}

static unsigned words_here(const struct backing_change *c, const struct place *p, gfn_t end)
{
	uint64_t n = PT_ENTRIES - level_index(p->index, PG_LEVEL_4K);

	n = n < end - c->next ? n : end - c->next;
	return (unsigned)(n < *p->budget ? n : *p->budget);
}

/*
 * Bring the gfns from next on to their state, as far as one word reaches, or some of 4K side by
 * side, below end.  A word that only the end cuts, and not the range, is left as it is until all of it may
 * change: to break it would take a page at every place where a walk happens to yield.
 */
static int change_next(struct mmu_vm *vm, struct backing_change *c, const struct memslot *slot,
		       gfn_t end, struct freeing *freeing, unsigned *budget)
{
	const struct backing *b = &slot->state->backing;
	struct place p = {
		.slot = slot, .index = backing_index(slot, c->next), .freeing = freeing,
		.budget = budget,
	};
	backing_cell_t *node = backing_node(b->top);

	p.limit = end_index(slot, end);
	p.range_end = end_index(slot, c->end);
	for (unsigned level = b->level;; level--) {
		backing_cell_t *cell = &node[level_index(p.index, level)];
		uint64_t word = word_load(cell), new = changed_word(c, word);
		bool is_node = word_kind(word) == BACKING_NODE;

		p.path[level] = cell;
		if (level == PG_LEVEL_4K) {
			unsigned n = words_here(c, &p, end);

			change_words(vm, c, &p, n);
			change_done(vm, c, &p, level, end);
			*budget -= n;
			return 0;
		}
		if (!is_node && (new == word || is_whole(&p, level, p.limit))) {
			if (new != word)
				change_word(vm, c, &p, level, new);
			change_done(vm, c, &p, level, end);
			--*budget;
			return 0;
		}
		if (!is_node && is_whole(&p, level, p.range_end))
			return 0;
		if (!is_node && break_word(vm, c->spare, cell, level))
			return -ENOMEM;
		node = backing_node(word_hpa(word_load(cell)));
	}
}

/* In one slot, below end. */
static int change_in_slot(struct mmu_vm *vm, struct backing_change *c, const struct memslot *slot,
			  gfn_t end)
{
	uint64_t enough = c->changed + CHANGE_STEP;
	struct freeing freeing = { 0 };
	unsigned budget = CHANGE_STEP;
	int err = 0;

	if (end > slot->base + slot->npages)
		end = slot->base + slot->npages;
	while (budget && c->next < end && c->changed < enough) {
		gfn_t before = c->next;

		err = change_next(vm, c, slot, end, &freeing, &budget);
		if (err || c->next == before)
			break;
	}
	freeing_end(vm, &freeing);
	return err;
}

int backing_change_step(struct mmu_vm *vm, struct backing_change *c, gfn_t limit)
{
	const struct memslot *slot = memslot_find(vm, c->next);

	assert_held_write(&vm->mmu_lock);
	if (!slot || backing_is_device(slot))
		return -ENOENT;
	return change_in_slot(vm, c, slot, limit < c->end ? limit : c->end);
}

int backing_break(struct mmu_vm *vm, gfn_t gfn, struct mmu_cache *spare)
{
	const struct memslot *slot = memslot_find(vm, gfn);
	unsigned level;

	assert_held_write(&vm->mmu_lock);
	for (;;) {
		backing_cell_t *cell = backing_find(&slot->state->backing,
						    backing_index(slot, gfn), PG_LEVEL_4K, &level);

		if (level == PG_LEVEL_4K)
			return 0;
		if (break_word(vm, spare, cell, level))
			return -ENOMEM;
	}
}

hpa_t backing_exchange(struct mmu_vm *vm, gfn_t gfn, hpa_t page)
{
	const struct memslot *slot = memslot_find(vm, gfn);
	unsigned level;

	assert_held_write(&vm->mmu_lock);
	backing_cell_t *cell = backing_find(&slot->state->backing, backing_index(slot, gfn),
					    PG_LEVEL_4K, &level);
	uint64_t word = word_load(cell);

	MM_BUG_ON(word_kind(word) != BACKING_PAGE || level != PG_LEVEL_4K);
	word_store(cell, page | (word & ~PAGE_MASK));
	return word_hpa(word);
}

/* ---- everything ------------------------------------------------------------ */

/* 4K words between two looks whether somebody waits; divides the entries of a node. */
#define EMPTY_STEP 128u

/* Indices whose words are gone, with all that is behind them. */
struct emptying {
	struct mmu_vm *vm;
	const struct memslot *slot; /* whose ballooned gfns count; or NULL */
	struct freeing freeing;
	uint64_t ballooned;
};

static void empty_node(struct emptying *e, hpa_t hpa, unsigned level, gfn_t index);

/* What a word stood for that is unlinked. */
static void empty_word(struct emptying *e, uint64_t word, unsigned level, gfn_t index)
{
	switch (word_kind(word)) {
	case BACKING_PAGE:
		free_page(&e->freeing, word, level);
		break;
	case BACKING_BALLOONED:
		e->ballooned += e->slot ? span_in_slot(e->slot, index, level) : 0;
		break;
	case BACKING_NODE:
		empty_node(e, word_hpa(word), level - 1, index);
		backing_count_nodes(e->vm, -1);
		break;
	default:
		break;
	}
}

/* From entry i on, 4K pages that are neighbours of the one in hand, as the next is more often than not. */
static unsigned empty_neighbours(struct emptying *e, backing_cell_t *node, unsigned i, unsigned end)
{
	uint64_t next = word_make(BACKING_PAGE, e->freeing.next);
	backing_cell_t *at = &node[i];

	for (; at < &node[end] && (word_load(at) & ~WORD_STATE) == next; at++) {
		word_store(at, 0);
		next += PAGE_SIZE;
	}
	e->freeing.next = word_hpa(next);
	return (unsigned)(at - node);
}

/* Entries [first, end) of a node: nothing is there then. */
static void empty_entries(struct emptying *e, hpa_t hpa, unsigned level, gfn_t index, unsigned first,
			  unsigned end)
{
	backing_cell_t *node = backing_node(hpa);

	for (unsigned i = first; i < end; i++) {
		uint64_t word = word_load(&node[i]);

		word_store(&node[i], 0);
		empty_word(e, word, level, index + i * level_pages(level));
		if (level == PG_LEVEL_4K)
			i = empty_neighbours(e, node, i + 1, end) - 1;
	}
}

static void empty_node(struct emptying *e, hpa_t hpa, unsigned level, gfn_t index)
{
	empty_entries(e, hpa, level, index, 0, PT_ENTRIES);
	rcu_defer_table(e->vm, hpa);
}

/*
 * Part of a node of 4K words, from index on; it stays where it is until the last of them.  Nobody walks
 * to it any more but who is stale.  Returns how far that was.
 */
static gfn_t empty_part(struct emptying *e, backing_cell_t *cell, gfn_t index)
{
	hpa_t hpa = word_hpa(word_load(cell));
	unsigned first = index % PT_ENTRIES / EMPTY_STEP * EMPTY_STEP, end = first + EMPTY_STEP;
	gfn_t base = level_gfn_base(index, PG_LEVEL_2M);

	empty_entries(e, hpa, PG_LEVEL_4K, base, first, end);
	if (end == PT_ENTRIES) {
		word_store(cell, 0);
		rcu_defer_table(e->vm, hpa);
		backing_count_nodes(e->vm, -1);
	}
	return base + end;
}

static void emptying_end(struct emptying *e)
{
	freeing_end(e->vm, &e->freeing);
	stat_sub(e->vm, ballooned_pages, e->ballooned);
}

/*
 * Part of a node of 4K words, or whatever larger word is there.  Who still looks pages up there without
 * the lock has found the slot before it was DYING, and is stale.
 */
bool backing_empty_step(struct mmu_vm *vm, const struct memslot *slot)
{
	struct emptying e = { .vm = vm, .slot = slot };
	struct backing *b = &slot->state->backing;
	unsigned level;

	assert_held_write(&vm->mmu_lock);
	if (backing_is_device(slot))
		return false;
	gfn_t index = b->emptied > b->skew ? b->emptied : b->skew;
	backing_cell_t *cell = backing_find(b, index, PG_LEVEL_2M, &level);
	uint64_t word = word_load(cell);

	if (level == PG_LEVEL_2M && word_kind(word) == BACKING_NODE) {
		b->emptied = empty_part(&e, cell, index);
	} else {
		index = level_gfn_base(index, level);
		word_store(cell, 0);
		empty_word(&e, word, level, index);
		b->emptied = index + level_pages(level);
	}
	emptying_end(&e);
	return b->emptied < b->skew + slot->npages;
}

void backing_destroy(struct mmu_vm *vm, struct backing *b)
{
	struct emptying e = { .vm = vm };

	if (b->top != HPA_INVALID)
		empty_node(&e, b->top, b->level, 0);
	emptying_end(&e);
}

static void count_node(const struct memslot *slot, hpa_t hpa, unsigned level, gfn_t index,
		       struct backing_count *out)
{
	gfn_t first = slot->state->backing.skew, last = first + slot->npages;

	for (unsigned i = 0; i < PT_ENTRIES; i++, index += level_pages(level)) {
		uint64_t word = word_load(&backing_node(hpa)[i]);

		if (word_kind(word) == BACKING_NODE)
			count_node(slot, word_hpa(word), level - 1, index, out);
		else if (word_kind(word) == BACKING_BALLOONED)
			out->ballooned += span_in_slot(slot, index, level);
		if (word_kind(word) != BACKING_PAGE)
			continue;
		out->pages += level_pages(level);
		if (index < first || index + level_pages(level) > last)
			out->stray = slot->base + index - first;
	}
}

void backing_count(struct mmu_vm *vm, struct backing_count *out)
{
	const struct memslots *slots = memslots_get(vm);

	assert_held_write(&vm->mmu_lock);
	*out = (struct backing_count){ .stray = GFN_INVALID };
	for (unsigned i = 0; i < slots->count; i++)
		if (!backing_is_device(slots->slot[i]))
			count_node(slots->slot[i], slots->slot[i]->state->backing.top,
				   slots->slot[i]->state->backing.level, 0, out);
}
