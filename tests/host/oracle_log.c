/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The oracle's ageing and dirty logging; see oracle_impl.h.
 *
 * Young: a page must be young when a walk of the tables reached it since it was last
 * aged, and no operation since could have unmapped it (young_in says between which
 * of them).  It may be young when anything in its span was touched since that was aged: a huge page is
 * young as a whole, also when it was put together from small ones.
 *
 * Dirty: a page must be dirty when it was written since it was last found so and cleaned.  It
 * may be when anything in its span was, or when everything was to begin with.
 */
#include <stdlib.h>
#include <string.h>

#include "oracle_impl.h"

static uint64_t span_of(gfn_t gfn)
{
	return oracle.cfg.max_leaf_level > PG_LEVEL_4K ? gfn >> 9 : gfn;
}

void log_zapped(void)
{
	oracle.zaps++;
}

void log_write(struct oslot *s, gfn_t gfn)
{
	oracle.written[span_of(gfn)] = ++oracle.time;
	oracle_page(s, gfn)->must_dirty = true;
}

static void touch(gfn_t gfn)
{
	if (gfn < ORACLE_GFNS)
		oracle.touched[gfn] = ++oracle.time;
}

void log_access(struct oslot *s, gfn_t gfn, bool write, bool walked)
{
	touch(gfn);
	/* Without Accessed from the processor, the neighbours that a fault maps are young, too. */
	gfn_t window = gfn & ~(gfn_t)(oracle.cfg.fault_around - 1);

	for (unsigned i = 0; walked && !oracle.cfg.hw_ad && i < oracle.cfg.fault_around; i++)
		touch(window + i);
	if (walked)
		oracle_page(s, gfn)->young_in = oracle.zaps;
	if (write)
		log_write(s, gfn);
}

/* One bit per page, in memory of exactly that size: the sanitizer sees the byte beyond. */
static uint64_t *bitmap_alloc(uint64_t npages)
{
	return calloc((npages + 63) / 64 + !npages, 8);
}

static bool bitmap_get(const uint64_t *bitmap, uint64_t i)
{
	return bitmap[i / 64] >> i % 64 & 1;
}

/* ---- ageing --------------------------------------------------------------------------- */

static bool touched_since(gfn_t gfn)
{
	return oracle.touched[gfn] > oracle.aged[gfn];
}

/* Was any page touched since it was aged that a leaf with gfn could map as well? */
static bool may_be_young(gfn_t gfn)
{
	gfn_t first = level_gfn_base(gfn, PG_LEVEL_2M);
	bool any = touched_since(gfn), huge = oracle.cfg.max_leaf_level > PG_LEVEL_4K;

	for (gfn_t i = first; huge && i < first + 512 && i < ORACLE_GFNS && !any; i++)
		any = touched_since(i);
	return any;
}

static void check_young(gfn_t gfn, bool young)
{
	struct opage *page = oracle_page(oracle_find(gfn), gfn);

	if (young)
		EXPECT(may_be_young(gfn), gfn, oracle.aged[gfn]);
	else
		EXPECT(page->young_in != oracle.zaps, gfn, page->young_in);
}

/* What was aged is not certainly young any more, nor is what shares a huge page with it. */
static void forget_young(const struct orange *r)
{
	gfn_t first = level_gfn_base(r->gfn, PG_LEVEL_2M);
	gfn_t end = level_gfn_base(r->gfn + r->npages - 1, PG_LEVEL_2M) + 512;

	for (gfn_t gfn = r->gfn; gfn < r->gfn + r->npages; gfn++)
		oracle.aged[gfn] = ++oracle.time;
	for (gfn_t gfn = first; gfn < end; gfn++) {
		struct oslot *s = oracle_find(gfn);

		if (s)
			oracle_page(s, gfn)->young_in = 0;
	}
}

static void age_bitmap(const struct orange *r, bool clear)
{
	uint64_t *bitmap = bitmap_alloc(r->valid ? r->npages : 64);
	bool any = false, test = false;
	int err = mmu_test_age(oracle.vm, r->gfn, r->npages, &test);

	range_done(r, err);
	if (range_done(r, mmu_age_bitmap(oracle.vm, r->gfn, r->npages, clear, bitmap))) {
		for (uint64_t i = 0; i < r->npages; i++) {
			check_young(r->gfn + i, bitmap_get(bitmap, i));
			any |= bitmap_get(bitmap, i);
		}
		EXPECT(err || any == test, any, test);
		if (clear)
			forget_young(r);
	}
	free(bitmap);
}

static void age(const struct orange *r)
{
	uint64_t young = 0, must = 0, may = 0;

	if (!range_done(r, mmu_age(oracle.vm, r->gfn, r->npages, &young)))
		return;
	for (gfn_t gfn = r->gfn; gfn < r->gfn + r->npages; gfn++) {
		struct opage *page = oracle_page(oracle_find(gfn), gfn);

		must += page->young_in == oracle.zaps;
		may += may_be_young(gfn);
	}
	EXPECT(young >= must && young <= may, young, must);
	forget_young(r);
}

void op_age(void)
{
	unsigned how = take8();
	struct orange r = take_range();

	/* Ageing takes no flags. */
	if (r.flags & ~(unsigned)MMU_MAY_BLOCK)
		return;
	if (how & 1)
		age(&r);
	else
		age_bitmap(&r, how & 2);
}

