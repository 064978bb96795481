/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first touch of a page: looked up without the lock, fetched before it, installed under
 * one hold of it; and what becomes of the nodes and tables that readers may still be in.
 */
#include <pthread.h>
#include <sched.h>

#include "ktap.h"
#include "mm/backing_word.h"
#include "mm/cache.h"
#include "mm/huge.h"
#include "mm/lock.h"
#include "mm/range.h"
#include "mm/zap.h"
#include "world.h"

#define CHUNK 512ul

static struct world w;

static enum mmu_pf_result fault(gfn_t gfn, unsigned access)
{
	struct page_fault pf = { .gpa = gfn * PAGE_SIZE, .access = (uint8_t)access };

	return mmu_page_fault(&w.cpu[0].mmu, &pf);
}

static void open_world(const struct world_variant *v, uint64_t npages)
{
	world_open(&w, v, npages);
	CHECK(mmu_vcpu_load_root(&w.cpu[0].mmu) != HPA_INVALID);
}

/* ---- one hold ---------------------------------------------------------------------- */

/* How often was it taken for read since we last asked? */
static uint32_t read_holds(void)
{
	static uint32_t before;
	uint32_t now = atomic_load(&w.vm->mmu_lock.left) >> 8, n = now - before;

	before = now;
	return n;
}

static void one_hold(const struct world_variant *v)
{
	open_world(v, 4 * CHUNK);
	hosted_deny_2m(true);
	(void)read_holds();
	/* A first touch with all tables and nodes, one beside it, and one of a page that is there. */
	CHECK_EQ(fault(3, ACC_W), MMU_PF_FIXED);
	CHECK_EQ(read_holds(), 1);
	CHECK_EQ(fault(4, ACC_R), MMU_PF_FIXED);
	CHECK_EQ(read_holds(), 1);
	CHECK_EQ(mmu_unmap(w.vm, 3, 1, 0), 0);
	CHECK_EQ(fault(3, ACC_R), MMU_PF_FIXED);
	CHECK_EQ(read_holds(), 1);
	world_close(&w);
}

static void test_one_hold(void)
{
	world_for_each(one_hold);
}

/* ---- protection --------------------------------------------------------------------- */

/* What the guest may not touch it does not get a page for. */
static void protected_absent(const struct world_variant *v)
{
	open_world(v, 2 * CHUNK);
	CHECK_EQ(mmu_protect(w.vm, 0, CHUNK, 0, 0), 0);
	CHECK_EQ(mmu_protect(w.vm, CHUNK, CHUNK, ACC_R | ACC_X, 0), 0);
	CHECK_EQ(fault(3, ACC_R), MMU_PF_PROTECTED);
	CHECK_EQ(fault(CHUNK + 3, ACC_W), MMU_PF_PROTECTED);
	CHECK_EQ(world_stats(&w).backing_pages, 0);
	CHECK_EQ(atomic_load(&w.vm->backing_reserved), 0);
	CHECK_EQ(fault(CHUNK + 3, ACC_R), MMU_PF_FIXED);
	CHECK(world_stats(&w).backing_pages > 0);
	CHECK_EQ(fault(CHUNK + 3, ACC_W), MMU_PF_PROTECTED);
	world_close(&w);
}

static void test_protected_absent(void)
{
	world_for_each(protected_absent);
}

static void protect_behind_the_back(unsigned order)
{
	hosted_hooks.page_alloc = NULL;
	CHECK_EQ(mmu_protect(w.vm, 0, CHUNK, 0, 0), 0);
}

/* The protection comes while the page is being fetched: it counts. */
static void protected_meanwhile(const struct world_variant *v)
{
	enum mmu_pf_result r;

	open_world(v, CHUNK);
	/* Its reserve is full: the next page is the one that is fetched. */
	CHECK_EQ(fault(CHUNK, ACC_R), MMU_PF_EMULATE);
	hosted_hooks.page_alloc = protect_behind_the_back;
	r = fault(3, ACC_R);
	CHECK(r == MMU_PF_RETRY || r == MMU_PF_PROTECTED);
	CHECK_EQ(fault(3, ACC_R), MMU_PF_PROTECTED);
	CHECK_EQ(world_stats(&w).pages_4k + world_stats(&w).pages_2m, 0);
	world_close(&w);
}

static void test_protected_meanwhile(void)
{
	world_for_each(protected_meanwhile);
}

/* ---- H7: looked up, taken away, and only then at the lock ------------------------------- */

static enum mmu_pf_result late_result;
static gfn_t late_gfn = 3;

static void *late_fault(void *arg)
{
	late_result = fault(late_gfn, ACC_R);
	return NULL;
}

/* It has looked, and waits for us. */
static pthread_t late_begin(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, late_fault, NULL);
	while (!rwlock_needbreak(&w.vm->mmu_lock))
		sched_yield();
	return thread;
}

