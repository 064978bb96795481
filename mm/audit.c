/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The audit: walk the tables and the backing and hold them against each other, the
 * slots and the gauges.  Under mmu_lock for write, so that only the processors'
 * A and D move.  The first error becomes a sentence, the rest are counted.
 *
 * A table that is linked twice is found by SPTE_AUDIT_MARK in its first entry: the
 * first walk sets it, the second takes it away again.
 */
#include "mm/backing.h"
#include "mm/memslot.h"
#include "mm/vm.h"

struct audit {
	struct mmu_vm *vm;
	struct mmu_audit_report *report;
	uint64_t leaves[PG_LEVEL_1G + 1];
	size_t used; /* of report->first */
};

/* ---- the sentence --------------------------------------------------------- */

static void say(struct audit *a, const char *text)
{
	while (*text && a->used < sizeof(a->report->first) - 1)
		a->report->first[a->used++] = *text++;
	a->report->first[a->used] = '\0';
}

static void say_hex(struct audit *a, uint64_t value)
{
	char digits[19] = "0x";
	unsigned n = 2;
	int shift = 60;

	while (shift && !(value >> shift & 0xf))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		digits[n++] = "0123456789abcdef"[value >> shift & 0xf];
	digits[n] = '\0';
	say(a, digits);
}

/* "WHERE 0x… WHAT 0x…": an error about one place, with the value found there. */
static void fail(struct audit *a, const char *where, uint64_t place, const char *what,
		 uint64_t value)
{
	if (a->report->errors++)
		return;
	say(a, where);
	say(a, " ");
	say_hex(a, place);
	say(a, " ");
	say(a, what);
	say(a, " ");
	say_hex(a, value);
}

/* ---- entries ----------------------------------------------------------------- */

static const char *leaf_name(unsigned level)
{
	return level == PG_LEVEL_4K ? "the 4K leaf at gfn" :
	       level == PG_LEVEL_2M ? "the 2M leaf at gfn" : "the 1G leaf at gfn";
}

static void check_absent(struct audit *a, spte_t spte, gfn_t gfn)
{
	if (spte_is_frozen(spte))
		fail(a, "the entry at gfn", gfn, "was left frozen:", spte.raw);
	else if (spte.raw)
		fail(a, "the entry at gfn", gfn, "maps nothing but is not empty:", spte.raw);
}

/* Does the slot permit this leaf? */
static void check_leaf_slot(struct audit *a, spte_t spte, gfn_t gfn, unsigned level)
{
	const struct memslot *slot = memslot_find(a->vm, gfn);
	unsigned access = format_access(a->vm->fmt, spte);

	if (!slot || !memslot_covers(slot, gfn, level_pages(level)))
		fail(a, leaf_name(level), gfn, "lies outside the slots: entry", spte.raw);
	else if (access & ~memslot_access(slot))
		fail(a, leaf_name(level), gfn, "permits more than its slot: entry", spte.raw);
	if (!(access & ACC_R))
		fail(a, leaf_name(level), gfn, "is present but not readable: entry", spte.raw);
	if (!!(access & ACC_W) != !!(spte.raw & SPTE_MMU_WRITABLE) ||
	    ((spte.raw & SPTE_MMU_WRITABLE) && !(spte.raw & SPTE_HOST_WRITABLE)))
		fail(a, leaf_name(level), gfn, "contradicts its writable bits: entry", spte.raw);
}

/* Does the backing have this very page there? */
static void check_leaf_backing(struct audit *a, spte_t spte, gfn_t gfn, unsigned level)
	REQUIRES(a->vm->mmu_lock)
{
	uint64_t pfn = format_pfn(a->vm->fmt, spte).n;
	struct backing_page page;
	int err = backing_lookup(a->vm, gfn, &page);

	if (err == -EFAULT)
		fail(a, leaf_name(level), gfn, "is ballooned but maps pfn", pfn);
	else if (err)
		fail(a, leaf_name(level), gfn, "has no page but maps pfn", pfn);
	else if (page.level < level)
		fail(a, leaf_name(level), gfn, "is larger than its page: pfn", pfn);
	else if (page.pfn.n + (gfn - page.gfn) != pfn)
		fail(a, leaf_name(level), gfn, "does not map the page it has: pfn", pfn);
}

static void check_leaf(struct audit *a, spte_t spte, gfn_t gfn, unsigned level)
	REQUIRES(a->vm->mmu_lock)
{
	const struct mmu_format *fmt = a->vm->fmt;

	a->report->leaves++;
	if (level > a->vm->max_leaf_level || level > PG_LEVEL_1G) {
		fail(a, "the leaf at gfn", gfn, "is larger than the VM may have: level", level);
		return;
	}
	a->leaves[level]++;
	if (format_pfn(fmt, spte).n & (level_pages(level) - 1))
		fail(a, leaf_name(level), gfn, "maps an unaligned pfn", format_pfn(fmt, spte).n);
	if (format_hpa(fmt, spte) >> a->vm->maxphyaddr)
		fail(a, leaf_name(level), gfn, "maps beyond physical memory: entry", spte.raw);
	if ((spte.raw & fmt->leaf) != fmt->leaf)
		fail(a, leaf_name(level), gfn, "lacks bits of its format: entry", spte.raw);
	check_leaf_slot(a, spte, gfn, level);
	check_leaf_backing(a, spte, gfn, level);
}

