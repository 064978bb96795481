/* SPDX-License-Identifier: GPL-2.0-only */
/* The reverse maps of a slot; see rmap_slot.h. */
#include "mm/rmap_slot.h"

/* Pages of a level that a slot of npages can touch, wherever it is moved to. */
static uint64_t level_count(uint64_t npages, unsigned level)
{
	return npages / level_pages(level) + (level > PG_LEVEL_4K ? 2 : 0);
}

struct slot_rmaps *slot_rmaps_alloc(uint64_t npages)
{
	uint64_t chunks = 0;

	for (unsigned level = PG_LEVEL_4K; level <= RMAP_LEVELS; level++)
		chunks += level_count(npages, level) / RMAP_CHUNK + 1;
	size_t size = sizeof(struct slot_rmaps) + chunks * sizeof(void *);
	struct slot_rmaps *rmaps = port_obj_alloc(size);

	if (!rmaps)
		return NULL;
	_Atomic(struct rmap_chunk *) *next = (void *)(rmaps + 1);

	rmaps->size = size;
	for (unsigned i = 0; i < RMAP_LEVELS; i++) {
		rmaps->chunks[i] = level_count(npages, i + 1) / RMAP_CHUNK + 1;
		rmaps->chunk[i] = next;
		next += rmaps->chunks[i];
	}
	return rmaps;
}

/* In the place of every chunk of a slot that is gone: whoever still prepares, finds it taken. */
static struct rmap_chunk gone;

static struct rmap_chunk *chunk_load(const struct slot_rmaps *rmaps, unsigned i, uint64_t n)
{
	/* Acquire: pairs with the release in slot_rmaps_prepare(). */
	struct rmap_chunk *chunk = atomic_load_explicit(&rmaps->chunk[i][n], memory_order_acquire);

	return chunk == &gone ? NULL : chunk;
}

static void chunk_free(struct rmap_chunk *chunk)
{
	for (unsigned i = 0; chunk && i < RMAP_CHUNK; i++)
		rmap_discard(&chunk->rmap[i]);
	port_obj_free(chunk, sizeof(*chunk));
}

void slot_rmaps_free(struct slot_rmaps *rmaps)
{
	if (!rmaps)
		return;
	for (unsigned i = 0; i < RMAP_LEVELS; i++)
		for (uint64_t n = 0; n < rmaps->chunks[i]; n++) {
			chunk_free(chunk_load(rmaps, i, n));
			if (port_need_resched())
				port_resched();
		}
	port_obj_free(rmaps, rmaps->size);
}

void slot_rmaps_defer(struct mmu_vm *vm, struct slot_rmaps *rmaps)
{
	if (!rmaps)
		return;
	for (unsigned i = 0; i < RMAP_LEVELS; i++)
		for (uint64_t n = 0; n < rmaps->chunks[i]; n++) {
			/* Acquire: pairs with the release in slot_rmaps_prepare(). */
			struct rmap_chunk *chunk = atomic_exchange_explicit(
				&rmaps->chunk[i][n], &gone, memory_order_acquire);

			if (chunk)
				rcu_defer_obj(vm, &chunk->rcu, sizeof(*chunk));
		}
	rcu_defer_obj(vm, &rmaps->rcu, rmaps->size);
}

/* ---- looking up ---------------------------------------------------------------------- */

static uint64_t rmap_index(const struct memslot *slot, gfn_t gfn, unsigned level)
{
	unsigned shift = 9 * (level - 1);

	return (gfn >> shift) - (slot->base >> shift);
}

int slot_rmaps_prepare(const struct memslot *slot, gfn_t gfn, unsigned top)
{
	struct slot_rmaps *rmaps = slot->state->rmaps;

	for (unsigned level = PG_LEVEL_4K; level <= top && level <= RMAP_LEVELS; level++) {
		uint64_t n = rmap_index(slot, gfn, level) / RMAP_CHUNK;
		struct rmap_chunk *none = NULL, *new;

		if (chunk_load(rmaps, level - 1, n))
			continue;
		new = port_obj_alloc(sizeof(*new));
		if (!new)
			return -ENOMEM;
		/* Release: pairs with the acquire in chunk_load() and slot_rmaps_defer(). */
		if (!atomic_compare_exchange_strong_explicit(&rmaps->chunk[level - 1][n], &none, new,
							     memory_order_release,
							     memory_order_relaxed))
			port_obj_free(new, sizeof(*new));
	}
	return 0;
}

struct rmap *slot_rmap(const struct memslot *slot, gfn_t gfn, unsigned level)
{
	uint64_t index = rmap_index(slot, gfn, level);
	struct rmap_chunk *chunk = chunk_load(slot->state->rmaps, level - 1, index / RMAP_CHUNK);

	return chunk ? &chunk->rmap[index % RMAP_CHUNK] : NULL;
}

struct rmap *slot_rmap_row(const struct memslot *slot, gfn_t gfn, uint64_t *count)
{
	uint64_t index = rmap_index(slot, gfn, PG_LEVEL_4K), first = index % RMAP_CHUNK;
	struct rmap_chunk *chunk = chunk_load(slot->state->rmaps, 0, index / RMAP_CHUNK);
	uint64_t huge = level_pages(PG_LEVEL_2M) - gfn % level_pages(PG_LEVEL_2M);

	*count = RMAP_CHUNK - first;
	if (chunk)
		return &chunk->rmap[first];
	*count = *count < huge ? *count : huge;
	return NULL;
}