/* The balloon takes gfn and gives it back, while a fault at 3 that has looked already waits. */
static void late_work(gfn_t gfn)
{
	mmu_write_lock(w.vm, MMU_OP_BALLOON_OUT, gfn, 1);
	struct range_walk walk = zap_walk(w.vm, gfn, gfn + 1, 0);
	struct mmu_cache spare = { 0 };
	struct backing_change out = { .op = BACKING_OUT, .next = gfn, .end = gfn + 1,
				      .spare = &spare };
	struct backing_change in = { .op = BACKING_IN, .next = gfn, .end = gfn + 1,
				     .spare = &spare };

	CHECK_EQ(cache_topup(&spare, 2 * BACKING_NODES(w.vm)), 0);
	pthread_t thread = late_begin();

	CHECK_EQ(range_change(&walk, &out), 0);
	CHECK_EQ(backing_change_step(w.vm, &in, gfn + 1), 0);
	mmu_write_unlock(w.vm);
	pthread_join(thread, NULL);
	cache_drain(&spare);
}

static void late(const struct world_variant *v)
{
	open_world(v, CHUNK);
	hosted_deny_2m(true);
	CHECK_EQ(fault(3, ACC_W), MMU_PF_FIXED);
	CHECK_EQ(mmu_unmap(w.vm, 3, 1, 0), 0);
	late_work(3);
	CHECK_EQ(late_result, MMU_PF_RETRY);
	CHECK_EQ(world_stats(&w).pages_4k, 0);
	CHECK_EQ(world_read(&w, 3, 0), 0);
	world_close(&w);
}

static void test_late(void)
{
	world_for_each(late);
}

/* Another page of the huge one that it found: then that is none any more. */
static void late_beside(const struct world_variant *v)
{
	bool huge = v->max_leaf_level > PG_LEVEL_4K;

	open_world(v, CHUNK);
	CHECK_EQ(fault(3, ACC_W), MMU_PF_FIXED);
	CHECK_EQ(mmu_unmap(w.vm, 0, CHUNK, 0), 0);
	late_work(9);
	CHECK_EQ(late_result, huge ? MMU_PF_RETRY : MMU_PF_FIXED);
	CHECK_EQ(world_stats(&w).pages_2m, 0);
	world_close(&w);
}

static void test_late_beside(void)
{
	world_for_each(late_beside);
}

/* A page far from its own is like all others again: so its word folds with these, and the node goes. */
static void late_fold(const struct world_variant *v)
{
	if (v->max_leaf_level == PG_LEVEL_4K)
		return;
	open_world(v, CHUNK);
	world_write(&w, 0, 0, 0x5eed);
	CHECK_EQ(mmu_unmap(w.vm, 0, CHUNK, 0), 0);
	CHECK_EQ(mmu_protect(w.vm, 9, 1, ACC_R | ACC_X, 0), 0);
	/* A table, and not yet the leaf. */
	CHECK_EQ(fault(CHUNK / 2, ACC_R), MMU_PF_FIXED);
	mmu_write_lock(w.vm, MMU_OP_PROTECT, 9, 1);
	struct range_walk walk = zap_walk(w.vm, 9, 10, 0);
	struct backing_change c = { .op = BACKING_PROTECT, .access = ACC_RWX, .next = 9, .end = 10 };

	late_gfn = 0; /* its word is where a node that goes is linked */
	pthread_t thread = late_begin();

	CHECK_EQ(range_change(&walk, &c), 0);
	mmu_write_unlock(w.vm);
	pthread_join(thread, NULL);
	late_gfn = 3;
	CHECK(late_result == MMU_PF_FIXED || late_result == MMU_PF_RETRY);
	world_audit(&w);
	CHECK_EQ(world_read(&w, 0, 0), 0x5eed);
	world_close(&w);
}

static void test_late_fold(void)
{
	world_for_each(late_fold);
}

/* ---- nodes -------------------------------------------------------------------------------- */

static unsigned freed;

static void on_free(hpa_t hpa, unsigned order)
{
	freed++;
}

/* A node folds under a reader: it stays until the reader has left. */
static void folded(const struct world_variant *v)
{
	struct rcu_reader reader = { 0 };
	struct backing_page page;
	uint64_t changed;

	open_world(v, CHUNK);
	CHECK_EQ(mmu_balloon_out(w.vm, 5, 1, 0, &changed), 0);
	rcu_reader_add(w.vm, &reader);
	rcu_enter(w.vm, &reader);
	const struct memslot *slot = memslot_find(w.vm, 5);
	const struct backing *b = &slot->state->backing;
	unsigned level;
	/* Where the reader stands: in the lowest node. */
	backing_cell_t *cell = backing_find(b, backing_index(slot, 5), PG_LEVEL_4K, &level);

	CHECK_EQ(level, PG_LEVEL_4K);
	freed = 0;
	hosted_hooks.page_free = on_free;
	CHECK_EQ(mmu_balloon_in(w.vm, 5, 1, 0, &changed), 0);
	hosted_hooks.page_free = NULL;
	CHECK_EQ(backing_look(w.vm, slot, 5, &page), -ENOENT);
	if (v->max_leaf_level > PG_LEVEL_4K)
		CHECK_EQ(page.level, PG_LEVEL_2M);
	/* Not poison, and never a page. */
	CHECK_EQ(word_kind(word_load(cell)), BACKING_ABSENT);
	CHECK_EQ(word_kind(word_load(cell - 5)), BACKING_ABSENT);
	rcu_exit(w.vm, &reader);
	CHECK(!rcu_poll(w.vm));
	rcu_reader_remove(w.vm, &reader);
	world_close(&w);
}

