/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A dirty log beside processors that write, as a migration uses it: whatever the log says is
 * copied, and when the processors stand still for a moment after a last round, the copy has
 * to be equal.  A write that the log missed, or that went past it through a stale
 * translation, is a page that differs.  Ageing, unmaps and fast zaps go on meanwhile.
 *
 * HOSTED_STRESS_MS is how long each variant and style runs (default 150).
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ktap.h"
#include "mm/port.h"
#include "world.h"

#define CHUNK   512ul
#define PAGES   (2 * CHUNK)
#define WRITERS 3
#define BURST   64

static struct world w;
static enum mmu_dirty_style style;
static unsigned flags;
static _Atomic bool stop, pause;
static _Atomic unsigned paused;
static uint64_t copy[PAGES][WRITERS];
static uint64_t bits[PAGES / 64];

/* ---- processors ------------------------------------------------------------------------ */

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void stand_still(void)
{
	atomic_fetch_add(&paused, 1);
	while (atomic_load(&pause))
		port_resched();
	atomic_fetch_sub(&paused, 1);
}

/* Writes one after the other without leaving guest mode, as long as nobody kicks. */
static bool burst(struct fake_cpu *cpu, uint64_t *seed, struct page_fault *pf)
{
	for (unsigned i = 0; i < BURST && !fake_cpu_kicked(cpu); i++) {
		gfn_t gfn = next_random(seed) % 4 ? *seed % 16 * 61 : *seed % PAGES;
		uint64_t value = *seed;

		if (!fake_cpu_access(cpu, gfn * PAGE_SIZE + cpu->mmu.id * 8, ACC_W, &value, pf))
			return false;
	}
	return true;
}

static void *writer(void *arg)
{
	struct fake_cpu *cpu = arg;
	uint64_t seed = 0x9e3779b97f4a7c15ul + cpu->mmu.id;
	struct page_fault pf;

	while (!atomic_load(&stop)) {
		if (!fake_cpu_enter(cpu))
			port_bug(__FILE__, __LINE__, "no memory for a root");
		bool ok = burst(cpu, &seed, &pf);

		fake_cpu_exit(cpu);
		if (!ok && mmu_page_fault(&cpu->mmu, &pf) == MMU_PF_NOMEM)
			port_bug(__FILE__, __LINE__, "out of memory");
		if (atomic_load(&pause))
			stand_still();
	}
	return NULL;
}

/* ---- what goes on beside them ------------------------------------------------------------ */

static void *troubler(void *arg)
{
	uint64_t seed = 42, young;

	while (!atomic_load(&stop)) {
		gfn_t gfn = next_random(&seed) % PAGES;

		mmu_age(w.vm, 0, PAGES, &young);
		if (seed % 8 == 1)
			mmu_unmap(w.vm, gfn, 1 + seed % (PAGES - gfn), MMU_MAY_BLOCK);
		if (seed % 32 == 2)
			mmu_zap_all(w.vm);
		mmu_work_step(w.vm);
		port_resched();
	}
	return NULL;
}

/* ---- the migration ----------------------------------------------------------------------- */

static void copy_page(gfn_t gfn)
{
	if (mmu_read_guest(w.vm, gfn * PAGE_SIZE, copy[gfn], sizeof(copy[gfn])))
		port_bug(__FILE__, __LINE__, "guest memory cannot be read");
}

static void copy_round(bool in_two)
{
	uint64_t dirty;

	CHECK_EQ(mmu_dirty_get(w.vm, 0, 0, PAGES, !in_two, bits, &dirty), 0);
	if (in_two)
		CHECK_EQ(mmu_dirty_clear(w.vm, 0, 0, PAGES, bits), 0);
	for (gfn_t gfn = 0; gfn < PAGES; gfn++)
		if (bits[gfn / 64] >> (gfn % 64) & 1)
			copy_page(gfn);
}

static void compare(void)
{
	uint64_t now[WRITERS];

	for (gfn_t gfn = 0; gfn < PAGES; gfn++) {
		mmu_read_guest(w.vm, gfn * PAGE_SIZE, now, sizeof(now));
		if (memcmp(now, copy[gfn], sizeof(now)))
			ktap_fail(__FILE__, __LINE__,
				  "%s, style %d, flags %u: the log missed a write to gfn 0x%lx",
				  w.cfg.name, style, flags, gfn);
	}
}

/* Everybody stands still, and what was written since the last round is copied. */
static void last_round(void)
{
	atomic_store(&pause, true);
	while (atomic_load(&paused) < WRITERS)
		port_resched();
	copy_round(false);
	compare();
	atomic_store(&pause, false);
	while (atomic_load(&paused))
		port_resched();
}

static void migrate(void)
{
	const char *ms = getenv("HOSTED_STRESS_MS");
	uint64_t end = port_clock() + (ms ? (unsigned)atoi(ms) : 150) * 1000000ul;

	CHECK_EQ(mmu_dirty_start(w.vm, 0, style, flags), 0);
	/* Whatever was written until then is copied first. */
	for (gfn_t gfn = 0; gfn < PAGES; gfn++)
		copy_page(gfn);
	for (unsigned i = 0; i < 4 || port_clock() < end; i++) {
		copy_round(i % 2);
		if (i % 4 == 3)
			last_round();
		world_audit(&w);
	}
	CHECK_EQ(mmu_dirty_stop(w.vm, 0), 0);
}

static void run(const struct world_variant *v)
{
	struct mmu_config cfg = world_config(v);
	pthread_t threads[WRITERS + 1];

	if (style != MMU_DIRTY_WRPROT && !v->hw_ad)
		return;
	cfg.pml = cfg.hw_ad;
	world_open_config(&w, &cfg, PAGES);
	atomic_store(&stop, false);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_create(&threads[i], NULL, writer, &w.cpu[i]);
	pthread_create(&threads[WRITERS], NULL, troubler, NULL);
	migrate();
	atomic_store(&stop, true);
	for (unsigned i = 0; i <= WRITERS; i++)
		pthread_join(threads[i], NULL);
	CHECK(world_stats(&w).dirty_logged > 0);
	world_close(&w);
}

static void test_wrprot(void)
{
	style = MMU_DIRTY_WRPROT;
	for (flags = 0; flags < 4; flags += 3)
		world_for_each(run);
}

static void test_dbit(void)
{
	style = MMU_DIRTY_DBIT;
	flags = MMU_DIRTY_ALL_SET;
	world_for_each(run);
}

static void test_pml(void)
{
	style = MMU_DIRTY_PML;
	flags = MMU_DIRTY_NO_SPLIT;
	world_for_each(run);
}

static const struct ktap_test tests[] = { KTAP(test_wrprot), KTAP(test_dbit), KTAP(test_pml) };

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
