/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fast page fault: what it fixes and what it leaves to the slow path, and that what it
 * gives back is not given where somebody has just taken it away for good.
 */
#include <pthread.h>

#include "ktap.h"
#include "mm/fast.h"
#include "mm/iter.h"
#include "mm/leaf.h"
#include "mm/port.h"
#include "world.h"

#define CHUNK 512ul

static struct world w;

static enum mmu_pf_result fast(gfn_t gfn, unsigned access)
{
	struct page_fault pf = { .gpa = gfn * PAGE_SIZE, .access = (uint8_t)access,
				 .present = true };

	return fast_fault(&w.cpu[0].mmu, &pf);
}

static unsigned access_of(gfn_t gfn)
{
	unsigned level;

	return leaf_access(w.vm->fmt, world_leaf(&w, gfn, &level));
}

static spte_cell_t *cell_of(gfn_t gfn)
{
	struct tdp_iter it;

	for (iter_begin(&it, w.vm->root, gfn, gfn + 1, 0); it.valid; iter_next(&it))
		if (it.level == PG_LEVEL_4K)
			return it.cell;
	return NULL;
}

static void what_it_fixes(const struct world_variant *v)
{
	const struct mmu_format *fmt = format_select(v->format, v->hw_ad);

	world_open(&w, v, 2 * CHUNK);
	hosted_deny_2m(true);
	world_write(&w, 1, 0, 1);
	/* Nothing there. */
	CHECK_EQ(fast(2, ACC_R), MMU_PF_RETRY);
	CHECK_EQ(fast(CHUNK + 2, ACC_W), MMU_PF_RETRY);
	CHECK_EQ(fast(1, ACC_W), MMU_PF_SPURIOUS);
	/* Write-protected by a log. */
	spte_cell_t *cell = cell_of(1);
	spte_t leaf = spte_load(cell);

	spte_store(cell, leaf_wrprot(fmt, leaf));
	CHECK_EQ(fast(1, ACC_R), MMU_PF_SPURIOUS);
	CHECK_EQ(fast(1, ACC_W), MMU_PF_FIXED);
	CHECK_EQ(spte_load(cell).raw, leaf.raw);
	CHECK_EQ(world_stats(&w).pf_fast, 1);
	/* Forbidden for good. */
	spte_store(cell, leaf_revoke_write(fmt, leaf));
	CHECK_EQ(fast(1, ACC_W), MMU_PF_RETRY);
	CHECK_EQ(spte_load(cell).raw, leaf_revoke_write(fmt, leaf).raw);
	spte_store(cell, leaf);
	/* Frozen by somebody. */
	spte_store(cell, (spte_t){ SPTE_FROZEN });
	CHECK_EQ(fast(1, ACC_R), MMU_PF_RETRY);
	spte_store(cell, leaf);
	world_close(&w);
}

static void test_what_it_fixes(void)
{
	world_for_each(what_it_fixes);
}

/* Tracked and write-protected at once: a read brings back what is allowed, and no more. */
static void both(const struct world_variant *v)
{
	if (v->hw_ad)
		return;
	world_open(&w, v, CHUNK);
	hosted_deny_2m(true);
	world_write(&w, 1, 0, 1);
	spte_cell_t *cell = cell_of(1);
	spte_t leaf = spte_load(cell);

	spte_store(cell, leaf_wrprot(w.vm->fmt, leaf_age(w.vm->fmt, leaf)));
	CHECK_EQ(access_of(1), ACC_R | ACC_X);
	CHECK_EQ(fast(1, ACC_R), MMU_PF_FIXED);
	CHECK_EQ(access_of(1), ACC_R | ACC_X);
	spte_store(cell, leaf_wrprot(w.vm->fmt, leaf_age(w.vm->fmt, leaf)));
	CHECK_EQ(fast(1, ACC_W), MMU_PF_FIXED);
	CHECK_EQ(spte_load(cell).raw, leaf.raw);
	spte_store(cell, leaf_age(w.vm->fmt, leaf));
	CHECK_EQ(fast(1, ACC_X), MMU_PF_FIXED);
	CHECK_EQ(spte_load(cell).raw, leaf.raw);
	world_close(&w);
}

