/* SPDX-License-Identifier: GPL-2.0-only */
/* Zapping, leaf by leaf under mmu_lock for write; see zap.h. */
#include "mm/zap.h"

#include "mm/mmio.h"
#include "mm/tdp.h"

/* Leaves from the first on of which nobody keeps what they said: how many, up to one that is none. */
static unsigned zap_forgotten(spte_cell_t *cell, unsigned n)
{
	unsigned i;

	for (i = 0; i < n && spte_is_present(spte_load(&cell[i])); i++)
		spte_store(&cell[i], (spte_t){ 0 });
	return i;
}

void zap_visit(struct range_walk *walk, struct leaf_run *run)
{
	struct leaf_run r = *run; /* in registers: atomic operations do not make it be read again */
	unsigned i = r.folds ? 0 : zap_forgotten(r.cell, r.count);

	r.gone += i;
	for (; i < r.count; i++) {
		spte_t old = spte_load(&r.cell[i]);

		if (spte_is_present(old))
			run_zap(&r, i);
		else if (mmio_is_entry(r.fmt, old))
			/* No processor remembers one: no flush is owed. */
			mmio_remove(walk->vm, &r.cell[i], old);
	}
	*run = r;
}

struct range_walk zap_walk(struct mmu_vm *vm, gfn_t start, gfn_t end, unsigned flags)
{
	return (struct range_walk){
		.vm = vm, .next = start, .end = end, .flags = flags,
		.visit = zap_visit, .unlink = true,
	};
}

void zap_range(struct mmu_vm *vm, gfn_t start, gfn_t end, unsigned flags)
{
	struct range_walk walk = zap_walk(vm, start, end, flags);
	struct invalidation inv;

	assert_held_write(&walk.vm->mmu_lock);
	invalidate_begin(vm, &inv, start, end);
	while (walk_step(&walk)) {
		invalidate_advance(vm, &inv, walk.next);
		walk_yield(vm);
	}
	invalidate_end(vm, &inv);
}

bool zap_root_step(struct mmu_vm *vm, struct mmu_root *root, uint64_t budget)
{
	struct range_walk walk = zap_walk(vm, root->zapped, vm->gfn_limit, 0);

	assert_held_write(&walk.vm->mmu_lock);
	walk_root_step(&walk, root, budget);
	root->zapped = walk.next;
	return walk.next == walk.end;
}
