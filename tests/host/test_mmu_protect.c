/* SPDX-License-Identifier: GPL-2.0-only */
/* mmu_protect(): what the guest may do, which stays with the pages. */
#include <pthread.h>

#include "ktap.h"
#include "mm/backing.h"
#include "mm/port.h"
#include "world.h"

#define CHUNK 512ul
#define ACC_RX (ACC_R | ACC_X)

static struct world w;

static enum mmu_pf_result touch(gfn_t gfn, unsigned access)
{
	uint64_t value = 0x77;

	return fake_cpu_touch(&w.cpu[0], gfn * PAGE_SIZE + 8, access, &value);
}

static bool has_2m(const struct world_variant *v)
{
	return v->max_leaf_level >= PG_LEVEL_2M;
}

static void open_used(const struct world_variant *v, uint64_t npages)
{
	world_open(&w, v, npages);
	for (gfn_t gfn = 0; gfn < npages; gfn++)
		world_write(&w, gfn, 0, gfn + 1);
}

static void read_only(const struct world_variant *v)
{
	uint64_t value = 0xabc, flushes;

	open_used(v, 3 * CHUNK);
	CHECK_EQ(mmu_protect(w.vm, 0, 1, ACC_R, 0), -EINVAL);
	CHECK_EQ(mmu_protect(w.vm, 0, 1, ACC_W, 0), -EINVAL);
	CHECK_EQ(mmu_protect(w.vm, 0, 1, 0x10 | ACC_RWX, 0), -EINVAL);
	CHECK_EQ(mmu_protect(w.vm, 3 * CHUNK - 1, 2, 0, 0), -ENOENT);
	CHECK_EQ(mmu_protect(w.vm, 0, 0, 0, 0), -EINVAL);
	CHECK_EQ(mmu_protect(w.vm, 5, ~0ul, 0, 0), -EINVAL);
	CHECK_EQ(mmu_protection(w.vm, 3 * CHUNK), -ENOENT);
	CHECK_EQ(mmu_protection(w.vm, 7), ACC_RWX);

	/* From the middle of one chunk to the end of another. */
	CHECK_EQ(mmu_protect(w.vm, CHUNK / 2, CHUNK + CHUNK / 2, ACC_RX, 0), 0);
	world_audit(&w);
	/* The whole chunk kept its leaf, with less access. */
	CHECK_EQ(world_stats(&w).pages_2m, has_2m(v) ? 2 : 0);
	CHECK_EQ(mmu_protection(w.vm, CHUNK / 2 - 1), ACC_RWX);
	CHECK_EQ(mmu_protection(w.vm, CHUNK / 2), ACC_RX);
	CHECK_EQ(touch(CHUNK / 2 - 1, ACC_W), MMU_PF_FIXED);
	CHECK_EQ(touch(CHUNK / 2, ACC_W), MMU_PF_PROTECTED);
	CHECK_EQ(touch(CHUNK / 2, ACC_X), MMU_PF_FIXED);
	CHECK_EQ(touch(2 * CHUNK - 1, ACC_W), MMU_PF_PROTECTED);
	CHECK_EQ(touch(2 * CHUNK, ACC_W), MMU_PF_FIXED);
	CHECK(world_stats(&w).pf_protected >= 2);
	CHECK(world_stats(&w).protect_leaf >= 1);
	for (gfn_t gfn = 0; gfn < 3 * CHUNK; gfn++)
		CHECK_EQ(world_read(&w, gfn, 0), gfn + 1);
	/* The hypervisor may all the same; and mappings that come back are no wider. */
	CHECK_EQ(mmu_write_guest(w.vm, CHUNK * PAGE_SIZE, &value, 8), 0);
	CHECK_EQ(mmu_unmap(w.vm, 0, 3 * CHUNK, 0), 0);
	CHECK_EQ(touch(CHUNK, ACC_W), MMU_PF_PROTECTED);
	CHECK_EQ(world_read(&w, CHUNK, 0), 0xabc);
	/* Twice the same changes nothing, and flushes nothing. */
	flushes = world_stats(&w).tlb_flush;
	CHECK_EQ(mmu_protect(w.vm, CHUNK, CHUNK, ACC_RX, 0), 0);
	CHECK_EQ(world_stats(&w).tlb_flush, flushes);

	/* All of it again: the next write gets through, and huge pages are back. */
	CHECK_EQ(mmu_protect(w.vm, 0, 3 * CHUNK, ACC_RWX, MMU_MAY_BLOCK), 0);
	for (gfn_t gfn = 0; gfn < 3 * CHUNK; gfn++)
		CHECK_EQ(touch(gfn, ACC_W), MMU_PF_FIXED);
	CHECK_EQ(mmu_unmap(w.vm, 0, 3 * CHUNK, 0), 0);
	CHECK_EQ(touch(5, ACC_W), MMU_PF_FIXED);
	CHECK_EQ(world_stats(&w).pages_2m, has_2m(v) ? 1 : 0);
	world_close(&w);
}

