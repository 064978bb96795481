/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A walk over the entries of a root for a range of gfns, in pre-order:
 *
 *   level 4   [ A ]
 *               \
 *   level 3     [ B  .  E ]          visits A B C D (B) E (A)
 *                 \                  the ones in parentheses only with ITER_LEAVE:
 *   level 2       [ C  D ]           a table's entry again, behind its contents
 *
 * The caller holds mmu_lock, or is a reader (rcu.h) and finds tables that may be unlinked by
 * now.  Having let go in between, it goes on with iter_restart() at the entry where it stopped.
 */
#pragma once

#include "mm/vm.h"

enum {
	ITER_LEAVE = 1 << 0, /* visit the entry of a table once more after its contents */
	ITER_HUGE = 1 << 1,  /* do not go down into tables of 4K leaves */
};

#ifndef ITER_RUN     /* the explorer's scenes are small, and so are its runs */
#define ITER_RUN 64u /* divides the entries of a table */
#endif

struct tdp_iter {
	/* the entry visited */
	bool valid;        /* false: the walk is over */
	bool leaving;      /* the second visit of ITER_LEAVE */
	uint8_t level;
	gfn_t gfn;         /* first gfn that the entry spans */
	spte_cell_t *cell;
	spte_t old;        /* what cell held when it was visited */

	/* for a yielding walk: the first gfn not yet done, and where it last yielded */
	gfn_t next;
	gfn_t yielded;

	/* of the walk */
	const struct mmu_root *root;
	gfn_t end;
	unsigned flags;
	spte_cell_t *table[PG_LEVEL_256T + 1]; /* on the path, by level */
};

/* Visits the entry of the root that spans start; invalid when the range is empty. */
void iter_begin(struct tdp_iter *it, const struct mmu_root *root, gfn_t start, gfn_t end,
		unsigned flags);
/*
 * To the next entry.  Goes down when it->old is a table: a caller that linked one
 * puts it there.
 */
void iter_next(struct tdp_iter *it);
/* The lowest entry on the way to gfn below this table, which is of *level; what it is, and its level. */
static inline spte_cell_t *iter_lowest(const struct mmu_format *fmt, hpa_t table, gfn_t gfn,
				       unsigned *level, spte_t *entry)
{
	const uint64_t kind = SPTE_PRESENT | fmt->huge, address = fmt->address;
	spte_cell_t *cell;
	unsigned l = *level;

	for (;; l--) {
		cell = &spte_table(table)[level_index(gfn, l)];
		*entry = spte_load(cell);
		/* As format_is_table(). */
		if (l == PG_LEVEL_4K || (entry->raw & kind) != SPTE_PRESENT)
			break;
		table = entry->raw & address;
	}
	*level = l;
	return cell;
}

/*
 * For gfn only: stands on the lowest entry that is there on the way to it.  From there only
 * iter_reload() and iter_down() lead on.
 */
static inline void iter_find(struct tdp_iter *it, const struct mmu_root *root, gfn_t gfn)
{
	unsigned level = root->level;

	it->cell = iter_lowest(root->fmt, root->hpa, gfn, &level, &it->old);
	it->level = (uint8_t)level;
	it->gfn = level_gfn_base(gfn, level);
	it->root = root;
}

/* The same from the table on that it->old has become. */
static inline void iter_down(struct tdp_iter *it, gfn_t gfn)
{
	unsigned level = it->level - 1u;

	it->cell = iter_lowest(it->root->fmt, it->old.raw & it->root->fmt->address, gfn, &level,
			       &it->old);
	it->level = (uint8_t)level;
	it->gfn = level_gfn_base(gfn, level);
}
/*
 * How many entries lie side by side from here on in a table of 4K leaves, below the end and at most as many
 * as a word has bits; above 4K it is one.
 */
static inline unsigned iter_run(const struct tdp_iter *it)
{
	unsigned n = ITER_RUN - it->gfn % ITER_RUN;

	if (it->level > PG_LEVEL_4K)
		return 1;
	return n < it->end - it->gfn ? n : (unsigned)(it->end - it->gfn);
}

/* The last of n entries from here, none of them a table, is visited: on from there. */
void iter_skip(struct tdp_iter *it, unsigned n);
/* Look at the same entry again. */
void iter_reload(struct tdp_iter *it);
/* From the root down again to where the walk stood; tables may have gone or come. */
void iter_restart(struct tdp_iter *it);