/* Nothing but an address and what tables have: fit to be followed. */
static bool table_is_sane(const struct audit *a, spte_t spte)
{
	const struct mmu_format *fmt = a->vm->fmt;
	uint64_t plain = spte.raw & ~(fmt->accessed | SPTE_AUDIT_MARK);
	hpa_t hpa = format_hpa(fmt, spte);

	return plain == format_make_table(fmt, hpa).raw && !(hpa >> a->vm->maxphyaddr);
}

/* True when it is to be walked. */
static bool check_table(struct audit *a, spte_t spte, gfn_t gfn)
{
	hpa_t hpa = format_hpa(a->vm->fmt, spte);

	if (!table_is_sane(a, spte)) {
		fail(a, "the table entry at gfn", gfn, "has bits it should not:", spte.raw);
		return false;
	}
	if (spte_set_bits(spte_table(hpa), SPTE_AUDIT_MARK).raw & SPTE_AUDIT_MARK) {
		fail(a, "the table for gfn", gfn, "is linked twice: hpa", hpa);
		return false;
	}
	return true;
}

/* ---- walks --------------------------------------------------------------------- */

static void audit_table(struct audit *a, hpa_t hpa, unsigned level, gfn_t gfn)
	REQUIRES(a->vm->mmu_lock)
{
	const struct mmu_format *fmt = a->vm->fmt;

	a->report->tables++;
	for (unsigned i = 0; i < PT_ENTRIES; i++, gfn += level_pages(level)) {
		spte_t spte = { spte_load(&spte_table(hpa)[i]).raw & ~SPTE_AUDIT_MARK };

		if (!spte_is_present(spte))
			check_absent(a, spte, gfn);
		else if (format_is_leaf(fmt, spte, level))
			check_leaf(a, spte, gfn, level);
		else if (check_table(a, spte, gfn))
			audit_table(a, format_hpa(fmt, spte), level - 1, gfn);
	}
}

/* Exactly where audit_table() set the mark, it goes away. */
static void unmark_table(struct audit *a, hpa_t hpa, unsigned level)
{
	const struct mmu_format *fmt = a->vm->fmt;
	spte_t first = spte_clear_bits(spte_table(hpa), SPTE_AUDIT_MARK);

	if (!(first.raw & SPTE_AUDIT_MARK))
		return;
	for (unsigned i = 0; i < PT_ENTRIES; i++) {
		spte_t spte = spte_load(&spte_table(hpa)[i]);

		if (format_is_table(fmt, spte, level) && table_is_sane(a, spte))
			unmark_table(a, format_hpa(fmt, spte), level - 1);
	}
}

static void audit_root(struct audit *a)
	REQUIRES(a->vm->mmu_lock)
{
	const struct mmu_root *root = a->vm->root;

	spte_set_bits(spte_table(root->hpa), SPTE_AUDIT_MARK);
	audit_table(a, root->hpa, root->level, 0);
	unmark_table(a, root->hpa, root->level);
}

static void check_gauge(struct audit *a, const char *name, uint64_t gauge, uint64_t walked)
{
	if (gauge != walked)
		fail(a, name, gauge, "is what the books say, but the walk counted", walked);
}

static void audit_gauges(struct audit *a)
	REQUIRES(a->vm->mmu_lock)
{
	const struct mmu_vm *vm = a->vm;
	struct backing_count count;

	check_gauge(a, "mmu_tables", stat_read(vm, tables), a->report->tables);
	check_gauge(a, "pages_4k", stat_read(vm, pages_4k), a->leaves[PG_LEVEL_4K]);
	check_gauge(a, "pages_2m", stat_read(vm, pages_2m), a->leaves[PG_LEVEL_2M]);
	check_gauge(a, "pages_1g", stat_read(vm, pages_1g), a->leaves[PG_LEVEL_1G]);
	backing_count(a->vm, &count);
	check_gauge(a, "backing_pages", stat_read(vm, backing_pages), count.pages);
	check_gauge(a, "ballooned_pages", stat_read(vm, ballooned_pages), count.ballooned);
	if (count.stray != GFN_INVALID)
		fail(a, "the host page behind gfn", count.stray, "lies outside the slots; of", 1);
	if (vm->page_cap && count.pages > vm->page_cap)
		fail(a, "the cap of pages", vm->page_cap, "is exceeded:", count.pages);
}

int mmu_audit(struct mmu_vm *vm, struct mmu_audit_report *report)
{
	struct audit audit = { .vm = vm, .report = report }, *a = &audit;

	*report = (struct mmu_audit_report){ 0 };
	write_lock(&a->vm->mmu_lock);
	if (vm->root)
		audit_root(a);
	audit_gauges(a);
	write_unlock(&a->vm->mmu_lock);
	return report->errors ? -EIO : 0;
}
