/* SPDX-License-Identifier: GPL-2.0-only */
/* The rings of what was done last: what is on them, in which order, and what is gone. */
#include <pthread.h>

#include "ktap.h"
#include "mm/lock.h"
#include "world.h"

#define CHUNK 512ul
#define VARIANT (&world_variants[0]) /* nothing here depends on the format */

static struct world w;

struct list {
	unsigned n;
	struct mmu_event event[MMU_EVENTS];
};

static void collect(void *ctx, const struct mmu_event *e)
{
	struct list *l = ctx;

	CHECK(l->n < MMU_EVENTS);
	l->event[l->n++] = *e;
}

static uint64_t take(struct list *l, enum mmu_event_ring which)
{
	l->n = 0;
	return mmu_events(w.vm, which, collect, l);
}

static void check_event(const struct mmu_event *e, enum mmu_op op, gfn_t gfn, uint64_t npages, uint64_t times)
{
	CHECK_STR(mmu_op_name(e->op), mmu_op_name(op));
	CHECK_EQ(e->gfn, gfn);
	CHECK_EQ(e->npages, npages);
	CHECK_EQ(e->times, times);
}

static void stay(enum mmu_op op, gfn_t gfn, uint64_t npages)
{
	mmu_write_lock(w.vm, op, gfn, npages);
	mmu_write_unlock(w.vm);
}

/* ---- what operations leave --------------------------------------------------------- */

static void test_operations(void)
{
	struct list l;

	world_open(&w, VARIANT, CHUNK);
	world_write(&w, 5, 0, 1);
	uint64_t before = take(&l, MMU_EVENTS_OPS);

	CHECK_EQ(mmu_unmap(w.vm, 5, 3, MMU_MAY_BLOCK), 0);
	CHECK_EQ(mmu_protect(w.vm, 7, 1, ACC_R | ACC_X, MMU_MAY_BLOCK), 0);
	CHECK_EQ(mmu_slot_delete(w.vm, 0), 0);
	CHECK_EQ(take(&l, MMU_EVENTS_OPS), before + 3);
	check_event(&l.event[l.n - 3], MMU_OP_UNMAP, 5, 3, 1);
	check_event(&l.event[l.n - 2], MMU_OP_PROTECT, 7, 1, 1);
	CHECK_EQ(l.event[l.n - 1].op, MMU_OP_SLOT_DELETE);
	/* The unmap took something away, and so flushed. */
	CHECK_EQ(l.event[l.n - 4].tlb_gen + 1, l.event[l.n - 3].tlb_gen);
	CHECK(l.event[l.n - 3].when <= l.event[l.n - 2].when);
	world_close(&w);
}

/* What vCPUs do has a ring of its own, and so has the worker, in whose turns mostly nothing is to be done. */
static void test_rings(void)
{
	struct list l;

	world_open(&w, VARIANT, CHUNK);
	uint64_t ops = take(&l, MMU_EVENTS_OPS), vcpus = take(&l, MMU_EVENTS_VCPUS);

	for (unsigned i = 0; i < 1000; i++)
		stay(i % 2 ? MMU_OP_FAULT : MMU_OP_TABLE_WRITE, i, 1);
	CHECK_EQ(take(&l, MMU_EVENTS_OPS), ops);
	CHECK_EQ(take(&l, MMU_EVENTS_VCPUS), vcpus + 1000);
	check_event(&l.event[l.n - 1], MMU_OP_FAULT, 999, 1, 1);
	vcpus += 1000;
	for (unsigned i = 0; i < 100; i++)
		mmu_work_step(w.vm);
	CHECK_EQ(take(&l, MMU_EVENTS_OPS), ops);
	CHECK_EQ(take(&l, MMU_EVENTS_VCPUS), vcpus);
	CHECK(take(&l, MMU_EVENTS_WORKER) > 0);
	world_close(&w);
}

/* ---- how much of it ------------------------------------------------------------------ */

static void test_oldest_goes(void)
{
	struct list l;

	world_open(&w, VARIANT, CHUNK);
	for (uint64_t i = 0; i < 3 * MMU_EVENTS + 7; i++)
		stay(MMU_OP_MIGRATE, i, 2);
	take(&l, MMU_EVENTS_OPS);
	CHECK_EQ(l.n, MMU_EVENTS);
	for (unsigned i = 0; i < l.n; i++)
		check_event(&l.event[i], MMU_OP_MIGRATE, 2 * MMU_EVENTS + 7 + i, 2, 1);
	world_close(&w);
}