static void test_read_only(void)
{
	world_for_each(read_only);
}

static void none(const struct world_variant *v)
{
	uint64_t changed;

	open_used(v, 2 * CHUNK);
	CHECK_EQ(mmu_protect(w.vm, 3, CHUNK, 0, MMU_MAY_BLOCK), 0);
	CHECK_EQ(touch(3, ACC_R), MMU_PF_PROTECTED);
	CHECK_EQ(touch(CHUNK + 2, ACC_X), MMU_PF_PROTECTED);
	CHECK_EQ(touch(2, ACC_W), MMU_PF_FIXED);
	CHECK_EQ(touch(CHUNK + 3, ACC_W), MMU_PF_FIXED);
	CHECK_EQ(mmu_protection(w.vm, 3), 0);
	/* It goes with the pages through the balloon, and with the slot. */
	CHECK_EQ(mmu_balloon_out(w.vm, 0, 8, 0, &changed), 0);
	CHECK_EQ(touch(3, ACC_R), MMU_PF_EMULATE);
	CHECK_EQ(mmu_balloon_in(w.vm, 0, 8, 0, &changed), 0);
	CHECK_EQ(changed, 8);
	CHECK_EQ(touch(3, ACC_R), MMU_PF_PROTECTED);
	CHECK_EQ(touch(2, ACC_R), MMU_PF_FIXED);
	CHECK_EQ(mmu_slot_move(w.vm, 0, 16 * CHUNK), 0);
	CHECK_EQ(mmu_protection(w.vm, 16 * CHUNK + 3), 0);
	CHECK_EQ(touch(16 * CHUNK + 3, ACC_R), MMU_PF_PROTECTED);
	CHECK_EQ(world_read(&w, 16 * CHUNK + CHUNK + 3, 0), CHUNK + 3 + 1);
	CHECK_EQ(mmu_protect(w.vm, 16 * CHUNK, 2 * CHUNK, ACC_RX, 0), 0);
	CHECK_EQ(world_read(&w, 16 * CHUNK + CHUNK, 0), CHUNK + 1);
	world_close(&w);
}

static void test_none(void)
{
	world_for_each(none);
}

/* Before anybody touched it: the page that comes is protected, and not huge across an edge. */
static void untouched(const struct world_variant *v)
{
	uint64_t big = 1ul << 20;

	world_open(&w, v, big);
	uint64_t pages = hosted_pages_used();

	CHECK_EQ(mmu_protect(w.vm, 100, big - 200, ACC_RX, 0), 0);
	CHECK(hosted_pages_used() <= pages + 6);
	CHECK_EQ(touch(50, ACC_W), MMU_PF_FIXED);
	CHECK_EQ(touch(100, ACC_W), MMU_PF_PROTECTED);
	CHECK_EQ(touch(100, ACC_R), MMU_PF_FIXED);
	CHECK_EQ(touch(CHUNK, ACC_R), MMU_PF_FIXED);
	CHECK_EQ(touch(CHUNK + 1, ACC_W), MMU_PF_PROTECTED);
	CHECK_EQ(world_stats(&w).pages_2m, has_2m(v) ? 1 : 0);
	CHECK_EQ(mmu_protect(w.vm, 0, big, ACC_RWX, 0), 0);
	CHECK_EQ(touch(CHUNK + 1, ACC_W), MMU_PF_FIXED);
	world_close(&w);
}

