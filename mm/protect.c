/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mmu_protect(): what the guest may do with pages, beside what their slot permits.
 *
 * The backing remembers it, per page; mappings follow.  Less access: a leaf inside the
 * range loses write access where it is, or goes when no access is left.  More: the leaves
 * stay as they are and get it with the next fault.  A huge leaf that lies in the range
 * with a part only goes: its page gets two protections.
 */
#include "mm/cache.h"
#include "mm/leaf.h"
#include "mm/lock.h"
#include "mm/memslot.h"
#include "mm/range.h"

struct protect {
	gfn_t start, end;
	unsigned access;
};

static void protect_revoke_write(struct leaf_run *run, unsigned i, spte_t old)
{
	spte_t less;

	do {
		less = leaf_revoke_write(run->fmt, old);
		if (less.raw == old.raw)
			return;
		/* Fails when the processor has just set A or D: then with these. */
	} while (!run_try_set(run, i, &old, less));
}

static void protect_visit(struct range_walk *walk, struct leaf_run *run)
{
	const struct protect *p = walk->ctx;
	gfn_t end = run->gfn + run->count * level_pages(run->level);
	bool zap = !p->access || run->gfn < p->start || end > p->end;

	for (unsigned i = 0; i < run->count; i++) {
		spte_t old = spte_load(&run->cell[i]);

		if (!spte_is_present(old))
			continue;
		if (zap)
			run_zap(run, i);
		else if (!(p->access & ACC_W))
			protect_revoke_write(run, i, old);
	}
	stat_add(walk->vm, protect_leaf, run->gone + run->changed);
}

static int protect_locked(struct mmu_vm *vm, struct protect *p, struct mmu_cache *spare,
			  unsigned flags) REQUIRES(vm->mmu_lock)
{
	struct backing_change c = {
		.op = BACKING_PROTECT, .access = p->access, .spare = spare,
		.next = p->start, .end = p->end,
	};
	struct range_walk walk = {
		.vm = vm, .next = p->start, .end = p->end, .flags = flags,
		.visit = protect_visit, .unlink = true, .ctx = p,
	};
	int err = memslot_check_ram(vm, p->start, p->end - p->start, flags);

	assert_held_write(&walk.vm->mmu_lock);
	return err ? err : range_change(&walk, &c);
}

int mmu_protect(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned access, unsigned flags)
{
	struct protect p = { gfn, gfn + npages, access };
	struct mmu_cache spare = { 0 };

	if (access != ACC_RWX && access != (ACC_R | ACC_X) && access)
		return -EINVAL;
	int err = cache_topup(&spare, 2 * BACKING_NODES(vm));

	if (!err) {
		mmu_write_lock(vm, MMU_OP_PROTECT, gfn, npages);
		err = protect_locked(vm, &p, &spare, flags);
		mmu_write_unlock(vm);
	}
	cache_drain(&spare);
	rcu_poll(vm);
	return err;
}

int mmu_protection(struct mmu_vm *vm, gfn_t gfn)
{
	struct mmu_reading r = MMU_READING(SLOT_LOOKUP, gfn, 1);
	struct backing_page page;
	int access = -ENOENT;

	mmu_read_lock(vm, &r);
	const struct memslot *slot = memslot_find(vm, gfn);

	if (slot) {
		/* Whether a page is there does not matter: the word says it all the same. */
		(void)backing_lookup_in(vm, slot, gfn, &page);
		access = page.access;
	}
	mmu_read_unlock(vm, &r);
	return access;
}
