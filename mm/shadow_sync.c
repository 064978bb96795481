/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest tables that change under us; see SHADOW.md.
 *
 *   protected   the guest's page is mapped read-only everywhere; a write is emulated, and
 *      │  ↑     shadow_written() brings the entries up to date
 *      │  │     closed again by a sync that finds nothing written, or for a table above the lowest
 *      ↓  │
 *   unsync      lowest level only: the guest writes as it likes, as it may before it tells the
 *               processor (INVLPG, CR3); then what differs from page->gpte is brought up to date
 *
 * All current pages of one gfn are in the same of the two states.
 */
#include "mm/shadow.h"

#include "mm/leaf.h"

/* Writes seen to a table before we take it for something else, or for one being torn down. */
#define FLOOD_WRITES 3u

/* ---- the list ------------------------------------------------------------------------ */

static void unsync_add(struct mmu_vm *vm, struct shadow_page *page)
{
	struct mmu_shadow *s = vm->shadow;

	page->unsync = true;
	page->unsync_next = s->unsync;
	page->unsync_link = &s->unsync;
	if (s->unsync)
		s->unsync->unsync_link = &page->unsync_next;
	s->unsync = page;
	stat_add(vm, shadow_unsync, 1);
}

void shadow_unsync_remove(struct shadow_page *page)
{
	if (!page->unsync)
		return;
	page->unsync = false;
	*page->unsync_link = page->unsync_next;
	if (page->unsync_next)
		page->unsync_next->unsync_link = page->unsync_link;
}

/* Open tables are compared entry by entry. */
static bool open_tables(struct mmu_vcpu *vcpu, gfn_t gfn) REQUIRES(vcpu->vm->mmu_lock)
{
	struct mmu_vm *vm = vcpu->vm;

	for (struct shadow_page *p = shadow_first(vm, gfn); p; p = shadow_next(vm, p))
		if (!shadow_know_each(vcpu, p))
			return false;
	for (struct shadow_page *p = shadow_first(vm, gfn); p; p = shadow_next(vm, p))
		if (!p->unsync)
			unsync_add(vm, p);
	return true;
}

bool shadow_may_write(struct mmu_vcpu *vcpu, gfn_t gfn, bool write)
{
	struct mmu_vm *vm = vcpu->vm;
	bool closed = false;

	assert_held_write(&vm->mmu_lock);
	for (struct shadow_page *p = shadow_first(vm, gfn); p; p = shadow_next(vm, p)) {
		if (p->role.level > PG_LEVEL_4K)
			return false;
		closed |= !p->unsync;
	}
	if (!closed || !write)
		return !closed;
	return open_tables(vcpu, gfn);
}

/* ---- one entry ---------------------------------------------------------------------------- */

/* The leaf stays, with other permissions, when the guest's entry still maps the same page. */
static bool maps_same(const struct mmu_vm *vm, const struct shadow_page *page, unsigned i,
		      uint64_t gpte)
{
	if (page->role.level > PG_LEVEL_4K || ((gpte ^ page->gpte[i]) & GPTE_ADDRESS) ||
	    !(gpte & GPTE_ACCESSED))
		return false;
	struct gwalk_entry e = shadow_decode(vm, page, gpte);

	return e.present && !e.reserved;
}

void shadow_sync_entry(struct mmu_vm *vm, struct shadow_page *page, unsigned i, uint64_t gpte)
{
	assert_held_write(&vm->mmu_lock);
	if (!page->gpte) {
		shadow_sync_row_entry(vm, page, i, gpte);
		return;
	}
	if (page->gpte[i] == gpte)
		return;
	if (!spte_is_present(spte_load(shadow_cell(page, i)))) {
		page->gpte[i] = gpte;
		return;
	}
	stat_add(vm, shadow_synced, 1);
	if (maps_same(vm, page, i, gpte)) {
		unsigned access = shadow_decode(vm, page, gpte).access & page->role.access;

		shadow_restrict(vm, page, i,
				gpte & GPTE_DIRTY ? access : access & ~(unsigned)ACC_W);
	} else {
		/* Where it is in an rmap, the old entry tells. */
		shadow_drop(vm, page, i);
	}
	page->gpte[i] = gpte;
}

uint64_t shadow_read_gpte(const struct shadow_page *page, const void *table, unsigned i)
{
	unsigned size = gwalk_modes[page->role.mode].entry_size;

	/* Where no memory is, processors read ones. */
	if (!table)
		return size == 8 ? ~0ul : ~0u;
	return guest_entry(table, shadow_guest_index(page, i), size);
}

/* ---- one page -------------------------------------------------------------------------------- */

/* So many entries of the guest's table at a time: do they say what they said? */
#define STRIDE 16u

static inline bool are_same(const uint64_t *gpte, const uint64_t *entry)
{
	uint64_t differ = 0;

	/* By fours: else half of the instructions would count. */
	for (unsigned i = 0; i < STRIDE; i += 4)
		differ |= (gpte[i] ^ guest_entry(entry, i, 8)) |
			  (gpte[i + 1] ^ guest_entry(entry, i + 1, 8)) |
			  (gpte[i + 2] ^ guest_entry(entry, i + 2, 8)) |
			  (gpte[i + 3] ^ guest_entry(entry, i + 3, 8));
	return !differ;
}