/* ---- dirty log ---------------------------------------------------------------------------- */

static struct oslot *take_slot(unsigned *id)
{
	*id = take8() % (ORACLE_SLOTS + 1);
	return *id < ORACLE_SLOTS && oracle.slot[*id].used ? &oracle.slot[*id] : NULL;
}

static bool style_possible(enum mmu_dirty_style style)
{
	return style == MMU_DIRTY_WRPROT || (style == MMU_DIRTY_DBIT && oracle.cfg.hw_ad) ||
	       (style == MMU_DIRTY_PML && oracle.cfg.pml);
}

void op_dirty_start(void)
{
	unsigned how = take8(), id, flags = how >> 2 & 3;
	struct oslot *s = take_slot(&id);
	enum mmu_dirty_style style = how % 3;
	int err = mmu_dirty_start(oracle.vm, id, style, flags);

	trace("id %u, style %u, flags %u: %d", id, style, flags, err);
	log_zapped();
	if (err == -ENOMEM && oracle.failing)
		return;
	if (!s)
		EXPECT(err == -ENOENT || err == -EINVAL, err, id);
	else if (is_device(s) || !style_possible(style))
		EXPECT(err == -EINVAL, err, style);
	else
		EXPECT(err == (s->log ? -EBUSY : 0), err, s->log);
	if (err)
		return;
	s->log = true;
	s->style = style;
	for (uint64_t i = 0; i < s->npages; i++) {
		s->page[i].must_dirty = s->page[i].all_set = flags & MMU_DIRTY_ALL_SET;
		s->page[i].cleaned_at = ++oracle.time;
	}
}

static void clean(struct opage *page)
{
	page->must_dirty = page->all_set = false;
	page->cleaned_at = ++oracle.time;
}

static void check_dirty(struct oslot *s, uint64_t first, uint64_t npages, const uint64_t *bitmap,
			bool clear)
{
	for (uint64_t i = first; i < first + npages; i++) {
		struct opage *page = &s->page[i];

		if (bitmap_get(bitmap, i - first))
			EXPECT(page->all_set ||
			       oracle.written[span_of(s->base + i)] > page->cleaned_at, i, s->base);
		else
			EXPECT(!page->must_dirty, i, s->base);
		if (clear)
			clean(page);
	}
}

/* A range of the slot; false: it leaves the slot. */
static bool take_part(const struct oslot *s, uint64_t *first, uint64_t *npages)
{
	unsigned a = take16(), b = take16();

	*first = s ? a % (s->npages + 2) : a;
	*npages = b & 1 ? 1 + b % 70 : b % ORACLE_GFNS;
	if (s && (b & 2) && *first < s->npages && *npages > s->npages - *first)
		*npages = s->npages - *first;
	return s && *npages && *first + *npages <= s->npages;
}

static uint64_t popcount(const uint64_t *bitmap, uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum += bitmap_get(bitmap, i);
	return sum;
}

void op_dirty_get(void)
{
	bool clear = take8() & 1;
	unsigned id;
	struct oslot *s = take_slot(&id);
	uint64_t first, npages, dirty = 0;
	bool valid = take_part(s, &first, &npages);
	uint64_t *bitmap = bitmap_alloc(npages);
	int err = mmu_dirty_get(oracle.vm, id, first, npages, clear, bitmap, &dirty);

	trace("id %u, page %lu, %lu pages, clear %d: %d, %lu dirty", id, first, npages, clear, err, dirty);
	if (err == -ENOMEM)
		EXPECT(oracle.failing, id, first);
	else if (!s || !s->log)
		EXPECT(err == -ENOENT || err == -EINVAL, err, id);
	else
		EXPECT(valid ? !err : err == -EINVAL, err, first);
	if (!err) {
		EXPECT(dirty == popcount(bitmap, npages), dirty, npages);
		check_dirty(s, first, npages, bitmap, clear);
	}
	free(bitmap);
}

/* What was got without clearing, or a part of it, is made clean. */
void op_dirty_clear(void)
{
	unsigned how = take8(), id;
	struct oslot *s = take_slot(&id);
	uint64_t first, npages;
	bool valid = take_part(s, &first, &npages);
	uint64_t *bitmap = bitmap_alloc(npages);

	memset(bitmap, how & 1 ? 0xff : (int)how, (npages + 7) / 8);
	int err = mmu_dirty_clear(oracle.vm, id, first, npages, bitmap);

	trace("id %u, page %lu, %lu pages, mask 0x%lx: %d", id, first, npages, bitmap[0], err);
	if (err == -ENOMEM)
		EXPECT(oracle.failing, id, first);
	else if (!s || !s->log)
		EXPECT(err == -ENOENT || err == -EINVAL, err, id);
	else
		EXPECT(valid ? !err : err == -EINVAL, err, first);
	for (uint64_t i = 0; !err && i < npages; i++)
		if (bitmap_get(bitmap, i))
			clean(&s->page[first + i]);
	free(bitmap);
}

void op_dirty_stop(void)
{
	unsigned id;
	struct oslot *s = take_slot(&id);
	int err = mmu_dirty_stop(oracle.vm, id);

	trace("id %u: %d", id, err);
	log_zapped();
	EXPECT(s && s->log ? !err : err == -ENOENT, err, id);
	if (!err)
		s->log = false;
}
