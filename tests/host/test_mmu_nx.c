/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The NX mitigation: nothing huge is ever executable; a fetch splits, the worker puts
 * back what was split, and the next fetch splits again.
 */
#include <pthread.h>

#include "ktap.h"
#include "mm/cache.h"
#include "mm/leaf.h"
#include "mm/port.h"
#include "world.h"

#define CHUNK 512ul

static struct world w;

static void open_nx(const struct world_variant *v, uint64_t npages)
{
	struct mmu_config cfg = world_config(v);

	cfg.nx_huge_pages = true;
	world_open_config(&w, &cfg, npages);
}

static unsigned access_of(gfn_t gfn, unsigned *level)
{
	return leaf_access(w.vm->fmt, world_leaf(&w, gfn, level));
}

static void nx(const struct world_variant *v)
{
	unsigned level;

	if (v->max_leaf_level < PG_LEVEL_2M)
		return;
	open_nx(v, 3 * CHUNK);
	/* Data first: huge and not executable. */
	world_write(&w, 5, 0, 55);
	CHECK_EQ(access_of(5, &level), ACC_RW);
	CHECK_EQ(level, PG_LEVEL_2M);
	/* A fetch splits it; what was there stays, and its neighbours may be executed. */
	CHECK_EQ(world_touch(&w, 6, ACC_X), MMU_PF_FIXED);
	CHECK_EQ(access_of(6, &level) & ACC_X, ACC_X);
	CHECK_EQ(level, PG_LEVEL_4K);
	CHECK_EQ(world_read(&w, 5, 0), 55);
	CHECK_EQ(world_stats(&w).nx_split, 1);
	CHECK_EQ(world_stats(&w).nx_tables, 1);
	/* A fetch first: 4K from the beginning, and counted too. */
	CHECK_EQ(world_touch(&w, CHUNK + 1, ACC_X), MMU_PF_FIXED);
	CHECK_EQ(access_of(CHUNK + 1, &level), ACC_RWX);
	CHECK_EQ(level, PG_LEVEL_4K);
	CHECK_EQ(world_stats(&w).nx_tables, 2);
	world_write(&w, 2 * CHUNK, 0, 1);
	CHECK_EQ(world_stats(&w).pages_2m, 1);
	world_audit(&w);
	/* The worker has no reason yet; then it takes all back. */
	mmu_work_flush(w.vm);
	CHECK_EQ(world_stats(&w).nx_tables, 2);
	mmu_nx_recover(w.vm);
	mmu_work_flush(w.vm);
	CHECK_EQ(world_stats(&w).pages_2m, 3);
	CHECK_EQ(world_stats(&w).nx_tables, 0);
	CHECK_EQ(access_of(6, &level) & ACC_X, 0);
	CHECK_EQ(level, PG_LEVEL_2M);
	world_audit(&w);
	CHECK_EQ(world_read(&w, 5, 0), 55);
	CHECK_EQ(world_touch(&w, 6, ACC_X), MMU_PF_FIXED);
	CHECK_EQ(world_stats(&w).nx_tables, 1);
	mmu_work_flush(w.vm);
	CHECK_EQ(world_stats(&w).nx_tables, 1);
	CHECK_EQ(mmu_unmap(w.vm, 0, 3 * CHUNK, 0), 0);
	CHECK_EQ(world_stats(&w).nx_tables, 0);
	world_close(&w);
}

static void test_nx(void)
{
	world_for_each(nx);
}

/* Without the mitigation everything is executable, huge or not. */
static void plain(const struct world_variant *v)
{
	unsigned level;

	world_open(&w, v, CHUNK);
	CHECK_EQ(world_touch(&w, 6, ACC_X), MMU_PF_FIXED);
	CHECK_EQ(access_of(6, &level), ACC_RWX);
	CHECK_EQ(level, v->max_leaf_level);
	CHECK_EQ(world_stats(&w).nx_split, 0);
	world_close(&w);
}

static void test_plain(void)
{
	world_for_each(plain);
}

/* A step of a pass that needs several; false: there is nothing that could be split. */
static bool begin_pass(const struct world_variant *v)
{
	const uint64_t tables = 12; /* more than a step takes back */

	if (v->max_leaf_level < PG_LEVEL_2M)
		return false;
	open_nx(v, tables * CHUNK);
	for (gfn_t gfn = 0; gfn < tables * CHUNK; gfn += CHUNK)
		CHECK_EQ(world_touch(&w, gfn, ACC_X), MMU_PF_FIXED);
	mmu_nx_recover(w.vm);
	CHECK(mmu_work_step(w.vm));
	CHECK(world_stats(&w).nx_tables > 0);
	CHECK(world_stats(&w).nx_tables < tables);
	return true;
}