static void test_same_again(void)
{
	struct list l;

	world_open(&w, VARIANT, CHUNK);
	uint64_t count = take(&l, MMU_EVENTS_OPS);

	for (unsigned i = 0; i < 9; i++)
		stay(MMU_OP_AUDIT, 0, 0);
	stay(MMU_OP_DUMP, 0, 0);
	stay(MMU_OP_AUDIT, 0, 0);
	CHECK_EQ(take(&l, MMU_EVENTS_OPS), count + 3);
	check_event(&l.event[l.n - 3], MMU_OP_AUDIT, 0, 0, 9);
	check_event(&l.event[l.n - 1], MMU_OP_AUDIT, 0, 0, 1);
	world_close(&w);
}

/* An operation that lets others in is one, and is about what it turned out to be about. */
static void test_yield(void)
{
	struct list l;

	world_open(&w, VARIANT, CHUNK);
	uint64_t count = take(&l, MMU_EVENTS_OPS);

	mmu_write_lock(w.vm, MMU_OP_DIRTY_GET, 0, 0);
	mmu_lock_yield(w.vm);
	mmu_lock_about(w.vm, 64, 128);
	mmu_lock_yield(w.vm);
	mmu_write_unlock(w.vm);
	CHECK_EQ(take(&l, MMU_EVENTS_OPS), count + 1);
	check_event(&l.event[l.n - 1], MMU_OP_DIRTY_GET, 64, 128, 1);
	world_close(&w);
}

static void test_in_the_middle(void)
{
	struct list l = { 0 };
	gfn_t gfn;

	world_open(&w, VARIANT, CHUNK);
	CHECK_EQ(mmu_lock_holder(w.vm, &gfn), MMU_OP_NONE);
	mmu_write_lock(w.vm, MMU_OP_UNMAP, 77, 1);
	CHECK_EQ(mmu_lock_holder(w.vm, &gfn), MMU_OP_UNMAP);
	CHECK_EQ(gfn, 77);
	/* A panic in here reads what was before it. */
	CHECK_EQ(mmu_events_in_panic(w.vm, MMU_EVENTS_OPS, collect, &l), l.n);
	mmu_write_unlock(w.vm);
	CHECK_EQ(take(&l, MMU_EVENTS_OPS), l.n);
	CHECK_EQ(l.event[l.n - 1].gfn, 77);
	world_close(&w);
}

/* ---- while others work --------------------------------------------------------------- */

#define ROUNDS 2000u

static void *writer(void *arg)
{
	for (uint64_t i = 0; i < ROUNDS; i++)
		stay(MMU_OP_MIGRATE, i, i + 1);
	return NULL;
}

static void check_whole(void *ctx, const struct mmu_event *e)
{
	uint64_t *before = ctx;

	CHECK(e->when >= *before);
	CHECK(e->op != MMU_OP_MIGRATE || e->npages == e->gfn + 1);
	*before = e->when;
}

static void test_read_beside(void)
{
	pthread_t thread[2];

	world_open(&w, VARIANT, CHUNK);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, writer, NULL);
	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		uint64_t before = 0;

		mmu_events(w.vm, MMU_EVENTS_OPS, check_whole, &before);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	world_close(&w);
}

/* Whoever is told prints it, which takes long. */
static void check_let_go(void *ctx, const struct mmu_event *e)
{
	unsigned *told = ctx;

	CHECK_EQ(atomic_load(&w.vm->mmu_lock.state) & RW_READERS, atomic_load(&w.vm->mmu_lock.left));
	if (!(*told)++)
		for (unsigned i = 0; i < 2 * MMU_EVENTS; i++)
			stay(MMU_OP_UNMAP, i, 1);
}

static void test_told_without_lock(void)
{
	unsigned told = 0;

	world_open(&w, VARIANT, CHUNK);
	for (uint64_t i = 0; i < MMU_EVENTS; i++)
		stay(MMU_OP_MIGRATE, i, 2);
	mmu_events(w.vm, MMU_EVENTS_OPS, check_let_go, &told);
	CHECK_EQ(told, MMU_EVENTS);
	world_close(&w);
}

static const struct ktap_test tests[] = {
	KTAP(test_operations), KTAP(test_rings), KTAP(test_oldest_goes), KTAP(test_same_again),
	KTAP(test_yield), KTAP(test_in_the_middle), KTAP(test_read_beside),
	KTAP(test_told_without_lock),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
