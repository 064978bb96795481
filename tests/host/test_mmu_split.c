/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Splitting huge leaves, and recovering them: what the small leaves have from the large one and
 * the other way round, when neither happens, no memory, and faults beside it.
 */
#include <pthread.h>

#include "ktap.h"
#include "mm/backing.h"
#include "mm/leaf.h"
#include "mm/port.h"
#include "mm/recover.h"
#include "mm/split.h"
#include "world.h"

#define CHUNK 512ul

static struct world w;

static unsigned level_of(gfn_t gfn)
{
	unsigned level = 0;

	world_leaf(&w, gfn, &level);
	return level;
}

static spte_t leaf_of(gfn_t gfn)
{
	unsigned level;

	return world_leaf(&w, gfn, &level);
}

static void recover_all(void)
{
	write_lock(&w.vm->mmu_lock);
	recover_request(w.vm, 0, w.vm->gfn_limit);
	write_unlock(&w.vm->mmu_lock);
	mmu_work_flush(w.vm);
}

static bool page_is_dirty(gfn_t gfn)
{
	struct backing_page page = { 0 };

	read_lock(&w.vm->mmu_lock);
	CHECK_EQ(backing_lookup(w.vm, gfn, &page), 0);
	read_unlock(&w.vm->mmu_lock);
	return page.dirty;
}

/* The same pages, permissions and use; and one leaf again afterwards. */
static void there_and_back(const struct world_variant *v)
{
	if (v->max_leaf_level < PG_LEVEL_2M)
		return;
	world_open(&w, v, 3 * CHUNK);
	world_write(&w, 7, 0, 77);
	world_read(&w, CHUNK + 7, 0);
	spte_t written = leaf_of(7), read = leaf_of(CHUNK + 7);

	split_range(w.vm, 0, 3 * CHUNK);
	CHECK_EQ(world_stats(&w).split, 2);
	CHECK_EQ(world_stats(&w).pages_4k, 2 * CHUNK);
	world_audit(&w);
	for (gfn_t gfn = 0; gfn < 2 * CHUNK; gfn += 73) {
		spte_t huge = gfn < CHUNK ? written : read, leaf = leaf_of(gfn);

		CHECK_EQ(level_of(gfn), PG_LEVEL_4K);
		CHECK_EQ(format_pfn(w.vm->fmt, leaf).n,
			 format_pfn(w.vm->fmt, huge).n + gfn % CHUNK);
		CHECK_EQ(leaf_access(w.vm->fmt, leaf), leaf_access(w.vm->fmt, huge));
		CHECK_EQ(leaf_is_dirty(w.vm->fmt, leaf), leaf_is_dirty(w.vm->fmt, huge));
		CHECK_EQ(leaf_is_accessed(w.vm->fmt, leaf), leaf_is_accessed(w.vm->fmt, huge));
	}
	CHECK_EQ(world_read(&w, 7, 0), 77);
	world_write(&w, CHUNK + 9, 0, 99);
	CHECK(!page_is_dirty(CHUNK + 9));
	recover_all();
	CHECK_EQ(world_stats(&w).pages_2m, 2);
	CHECK_EQ(world_stats(&w).pages_4k, 0);
	CHECK_EQ(world_stats(&w).recovered, 2);
	world_audit(&w);
	/* What the small leaves knew is with the page; the large one is clean, and as young. */
	CHECK(page_is_dirty(CHUNK + 9));
	CHECK(!leaf_is_dirty(w.vm->fmt, leaf_of(CHUNK)));
	CHECK(leaf_is_accessed(w.vm->fmt, leaf_of(CHUNK)));
	CHECK_EQ(world_read(&w, CHUNK + 9, 0), 99);
	world_write(&w, CHUNK + 9, 0, 100);
	CHECK_EQ(world_stats(&w).pages_2m, 2);
	world_close(&w);
}

static void test_there_and_back(void)
{
	world_for_each(there_and_back);
}

/* What must stay small, and what nobody mapped, does. */
static void not_recovered(const struct world_variant *v)
{
	uint64_t changed;

	if (v->max_leaf_level < PG_LEVEL_2M)
		return;
	world_open(&w, v, 4 * CHUNK);
	/* Of 4K pages. */
	hosted_deny_2m(true);
	world_write(&w, 1, 0, 1);
	hosted_deny_2m(false);
	/* Logged. */
	CHECK_EQ(mmu_dirty_start(w.vm, 0, MMU_DIRTY_WRPROT, 0), 0);
	world_write(&w, CHUNK + 1, 0, 1);
	recover_all();
	CHECK_EQ(level_of(1), PG_LEVEL_4K);
	CHECK_EQ(level_of(CHUNK + 1), PG_LEVEL_4K);
	CHECK_EQ(mmu_dirty_stop(w.vm, 0), 0);
	/* With a hole that the balloon made. */
	world_write(&w, 2 * CHUNK + 1, 0, 1);
	CHECK_EQ(level_of(2 * CHUNK + 1), PG_LEVEL_2M);
	CHECK_EQ(mmu_balloon_out(w.vm, 2 * CHUNK + 5, 1, 0, &changed), 0);
	world_write(&w, 2 * CHUNK + 1, 0, 2);
	recover_all();
	CHECK_EQ(level_of(CHUNK + 1), PG_LEVEL_2M);
	CHECK_EQ(level_of(2 * CHUNK + 1), PG_LEVEL_4K);
	CHECK_EQ(world_read(&w, 2 * CHUNK + 1, 0), 2);
	world_close(&w);
}

static void test_not_recovered(void)
{
	world_for_each(not_recovered);
}

