/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ageing where a VM shadows: by the reverse maps, without mmu_lock, each under its own bit or, of neighbours,
 * under that of the first; as an RCU reader, because of the slots that the rmaps belong to.
 *
 * A page that several entries map is young when any of them is.  It counts once, so what is young
 * is gathered for 2M at a time, in which 4K, 2M and 1G leaves may map the same.
 */
#include "mm/shadow_age.h"

#include "mm/leaf.h"
#include "mm/rmap_slot.h"
#include "mm/shadow.h"

/* One piece of 2M, as far as it lies in the range. */
struct age_piece {
	const struct mmu_format *fmt;
	bool clear;
	gfn_t base;
	uint64_t young[PT_ENTRIES / 64];
};

/* A compare-exchange that fails tells what is there now, and that may be no leaf any more. */
static inline bool age_cell(const struct mmu_format *fmt, bool clear, spte_cell_t *cell, spte_t old,
			    unsigned level)
{
	do {
		if (!format_is_leaf(fmt, old, level) || !leaf_is_accessed(fmt, old))
			return false;
	} while (clear && !spte_cmpxchg(cell, &old, leaf_age(fmt, old)));
	return true;
}

/* All that a locked rmap has. */
static bool age_entries(const struct age_piece *p, uintptr_t word, unsigned level)
{
	bool young = false;

	for (struct rmap_cursor c = rmap_begin(word); c.cell; rmap_next(&c))
		young |= age_cell(p->fmt, p->clear, c.cell, spte_load(c.cell), level);
	return young;
}

static bool age_rmap(const struct age_piece *p, struct rmap *rmap, unsigned level)
{
	if (!rmap)
		return false;
	port_preempt_disable();
	uintptr_t word = rmap_lock_readonly(rmap);
	bool young = age_entries(p, word, level);

	rmap_unlock_readonly(rmap, word);
	port_preempt_enable();
	return young;
}

/* Entries in its table from this one on. */
static unsigned cells_left(const spte_cell_t *cell)
{
	return PT_ENTRIES - (uintptr_t)cell / sizeof(*cell) % PT_ENTRIES;
}

/*
 * Neighbouring pages, n at most, as far as neighbouring entries of one table map them: how many that were.  Bit i
 * of *young says that page i was used.  The first one's rmap is locked, and so the table stays.  The rmaps of
 * the others are not: behind the load each says whether the entry was still its page's.
 */
static unsigned age_run(const struct age_piece *p, const struct rmap *rmap, spte_cell_t *cell,
			unsigned n, uint64_t *young)
{
	/* In registers: atomic operations do not make them be read again. */
	const struct mmu_format fmt = *p->fmt;
	const bool clear = p->clear;
	spte_t old = spte_load(cell);
	uint64_t used = 0, bit = 1;
	unsigned i = 0;

	n = n < cells_left(cell) ? n : cells_left(cell);
	do {
		if (age_cell(&fmt, clear, &cell[i], old, PG_LEVEL_4K))
			used |= bit;
		bit <<= 1;
		if (++i == n)
			break;
		old = spte_load(&cell[i]);
	} while (rmap_has_only(&rmap[i], &cell[i]));
	*young = used;
	return i;
}

/*
 * Neighbouring pages, n at most: bit i of *young says that page i was used.  Preemption is off for one
 * of them that is mapped many times, or for all: how many that were.
 */
static unsigned age_some(const struct age_piece *p, struct rmap *rmap, unsigned n, uint64_t *young)
{
	uintptr_t word = 0;
	unsigned i, done;

	*young = 0;
	port_preempt_disable();
	for (i = 0; i < n && !(word & RMAP_MANY); i += done) {
		uint64_t used = 0;

		word = rmap_lock_readonly(&rmap[i]);
		done = 1;
		if (word & RMAP_MANY)
			used = age_entries(p, word, PG_LEVEL_4K);
		else if (word)
			done = age_run(p, &rmap[i], (spte_cell_t *)word, n - i, &used);
		rmap_unlock_readonly(&rmap[i], word);
		*young |= used << i;
	}
	port_preempt_enable();
	return i;
}

/* 4K pages from gfn on, as many as one word of p->young says: on to which. */
static gfn_t age_small(struct age_piece *p, const struct memslot *slot, gfn_t gfn, gfn_t end)
{
	uint64_t n = 64 - gfn % 64, there, young;
	struct rmap *rmap = slot_rmap_row(slot, gfn, &there);

	n = n < end - gfn ? n : end - gfn;
	if (!rmap)
		return gfn + (there < end - gfn ? there : end - gfn);
	n = age_some(p, rmap, (unsigned)(n < there ? n : there), &young);
	p->young[(gfn - p->base) / 64] |= young << (gfn % 64);
	return gfn + n;
}

static void age_part(struct age_piece *p, const struct memslot *slot, gfn_t start, gfn_t end,
		     bool all)
{
	all |= age_rmap(p, slot_rmap(slot, start, PG_LEVEL_2M), PG_LEVEL_2M);
	for (gfn_t gfn = start; gfn < end;)
		gfn = age_small(p, slot, gfn, end);
	for (gfn_t gfn = start; all && gfn < end; gfn++)
		p->young[(gfn - p->base) / 64] |= 1ul << (gfn % 64);
}

/* What a look at a 1G leaf said stays true for all of it that the range has. */
static bool age_gig(struct shadow_age *age, const struct age_piece *p, const struct memslot *slot,
		    gfn_t gfn)
{
	gfn_t base = level_gfn_base(gfn, PG_LEVEL_1G);

	if (!age->gig_known || age->gig != base) {
		age->gig_young = age_rmap(p, slot_rmap(slot, gfn, PG_LEVEL_1G), PG_LEVEL_1G);
		age->gig = base;
		age->gig_known = true;
	}
	return age->gig_young;
}

gfn_t shadow_age_step(struct mmu_vm *vm, struct shadow_age *age, gfn_t start, gfn_t end,
		      uint64_t young[PT_ENTRIES / 64])
{
	gfn_t base = level_gfn_base(start, PG_LEVEL_2M), stop = base + level_pages(PG_LEVEL_2M);
	struct age_piece p = { .fmt = vm->fmt, .clear = age->clear, .base = base };

	stop = stop < end ? stop : end;
	for (gfn_t gfn = start, next; gfn < stop; gfn = next) {
		const struct memslot *slot = memslot_find_any(vm, gfn);

		next = slot && slot->base + slot->npages < stop ? slot->base + slot->npages : stop;
		if (slot)
			age_part(&p, slot, gfn, next, age_gig(age, &p, slot, gfn));
		else
			next = gfn + 1;
	}
	for (unsigned i = 0; i < PT_ENTRIES / 64; i++)
		young[i] = p.young[i];
	return stop;
}
