/* SPDX-License-Identifier: GPL-2.0-only */
/* The walk over a root's entries; see iter.h. */
#include "mm/iter.h"

static void visit(struct tdp_iter *it, unsigned level, gfn_t gfn)
{
	it->level = (uint8_t)level;
	it->gfn = level_gfn_base(gfn, level);
	it->cell = &it->table[level][level_index(gfn, level)];
	it->leaving = false;
	iter_reload(it);
}

void iter_reload(struct tdp_iter *it)
{
	it->old = spte_load(it->cell);
}

void iter_skip(struct tdp_iter *it, unsigned n)
{
	it->gfn += (n - 1) * level_pages(it->level);
	it->cell += n - 1;
	/* Nothing to go down into: what it is matters to nobody any more. */
	it->old = (spte_t){ 0 };
	iter_next(it);
}

void iter_begin(struct tdp_iter *it, const struct mmu_root *root, gfn_t start, gfn_t end,
		unsigned flags)
{
	it->root = root;
	it->end = end;
	it->flags = flags;
	it->next = start;
	it->yielded = start; /* no yield before the first progress */
	it->table[root->level] = spte_table(root->hpa);
	iter_restart(it);
}

void iter_restart(struct tdp_iter *it)
{
	it->valid = it->next < it->end;
	if (it->valid)
		visit(it, it->root->level, it->next);
}

/* Aside in the same table, if there is more of it in the range. */
static bool step_aside(struct tdp_iter *it)
{
	it->next = it->gfn + level_pages(it->level);
	if (level_index(it->gfn, it->level) == PT_ENTRIES - 1 || it->next >= it->end)
		return false;
	visit(it, it->level, it->next);
	return true;
}

static bool goes_down(const struct tdp_iter *it)
{
	unsigned bottom = it->flags & ITER_HUGE ? PG_LEVEL_2M : PG_LEVEL_4K;

	return !it->leaving && it->level > bottom &&
	       format_is_table(it->root->fmt, it->old, it->level);
}

void iter_next(struct tdp_iter *it)
{
	if (goes_down(it)) {
		it->table[it->level - 1] = spte_table(format_hpa(it->root->fmt, it->old));
		visit(it, it->level - 1, it->next);
		return;
	}
	while (!step_aside(it)) {
		if (it->level == it->root->level) {
			it->valid = false;
			return;
		}
		visit(it, it->level + 1, it->gfn);
		if (it->flags & ITER_LEAVE) {
			it->leaving = true;
			return;
		}
	}
}
