/* SPDX-License-Identifier: GPL-2.0-only */
/* Counts of reasons against huge leaves; see huge.h. */
#include "mm/huge.h"

#include "mm/recover.h"
#include "mm/zap.h"

static unsigned level_of(unsigned i)
{
	return PG_LEVEL_2M + i;
}

/* Chunks that a slot of this size can touch, wherever it lies. */
static uint64_t chunks_max(uint64_t npages, unsigned level)
{
	return npages / level_pages(level) + 2;
}

static uint32_t *count_at(const struct slot_huge *huge, gfn_t gfn, unsigned level)
{
	unsigned shift = level_shift(level) - PAGE_SHIFT;

	return &huge->count[level - PG_LEVEL_2M][(gfn >> shift) - (huge->base >> shift)];
}

/* ---- edges ------------------------------------------------------------------------ */

/* One for each end of the slot that lies within a chunk. */
static void edges_add(struct slot_huge *huge, unsigned level, uint32_t n)
{
	gfn_t end = huge->base + huge->npages;

	if (huge->base % level_pages(level))
		*count_at(huge, huge->base, level) += n;
	if (end % level_pages(level))
		*count_at(huge, end - 1, level) += n;
}

struct slot_huge *huge_alloc(gfn_t base, uint64_t npages)
{
	uint64_t n[HUGE_LEVELS] = { chunks_max(npages, PG_LEVEL_2M),
				    chunks_max(npages, PG_LEVEL_1G) };
	size_t size = sizeof(struct slot_huge) + (n[0] + n[1]) * sizeof(uint32_t);
	struct slot_huge *huge = port_obj_alloc(size);

	if (!huge)
		return NULL;
	huge->size = size;
	huge->base = base;
	huge->npages = npages;
	huge->count[0] = huge->counts;
	huge->count[1] = huge->counts + n[0];
	for (unsigned i = 0; i < HUGE_LEVELS; i++)
		edges_add(huge, level_of(i), 1);
	return huge;
}

void huge_move(struct mmu_vm *vm, struct slot_huge *huge, gfn_t base)
{
	assert_held_write(&vm->mmu_lock);
	for (unsigned i = 0; i < HUGE_LEVELS; i++) {
		MM_BUG_ON(huge->held[i]);
		edges_add(huge, level_of(i), -1u);
	}
	huge->base = base;
	for (unsigned i = 0; i < HUGE_LEVELS; i++)
		edges_add(huge, level_of(i), 1);
}

/* ---- asking ------------------------------------------------------------------------ */

unsigned slot_huge_level(struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn, unsigned max)
{
	const struct slot_huge *huge = slot->state->huge;
	unsigned level = max < PG_LEVEL_1G ? max : PG_LEVEL_1G;

	assert_held_read(&vm->mmu_lock);
	while (level > PG_LEVEL_4K && *count_at(huge, gfn, level))
		level--;
	return level;
}

/* ---- forbidding ----------------------------------------------------------------------- */

/* Only what is huge: walks down to leaves above 4K. */
static void zap_huge_visit(struct range_walk *walk, struct leaf_run *run)
{
	if (run->level > PG_LEVEL_4K)
		zap_visit(walk, run);
}

static void zap_huge(struct mmu_vm *vm, gfn_t gfn) REQUIRES(vm->mmu_lock)
{
	struct range_walk walk = { .vm = vm, .next = gfn, .end = gfn + 1, .visit = zap_huge_visit };
	struct invalidation inv;

	assert_held_write(&walk.vm->mmu_lock);
	invalidate_begin(vm, &inv, gfn, gfn + 1);
	walk_step(&walk);
	invalidate_end(vm, &inv);
}

void slot_disallow_huge(struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn, unsigned level)
{
	struct slot_huge *huge = slot->state->huge;
	bool first = slot_huge_allowed(vm, slot, gfn, level);

	assert_held_write(&vm->mmu_lock);
	for (unsigned l = level; l <= PG_LEVEL_1G; l++) {
		MM_BUG_ON(!++*count_at(huge, gfn, l));
		huge->held[l - PG_LEVEL_2M]++;
	}
	/* Where it was forbidden already nothing huge is.  Faults find the count, or retry. */
	if (first)
		zap_huge(vm, gfn);
}

void slot_allow_huge(struct mmu_vm *vm, const struct memslot *slot, gfn_t gfn, unsigned level)
{
	struct slot_huge *huge = slot->state->huge;
	gfn_t base = level_gfn_base(gfn, level);

	assert_held_write(&vm->mmu_lock);
	for (unsigned l = level; l <= PG_LEVEL_1G; l++) {
		MM_BUG_ON(!(*count_at(huge, gfn, l))--);
		MM_BUG_ON(!huge->held[l - PG_LEVEL_2M]--);
	}
	if (slot_huge_allowed(vm, slot, gfn, level))
		recover_request(vm, base, base + level_pages(level));
}

/* ---- the audit -------------------------------------------------------------------------- */

bool huge_adds_up(const struct slot_huge *huge)
{
	gfn_t end = huge->base + huge->npages;

	for (unsigned i = 0; i < HUGE_LEVELS; i++) {
		uint64_t pages = level_pages(level_of(i)), sum = 0;
		uint64_t edges = (huge->base % pages != 0) + (end % pages != 0);

		for (uint64_t k = 0; k < chunks_max(huge->npages, level_of(i)); k++)
			sum += huge->count[i][k];
		if (sum != huge->held[i] + edges)
			return false;
	}
	return true;
}
