/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the guest's entries were when ours were made of them.
 *
 * A page of words says it, entry by entry.  A table of the lowest level whose entries map neighbours,
 * all with the same flags, needs none as long as it is closed: one word says what all are, but for Accessed
 * and Dirty.  Accessed they all had, and Dirty those that we let write.  What does not fit into such a row
 * asks for the page, of which vCPUs have some in reserve; where none is at hand, the entry goes.
 *
 * All that is known is ours: which rmap an entry is in must not hang on memory that others may write.
 */
#include "mm/shadow.h"

#include "mm/cache.h"
#include "mm/leaf.h"

#define GPTE_USED (GPTE_ACCESSED | GPTE_DIRTY)

static bool fits_row(struct shadow_page *page, unsigned i, uint64_t gpte)
{
	uint64_t row = (gpte & ~GPTE_USED) - i * PAGE_SIZE;

	if (!page->row)
		page->row = row;
	return page->row == row;
}

/* The entry as exactly as we know it; now: what the guest's table says. */
static uint64_t exactly(const struct mmu_vm *vm, const struct shadow_page *page, unsigned i,
			uint64_t now)
{
	spte_t spte = spte_load(shadow_cell(page, i));

	if (!spte_is_present(spte))
		return now;
	return shadow_known(page, i) | GPTE_ACCESSED | (now & GPTE_DIRTY) |
	       (leaf_is_writable(vm->fmt, spte) ? GPTE_DIRTY : 0);
}

bool shadow_know_each(struct mmu_vcpu *vcpu, struct shadow_page *page)
{
	struct mmu_vm *vm = vcpu->vm;

	assert_held_write(&vm->mmu_lock);
	if (page->gpte)
		return true;
	hpa_t hpa = cache_take(&vcpu->shadow->known);
	const void *table = guest_page_va(vm, page->gfn);

	if (hpa == HPA_INVALID)
		return false;
	uint64_t *gpte = port_hpa_to_va(hpa);

	for (unsigned i = 0; i < PT_ENTRIES; i++)
		gpte[i] = exactly(vm, page, i, shadow_read_gpte(page, table, i));
	page->gpte_hpa = hpa;
	page->gpte = gpte;
	return true;
}

bool shadow_learn(struct mmu_vcpu *vcpu, struct shadow_page *page, unsigned i, uint64_t gpte)
{
	struct mmu_vm *vm = vcpu->vm;

	assert_held_write(&vm->mmu_lock);
	if (!page->gpte && !fits_row(page, i, gpte) && !shadow_know_each(vcpu, page))
		return false;
	shadow_sync_entry(vm, page, i, gpte);
	return true;
}

void shadow_sync_row_entry(struct mmu_vm *vm, struct shadow_page *page, unsigned i, uint64_t gpte)
{
	spte_t spte = spte_load(shadow_cell(page, i));
	bool same = !((gpte ^ shadow_known(page, i)) & ~GPTE_USED) && (gpte & GPTE_ACCESSED);

	assert_held_write(&vm->mmu_lock);
	if (!spte_is_present(spte) ||
	    (same && ((gpte & GPTE_DIRTY) || !leaf_is_writable(vm->fmt, spte))))
		return;
	stat_add(vm, shadow_synced, 1);
	if (same)
		shadow_restrict(vm, page, i, shadow_decode(vm, page, gpte).access &
						     page->role.access & ~(unsigned)ACC_W);
	else
		shadow_drop(vm, page, i);
}
