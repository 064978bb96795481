/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ageing: which pages were used since somebody last asked.  Without mmu_lock: the walk is
 * a reader's (rcu.h), and an entry is changed by compare-exchange, so that what a zap,
 * a split or the processor did to it meanwhile stands.
 *
 * Where the processor sets Accessed, ageing clears it.  Where it does not, ageing parks the
 * leaf's permissions (leaf.h) and the next access faults, without the lock too (fast.c).
 *
 * No flush follows.  A processor that still has the translation cached uses the page
 * without saying so again, until something else flushes; so a page can seem old that is in
 * use.  That is all that can happen: nobody relies on a parked leaf being out of the TLBs, a zap
 * of one flushes as for any other, and Dirty stays written in the leaf.
 */
#include "mm/iter.h"
#include "mm/leaf.h"
#include "mm/memslot.h"
#include "mm/rcu.h"
#include "mm/root.h"
#include "mm/shadow_age.h"

/* Entries visited before the walk passes a quiescent state. */
#define AGE_STEP 1024

struct age_walk {
	struct mmu_vm *vm;
	gfn_t start, end;
	bool clear;       /* make old what is young */
	bool first_ends;  /* the first young page is all that the caller wants to know */
	uint64_t *bitmap; /* or NULL; bit 0 is start */
	uint64_t young;   /* 4K pages */
	struct shadow_age shadow;
};

static void age_report(struct age_walk *w, gfn_t gfn, unsigned level)
{
	gfn_t first = max_gfn(gfn, w->start), last = min_gfn(gfn + level_pages(level), w->end);

	w->young += last - first;
	for (; w->bitmap && first < last; first++)
		w->bitmap[(first - w->start) / 64] |= 1ul << ((first - w->start) % 64);
}

static void age_report_bits(struct age_walk *w, gfn_t gfn, uint64_t young)
{
	uint64_t pos = gfn - w->start;
	unsigned shift = pos % 64;

	w->young += (uint64_t)__builtin_popcountl(young);
	if (!w->bitmap)
		return;
	w->bitmap[pos / 64] |= young << shift;
	if (shift && young >> (64 - shift))
		w->bitmap[pos / 64 + 1] |= young >> (64 - shift);
}

/*
 * Was it young?  A compare-exchange that fails tells what is there now, and that may be no leaf any
 * more.
 */
static inline bool age_leaf(const struct age_walk *w, const struct mmu_format *fmt,
			    spte_cell_t *cell, spte_t *old, unsigned level)
{
	do {
		if (!format_is_leaf(fmt, *old, level) || !leaf_is_accessed(fmt, *old))
			return false;
	} while (w->clear && !spte_cmpxchg(cell, old, leaf_age(fmt, *old)));
	return true;
}

/* Neighbouring 4K leaves. */
static void age_run(struct age_walk *w, const struct tdp_iter *it, unsigned n)
{
	const struct mmu_format *fmt = it->root->fmt;
	uint64_t young = 0;

	for (unsigned i = 0; i < n; i++) {
		spte_t old = spte_load(&it->cell[i]);

		young |= (uint64_t)age_leaf(w, fmt, &it->cell[i], &old, PG_LEVEL_4K) << i;
	}
	if (young)
		age_report_bits(w, it->gfn, young);
}

/* What the walk stands on, and on behind it.  How many entries that were. */
static unsigned age_next(struct age_walk *w, struct tdp_iter *it)
{
	unsigned n = iter_run(it);

	if (it->level == PG_LEVEL_4K) {
		age_run(w, it, n);
		iter_skip(it, n);
	} else {
		if (age_leaf(w, it->root->fmt, it->cell, &it->old, it->level))
			age_report(w, it->gfn, it->level);
		iter_next(it);
	}
	return n;
}

/* The same by reverse maps, 2M at a time. */
static bool age_step_shadow(struct age_walk *w, gfn_t *next)
{
	gfn_t base = level_gfn_base(*next, PG_LEVEL_2M);
	uint64_t young[PT_ENTRIES / 64];

	*next = shadow_age_step(w->vm, &w->shadow, *next, w->end, young);
	for (unsigned i = 0; i < PT_ENTRIES / 64; i++, base += 64) {
		/* What is below the start is not young. */
		gfn_t gfn = max_gfn(base, w->start);

		if (young[i])
			age_report_bits(w, gfn, young[i] >> (gfn - base));
	}
	return *next < w->end && !(w->first_ends && w->young);
}

/* A bounded part of the range from *next on, as one stay inside.  True: there is more. */
static bool age_step(struct age_walk *w, gfn_t *next)
{
	if (w->vm->shadow)
		return age_step_shadow(w, next);
	struct mmu_root *root = root_first(w->vm);
	struct tdp_iter it;

	/* Nobody uses the others any more. */
	while (root && !root_is_valid(root))
		root = root_next(root);
	if (!root)
		return false;
	iter_begin(&it, root, *next, w->end, 0);
	for (unsigned n = 0; it.valid && n < AGE_STEP;) {
		n += age_next(w, &it);
		if (w->first_ends && w->young)
			return false;
	}
	*next = it.next;
	return it.valid;
}

static int age_check(struct age_walk *w, struct rcu_reader *reader)
{
	rcu_enter(w->vm, reader);
	int err = memslot_check_reader(w->vm, w->start, w->end - w->start);

	w->shadow.clear = w->clear;
	rcu_exit(w->vm, reader);
	return err;
}

static void age_range(struct age_walk *w, struct rcu_reader *reader)
{
	gfn_t next = w->start;
	bool more;

	do {
		rcu_enter(w->vm, reader);
		more = age_step(w, &next);
		rcu_exit(w->vm, reader);
		if (more)
			port_resched();
	} while (more);
	if (w->clear)
		stat_add(w->vm, age_young, w->young);
}

/* The range is checked first: an invalid one has no bitmap to be cleared either. */
static int age(struct age_walk *w)
{
	struct rcu_reader reader = { 0 };

	rcu_reader_add(w->vm, &reader);
	int err = age_check(w, &reader);

	for (uint64_t i = 0; !err && w->bitmap && i < (w->end - w->start + 63) / 64; i++)
		w->bitmap[i] = 0;
	if (!err)
		age_range(w, &reader);
	rcu_reader_remove(w->vm, &reader);
	return err;
}

int mmu_age(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, uint64_t *young)
{
	struct age_walk w = { .vm = vm, .start = gfn, .end = gfn + npages, .clear = true };
	int err = age(&w);

	*young = w.young;
	return err;
}

int mmu_test_age(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, bool *young)
{
	struct age_walk w = { .vm = vm, .start = gfn, .end = gfn + npages, .first_ends = true };
	int err = age(&w);

	*young = w.young;
	return err;
}

int mmu_age_bitmap(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, bool clear, uint64_t *bitmap)
{
	struct age_walk w = { .vm = vm, .start = gfn, .end = gfn + npages, .clear = clear,
			      .bitmap = bitmap };

	return age(&w);
}