/* The first entry from i on that the guest has written; PT_ENTRIES: there is none. */
static unsigned next_written(const struct shadow_page *page, const void *table, unsigned i)
{
	bool plain = table && page->role.level == PG_LEVEL_4K;
	unsigned first = shadow_guest_index(page, 0);
	const uint64_t *entry = table;

	if (plain && gwalk_modes[page->role.mode].entry_size == 8)
		while (i < PT_ENTRIES) {
			if (i % STRIDE == 0 && are_same(&page->gpte[i], &entry[i]))
				i += STRIDE;
			else if (guest_entry(entry, i, 8) == page->gpte[i])
				i++;
			else
				break;
		}
	else if (plain)
		while (i < PT_ENTRIES && guest_entry(table, first + i, 4) == page->gpte[i])
			i++;
	else
		while (i < PT_ENTRIES && shadow_read_gpte(page, table, i) == page->gpte[i])
			i++;
	return i;
}

/* Comparing all is a few instructions an entry; what costs, costs for what was written. */
unsigned shadow_sync_page(struct mmu_vm *vm, struct shadow_page *page)
{
	assert_held_write(&vm->mmu_lock);
	const void *table = guest_page_va(vm, page->gfn);
	unsigned changed = 0;

	for (unsigned i = next_written(page, table, 0); i < PT_ENTRIES;
	     i = next_written(page, table, i + 1)) {
		shadow_sync_entry(vm, page, i, shadow_read_gpte(page, table, i));
		changed++;
	}
	return changed;
}

void shadow_protect_table(struct mmu_vm *vm, gfn_t gfn)
{
	assert_held_write(&vm->mmu_lock);
	shadow_wrprot(vm, gfn);
	/* Behind the flush nobody writes it unseen; what was written before is there to be read. */
	shadow_settle(vm);
	for (struct shadow_page *p = shadow_first(vm, gfn); p; p = shadow_next(vm, p)) {
		if (!p->unsync)
			continue;
		shadow_sync_page(vm, p);
		shadow_unsync_remove(p);
	}
}

/* ---- all of them ------------------------------------------------------------------------------- */

static bool gfn_is_quiet(const struct mmu_vm *vm, gfn_t gfn)
{
	for (struct shadow_page *p = shadow_first(vm, gfn); p; p = shadow_next(vm, p))
		if (!p->quiet)
			return false;
	return true;
}

void shadow_sync_open(struct mmu_vm *vm)
{
	assert_held_write(&vm->mmu_lock);
	for (struct shadow_page *p = vm->shadow->unsync; p; p = p->unsync_next)
		p->quiet = !shadow_sync_page(vm, p);
}

/*
 * A table that was written since the last time stays open: it is in use, and another fault for the
 * next write would cost more than comparing it once more.  The others are closed, together.
 */
void shadow_sync_all(struct mmu_vm *vm)
{
	struct shadow_page *page, *next;
	bool any = false;

	assert_held_write(&vm->mmu_lock);
	shadow_sync_open(vm);
	for (page = vm->shadow->unsync; page; page = page->unsync_next) {
		page->closing = shadow_is_current(vm, page) && gfn_is_quiet(vm, page->gfn);
		if (page->closing)
			shadow_wrprot(vm, page->gfn);
		any |= page->closing;
	}
	shadow_settle(vm);
	for (page = vm->shadow->unsync; any && page; page = next) {
		next = page->unsync_next;
		if (!page->closing)
			continue;
		/* What came between the first look and the flush. */
		shadow_sync_page(vm, page);
		shadow_unsync_remove(page);
	}
	shadow_settle(vm);
}

/* ---- writes that we do ourselves ------------------------------------------------------------------ */

/* Entries of the page that lie in bytes [from, to) of its guest table. */
static void sync_bytes(struct mmu_vm *vm, struct shadow_page *page, unsigned from, unsigned to)
	REQUIRES(vm->mmu_lock)
{
	unsigned size = gwalk_modes[page->role.mode].entry_size;
	const void *table = guest_page_va(vm, page->gfn);

	assert_held_write(&vm->mmu_lock);
	for (unsigned i = shadow_first_index(page, from / size); i < PT_ENTRIES; i++) {
		if (shadow_guest_index(page, i) * size >= to)
			break;
		shadow_sync_entry(vm, page, i, shadow_read_gpte(page, table, i));
	}
}

/*
 * A table that is written again and again without a walk coming through is no table any more, or one
 * that is being built or torn down: better without its shadow.
 */
static bool is_flooded(struct mmu_vm *vm, struct shadow_page *page)
{
	if (page->role.level == PG_LEVEL_4K || page->refs)
		return false;
	/* The next fault takes the way through it, and tells. */
	vm->shadow->ways++;
	return ++page->writes >= FLOOD_WRITES;
}

void shadow_written(struct mmu_vm *vm, gpa_t gpa, uint64_t n)
{
	struct shadow_page *page = shadow_first(vm, gpa >> PAGE_SHIFT), *next;
	unsigned from = gpa & ~PAGE_MASK;

	assert_held_write(&vm->mmu_lock);
	if (page)
		stat_add(vm, shadow_written, 1);
	for (; page; page = next) {
		next = shadow_next(vm, page);
		sync_bytes(vm, page, from, from + (unsigned)n);
		if (!is_flooded(vm, page))
			continue;
		stat_add(vm, shadow_flooded, 1);
		shadow_zap(vm, page);
	}
	shadow_settle(vm);
}
