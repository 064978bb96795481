/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entries of shadow pages: leaves, which are in the rmap of what they map, and links, which are
 * among the parents of what they point to.  Nothing else puts either in or takes it out.
 */
#include "mm/shadow.h"

#include "mm/leaf.h"
#include "mm/rmap_slot.h"
#include "mm/tdp.h"

/* An rmap is walked with preemption off, so it may not grow for ever. */
#define RMAP_RECYCLE 1024u

unsigned shadow_guest_index(const struct shadow_page *page, unsigned i)
{
	if (gwalk_modes[page->role.mode].entry_size == 8)
		return i;
	/* 1024 entries: half of them per table of ours; two entries of ours for each of 4M. */
	return page->role.level == PG_LEVEL_4K ? page->role.quadrant * PT_ENTRIES + i
					       : page->role.quadrant * (PT_ENTRIES / 2) + i / 2;
}

unsigned shadow_first_index(const struct shadow_page *page, unsigned guest_index)
{
	unsigned small = page->role.level == PG_LEVEL_4K;
	unsigned first = page->role.quadrant * (small ? PT_ENTRIES : PT_ENTRIES / 2);

	if (gwalk_modes[page->role.mode].entry_size == 8)
		return guest_index;
	if (guest_index < first)
		return 0;
	return small ? guest_index - first : (guest_index - first) * 2;
}

struct gwalk_entry shadow_decode(const struct mmu_vm *vm, const struct shadow_page *page,
				 uint64_t gpte)
{
	return gwalk_decode(page->role.mode, page->role.level,
			    gwalk_reserved(vm, page->role.mode, page->role.nxe), gpte);
}

gfn_t shadow_entry_gfn(const struct mmu_vm *vm, const struct shadow_page *page, unsigned i)
{
	unsigned level = page->role.level;

	if (page->role.direct)
		return page->gfn + i * level_pages(level);
	if (level == PG_LEVEL_4K)
		return (shadow_known(page, i) & GPTE_ADDRESS) >> PAGE_SHIFT;
	struct gwalk_entry e = shadow_decode(vm, page, shadow_known(page, i));
	bool half = e.leaf && level > PG_LEVEL_4K &&
		    gwalk_modes[page->role.mode].entry_size == 4 && (i & 1);

	return (e.address >> PAGE_SHIFT) + (half ? level_pages(level) : 0);
}

/* ---- out ---------------------------------------------------------------------------- */

static void drop_leaf(struct mmu_vm *vm, struct rmap *rmap, spte_cell_t *cell, gfn_t gfn,
		      unsigned level) REQUIRES(vm->mmu_lock)
{
	spte_t old = spte_xchg(cell, (spte_t){ 0 });

	assert_held_write(&vm->mmu_lock);
	tdp_account(vm, vm->fmt, gfn, level, old, (spte_t){ 0 });
	rmap_remove(rmap, cell);
	vm->shadow->flush_owed = true;
}

void shadow_drop(struct mmu_vm *vm, struct shadow_page *page, unsigned i)
{
	spte_cell_t *cell = shadow_cell(page, i);
	unsigned level = page->role.level;
	spte_t spte = spte_load(cell);

	assert_held_write(&vm->mmu_lock);
	if (format_is_leaf(vm->fmt, spte, level)) {
		gfn_t gfn = shadow_entry_gfn(vm, page, i);

		drop_leaf(vm, slot_rmap(memslot_find_any(vm, gfn), gfn, level), cell, gfn, level);
	} else if (spte_is_present(spte)) {
		struct shadow_page *child = shadow_of_table(vm, format_hpa(vm->fmt, spte));

		spte_store(cell, (spte_t){ 0 });
		rmap_remove(&child->parents, cell);
		vm->shadow->ways++;
		/*
		 * Who has the way cached gets to leaves that are in their rmaps, which does no harm; but
		 * not to the child that takes this one's place, and would fault again and again.
		 */
		vm->shadow->flush_owed = true;
	}
}

/* The page is mapped too often: from the beginning. */
static void recycle_rmap(struct mmu_vm *vm, struct rmap *rmap, gfn_t gfn, unsigned level)
	REQUIRES(vm->mmu_lock)
{
	spte_cell_t *cell;

	while ((cell = rmap_first(rmap)))
		drop_leaf(vm, rmap, cell, gfn, level);
	stat_add(vm, rmap_recycled, 1);
}

/* ---- in -------------------------------------------------------------------------------- */

void shadow_link(struct mmu_vcpu *vcpu, struct shadow_page *page, unsigned i,
		 struct shadow_page *child)
{
	spte_cell_t *cell = shadow_cell(page, i);

