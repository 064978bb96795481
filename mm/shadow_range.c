/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations on ranges where a VM shadows: by the reverse maps of the pages, in the order of
 * the gfns, as walk.c goes through nested tables; what an operation does to an entry is the
 * same function for both.
 *
 * An operation may take a leaf out, and then it leaves its rmap here.  So the entries that are
 * done are those that are gone, and the walk can yield in the middle of one page that is mapped
 * many times.
 *
 * Most pages are mapped once, and by neighbouring entries where they are neighbours: these go in runs
 * (run.h).  The others go one by one.
 */
#include "mm/shadow_range.h"

#include "mm/rmap_slot.h"
#include "mm/shadow.h"
#include "mm/tdp.h"

/* Entries of one page between two looks at who waits. */
#define RMAP_STEP 64u

static struct tdp_iter iter_of(const struct mmu_vm *vm, spte_cell_t *cell, gfn_t gfn, unsigned level)
{
	return (struct tdp_iter){
		.valid = true, .level = (uint8_t)level, .gfn = level_gfn_base(gfn, level),
		.cell = cell, .old = spte_load(cell), .next = gfn, .end = gfn + 1, .root = &vm->shadow->fmt_root,
	};
}

/* 4K pages from gfn on that one run can have. */
struct small_pages {
	struct rmap *rmap; /* NULL: nothing is mapped there */
	unsigned count;
};

static struct small_pages small_pages(const struct memslot *slot, gfn_t gfn, gfn_t end)
{
	uint64_t there;
	struct small_pages p = { .rmap = slot_rmap_row(slot, gfn, &there) };

	there = min_gfn(there, end - gfn);
	p.count = (unsigned)(p.rmap ? min_gfn(there, ITER_RUN - gfn % ITER_RUN) : there);
	return p;
}

/* ---- changing ---------------------------------------------------------------------------- */

/* All entries of one rmap.  False: some are left, and somebody waits. */
static bool visit_rmap(struct range_walk *walk, struct rmap *rmap, gfn_t gfn, unsigned level)
	REQUIRES(walk->vm->mmu_lock)
{
	struct rmap_cursor c = rmap_begin(rmap_word(rmap));
	unsigned gone = 0;

	while (c.cell) {
		struct tdp_iter it = iter_of(walk->vm, c.cell, gfn, level);
		struct leaf_run run;

		walk_run(walk, &it, &run);
		if (spte_is_present(spte_load(c.cell))) {
			rmap_next(&c);
			continue;
		}
		rmap_remove(rmap, c.cell);
		/* What operations do to the leaves of one page, they do to all of them. */
		c = rmap_begin(rmap_word(rmap));
		if (++gone % RMAP_STEP == 0 && (walk->flags & MMU_MAY_BLOCK) && c.cell &&
		    walk_should_yield(walk->vm))
			return false;
	}
	return true;
}

/* Neighbouring pages, with an entry each that lie side by side: all that is said of runs holds. */
static unsigned visit_run(struct range_walk *walk, struct rmap *rmap, gfn_t gfn, unsigned n)
	REQUIRES(walk->vm->mmu_lock)
{
	spte_cell_t *cell = rmap_first(rmap);
	struct tdp_iter it = iter_of(walk->vm, cell, gfn, PG_LEVEL_4K);
	struct leaf_run run;

	it.end = gfn + n;
	n = walk_run(walk, &it, &run);
	/* What operations do to a leaf in the middle of a range, they do to all. */
	MM_BUG_ON(run.gone && run.gone != n);
	for (unsigned i = 0, gone = run.gone; i < gone; i++)
		rmap_remove_only(&rmap[i], &cell[i]);
	return n;
}

/* The same in a slot that goes for good: whatever was to be done to the leaves, they go. */
static unsigned drop_run(struct range_walk *walk, struct rmap *rmap, unsigned n)
	REQUIRES(walk->vm->mmu_lock)
{
	spte_cell_t *cell = rmap_first(rmap);
	struct mmu_vm *vm = walk->vm;

	for (unsigned i = 0; i < n; i++) {
		spte_store(&cell[i], (spte_t){ 0 });
		rmap_remove_only(&rmap[i], &cell[i]);
	}
	assert_held_write(&vm->mmu_lock);
	tdp_account_leaves(vm, PG_LEVEL_4K, -(int64_t)n);
	stat_add(vm, zap_leaf, n);
	walk->flush_owed = true;
	walk->visited += n;
	return n;
}

/* Small pages from gfn on: how many it is through with; 0: not even one, and somebody waits. */
static uint64_t visit_small(struct range_walk *walk, const struct memslot *slot, gfn_t gfn,
			    gfn_t end) REQUIRES(walk->vm->mmu_lock)
{
	struct small_pages p = small_pages(slot, gfn, end);
	unsigned n = p.rmap ? rmap_run(p.rmap, p.count) : p.count;

	if (!p.rmap || !rmap_word(p.rmap))
		return n;
	if (n == 1)
		return visit_rmap(walk, p.rmap, gfn, PG_LEVEL_4K);
	return slot->state->backing.dead ? drop_run(walk, p.rmap, n)
					 : visit_run(walk, p.rmap, gfn, n);
}

