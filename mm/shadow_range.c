/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations on ranges where a VM shadows: by the reverse maps of the pages, in the order of
 * the gfns, as walk.c goes through nested tables; what an operation does to an entry is the
 * same function for both.
 *
 * An operation may take a leaf out, and then it leaves its rmap here.  So the entries that are
 * done are those that are gone, and the walk can yield in the middle of one page that is mapped
 * many times.
 */
#include "mm/shadow_range.h"

#include "mm/rmap_slot.h"
#include "mm/shadow.h"

/* Entries of one page between two looks at who waits. */
#define RMAP_STEP 64u

static struct tdp_iter iter_of(const struct mmu_vm *vm, spte_cell_t *cell, gfn_t gfn, unsigned level)
{
	return (struct tdp_iter){
		.valid = true, .level = (uint8_t)level, .gfn = level_gfn_base(gfn, level),
		.cell = cell, .old = spte_load(cell), .next = gfn, .end = gfn + 1, .root = &vm->shadow->fmt_root,
	};
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

		walk_run(walk, &it);
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
		if (wants_break(walk, gfn))
			return gfn;
		walk->visited++;
		if (!visit_huge(walk, slot, gfn, start) ||
		    !visit_gfn(walk, slot, gfn, PG_LEVEL_4K))
			return gfn;
		gfn_t next = gfn + 1;

		if (!slot_rmap(slot, gfn, PG_LEVEL_4K)) {
			/* Nothing small is there: on to the next huge page, or the next chunk. */
			gfn_t chunk = slot_rmap_skip(slot, gfn, PG_LEVEL_4K);
			gfn_t huge = level_gfn_base(gfn, PG_LEVEL_2M) + level_pages(PG_LEVEL_2M);

			next = chunk < huge ? chunk : huge;
		}
		gfn = next;
	}
	return end;
}

static gfn_t max_gfn(gfn_t a, gfn_t b)
{
	return a > b ? a : b;
}

static gfn_t min_gfn(gfn_t a, gfn_t b)
{
	return a < b ? a : b;
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
	void (*visit)(void *ctx, const struct tdp_iter *it);
	void *ctx;
};

static void look_gfn(const struct look *l, const struct memslot *slot, gfn_t gfn, unsigned level)
{
	struct rmap *rmap = slot_rmap(slot, gfn, level);
	struct rmap_cursor c = rmap_begin(rmap ? rmap_word(rmap) : 0);

	for (; c.cell; rmap_next(&c)) {
		struct tdp_iter it = iter_of(l->vm, c.cell, gfn, level);

		l->visit(l->ctx, &it);
	}
}

static void look_slot(const struct look *l, const struct memslot *slot, gfn_t start, gfn_t end)
{
	for (gfn_t gfn = start; gfn < end; gfn++)
		for (unsigned level = RMAP_LEVELS; level; level--)
			if (gfn == start || gfn == level_gfn_base(gfn, level))
				look_gfn(l, slot, gfn, level);
}

void shadow_look(struct mmu_vm *vm, gfn_t start, gfn_t end,
		 void (*visit)(void *ctx, const struct tdp_iter *it), void *ctx)
{
	const struct memslots *slots = memslots_get(vm);
	const struct look l = { vm, visit, ctx };

	assert_held_read(&vm->mmu_lock);
	for (unsigned i = 0; i < slots->count; i++)
		look_slot(&l, slots->slot[i], max_gfn(start, slots->slot[i]->base),
			  min_gfn(end, slots->slot[i]->base + slots->slot[i]->npages));
}
