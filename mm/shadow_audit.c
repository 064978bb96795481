/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The audit of shadow pages: each leaf is in the rmap of what it maps, and nothing else is in any; each
 * link is among its child's parents, and the child is the one that the guest's entry asks for; what
 * is not unsync is write-protected everywhere and agrees with the guest's table.
 */
#include "mm/audit.h"
#include "mm/huge.h"
#include "mm/leaf.h"
#include "mm/rmap_slot.h"
#include "mm/shadow.h"

struct shadow_count {
	uint64_t pages, tables, links, leaves;
};

static bool rmap_has(const struct rmap *rmap, const spte_cell_t *cell)
{
	struct rmap_cursor c = rmap_begin(rmap ? rmap_word(rmap) : 0);

	while (c.cell && c.cell != cell)
		rmap_next(&c);
	return c.cell != NULL;
}

static void check_leaf(struct audit *a, const struct shadow_page *page, unsigned i, spte_t spte)
	REQUIRES(a->vm->mmu_lock)
{
	gfn_t gfn = shadow_entry_gfn(a->vm, page, i);
	const struct memslot *slot = memslot_find_any(a->vm, gfn);

	audit_leaf(a, a->vm->fmt, spte, gfn, page->role.level);
	if (slot && !rmap_has(slot_rmap(slot, gfn, page->role.level), shadow_cell(page, i)))
		audit_fail(a, "a leaf for gfn", gfn, "is not in its rmap: entry", spte.raw);
}

/* The child that entry i points to, against what the guest's entry asks for. */
static void check_link(struct audit *a, const struct shadow_page *page, unsigned i, spte_t spte)
{
	struct mmu_vm *vm = a->vm;
	const struct shadow_page *child = shadow_of_table(vm, format_hpa(vm->fmt, spte));
	gfn_t gfn = shadow_entry_gfn(vm, page, i);

	if (!child) {
		audit_fail(a, "a shadow entry for gfn", gfn, "points to no shadow page:", spte.raw);
		return;
	}
	bool leaf = page->role.direct || shadow_decode(vm, page, shadow_known(page, i)).leaf;

	if (child->gfn != gfn)
		audit_fail(a, "a shadow entry for gfn", gfn, "points to the page of gfn", child->gfn);
	if (child->role.level + 1u != page->role.level || child->role.direct != leaf ||
	    (child->role.access & ~page->role.access) ||
	    (!leaf && child->role.mode != page->role.mode))
		audit_fail(a, "a shadow entry for gfn", gfn, "points to a page of role",
			   child->role.word);
	if (!rmap_has(&child->parents, shadow_cell(page, i)))
		audit_fail(a, "the shadow page of gfn", gfn, "does not know a parent: entry",
			   spte.raw);
}

static void check_entries(struct audit *a, const struct shadow_page *page, struct shadow_count *n)
	REQUIRES(a->vm->mmu_lock)
{
	for (unsigned i = 0; i < PT_ENTRIES; i++) {
		spte_t spte = spte_load(shadow_cell(page, i));

		if (format_is_leaf(a->vm->fmt, spte, page->role.level)) {
			n->leaves++;
			check_leaf(a, page, i, spte);
		} else if (spte_is_present(spte)) {
			n->links++;
			check_link(a, page, i, spte);
		} else if (spte.raw) {
			audit_fail(a, "an entry of the shadow page of gfn", page->gfn,
				   "maps nothing but is not empty:", spte.raw);
		}
	}
}

/* Nobody can write the guest's table unseen. */
static void check_protected(struct audit *a, const struct shadow_page *page)
{
	const struct memslot *slot = memslot_find_any(a->vm, page->gfn);

	for (unsigned level = PG_LEVEL_4K; slot && level <= RMAP_LEVELS; level++) {
		struct rmap *rmap = slot_rmap(slot, page->gfn, level);
		struct rmap_cursor c = rmap_begin(rmap ? rmap_word(rmap) : 0);

		for (; c.cell; rmap_next(&c))
			if (leaf_is_writable(a->vm->fmt, spte_load(c.cell)))
				audit_fail(a, "the guest table at gfn", page->gfn,
					   "is writable but not unsync: entry",
					   spte_load(c.cell).raw);
	}
}

