/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The audit of one leaf.  What an invalidation that has let others in is still about to take
 * away is not held against slot and protection: those change first.
 */
#include "mm/audit.h"

#include "mm/backing.h"
#include "mm/dirty.h"
#include "mm/huge.h"
#include "mm/invalidate.h"
#include "mm/leaf.h"
#include "mm/memslot.h"

/* The leaf under judgement. */
struct suspect {
	struct audit *a;
	const struct mmu_format *fmt;
	spte_t leaf;
	gfn_t gfn;
	unsigned level;
};

static void accuse(const struct suspect *s, const char *what, uint64_t value)
{
	const char *where = s->level == PG_LEVEL_4K ? "the 4K leaf at gfn" :
			    s->level == PG_LEVEL_2M ? "the 2M leaf at gfn" : "the 1G leaf at gfn";

	audit_fail(s->a, where, s->gfn, what, value);
}

/* What its own bits say, without looking at anything else. */
static void check_bits(const struct suspect *s)
{
	const struct mmu_format *fmt = s->fmt;
	uint64_t raw = s->leaf.raw;
	uint64_t type = raw & SPTE_REFCOUNTED ? fmt->type_ram : fmt->type_device;

	if (format_pfn(fmt, s->leaf).n & (level_pages(s->level) - 1))
		accuse(s, "maps an unaligned pfn", format_pfn(fmt, s->leaf).n);
	if (format_hpa(fmt, s->leaf) >> s->a->vm->maxphyaddr)
		accuse(s, "maps beyond physical memory: entry", raw);
	if ((raw & fmt->leaf) != fmt->leaf || (fmt->software && (raw & fmt->type) != type))
		accuse(s, "lacks bits of its format: entry", raw);
	if (raw & (SPTE_FROZEN_BIT | SPTE_NX_SPLIT | (s->level == PG_LEVEL_4K ? fmt->huge : 0)))
		accuse(s, "has bits that no leaf has: entry", raw);
	/* In PAE the processor would take offence. */
	if (!fmt->software && (raw & fmt->present) && (raw & SPTE_SOFTWARE & ~SPTE_PRESENT))
		accuse(s, "has bits that its format has no room for: entry", raw);
}

/* Is it in one of the states of leaf.h? */
static void check_state(const struct suspect *s)
{
	unsigned access = leaf_access(s->fmt, s->leaf);
	uint64_t raw = s->leaf.raw;

	if (leaf_is_tracked(s->leaf) && (s->fmt->ad || (raw & s->fmt->present)))
		accuse(s, "is tracked, but not out of the processor's hands: entry", raw);
	if (!leaf_is_tracked(s->leaf) && (raw & SPTE_SAVED_W))
		accuse(s, "has parked permissions, but is not tracked: entry", raw);
	if (!(access & ACC_R))
		accuse(s, "is present but not readable: entry", raw);
	if ((s->fmt->software && (access & ACC_W) && !(raw & SPTE_MMU_WRITABLE)) ||
	    ((raw & SPTE_MMU_WRITABLE) && !(raw & SPTE_HOST_WRITABLE)))
		accuse(s, "contradicts its writable bits: entry", raw);
	if (s->a->vm->nx_huge_pages && s->level > PG_LEVEL_4K && (access & ACC_X))
		accuse(s, "is huge and executable: entry", raw);
}

/* A huge leaf that may be written would hide which page was, unless all count as written. */
static void check_log(const struct suspect *s, const struct memslot *slot)
{
	struct dirty_log *log = dirty_log_of(slot);
	uint64_t n = level_pages(s->level);

	if (!log || log->starting || s->level == PG_LEVEL_4K || !leaf_is_writable(s->fmt, s->leaf))
		return;
	for (uint64_t i = 0; i < n; i += 64)
		if (~dirty_log_bits(log, s->gfn - slot->base + i, ~0ul, false))
			accuse(s, "is huge and writable under a dirty log: entry", s->leaf.raw);
}

/* Does the backing have this very page there? */
static void check_page(const struct suspect *s, const struct memslot *slot, int err,
		       const struct backing_page *page)
{
	uint64_t pfn = format_pfn(s->fmt, s->leaf).n;

	if (err == -EFAULT)
		accuse(s, "is ballooned but maps pfn", pfn);
	else if (err)
		accuse(s, "has no page but maps pfn", pfn);
	else if (page->level < s->level)
		accuse(s, "is larger than its page: pfn", pfn);
	else if (page->pfn.n + (s->gfn - page->gfn) != pfn)
		accuse(s, "does not map the page it has: pfn", pfn);
	else if (!s->fmt->software &&
		 (s->leaf.raw & s->fmt->type) !=
			 (page->refcounted ? s->fmt->type_ram : s->fmt->type_device))
		accuse(s, "has the wrong memory type: entry", s->leaf.raw);
	else if (s->fmt->software && page->refcounted != !!(s->leaf.raw & SPTE_REFCOUNTED))
		accuse(s, "is wrong about whose page it maps: entry", s->leaf.raw);
}

/* Does it permit what slot and protection forbid? */
static void check_permission(const struct suspect *s, const struct memslot *slot,
			     const struct backing_page *page)
{
	unsigned access = leaf_access(s->fmt, s->leaf);

	if (s->leaf.raw & SPTE_HOST_WRITABLE)
		access |= ACC_W;
	if (access & ~memslot_access(slot))
		accuse(s, "permits more than its slot: entry", s->leaf.raw);
	else if (access & ~page->access)
		accuse(s, "permits more than its protection: entry", s->leaf.raw);
}

void audit_leaf(struct audit *a, const struct mmu_format *fmt, spte_t leaf, gfn_t gfn,
		unsigned level)
{
	const struct suspect s = { a, fmt, leaf, gfn, level };
	const struct memslot *slot = memslot_find_any(a->vm, gfn);
	struct backing_page page;

	a->report->leaves++;
	if (level > a->vm->max_leaf_level || level > PG_LEVEL_1G) {
		audit_fail(a, "the leaf at gfn", gfn, "is larger than the VM may have: level",
			   level);
		return;
	}
	a->leaves[level]++;
	check_bits(&s);
	check_state(&s);
	if (!slot || !memslot_covers(slot, gfn, level_pages(level))) {
		accuse(&s, "lies outside the slots: entry", leaf.raw);
		return;
	}
	if (!slot_huge_allowed(a->vm, slot, gfn, level))
		accuse(&s, "is huge where that is forbidden: entry", leaf.raw);
	int err = backing_lookup_in(a->vm, slot, gfn, &page);

	check_page(&s, slot, err, &page);
	check_log(&s, slot);
	if (!err && !invalidate_in_progress(a->vm, gfn, gfn + level_pages(level)))
		check_permission(&s, slot, &page);
}