/* Out of tables: some are split, all is whole, and the next attempt does the rest. */
static void no_memory(const struct world_variant *v)
{
	if (v->max_leaf_level < PG_LEVEL_2M)
		return;
	world_open(&w, v, 12 * CHUNK);
	for (gfn_t gfn = 0; gfn < 12 * CHUNK; gfn += CHUNK)
		world_write(&w, gfn, 0, gfn);
	hosted_fail_at(5, true);
	split_range(w.vm, 0, 12 * CHUNK);
	CHECK(hosted_failed());
	CHECK_EQ(world_stats(&w).pages_2m, 7);
	world_audit(&w);
	hosted_fail_off();
	split_range(w.vm, 0, 12 * CHUNK);
	CHECK_EQ(world_stats(&w).pages_2m, 0);
	for (gfn_t gfn = 0; gfn < 12 * CHUNK; gfn += CHUNK)
		CHECK_EQ(world_read(&w, gfn, 0), gfn);
	/* Recovery needs none. */
	hosted_fail_at(0, true);
	recover_all();
	CHECK_EQ(world_stats(&w).pages_2m, 12);
	hosted_fail_off();
	world_close(&w);
}

static void test_no_memory(void)
{
	world_for_each(no_memory);
}

/* 1G, over memory of a device: a fetch under the NX mitigation goes down two levels. */
static void giant(const struct world_variant *v)
{
	struct mmu_slot_desc device = { .npages = CHUNK * CHUNK, .flags = MMU_SLOT_DEVICE,
					.hpa = 1ul << 41 };
	struct mmu_config cfg = world_config(v);
	struct page_fault pf = { .gpa = 5 * CHUNK * PAGE_SIZE, .access = ACC_W };

	cfg.max_leaf_level = PG_LEVEL_1G;
	cfg.nx_huge_pages = true;
	world_open_config(&w, &cfg, 0);
	CHECK_EQ(mmu_slot_create(w.vm, &device), 0);
	CHECK(fake_cpu_enter(&w.cpu[0]));
	fake_cpu_exit(&w.cpu[0]);
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_FIXED);
	CHECK_EQ(pf.goal_level, PG_LEVEL_1G);
	CHECK_EQ(world_stats(&w).pages_1g, 1);
	pf.access = ACC_X;
	pf.present = true;
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_FIXED);
	CHECK_EQ(pf.goal_level, PG_LEVEL_4K);
	CHECK_EQ(world_stats(&w).pages_2m, CHUNK - 1);
	CHECK_EQ(world_stats(&w).pages_4k, CHUNK);
	CHECK_EQ(world_stats(&w).nx_tables, 2);
	world_audit(&w);
	mmu_nx_recover(w.vm);
	mmu_work_flush(w.vm);
	mmu_nx_recover(w.vm);
	mmu_work_flush(w.vm);
	CHECK_EQ(world_stats(&w).pages_1g, 1);
	CHECK_EQ(world_stats(&w).nx_tables, 0);
	world_close(&w);
}

static void test_giant(void)
{
	world_for_each(giant);
}

/* ---- beside faults -------------------------------------------------------------------- */

#define USERS 2
#define ROUNDS 15

static _Atomic bool stop;
static _Atomic uint64_t used; /* by all users */

/* However the threads are scheduled: so much happens before it goes on. */
static void wait_for_uses(uint64_t n)
{
	for (uint64_t before = atomic_load(&used); atomic_load(&used) - before < n;)
		port_resched();
}

static void *user(void *arg)
{
	struct fake_cpu *cpu = arg;
	uint64_t word = cpu->mmu.id * 8, value, count = 0;
	static uint64_t last[WORLD_CPUS][2 * CHUNK];

	for (unsigned i = 0; i < 2 * CHUNK; i++)
		last[cpu->mmu.id][i] = 0;
	while (!atomic_load(&stop)) {
		gfn_t gfn = ++count * 7 % (2 * CHUNK);

		if (fake_cpu_touch(cpu, gfn * PAGE_SIZE + word, ACC_R, &value) != MMU_PF_FIXED ||
		    value != last[cpu->mmu.id][gfn])
			port_bug(__FILE__, __LINE__, "a write was lost beside a split");
		value = last[cpu->mmu.id][gfn] = count;
		if (fake_cpu_touch(cpu, gfn * PAGE_SIZE + word, ACC_W, &value) != MMU_PF_FIXED)
			port_bug(__FILE__, __LINE__, "a page that is there could not be written");
		atomic_fetch_add(&used, 1);
	}
	return NULL;
}

static void beside(const struct world_variant *v)
{
	pthread_t threads[USERS];
	uint64_t young;

	if (v->max_leaf_level < PG_LEVEL_2M)
		return;
	world_open(&w, v, 2 * CHUNK);
	atomic_store(&stop, false);
	for (unsigned i = 0; i < USERS; i++)
		pthread_create(&threads[i], NULL, user, &w.cpu[i]);
	for (unsigned i = 0; i < ROUNDS; i++) {
		/* Both chunks are mapped: a user visits them in turns. */
		wait_for_uses(USERS * CHUNK / 2);
		split_range(w.vm, 0, 2 * CHUNK);
		CHECK_EQ(mmu_age(w.vm, 0, 2 * CHUNK, &young), 0);
		world_audit(&w);
		if (i % 3 == 2)
			CHECK_EQ(mmu_unmap(w.vm, i % 100, 700, 0), 0);
		recover_all();
		world_audit(&w);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < USERS; i++)
		pthread_join(threads[i], NULL);
	CHECK(world_stats(&w).recovered > 0);
	world_close(&w);
}

static void test_beside(void)
{
	world_for_each(beside);
}

static const struct ktap_test tests[] = {
	KTAP(test_there_and_back), KTAP(test_not_recovered), KTAP(test_no_memory),
	KTAP(test_giant),          KTAP(test_beside),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
