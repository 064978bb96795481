/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reverse maps; see rmap.h.
 *
 *   ageing                                  zap, under mmu_lock for write
 *   old = rmap_lock_readonly()   acquire    entry := 0
 *   … looks at the entries …                rmap_lock()      acquire: pairs with both unlocks
 *   rmap_unlock_readonly(old)    release    … changes the word and the descriptors …
 *                                           rmap_unlock(new) release: pairs with both locks
 *
 * The readonly unlock of an rmap that was found empty must do nothing: nothing was locked, and by
 * now there may be an entry, which a store of the old word would lose.
 *
 * The first descriptor is the only one that is not full.  An entry that goes is replaced by the
 * last of the first descriptor.
 */
#include "mm/rmap.h"

#include "mm/errno.h"
#include "mm/port.h"

/* ---- descriptors ----------------------------------------------------------------- */

int rmap_reserve_fill(struct rmap_reserve *reserve, unsigned want)
{
	while (reserve->count < want) {
		struct rmap_desc *desc = port_obj_alloc(sizeof(*desc));

		if (!desc)
			return -ENOMEM;
		desc->next = reserve->free;
		reserve->free = desc;
		reserve->count++;
	}
	return 0;
}

static struct rmap_desc *reserve_take(struct rmap_reserve *reserve)
{
	struct rmap_desc *desc = reserve->free;

	MM_BUG_ON(!desc);
	reserve->free = desc->next;
	reserve->count--;
	return desc;
}

void rmap_reserve_drain(struct rmap_reserve *reserve)
{
	while (reserve->count)
		port_obj_free(reserve_take(reserve), sizeof(struct rmap_desc));
}

/* ---- the lock ---------------------------------------------------------------------- */

/* Who changes it takes the same lock. */
static uintptr_t rmap_lock(struct rmap *rmap)
{
	return rmap_lock_readonly(rmap);
}

static void rmap_unlock(struct rmap *rmap, uintptr_t word)
{
	/*
	 * Release: pairs with the acquire of the lock.  Without it accesses to entries and
	 * descriptors could move behind the store, to where somebody else frees them.
	 */
	atomic_store_explicit(&rmap->word, word, memory_order_release);
}

/* ---- changing ------------------------------------------------------------------------ */

/* The word with one entry more. */
static uintptr_t with_cell(uintptr_t word, spte_cell_t *cell, struct rmap_reserve *reserve)
{
	struct rmap_desc *first, *desc;

	if (!word)
		return (uintptr_t)cell;
	if (!(word & RMAP_MANY)) {
		desc = reserve_take(reserve);
		*desc = (struct rmap_desc){ .count = 2,
					    .cell = { (spte_cell_t *)word, cell } };
		return (uintptr_t)desc | RMAP_MANY;
	}
	first = rmap_desc_of(word);
	if (first->count < RMAP_DESC_CELLS) {
		first->cell[first->count++] = cell;
		return word;
	}
	desc = reserve_take(reserve);
	*desc = (struct rmap_desc){ .next = first, .count = 1,
				    .behind = first->count + first->behind, .cell = { cell } };
	return (uintptr_t)desc | RMAP_MANY;
}

void rmap_add(struct rmap *rmap, spte_cell_t *cell, struct rmap_reserve *reserve)
{
	port_preempt_disable();
	rmap_unlock(rmap, with_cell(rmap_lock(rmap), cell, reserve));
	port_preempt_enable();
}

static spte_cell_t **find_cell(struct rmap_desc *desc, const spte_cell_t *cell)
{
	for (; desc; desc = desc->next)
		for (unsigned i = 0; i < desc->count; i++)
			if (desc->cell[i] == cell)
				return &desc->cell[i];
	port_bug(__FILE__, __LINE__, "an entry is missing in its rmap");
}

/* The word with this entry less; *dead: a descriptor that nobody needs any more, or NULL. */
static uintptr_t without_cell(uintptr_t word, const spte_cell_t *cell, struct rmap_desc **dead)
{
	struct rmap_desc *first = rmap_desc_of(word);

	*dead = NULL;
	if (!(word & RMAP_MANY)) {
		MM_BUG_ON(word != (uintptr_t)cell);
		return 0;
	}
	spte_cell_t **hole = find_cell(first, cell);

	*hole = first->cell[--first->count];
	if (!first->count) {
		*dead = first;
		return (uintptr_t)first->next | RMAP_MANY;
	}
	if (first->count > 1 || first->next)
		return word;
	*dead = first;
	return (uintptr_t)first->cell[0];
}

void rmap_remove(struct rmap *rmap, spte_cell_t *cell)
{
	struct rmap_desc *dead;

	port_preempt_disable();
	uintptr_t word = rmap_lock(rmap);

	MM_BUG_ON(!word);
	rmap_unlock(rmap, without_cell(word, cell, &dead));
	port_preempt_enable();
	/* Who walked it held the lock then, and has left. */
	port_obj_free(dead, sizeof(*dead));
}

void rmap_discard(struct rmap *rmap)
{
	uintptr_t word = rmap_word(rmap);
	struct rmap_desc *desc = word & RMAP_MANY ? rmap_desc_of(word) : NULL, *next;

	for (; desc; desc = next) {
		next = desc->next;
		port_obj_free(desc, sizeof(*desc));
	}
}

/* ---- looking ---------------------------------------------------------------------------- */

unsigned rmap_count(const struct rmap *rmap)
{
	uintptr_t word = rmap_word(rmap);

	if (!(word & RMAP_MANY))
		return word != 0;
	return rmap_desc_of(word)->count + rmap_desc_of(word)->behind;
}

/* The bits that are not as they should be.  One that somebody has locked at the moment differs, too. */
static inline uintptr_t differs(const struct rmap *rmap, uintptr_t word)
{
	return atomic_load_explicit(&rmap->word, memory_order_relaxed) ^ word;
}

/* For one step or the other, so that it is a constant. */
static inline unsigned run_in_steps(const struct rmap *rmap, uintptr_t word, unsigned max,
				    uintptr_t step)
{
	const struct rmap *at = rmap + 1, *end = rmap + max;

	for (word += step; end - at >= 4; at += 4, word += 4 * step)
		if (differs(&at[0], word) | differs(&at[1], word + step) |
		    differs(&at[2], word + 2 * step) | differs(&at[3], word + 3 * step))
			break;
	for (; at < end && !differs(at, word); at++)
		word += step;
	return (unsigned)(at - rmap);
}

unsigned rmap_run(const struct rmap *rmap, unsigned max)
{
	uintptr_t word = rmap_word(rmap);

	if (word & RMAP_MANY)
		return 1;
	return word ? run_in_steps(rmap, word, max, sizeof(spte_cell_t))
		    : run_in_steps(rmap, 0, max, 0);
}

spte_cell_t *rmap_first(const struct rmap *rmap)
{
	return rmap_begin(rmap_word(rmap)).cell;
}