static void test_both(void)
{
	world_for_each(both);
}

/* A read-only slot gives no write access by any way. */
static void readonly(const struct world_variant *v)
{
	struct mmu_slot_desc rom = { .npages = CHUNK, .flags = MMU_SLOT_READONLY };

	world_open_empty(&w, v, 0);
	CHECK_EQ(mmu_slot_create(w.vm, &rom), 0);
	world_read(&w, 1, 0);
	CHECK_EQ(fast(1, ACC_W), MMU_PF_RETRY);
	CHECK_EQ(world_touch(&w, 1, ACC_W), MMU_PF_EMULATE);
	CHECK_EQ(access_of(1), ACC_R | ACC_X);
	world_close(&w);
}

static void test_readonly(void)
{
	world_for_each(readonly);
}

/* ---- beside others ------------------------------------------------------------------------ */

#define ROUNDS 16
#define WRITERS 2

static _Atomic bool stop;
static _Atomic uint64_t written; /* by all writers */

/* However the threads are scheduled: so much happens before it goes on. */
static void wait_for_writes(uint64_t n)
{
	for (uint64_t before = atomic_load(&written); atomic_load(&written) - before < n;)
		port_resched();
}

static void *writer(void *arg)
{
	struct fake_cpu *cpu = arg;
	uint64_t word = cpu->mmu.id * 8, value, count = 0;

	while (!atomic_load(&stop)) {
		gfn_t gfn = count % CHUNK;

		value = ++count;
		enum mmu_pf_result r = fake_cpu_touch(cpu, gfn * PAGE_SIZE + word, ACC_W, &value);

		if (r != MMU_PF_FIXED && r != MMU_PF_PROTECTED)
			port_bug(__FILE__, __LINE__, "a page that is there could not be written");
		atomic_fetch_add(&written, 1);
	}
	return NULL;
}

/*
 * Write access goes and comes, for a while or for good, and mappings go altogether. What is
 * forbidden for good stays so: the audit compares every leaf with what the page permits.
 */
static void beside(const struct world_variant *v)
{
	pthread_t threads[WRITERS];
	uint64_t bits[CHUNK / 64], n, young;

	world_open(&w, v, CHUNK);
	hosted_deny_2m(true);
	CHECK_EQ(mmu_dirty_start(w.vm, 0, MMU_DIRTY_WRPROT, 0), 0);
	atomic_store(&stop, false);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_create(&threads[i], NULL, writer, &w.cpu[i]);
	/* Everything is mapped once. */
	wait_for_writes(WRITERS * CHUNK);
	for (unsigned i = 0; i < ROUNDS; i++) {
		CHECK_EQ(mmu_dirty_get(w.vm, 0, 0, CHUNK, true, bits, &n), 0);
		CHECK_EQ(mmu_age(w.vm, 0, CHUNK, &young), 0);
		if (i % 4 == 1)
			CHECK_EQ(mmu_protect(w.vm, i % 300, 200, ACC_R | ACC_X, 0), 0);
		if (i % 4 == 2)
			CHECK_EQ(mmu_unmap(w.vm, i % 300, 100, MMU_MAY_BLOCK), 0);
		world_audit(&w);
		if (i % 4 == 3)
			CHECK_EQ(mmu_protect(w.vm, 0, CHUNK, ACC_RWX, 0), 0);
		/* They meet what the log took away. */
		wait_for_writes(i % 4 ? 16 : WRITERS * CHUNK);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	CHECK(world_stats(&w).pf_fast > 0);
	world_close(&w);
}

static void test_beside(void)
{
	world_for_each(beside);
}

static const struct ktap_test tests[] = {
	KTAP(test_what_it_fixes), KTAP(test_both), KTAP(test_readonly), KTAP(test_beside),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
