/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the operations on ranges cost per 4K page, over a slot of mib=N MiB (1024) mapped by 4K pages.  `make bench`
 * runs it with max_page=4k; what is mapped at its end is what vm.destroy has to take down.
 */
#include "tests/guest/lib/bench.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/x86.h"

#define ID 3ul
#define PLACE_A 0x80000000ul /* above all RAM of this kernel */
#define PLACE_B 0xc0000000ul
#define ROUNDS 2 /* under icount more say the same */

static struct bench b;
static uint64_t base = PLACE_A, bytes, pages;
static uint64_t *bitmap;
static uint64_t metadata_before;

static void touch_all(void)
{
	for (uint64_t at = base; at < base + bytes; at += PAGE_SIZE)
		*(volatile uint64_t *)at = at;
}

/* One sample: an operation over the whole range, per page. */
#define SAMPLE_PER_PAGE(call, want)                              \
	do {                                                     \
		uint64_t start = rdtsc();                        \
		long got = call;                                 \
		uint64_t ticks = rdtsc() - start;                \
                                                                 \
		CHECK_EQ(got, want);                             \
		bench_add(&b, ticks / pages);                    \
	} while (0)

/*
 * Of nested paging the tables.  Of shadow paging also reverse maps and all else that the MMU keeps: here what the
 * hypervisor has taken altogether, without the pages behind the guest's memory and without the tree that finds
 * them, a page for each 2M, which stands for page tables of KVM's host that its figure does not contain either.
 */
static uint64_t metadata(void)
{
	unsigned long long all = stat_read("mmu_bytes");
	uint64_t guests = stat_read("backing_pages");

	if (all != STAT_NONE)
		return all;
	if (!bench_shadowed())
		return stat_read("mmu_tables") * PAGE_SIZE;
	all = stat_read("host_total_pages") - stat_read("host_free_pages");
	return (all - guests - guests / 512) * PAGE_SIZE;
}

/* The first test, because what an MMU has taken once it may keep. */
static void test_memory(void)
{
	touch_all();
	CHECK(mapped_pages() >= pages);
	bench_say_value(bench_by_mode("mem"), "KiB",
			(metadata() - metadata_before) / 1024 * SIZE_1G / bytes);
}

/* The last round finds nothing mapped: of KVM's figure that much is its host's, which has tables of its own. */
static void test_unmap(void)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		touch_all();
		CHECK(mapped_pages() >= pages);
		SAMPLE_PER_PAGE(unmap(base, bytes), 0);
	}
	CHECK(mapped_pages() < pages);
	bench_say(&b, "zap.unmap.page", BENCH_MEDIAN);
	SAMPLE_PER_PAGE(unmap(base, bytes), 0);
	bench_say(&b, "zap.unmap.host", BENCH_MEDIAN);
}

static long protect_all(unsigned how)
{
	return protect(base, bytes, how | PHYLLO_MAY_BLOCK);
}

static void test_protect(void)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		touch_all();
		SAMPLE_PER_PAGE(protect_all(PHYLLO_PROTECT_RO), 0);
		CHECK_EQ(protect_all(PHYLLO_PROTECT_RW), 0);
	}
	bench_say(&b, "zap.protect.page", BENCH_MEDIAN);
	CHECK_EQ(unmap(base, bytes), 0);
	SAMPLE_PER_PAGE(protect_all(PHYLLO_PROTECT_RO), 0);
	CHECK_EQ(protect_all(PHYLLO_PROTECT_RW), 0);
	bench_say(&b, "zap.protect.host", BENCH_MEDIAN);
}

static void test_dirty(void)
{
	struct bench get = bench_new(ROUNDS);

	for (unsigned i = 0; i < ROUNDS; i++) {
		touch_all();
		SAMPLE_PER_PAGE(hypercall(PHYLLO_HC_DIRTY_START, ID, PHYLLO_DIRTY_STYLE_WRPROT, 0,
					  0), 0);
		touch_all();
		uint64_t start = rdtsc();
		long dirty = dirty_get(ID, 0, pages, bitmap, PHYLLO_DIRTY_GET_CLEAR);

		bench_add(&get, (rdtsc() - start) / pages);
		CHECK_EQ(dirty, pages);
		CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_STOP, ID, 0, 0, 0), 0);
	}
	bench_say(&b, "dirty.enable.page", BENCH_MEDIAN);
	bench_say(&get, "dirty.get.page", BENCH_MEDIAN);
}

static void test_age(void)
{
	if (hypercall(PHYLLO_HC_TEST_AGE, base, bytes, 0, 0) == PHYLLO_ENOSYS) {
		ktap_skip("nothing here ages pages");
		return;
	}
	for (unsigned i = 0; i < ROUNDS; i++) {
		tlb_flush();
		touch_all();
		SAMPLE_PER_PAGE(hypercall(PHYLLO_HC_AGE, base, bytes, 0, 0), pages);
	}
	bench_say(&b, "age.page", BENCH_MEDIAN);
}

/* The pages stay and are moved, or go with the slot. */
static void test_slot(void)
{
	struct bench del = bench_new(ROUNDS);

	for (unsigned i = 0; i < ROUNDS; i++) {
		touch_all();
		SAMPLE_PER_PAGE(slot_move(ID, PLACE_B), 0);
		CHECK_EQ(slot_move(ID, PLACE_A), 0);
		touch_all();
		uint64_t start = rdtsc();
		long err = slot_delete(ID);

		bench_add(&del, (rdtsc() - start) / pages);
		CHECK_EQ(err, 0);
		CHECK_EQ(slot_create(ID, PLACE_A, bytes, 0), 0);
	}
	bench_say(&b, "zap.slotmove.page", BENCH_MEDIAN);
	bench_say(&del, "zap.slot.page", BENCH_MEDIAN);
}

static const struct ktap_test tests[] = {
	KTAP(test_memory),
	KTAP(test_unmap),
	KTAP(test_protect),
	KTAP(test_dirty),
	KTAP(test_age),
	KTAP(test_slot),
};

int guest_main(void)
{
	uint32_t mib = 1024;

	info_number("mib", &mib);
	bytes = (uint64_t)mib << 20;
	pages = bytes / PAGE_SIZE;
	b = bench_new(ROUNDS);
	bitmap = (uint64_t *)ram_take(pages / 8, PAGE_SIZE);
	bench_map_small(base, bytes);
	metadata_before = metadata();
	if (!bitmap || slot_create(ID, base, bytes, 0))
		guest_die("no slot of %u MiB", mib);
	int failed = KTAP_MAIN(tests);

	touch_all();
	return failed;
}