static bool visit_gfn(struct range_walk *walk, const struct memslot *slot, gfn_t gfn,
		      unsigned level) REQUIRES(walk->vm->mmu_lock)
{
	struct rmap *rmap = slot_rmap(slot, gfn, level);

	return !rmap || visit_rmap(walk, rmap, gfn, level);
}

/* Huge pages are visited where the range, or they, begin. */
static bool visit_huge(struct range_walk *walk, const struct memslot *slot, gfn_t gfn, gfn_t start)
	REQUIRES(walk->vm->mmu_lock)
{
	if (gfn != start && gfn % level_pages(PG_LEVEL_2M))
		return true;
	for (unsigned level = RMAP_LEVELS; level > PG_LEVEL_4K; level--)
		if ((gfn == start || gfn == level_gfn_base(gfn, level)) &&
		    !visit_gfn(walk, slot, gfn, level))
			return false;
	return true;
}

static bool wants_break(struct range_walk *walk, gfn_t gfn) REQUIRES(walk->vm->mmu_lock)
{
	if (!(walk->flags & MMU_MAY_BLOCK) || gfn == walk->next)
		return false;
	hold_note_write(walk->vm, walk->visited);
	walk->visited = 0;
	return walk_should_yield(walk->vm);
}

/* The part of the range in one slot; how far it came. */
static gfn_t walk_slot(struct range_walk *walk, const struct memslot *slot, gfn_t start, gfn_t end)
	REQUIRES(walk->vm->mmu_lock)
{
	gfn_t gfn = start;

	while (gfn < end) {
		if (wants_break(walk, gfn) || !visit_huge(walk, slot, gfn, start))
			return gfn;
		uint64_t done = visit_small(walk, slot, gfn, end);

		if (!done)
			return gfn;
		walk->visited++;
		gfn += done;
	}
	return end;
}

static gfn_t walk_slots(struct range_walk *walk, gfn_t end) REQUIRES(walk->vm->mmu_lock)
{
	const struct memslots *slots = memslots_get(walk->vm);

	for (unsigned i = 0; i < slots->count; i++) {
		const struct memslot *slot = slots->slot[i];
		gfn_t from = max_gfn(walk->next, slot->base);
		gfn_t to = min_gfn(end, slot->base + slot->npages);

		if (from >= to)
			continue;
		gfn_t done = walk_slot(walk, slot, from, to);

		if (done < to)
			return done;
	}
	return end;
}

gfn_t shadow_walk(struct range_walk *walk, gfn_t end)
{
	struct mmu_vm *vm = walk->vm;

	assert_held_write(&walk->vm->mmu_lock);
	gfn_t done = walk_slots(walk, end);

	assert_held_write(&vm->mmu_lock);
	if (walk->flags & WALK_TABLES)
		shadow_zap_tables(vm, walk->next, done);
	return done;
}

/* ---- looking ------------------------------------------------------------------------------- */

struct look {
	struct mmu_vm *vm;
	void (*visit)(void *ctx, const struct tdp_iter *it, unsigned n);
	void *ctx;
};

static void look_rmap(const struct look *l, struct rmap *rmap, gfn_t gfn, unsigned level)
{
	struct rmap_cursor c = rmap_begin(rmap ? rmap_word(rmap) : 0);

	for (; c.cell; rmap_next(&c)) {
		struct tdp_iter it = iter_of(l->vm, c.cell, gfn, level);

		l->visit(l->ctx, &it, 1);
	}
}

/* Small pages from gfn on: how many of them. */
static uint64_t look_small(const struct look *l, const struct memslot *slot, gfn_t gfn, gfn_t end)
{
	struct small_pages p = small_pages(slot, gfn, end);
	unsigned n = p.rmap ? rmap_run(p.rmap, p.count) : p.count;

	if (n > 1 && p.rmap && rmap_word(p.rmap)) {
		struct tdp_iter it = iter_of(l->vm, rmap_first(p.rmap), gfn, PG_LEVEL_4K);

		l->visit(l->ctx, &it, n);
	} else {
		look_rmap(l, p.rmap, gfn, PG_LEVEL_4K);
	}
	return n;
}

static void look_slot(const struct look *l, const struct memslot *slot, gfn_t start, gfn_t end)
{
	for (gfn_t gfn = start; gfn < end; gfn += look_small(l, slot, gfn, end))
		for (unsigned level = RMAP_LEVELS; level > PG_LEVEL_4K; level--)
			if (gfn == start || gfn == level_gfn_base(gfn, level))
				look_rmap(l, slot_rmap(slot, gfn, level), gfn, level);
}

void shadow_look(struct mmu_vm *vm, gfn_t start, gfn_t end,
		 void (*visit)(void *ctx, const struct tdp_iter *it, unsigned n), void *ctx)
{
	const struct memslots *slots = memslots_get(vm);
	const struct look l = { vm, visit, ctx };

	assert_held_read(&vm->mmu_lock);
	for (unsigned i = 0; i < slots->count; i++)
		look_slot(&l, slots->slot[i], max_gfn(start, slots->slot[i]->base),
			  min_gfn(end, slots->slot[i]->base + slots->slot[i]->npages));
}