static void test_untouched(void)
{
	world_for_each(untouched);
}

/* Dirty and Accessed that a leaf knew are the page's when the leaf loses write access or goes. */
static void state(const struct world_variant *v)
{
	struct backing_page page;

	world_open(&w, v, CHUNK);
	CHECK_EQ(touch(4, ACC_W), MMU_PF_FIXED);
	CHECK_EQ(mmu_protect(w.vm, 0, CHUNK, 0, 0), 0);
	read_lock(&w.vm->mmu_lock);
	CHECK_EQ(backing_lookup(w.vm, 4, &page), 0);
	read_unlock(&w.vm->mmu_lock);
	CHECK(page.dirty && page.accessed);
	CHECK_EQ(page.access, 0);
	world_close(&w);
}

static void test_state(void)
{
	world_for_each(state);
}

static void protect_script(void)
{
	for (unsigned i = 0; i < 3; i++) {
		int err = mmu_protect(w.vm, 5 + i, CHUNK + i, i % 2 ? 0 : ACC_RX, 0);

		CHECK(!err || (err == -ENOMEM && hosted_failed()));
		CHECK_EQ(mmu_protection(w.vm, 4), ACC_RWX);
		world_audit(&w);
	}
}

static void no_memory(const struct world_variant *v)
{
	uint64_t n = 0;

	do {
		world_open(&w, v, 2 * CHUNK);
		world_write(&w, 6, 0, 1);
		hosted_fail_at(n++, false);
		protect_script();
		hosted_fail_off();
		world_close(&w);
	} while (hosted_failed());
	CHECK(n > 6);
}

static void test_no_memory(void)
{
	world_for_each(no_memory);
}

/* ---- threads ------------------------------------------------------------------------ */

static _Atomic bool stop;
static _Atomic uint64_t allowed; /* writes may get through */

/* No write gets through after mmu_protect() has returned, and before it is allowed again. */
static void *writer(void *arg)
{
	struct fake_cpu *cpu = arg;
	uint64_t value, n = 0;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		gfn_t gfn = n++ % 32;
		uint64_t before = atomic_load(&allowed);

		value = n;
		enum mmu_pf_result r = fake_cpu_touch(cpu, gfn * PAGE_SIZE, ACC_W, &value);

		if (r == MMU_PF_FIXED && !(before & 1) && atomic_load(&allowed) == before)
			port_bug(__FILE__, __LINE__, "a write got through the protection");
		if (r != MMU_PF_FIXED && r != MMU_PF_PROTECTED)
			port_bug(__FILE__, __LINE__, "neither written nor protected");
	}
	return NULL;
}

static void threads(const struct world_variant *v)
{
	pthread_t t[3];

	open_used(v, CHUNK);
	atomic_store(&stop, false);
	atomic_store(&allowed, 1);
	for (unsigned i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, writer, &w.cpu[i]);
	for (unsigned i = 0; i < 8; i++) {
		CHECK_EQ(mmu_protect(w.vm, 0, i % 2 ? CHUNK : 32, ACC_RX, MMU_MAY_BLOCK), 0);
		atomic_fetch_add(&allowed, 1);
		for (unsigned k = 0; k < 5; k++)
			port_resched();
		atomic_fetch_add(&allowed, 1);
		CHECK_EQ(mmu_protect(w.vm, 0, CHUNK, ACC_RWX, MMU_MAY_BLOCK), 0);
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

static const struct ktap_test tests[] = {
	KTAP(test_read_only), KTAP(test_none),      KTAP(test_untouched),
	KTAP(test_state),     KTAP(test_no_memory), KTAP(test_threads),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