static void test_folded(void)
{
	world_for_each(folded);
}

/* ---- freeing in steps ---------------------------------------------------------------------- */

static unsigned work_kicks;

static void on_work(struct mmu_vm *vm)
{
	work_kicks++;
}

/* However much has waited, a poll frees a bounded part and says that there is more. */
static void test_bounded(void)
{
	struct rcu_reader reader = { 0 };
	unsigned polls = 0, most = 0, tables = 3000;
	bool more = true;

	world_open(&w, &world_variants[0], CHUNK);
	rcu_reader_add(w.vm, &reader);
	rcu_enter(w.vm, &reader);
	for (unsigned i = 0; i < tables; i++)
		rcu_defer_table(w.vm, port_pages_alloc(0, 0));
	CHECK(rcu_poll(w.vm));
	rcu_exit(w.vm, &reader);
	hosted_hooks.page_free = on_free;
	hosted_hooks.work_kick = on_work;
	work_kicks = 0;
	for (; more && polls < 100; polls++) {
		freed = 0;
		more = rcu_poll(w.vm);
		CHECK_EQ(work_kicks, polls + more);
		most = freed > most ? freed : most;
		tables -= freed;
	}
	CHECK_EQ(tables, 0);
	CHECK(most <= 512);
	CHECK(polls > 4);
	hosted_hooks.page_free = NULL;
	rcu_reader_remove(w.vm, &reader);
	world_close(&w);
}

/* ---- the balloon comes in ------------------------------------------------------------------- */

static unsigned turns;

static void others(void)
{
	/* What is done may be touched, what is not may not: by its first page and its last. */
	turns++;
	hosted_hooks.need_resched = false;
	CHECK_EQ(fault(0, ACC_R), MMU_PF_FIXED);
	CHECK_EQ(fault(8 * CHUNK - 1, ACC_R), MMU_PF_EMULATE);
	hosted_hooks.resched = NULL;
}

static void balloon_in(const struct world_variant *v)
{
	struct mmu_holds holds;
	uint64_t changed;

	open_world(v, 8 * CHUNK);
	CHECK_EQ(mmu_balloon_out(w.vm, 0, 8 * CHUNK, 0, &changed), 0);
	turns = 0;
	hosted_hooks.resched = others;
	hosted_hooks.need_resched = true;
	/* In one word: a page left out at each end makes it many. */
	CHECK_EQ(mmu_balloon_in(w.vm, 0, 1, 0, &changed), 0);
	CHECK_EQ(turns, 0);
	CHECK_EQ(mmu_balloon_in(w.vm, 1, 8 * CHUNK - 2, MMU_MAY_BLOCK, &changed), 0);
	CHECK_EQ(changed, 8 * CHUNK - 2);
	CHECK_EQ(turns, 1);
	hosted_hooks.need_resched = false;
	mmu_holds_read(w.vm, &holds);
	CHECK(holds.write_entries > 0);
	CHECK_EQ(mmu_balloon_in(w.vm, 8 * CHUNK - 1, 1, MMU_MAY_BLOCK, &changed), 0);
	CHECK_EQ(changed, 1);
	CHECK_EQ(mmu_balloon_in(w.vm, 0, 1, 2, &changed), -EINVAL);
	world_close(&w);
}

static void test_balloon_in(void)
{
	world_for_each(balloon_in);
}

static void slot_goes(void)
{
	hosted_hooks.resched = NULL;
	hosted_hooks.need_resched = false;
	CHECK_EQ(mmu_slot_delete(w.vm, 0), 0);
}

static void test_balloon_in_slot_gone(void)
{
	uint64_t changed;

	open_world(&world_variants[0], 8 * CHUNK);
	CHECK_EQ(mmu_balloon_out(w.vm, 1, 8 * CHUNK - 2, 0, &changed), 0);
	hosted_hooks.resched = slot_goes;
	hosted_hooks.need_resched = true;
	CHECK_EQ(mmu_balloon_in(w.vm, 1, 8 * CHUNK - 2, MMU_MAY_BLOCK, &changed), -ENOENT);
	CHECK(changed > 0 && changed < 8 * CHUNK - 2);
	world_close(&w);
}

static const struct ktap_test tests[] = {
	KTAP(test_one_hold),
	KTAP(test_protected_absent),
	KTAP(test_protected_meanwhile),
	KTAP(test_late),
	KTAP(test_late_beside),
	KTAP(test_late_fold),
	KTAP(test_folded),
	KTAP(test_bounded),
	KTAP(test_balloon_in),
	KTAP(test_balloon_in_slot_gone),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
