/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations on a range of gfns, the stand-ins for mmu_notifier events: validate
 * once, begin, zap (which unlinks and flushes), change the backing (which frees), end.
 */
#include "mm/backing.h"
#include "mm/cache.h"
#include "mm/invalidate.h"
#include "mm/zap.h"

int mmu_unmap(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags)
{
	int err = memslot_check_range(vm, gfn, npages, flags);

	if (err)
		return err;
	write_lock(&vm->mmu_lock);
	invalidate_begin(vm, gfn, gfn + npages);
	zap_range(vm, gfn, gfn + npages, flags);
	invalidate_end(vm);
	write_unlock(&vm->mmu_lock);
	return 0;
}

static int change_backing(struct mmu_vm *vm, struct backing_change *c, unsigned flags)
	REQUIRES(vm->mmu_lock)
{
	while (c->next < c->end) {
		int err = backing_change_step(vm, c);

		if (err)
			return err;
		if ((flags & MMU_MAY_BLOCK) && c->next < c->end && zap_should_yield(vm))
			zap_yield(vm);
	}
	return 0;
}

static int balloon_out_locked(struct mmu_vm *vm, struct backing_change *c, unsigned flags)
	REQUIRES(vm->mmu_lock)
{
	invalidate_begin(vm, c->start, c->end);
	zap_range(vm, c->start, c->end, flags);
	int err = change_backing(vm, c, flags);

	invalidate_end(vm);
	return err;
}

/*
 * Pages for breaking words at the edges are fetched first, so that being short of
 * memory changes nothing.  Only if another operation folds an edge again while we
 * yield can a page be missing later: then -ENOMEM comes with *changed above 0.
 */
static int balloon(struct mmu_vm *vm, struct backing_change *c, unsigned flags)
{
	struct mmu_cache spare = { 0 };
	int err = memslot_check_range(vm, c->start, c->end - c->start, flags);

	if (err)
		return err;
	err = cache_topup(&spare, 2 * BACKING_NODES(vm));
	if (!err) {
		c->spare = &spare;
		c->next = c->start;
		write_lock(&vm->mmu_lock);
		err = c->out ? balloon_out_locked(vm, c, flags) : change_backing(vm, c, flags);
		write_unlock(&vm->mmu_lock);
	}
	cache_drain(&spare);
	return err;
}

int mmu_balloon_out(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags,
		    uint64_t *changed)
{
	struct backing_change c = { .start = gfn, .end = gfn + npages, .out = true };
	int err = balloon(vm, &c, flags);

	*changed = c.changed;
	stat_add(vm, ballooned_out, c.changed);
	return err;
}

/* What is ballooned is not mapped and has no page: there is nothing to zap or free. */
int mmu_balloon_in(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, uint64_t *changed)
{
	struct backing_change c = { .start = gfn, .end = gfn + npages };
	int err = balloon(vm, &c, 0);

	*changed = c.changed;
	stat_add(vm, ballooned_in, c.changed);
	return err;
}
