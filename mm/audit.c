/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The audit: walk the tables and the backing and hold them against each other, the
 * slots and the gauges.  Under mmu_lock for write, so that only the processors'
 * A and D move.  The first error becomes a sentence, the rest are counted.
 *
 * A table that is linked twice is found by SPTE_AUDIT_MARK in its first entry: the
 * first walk sets it, the second takes it away again.
 */
#include "mm/audit.h"

#include "mm/backing.h"
#include "mm/dirty.h"
#include "mm/huge.h"
#include "mm/lock.h"
#include "mm/memslot.h"
#include "mm/mmio.h"
#include "mm/root.h"
#include "mm/walk.h"

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

void audit_fail(struct audit *a, const char *where, uint64_t place, const char *what,
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

static void check_absent(struct audit *a, const struct mmu_format *fmt, spte_t spte, gfn_t gfn)
{
	if (mmio_is_entry(fmt, spte))
		a->mmio_entries++;
	else if (spte_is_frozen(spte))
		audit_fail(a, "the entry at gfn", gfn, "was left frozen:", spte.raw);
	else if (spte.raw)
		audit_fail(a, "the entry at gfn", gfn, "maps nothing but is not empty:", spte.raw);
}

/* Nothing but an address and what tables have: fit to be followed. */
static bool table_is_sane(const struct audit *a, const struct mmu_format *fmt, spte_t spte)
{
	uint64_t plain = spte.raw & ~(fmt->accessed | SPTE_AUDIT_MARK | SPTE_NX_SPLIT);
	hpa_t hpa = format_hpa(fmt, spte);

	return plain == format_make_table(fmt, hpa).raw && !(hpa >> a->vm->maxphyaddr);
}

/* True when it is to be walked. */
static bool check_table(struct audit *a, const struct mmu_format *fmt, spte_t spte, gfn_t gfn)
{
	hpa_t hpa = format_hpa(fmt, spte);

	if (!table_is_sane(a, fmt, spte)) {
		audit_fail(a, "the table entry at gfn", gfn, "has bits it should not:", spte.raw);
		return false;
	}
	if (spte_set_bits(spte_table(hpa), SPTE_AUDIT_MARK).raw & SPTE_AUDIT_MARK) {
		audit_fail(a, "the table for gfn", gfn, "is linked twice: hpa", hpa);
		return false;
	}
	a->nx_tables += spte.raw & SPTE_NX_SPLIT ? 1 : 0;
	return true;
}

/* ---- walks --------------------------------------------------------------------- */

static void audit_table(struct audit *a, const struct mmu_format *fmt, hpa_t hpa, unsigned level,
			gfn_t gfn) REQUIRES(a->vm->mmu_lock)
{
	a->report->tables++;
	for (unsigned i = 0; i < PT_ENTRIES; i++, gfn += level_pages(level)) {
		spte_t spte = { spte_load(&spte_table(hpa)[i]).raw & ~SPTE_AUDIT_MARK };

		if (!spte_is_present(spte))
			check_absent(a, fmt, spte, gfn);
		else if (format_is_leaf(fmt, spte, level))
			audit_leaf(a, fmt, spte, gfn, level);
		else if (check_table(a, fmt, spte, gfn))
			audit_table(a, fmt, format_hpa(fmt, spte), level - 1, gfn);
	}
}

/* Exactly where audit_table() set the mark, it goes away. */
static void unmark_table(struct audit *a, const struct mmu_format *fmt, hpa_t hpa, unsigned level)
{
	spte_t first = spte_clear_bits(spte_table(hpa), SPTE_AUDIT_MARK);

	if (!(first.raw & SPTE_AUDIT_MARK))
		return;
	for (unsigned i = 0; i < PT_ENTRIES; i++) {
		spte_t spte = spte_load(&spte_table(hpa)[i]);

		if (format_is_table(fmt, spte, level) && table_is_sane(a, fmt, spte))
			unmark_table(a, fmt, format_hpa(fmt, spte), level - 1);
	}
}

static unsigned loads_of(const struct mmu_vm *vm, const struct mmu_root *root)
{
	unsigned n = 0;

	for (const struct mmu_vcpu *vcpu = vm->vcpus; vcpu; vcpu = vcpu->next)
		n += vcpu->loaded == root;
	return n;
}

/* The root itself: who refers to it, and whether its state is true. */
static void check_root(struct audit *a, const struct mmu_root *root, uint64_t tables)
	REQUIRES(a->vm->mmu_lock)
{
	unsigned state = atomic_load_explicit(&root->state, memory_order_relaxed);
	unsigned refs = loads_of(a->vm, root) + (state != ROOT_ZAPPED);

	if (root->refs != refs)
		audit_fail(a, "the root at hpa", root->hpa, "has another number of references:",
			   root->refs);
	if ((state == ROOT_VALID) != (root == a->vm->root))
		audit_fail(a, "the root at hpa", root->hpa, "is valid and not the VM's: state",
			   state);
	if (state == ROOT_ZAPPED && tables != 1)
		audit_fail(a, "the root at hpa", root->hpa, "was zapped but has tables:", tables);
}

static void audit_root(struct audit *a, const struct mmu_root *root)
	REQUIRES(a->vm->mmu_lock)
{
	uint64_t before = a->report->tables;

	spte_set_bits(spte_table(root->hpa), SPTE_AUDIT_MARK);
	audit_table(a, root->fmt, root->hpa, root->level, 0);
	check_root(a, root, a->report->tables - before);
}

/* Tables that wait to be freed are chained through their first entries: none has our mark. */
static void check_queue(struct audit *a, hpa_t table)
{
	while (table) {
		uint64_t first = spte_load(spte_table(table)).raw;

		if (first & SPTE_AUDIT_MARK)
			audit_fail(a, "the table at hpa", table,
				   "is linked and queued to be freed:", first);
		table = first & ~SPTE_AUDIT_MARK;
	}
}

static void audit_tables(struct audit *a) REQUIRES(a->vm->mmu_lock)
{
	struct mmu_vm *vm = a->vm;

	for_each_root(vm, root)
		audit_root(a, root);
	spin_lock(&vm->rcu.lock);
	check_queue(a, vm->rcu.fresh.tables);
	check_queue(a, vm->rcu.waiting.tables);
	check_queue(a, vm->rcu.ready.tables);
	spin_unlock(&vm->rcu.lock);
	for_each_root(vm, root)
		unmark_table(a, root->fmt, root->hpa, root->level);
	if (vm->shadow)
		audit_shadow(a);
}

/* ---- gauges ---------------------------------------------------------------------- */

static void check_gauge(struct audit *a, const char *name, uint64_t gauge, uint64_t walked)
{
	if (gauge != walked)
		audit_fail(a, name, gauge, "is what the books say, but the walk counted", walked);
}

static void audit_slots(struct audit *a) REQUIRES(a->vm->mmu_lock)
{
	const struct memslots *slots = memslots_get(a->vm);
	uint64_t logs = 0, pml = 0;

	for (unsigned i = 0; i < slots->count; i++) {
		const struct dirty_log *log = dirty_log_of(slots->slot[i]);

		logs += log != NULL;
		pml += log && log->style == MMU_DIRTY_PML;
		if (!huge_adds_up(slots->slot[i]->state->huge))
			audit_fail(a, "the counts against huge leaves of slot", slots->slot[i]->id,
				   "do not add up; its first gfn is", slots->slot[i]->base);
		if (log && log->npages != slots->slot[i]->npages)
			audit_fail(a, "the dirty log of slot", slots->slot[i]->id,
				   "is not as large as the slot: pages", log->npages);
	}
	check_gauge(a, "dirty logs", atomic_load(&a->vm->dirty_logs), logs);
	check_gauge(a, "PML logs", atomic_load(&a->vm->pml_logs), pml);
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
	check_gauge(a, "nx_tables", stat_read(vm, nx_tables), a->nx_tables);
	check_gauge(a, "MMIO entries", atomic_load(&vm->mmio_entries), a->mmio_entries);
	backing_count(a->vm, &count);
	check_gauge(a, "backing_pages", stat_read(vm, backing_pages), count.pages);
	check_gauge(a, "ballooned_pages", stat_read(vm, ballooned_pages), count.ballooned);
	if (count.stray != GFN_INVALID)
		audit_fail(a, "the host page behind gfn", count.stray,
			   "lies outside the slots; of", 1);
	if (vm->page_cap && count.pages > vm->page_cap)
		audit_fail(a, "the cap of pages", vm->page_cap, "is exceeded:", count.pages);
}

int mmu_audit(struct mmu_vm *vm, struct mmu_audit_report *report)
{
	struct audit audit = { .vm = vm, .report = report }, *a = &audit;

	*report = (struct mmu_audit_report){ 0 };
	mmu_write_lock(a->vm, MMU_OP_AUDIT, 0, 0);
	audit_tables(a);
	audit_slots(a);
	audit_gauges(a);
	hold_note_write(a->vm, report->tables * PT_ENTRIES);
	mmu_write_unlock(a->vm);
	return report->errors ? -EIO : 0;
}