/* Accessed and Dirty are set by other walks too, and mean nothing new to what is mapped. */
static void check_agrees(struct audit *a, const struct shadow_page *page)
	REQUIRES(a->vm->mmu_lock)
{
	struct mmu_vm *vm = a->vm;

	assert_held_write(&vm->mmu_lock);
	const void *table = guest_page_va(vm, page->gfn);

	for (unsigned i = 0; i < PT_ENTRIES; i++) {
		uint64_t differs = shadow_known(page, i) ^ shadow_read_gpte(page, table, i);

		if (spte_is_present(spte_load(shadow_cell(page, i))) &&
		    (differs & ~(GPTE_ACCESSED | GPTE_DIRTY)))
			audit_fail(a, "the shadow page of gfn", page->gfn,
				   "is not what the guest's table says: entry", i);
	}
}

static void check_sync(struct audit *a, const struct shadow_page *page)
	REQUIRES(a->vm->mmu_lock)
{
	if (page->unsync &&
	    (page->role.direct || page->role.level > PG_LEVEL_4K || !page->gpte))
		audit_fail(a, "the shadow page of gfn", page->gfn, "cannot be unsync: role",
			   page->role.word);
	if (page->unsync || page->role.direct || !shadow_is_current(a->vm, page))
		return;
	check_protected(a, page);
	check_agrees(a, page);
}

static unsigned refs_of(const struct shadow_root *root, const struct shadow_page *page)
{
	unsigned n = 0;

	for (unsigned i = 0; root->valid && i < 4; i++)
		n += root->page[i] == page;
	return n;
}

static void check_refs(struct audit *a, const struct shadow_page *page)
{
	unsigned refs = 0;

	for (const struct mmu_vcpu *v = a->vm->vcpus; v; v = v->next) {
		refs += refs_of(&v->shadow->root, page);
		for (unsigned i = 0; i < SHADOW_PREVIOUS; i++)
			refs += refs_of(&v->shadow->previous[i], page);
	}
	if (refs != page->refs)
		audit_fail(a, "the shadow page of gfn", page->gfn,
			   "has another number of references:", page->refs);
}

/* ---- what the slots say -------------------------------------------------------------------- */

static uint64_t count_rmaps(const struct slot_rmaps *rmaps)
{
	uint64_t n = 0;

	for (unsigned level = PG_LEVEL_4K; level <= RMAP_LEVELS; level++)
		for (uint64_t i = 0; i < rmaps->chunks[level - 1]; i++) {
			const struct rmap_chunk *chunk =
				atomic_load_explicit(&rmaps->chunk[level - 1][i],
						     memory_order_acquire);

			for (unsigned k = 0; chunk && k < RMAP_CHUNK; k++)
				n += rmap_count(&chunk->rmap[k]);
		}
	return n;
}

static void check_slots(struct audit *a, const struct shadow_count *n) REQUIRES(a->vm->mmu_lock)
{
	const struct memslots *slots = memslots_get(a->vm);
	uint64_t entries = 0, tables = 0;

	for (unsigned i = 0; i < slots->count; i++) {
		const struct memslot *slot = slots->slot[i];

		entries += count_rmaps(slot->state->rmaps);
		tables += slot->state->huge->held[0];
	}
	if (entries != n->leaves)
		audit_fail(a, "rmaps", entries, "entries, but leaves are", n->leaves);
	if (tables != n->tables)
		audit_fail(a, "reasons against huge pages", tables, "but shadow pages for them are",
			   n->tables);
}

void audit_shadow(struct audit *a)
{
	struct mmu_vm *vm = a->vm;
	struct shadow_count n = { 0 };
	uint64_t parents = 0;

	for (struct shadow_page *page = vm->shadow->oldest; page; page = page->newer) {
		n.pages++;
		n.tables += page->guarded;
		parents += rmap_count(&page->parents);
		if (shadow_of_table(vm, page->hpa) != page)
			audit_fail(a, "the shadow page of gfn", page->gfn, "is not found by hpa",
				   page->hpa);
		check_entries(a, page, &n);
		check_sync(a, page);
		check_refs(a, page);
	}
	if (parents != n.links)
		audit_fail(a, "links between shadow pages", n.links, "but parents are", parents);
	if (n.pages != stat_read(vm, shadow_pages))
		audit_fail(a, "shadow pages", n.pages, "but the books say",
			   stat_read(vm, shadow_pages));
	a->report->tables += n.pages;
	check_slots(a, &n);
}