static void end_pass(void)
{
	mmu_work_flush(w.vm);
	CHECK_EQ(world_stats(&w).nx_tables, 0);
	world_close(&w);
}

/* Asked for once: a pass of several steps goes on to its end. */
static void asked_once(const struct world_variant *v)
{
	if (begin_pass(v))
		end_pass();
}

static void test_asked_once(void)
{
	world_for_each(asked_once);
}

/* Asked for in the middle of a pass, behind which something was split again: the next steps take it back. */
static void asked_amid_pass(const struct world_variant *v)
{
	if (!begin_pass(v))
		return;
	CHECK_EQ(world_touch(&w, 0, ACC_X), MMU_PF_FIXED);
	mmu_nx_recover(w.vm);
	end_pass();
}

static void test_asked_amid_pass(void)
{
	world_for_each(asked_amid_pass);
}

/* A dirty log and the mitigation: what the log split is not executable when it is huge again. */
static void with_log(const struct world_variant *v)
{
	unsigned level;

	if (v->max_leaf_level < PG_LEVEL_2M)
		return;
	open_nx(v, CHUNK);
	world_write(&w, 5, 0, 55);
	CHECK_EQ(mmu_dirty_start(w.vm, 0, MMU_DIRTY_WRPROT, 0), 0);
	CHECK_EQ(world_touch(&w, 6, ACC_X), MMU_PF_FIXED);
	CHECK_EQ(world_stats(&w).nx_tables, 0);
	CHECK_EQ(mmu_dirty_stop(w.vm, 0), 0);
	mmu_work_flush(w.vm);
	CHECK_EQ(access_of(6, &level) & ACC_X, 0);
	CHECK_EQ(level, PG_LEVEL_2M);
	CHECK_EQ(world_touch(&w, 6, ACC_X), MMU_PF_FIXED);
	world_close(&w);
}

static void test_with_log(void)
{
	world_for_each(with_log);
}

/* No memory for the table of a split: the fetch says so, and nothing has changed. */
static void no_memory(const struct world_variant *v)
{
	unsigned level;
	uint64_t n = 0;

	if (v->max_leaf_level < PG_LEVEL_2M)
		return;
	open_nx(v, CHUNK);
	world_write(&w, 5, 0, 55);
	cache_drain(&w.cpu[0].mmu.cache);
	hosted_fail_at(0, true);
	CHECK_EQ(world_touch(&w, 6, ACC_X), MMU_PF_NOMEM);
	CHECK_EQ(access_of(6, &level), ACC_RW);
	hosted_fail_off();
	world_audit(&w);
	do {
		cache_drain(&w.cpu[0].mmu.cache);
		hosted_fail_at(n++, false);
	} while (world_touch(&w, 6, ACC_X) != MMU_PF_FIXED && n < 20);
	CHECK(n < 20);
	hosted_fail_off();
	world_close(&w);
}

static void test_no_memory(void)
{
	world_for_each(no_memory);
}

/* ---- recovery beside fetches and writes ----------------------------------------------- */

#define USERS 2

static _Atomic bool stop;

static void *user(void *arg)
{
	struct fake_cpu *cpu = arg;
	uint64_t word = cpu->mmu.id * 8, value, count = 0;

	while (!atomic_load(&stop)) {
		gfn_t gfn = count % (2 * CHUNK);

		value = ++count;
		if (fake_cpu_touch(cpu, gfn * PAGE_SIZE + word, ACC_W, &value) != MMU_PF_FIXED ||
		    fake_cpu_touch(cpu, gfn * PAGE_SIZE + word, ACC_X, &value) != MMU_PF_FIXED ||
		    value != count)
			port_bug(__FILE__, __LINE__, "a write was lost beside recovery");
	}
	return NULL;
}

static void beside(const struct world_variant *v)
{
	pthread_t threads[USERS];

	if (v->max_leaf_level < PG_LEVEL_2M)
		return;
	open_nx(v, 2 * CHUNK);
	atomic_store(&stop, false);
	for (unsigned i = 0; i < USERS; i++)
		pthread_create(&threads[i], NULL, user, &w.cpu[i]);
	for (unsigned i = 0; i < 60 || (world_stats(&w).recovered < 10 && i < 100000); i++) {
		mmu_nx_recover(w.vm);
		mmu_work_step(w.vm);
		if (i % 64 == 0)
			world_audit(&w);
		port_resched();
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < USERS; i++)
		pthread_join(threads[i], NULL);
	CHECK(world_stats(&w).recovered >= 10);
	world_close(&w);
}

static void test_beside(void)
{
	world_for_each(beside);
}

static const struct ktap_test tests[] = {
	KTAP(test_nx),        KTAP(test_plain),  KTAP(test_with_log),
	KTAP(test_no_memory), KTAP(test_beside), KTAP(test_asked_once),
	KTAP(test_asked_amid_pass),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
