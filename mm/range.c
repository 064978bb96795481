/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations on a range of gfns, the stand-ins for mmu_notifier events: validate once,
 * begin, and for one part after the other: zap (which unlinks and flushes), change the
 * backing (which frees), advance; end.
 */
#include "mm/range.h"

#include "mm/cache.h"
#include "mm/lock.h"
#include "mm/memslot.h"
#include "mm/shadow.h"
#include "mm/zap.h"

int mmu_unmap(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags)
{
	mmu_write_lock(vm, MMU_OP_UNMAP, gfn, npages);
	int err = memslot_check_range(vm, gfn, npages, flags);

	if (!err)
		zap_range(vm, gfn, gfn + npages, flags);
	mmu_write_unlock(vm);
	return err;
}

/* ---- with the backing ---------------------------------------------------------------- */

/* The backing of what the walk is through with. */
static int change_behind(struct range_walk *walk, struct backing_change *c,
			 struct invalidation *inv) REQUIRES(walk->vm->mmu_lock)
{
	struct mmu_vm *vm = walk->vm;

	assert_held_write(&vm->mmu_lock);
	while (c->next < walk->next) {
		gfn_t before = c->next;
		int err = backing_change_step(vm, c, walk->next);

		/* Others may have walked a table there since the walk came by. */
		if (vm->shadow && (walk->flags & WALK_TABLES)) {
			shadow_zap_tables(vm, before, c->next);
			shadow_settle(vm);
		}
		if (err)
			return err;
		if (c->next == before)
			break; /* the walk stands within a word */
		hold_note_write(vm, c->next - before);
		invalidate_advance(vm, inv, c->next);
		if ((walk->flags & MMU_MAY_BLOCK) && c->next < walk->end && walk_should_yield(vm))
			walk_yield(vm);
	}
	return 0;
}

int range_change(struct range_walk *walk, struct backing_change *c)
{
	struct mmu_vm *vm = walk->vm;
	struct invalidation inv;
	bool more;
	int err;

	assert_held_write(&vm->mmu_lock);
	invalidate_begin(vm, &inv, c->next, c->end);
	do {
		more = walk_step(walk);
		err = change_behind(walk, c, &inv);
		if (more && !err)
			walk_yield(vm);
	} while (more && !err);
	invalidate_end(vm, &inv);
	return err;
}

/* ---- balloon ------------------------------------------------------------------------- */

/*
 * What is ballooned is not mapped and has no page: there is nothing to zap or free, and a fault
 * that finds a part one way or the other is right.
 */
static int balloon_in(struct mmu_vm *vm, struct backing_change *c, unsigned flags)
	REQUIRES(vm->mmu_lock)
{
	while (c->next < c->end) {
		gfn_t before = c->next;
		int err = backing_change_step(vm, c, c->end);

		if (err)
			return err;
		hold_note_write(vm, c->next - before);
		if ((flags & MMU_MAY_BLOCK) && c->next < c->end && walk_should_yield(vm))
			walk_yield(vm);
	}
	return 0;
}

static int balloon_locked(struct mmu_vm *vm, struct backing_change *c, unsigned flags)
	REQUIRES(vm->mmu_lock)
{
	int err = memslot_check_ram(vm, c->next, c->end - c->next, flags);

	if (err)
		return err;
	if (c->op == BACKING_IN)
		return balloon_in(vm, c, flags);
	struct range_walk walk = zap_walk(vm, c->next, c->end, flags | WALK_TABLES);

	assert_held_write(&walk.vm->mmu_lock);
	return range_change(&walk, c);
}

/*
 * Pages for breaking words at the edges are fetched first, so that being short of
 * memory changes nothing.  Only if another operation folds an edge again while we
 * yield can a page be missing later: then -ENOMEM comes with *changed above 0.
 */
static int balloon(struct mmu_vm *vm, struct backing_change *c, unsigned flags)
{
	struct mmu_cache spare = { 0 };
	int err = cache_topup(&spare, 2 * BACKING_NODES(vm));

	if (!err) {
		c->spare = &spare;
		mmu_write_lock(vm, c->op == BACKING_IN ? MMU_OP_BALLOON_IN : MMU_OP_BALLOON_OUT,
			       c->next, c->end - c->next);
		err = balloon_locked(vm, c, flags);
		mmu_write_unlock(vm);
	}
	cache_drain(&spare);
	rcu_poll(vm);
	return err;
}

int mmu_balloon_out(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags,
		    uint64_t *changed)
{
	struct backing_change c = { .op = BACKING_OUT, .next = gfn, .end = gfn + npages };
	int err = balloon(vm, &c, flags);

	*changed = c.changed;
	stat_add(vm, ballooned_out, c.changed);
	return err;
}

int mmu_balloon_in(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags,
		   uint64_t *changed)
{
	struct backing_change c = { .op = BACKING_IN, .next = gfn, .end = gfn + npages };
	int err = balloon(vm, &c, flags);

	*changed = c.changed;
	stat_add(vm, ballooned_in, c.changed);
	return err;
}
