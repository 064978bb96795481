/* SPDX-License-Identifier: GPL-2.0-only */
/* Migration of pages, the dump, and what the MMU says of itself. */
#include <pthread.h>
#include <string.h>

#include "ktap.h"
#include "mm/backing.h"
#include "mm/port.h"
#include "world.h"

#define CHUNK 512ul

static struct world w;

static hpa_t page_of(gfn_t gfn)
{
	struct backing_page page;

	read_lock(&w.vm->mmu_lock);
	int err = backing_lookup(w.vm, gfn, &page);

	read_unlock(&w.vm->mmu_lock);
	return err ? HPA_INVALID : (page.pfn.n + gfn - page.gfn) << PAGE_SHIFT;
}

static void migrate(const struct world_variant *v)
{
	static hpa_t old[2 * CHUNK];
	uint64_t changed;

	world_open(&w, v, 2 * CHUNK);
	for (gfn_t gfn = 0; gfn < 2 * CHUNK; gfn++) {
		world_write(&w, gfn, 9, gfn + 1);
		old[gfn] = page_of(gfn);
	}
	CHECK_EQ(mmu_balloon_out(w.vm, 70, 3, 0, &changed), 0);
	CHECK_EQ(mmu_protect(w.vm, 80, 1, ACC_R | ACC_X, 0), 0);
	CHECK_EQ(mmu_migrate(w.vm, 0, 2 * CHUNK + 1, 0, &changed), -ENOENT);
	CHECK_EQ(changed, 0);
	CHECK_EQ(mmu_migrate(w.vm, 0, 0, 0, &changed), -EINVAL);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(mmu_migrate(w.vm, 5, CHUNK + 50, i ? MMU_MAY_BLOCK : 0, &changed), 0);
		CHECK_EQ(changed, CHUNK + 47);
		world_audit(&w);
		for (gfn_t gfn = 0; gfn < 2 * CHUNK; gfn++) {
			bool gone = gfn >= 70 && gfn < 73, moved = gfn >= 5 && gfn < CHUNK + 55;

			if (gone)
				continue;
			CHECK_EQ(page_of(gfn) == old[gfn], !moved);
			CHECK_EQ(world_read(&w, gfn, 9), gfn + 1);
			old[gfn] = page_of(gfn);
		}
	}
	CHECK_EQ(world_stats(&w).migrated, 2 * (CHUNK + 47));
	CHECK_EQ(world_stats(&w).backing_pages, 2 * CHUNK - 3);
	CHECK_EQ(mmu_protection(w.vm, 80), ACC_R | ACC_X);
	CHECK_EQ(world_touch(&w, 80, ACC_W), MMU_PF_PROTECTED);
	world_close(&w);
}

static void test_migrate(void)
{
	world_for_each(migrate);
}

/* A prefix may be done, contents are there whatever happens. */
static void no_memory(const struct world_variant *v)
{
	uint64_t n = 0, changed;
	int err;

	do {
		world_open(&w, v, CHUNK);
		for (gfn_t gfn = 0; gfn < 70; gfn++)
			world_write(&w, gfn, 0, gfn + 1);
		hosted_fail_at(n, n % 2);
		n += 5;
		err = mmu_migrate(w.vm, 0, 70, 0, &changed);
		hosted_fail_off();
		CHECK(!err ? changed == 70 : err == -ENOMEM && hosted_failed() && changed < 70);
		for (gfn_t gfn = 0; gfn < 70; gfn++)
			CHECK_EQ(world_read(&w, gfn, 0), gfn + 1);
		world_close(&w);
	} while (hosted_failed());
	CHECK(n > 50);
}

static void test_no_memory(void)
{
	world_for_each(no_memory);
}

/* ---- beside accesses ------------------------------------------------------------------ */

static _Atomic bool stop;

static void *writer(void *arg)
{
	struct fake_cpu *cpu = arg;
	uint64_t last[8] = { 0 }, value, n = 0;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		gfn_t gfn = n++ % 8;
		gpa_t gpa = gfn * PAGE_SIZE + cpu->mmu.id * 8;

		if (fake_cpu_touch(cpu, gpa, ACC_R, &value) != MMU_PF_FIXED || value != last[gfn])
			port_bug(__FILE__, __LINE__, "a write was lost by migration");
		last[gfn] = value = n;
		if (fake_cpu_touch(cpu, gpa, ACC_W, &value) != MMU_PF_FIXED)
			port_bug(__FILE__, __LINE__, "a page could not be written");
	}
	return NULL;
}

static void threads(const struct world_variant *v)
{
	pthread_t t[3];
	uint64_t changed;

	world_open(&w, v, CHUNK);
	atomic_store(&stop, false);
	for (unsigned i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, writer, &w.cpu[i]);
	for (unsigned i = 0; i < 16; i++) {
		CHECK_EQ(mmu_migrate(w.vm, 0, 16, i % 2 ? MMU_MAY_BLOCK : 0, &changed), 0);
		port_resched();
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	world_close(&w);
}

static void test_threads(void)
{
	world_for_each(threads);
}

/* ---- text ---------------------------------------------------------------------------------- */

static unsigned lines, leaves, tables, roots, mmio;

static void emit(void *ctx, const char *line)
{
	CHECK(ctx == &w);
	lines++;
	leaves += strstr(line, " leaf pfn 0x") != NULL;
	tables += strstr(line, " table 0x") != NULL;
	mmio += strstr(line, " mmio 0x") != NULL;
	roots += !strncmp(line, "root 0x", 7);
}

static void dump(const struct world_variant *v)
{
	struct mmu_mode mode;

	world_open(&w, v, CHUNK);
	hosted_deny_2m(true);
	for (gfn_t gfn = 0; gfn < 10; gfn++)
		world_write(&w, gfn, 0, 1);
	CHECK_EQ(world_touch(&w, CHUNK + 3, ACC_R), MMU_PF_EMULATE);
	mmu_zap_all(w.vm);
	world_write(&w, 3, 0, 1);
	lines = leaves = tables = roots = mmio = 0;
	mmu_dump(w.vm, 2, 4, emit, &w);
	CHECK_EQ(roots, 2);
	CHECK_EQ(leaves, 5);
	CHECK_EQ(tables, 2 * (v->root_level - 1u));
	CHECK_EQ(lines, roots + leaves + tables);
	mmu_dump(w.vm, CHUNK, ~0ul, emit, &w);
	CHECK_EQ(mmio, 1);
	mmu_dump(w.vm, ~0ul, 5, emit, &w);
	mmu_mode_read(w.vm, &mode);
	CHECK_EQ(mode.root_level, v->root_level);
	CHECK_EQ(mode.max_leaf_level, v->max_leaf_level);
	CHECK_EQ(mode.hw_ad, v->hw_ad);
	CHECK_STR(mode.format, v->format == MMU_FORMAT_EPT ? "ept" : "npt");
	world_close(&w);
}

static void test_dump(void)
{
	world_for_each(dump);
}

static const struct ktap_test tests[] = {
	KTAP(test_migrate), KTAP(test_no_memory), KTAP(test_threads), KTAP(test_dump),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
