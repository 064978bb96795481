/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Taking pages out of the backing; see backing.h.  All under mmu_lock for write,
 * behind the flush, so pages and nodes are freed on the spot.
 *
 * A word that lies wholly inside the range changes as a whole, at whatever level
 * it stands; only at the two edges a word has to be broken into a node first.  A node
 * whose words have all become the same is folded back into one, which is what lets
 * a chunk become a 2M page again.
 */
#include "mm/backing.h"
#include "mm/backing_word.h"
#include "mm/cache.h"

/* A step ends after so many words, or gfns changed: what costs is freeing them. */
#define CHANGE_STEP 512

static uint64_t target_word(const struct backing_change *c)
{
	return word_make(c->out ? BACKING_BALLOONED : BACKING_ABSENT, 0);
}

static bool is_settled(const struct backing_change *c, uint64_t word)
{
	return (word_kind(word) == BACKING_BALLOONED) == c->out;
}

static void free_page(struct mmu_vm *vm, uint64_t word, unsigned level)
{
	port_pages_free(word_hpa(word), 9 * (level - 1));
	stat_sub(vm, backing_pages, level_pages(level));
	atomic_fetch_sub_explicit(&vm->backing_reserved, level_pages(level),
				  memory_order_relaxed);
}

/* A word that is no node, and inside the range as a whole. */
static void change_word(struct mmu_vm *vm, struct backing_change *c, backing_cell_t *cell,
			unsigned level)
{
	uint64_t word = word_load(cell);

	word_store(cell, target_word(c));
	if (word_kind(word) == BACKING_PAGE)
		free_page(vm, word, level);
	c->changed += level_pages(level);
	if (c->out)
		stat_add(vm, ballooned_pages, level_pages(level));
	else
		stat_sub(vm, ballooned_pages, level_pages(level));
}

/* Break a word above 4K into a node of words that say the same. */
static int break_word(struct backing_change *c, backing_cell_t *cell)
{
	hpa_t hpa = cache_take(c->spare);
	uint64_t word = word_load(cell), step = 0;

	if (hpa == HPA_INVALID)
		return -ENOMEM;
	if (word_kind(word) == BACKING_PAGE) {
		port_pages_split(word_hpa(word), 9);
		step = PAGE_SIZE;
	}
	for (unsigned i = 0; i < PT_ENTRIES; i++)
		word_store(&backing_node(hpa)[i], word + i * step);
	word_store(cell, word_make(BACKING_NODE, hpa));
	return 0;
}

static bool is_uniform(const backing_cell_t *node, uint64_t word)
{
	for (unsigned i = 0; i < PT_ENTRIES; i++)
		if (word_load(&node[i]) != word)
			return false;
	return true;
}

/* We are done with the nodes on the path that end before next, or with the range. */
static void fold_nodes(const struct mmu_vm *vm, const struct backing_change *c,
		       backing_cell_t *const *path, unsigned level)
{
	uint64_t target = target_word(c);

	while (++level <= vm->root_level) {
		hpa_t node = word_hpa(word_load(path[level]));

		if (c->next != c->end && c->next != level_gfn_base(c->next, level))
			return;
		if (!is_uniform(backing_node(node), target))
			return;
		word_store(path[level], target);
		port_pages_free(node, 0);
	}
}

/* Bring the gfns from next on to their state, as far as one word reaches. */
static int change_next(struct mmu_vm *vm, struct backing_change *c)
{
	backing_cell_t *path[PG_LEVEL_256T + 1];
	backing_cell_t *node = backing_node(vm->backing_top);

	for (unsigned level = vm->root_level;; level--) {
		backing_cell_t *cell = &node[level_index(c->next, level)];
		uint64_t word = word_load(cell);
		gfn_t base = level_gfn_base(c->next, level), end = base + level_pages(level);
		bool whole = base == c->next && end <= c->end;

		path[level] = cell;
		if (word_kind(word) != BACKING_NODE && (whole || is_settled(c, word))) {
			if (!is_settled(c, word))
				change_word(vm, c, cell, level);
			c->next = end < c->end ? end : c->end;
			fold_nodes(vm, c, path, level);
			return 0;
		}
		if (word_kind(word) != BACKING_NODE && break_word(c, cell))
			return -ENOMEM;
		node = backing_node(word_hpa(word_load(cell)));
	}
}

int backing_change_step(struct mmu_vm *vm, struct backing_change *c)
{
	uint64_t enough = c->changed + CHANGE_STEP;

	assert_held_write(&vm->mmu_lock);
	for (unsigned i = 0; i < CHANGE_STEP && c->next < c->end && c->changed < enough; i++) {
		int err = change_next(vm, c);

		if (err)
			return err;
	}
	return 0;
}

/* ---- everything ------------------------------------------------------------ */

static void free_node(struct mmu_vm *vm, hpa_t hpa, unsigned level)
{
	for (unsigned i = 0; i < PT_ENTRIES; i++) {
		uint64_t word = word_load(&backing_node(hpa)[i]);

		if (word_kind(word) == BACKING_NODE)
			free_node(vm, word_hpa(word), level - 1);
		else if (word_kind(word) == BACKING_PAGE)
			free_page(vm, word, level);
		else if (word_kind(word) == BACKING_BALLOONED)
			stat_sub(vm, ballooned_pages, level_pages(level));
	}
	port_pages_free(hpa, 0);
}

void backing_destroy(struct mmu_vm *vm)
{
	free_node(vm, vm->backing_top, vm->root_level);
	MM_BUG_ON(stat_read(vm, backing_pages) || stat_read(vm, ballooned_pages));
}

static void count_node(struct mmu_vm *vm, hpa_t hpa, unsigned level, gfn_t gfn,
		       struct backing_count *out)
{
	for (unsigned i = 0; i < PT_ENTRIES; i++, gfn += level_pages(level)) {
		uint64_t word = word_load(&backing_node(hpa)[i]);

		if (word_kind(word) == BACKING_NODE)
			count_node(vm, word_hpa(word), level - 1, gfn, out);
		else if (word_kind(word) == BACKING_BALLOONED)
			out->ballooned += level_pages(level);
		if (word_kind(word) != BACKING_PAGE)
			continue;
		out->pages += level_pages(level);
		const struct memslot *slot = memslot_find(vm, gfn);

		if (!slot || !memslot_covers(slot, gfn, level_pages(level)))
			out->stray = gfn;
	}
}

void backing_count(struct mmu_vm *vm, struct backing_count *out)
{
	assert_held_write(&vm->mmu_lock);
	*out = (struct backing_count){ .stray = GFN_INVALID };
	count_node(vm, vm->backing_top, vm->root_level, 0, out);
}