	spte_store(cell, format_make_table(vcpu->vm->fmt, child->hpa));
	rmap_add(&child->parents, cell, &vcpu->shadow->descs);
}

/* Less than a processor may have cached?  What ageing parked is in TLBs still. */
static bool is_less(const struct mmu_format *fmt, spte_t old, spte_t new)
{
	unsigned had = leaf_access(fmt, old) | (old.raw & fmt->allow_u ? ACC_USER : 0);
	unsigned has = leaf_access(fmt, new) | (new.raw & fmt->allow_u ? ACC_USER : 0);

	return had & ~has;
}

/* One leaf for another of the same page. */
static void change_leaf(struct mmu_vm *vm, spte_cell_t *cell, spte_t old, spte_t new, gfn_t gfn,
			unsigned level) REQUIRES(vm->mmu_lock)
{
	const struct mmu_format *fmt = vm->fmt;
	uint64_t marks = fmt->ad ? fmt->accessed | fmt->dirty : 0;

	do
		new.raw |= old.raw & marks;
	while (!spte_cmpxchg(cell, &old, new));
	assert_held_write(&vm->mmu_lock);
	tdp_account(vm, fmt, gfn, level, old, new);
	if (is_less(fmt, old, new))
		vm->shadow->flush_owed = true;
}

bool shadow_set_leaf(struct mmu_vcpu *vcpu, struct shadow_page *page, unsigned i,
		     const struct memslot *slot, gfn_t gfn, spte_t leaf)
{
	struct mmu_vm *vm = vcpu->vm;
	spte_cell_t *cell = shadow_cell(page, i);
	unsigned level = page->role.level;
	spte_t old = spte_load(cell);

	assert_held_write(&vm->mmu_lock);
	if (format_is_leaf(vm->fmt, old, level)) {
		uint64_t marks = vm->fmt->ad ? vm->fmt->accessed | vm->fmt->dirty : 0;

		MM_BUG_ON(format_hpa(vm->fmt, old) != format_hpa(vm->fmt, leaf));
		if ((leaf.raw | (old.raw & marks)) == old.raw)
			return false;
		change_leaf(vm, cell, old, leaf, gfn, level);
		return true;
	}
	if (old.raw)
		shadow_drop(vm, page, i);
	struct rmap *rmap = slot_rmap(slot, gfn, level);

	if (rmap_count(rmap) >= RMAP_RECYCLE)
		recycle_rmap(vm, rmap, gfn, level);
	spte_store(cell, leaf);
	tdp_account_leaves(vm, level, 1);
	rmap_add(rmap, cell, &vcpu->shadow->descs);
	return true;
}

/* ---- write protection --------------------------------------------------------------------- */

static void wrprot_level(struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn, unsigned level)
	REQUIRES(vm->mmu_lock)
{
	struct rmap *rmap = slot_rmap(slot, gfn, level);
	struct rmap_cursor c = rmap_begin(rmap ? rmap_word(rmap) : 0);

	assert_held_write(&vm->mmu_lock);
	for (; c.cell; rmap_next(&c)) {
		spte_t old = spte_load(c.cell);

		if (leaf_is_writable(vm->fmt, old))
			change_leaf(vm, c.cell, old, leaf_wrprot(vm->fmt, old),
				    level_gfn_base(gfn, level), level);
	}
}

void shadow_wrprot(struct mmu_vm *vm, gfn_t gfn)
{
	const struct memslot *slot = memslot_find_any(vm, gfn);

	assert_held_write(&vm->mmu_lock);
	for (unsigned level = PG_LEVEL_4K; slot && level <= RMAP_LEVELS; level++)
		wrprot_level(vm, slot, gfn, level);
}

void shadow_restrict(struct mmu_vm *vm, struct shadow_page *page, unsigned i, unsigned access)
{
	const struct mmu_format *fmt = vm->fmt;
	spte_t old = spte_load(shadow_cell(page, i)), new = old;

	assert_held_write(&vm->mmu_lock);
	if (!(access & ACC_W))
		new = leaf_wrprot(fmt, new);
	new = access & ACC_X ? leaf_allow_exec(fmt, new) : leaf_deny_exec(fmt, new);
	new.raw &= ~fmt->allow_u;
	new.raw |= access & ACC_USER ? fmt->allow_u : 0;
	if (new.raw != old.raw)
		change_leaf(vm, shadow_cell(page, i), old, new, shadow_entry_gfn(vm, page, i),
			    page->role.level);
}
