/* SPDX-License-Identifier: GPL-2.0-only */
/* Unmapping: the mappings go, the contents stay. */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define ROUNDS 5000

static struct region region;

static long unmap(unsigned page, unsigned n, unsigned flags)
{
	return hypercall(PHYLLO_HC_UNMAP, region.base + page * PAGE_SIZE, n * PAGE_SIZE, flags, 0);
}

static unsigned long long mapped_pages(void)
{
	return stat_read("pages_4k") + 512 * stat_read("pages_2m") +
	       512 * 512 * stat_read("pages_1g");
}

static void whole(unsigned flags)
{
	unsigned long long zapped = stat_read("zap_leaf"), mapped = mapped_pages();
	unsigned long long backing = stat_read("backing_pages"), faults = stat_read("pf_taken");

	CHECK_EQ(unmap(0, region.pages, flags), 0);
	CHECK(mapped_pages() + region.pages <= mapped);
	CHECK(stat_read("zap_leaf") > zapped);
	CHECK_EQ(stat_read("backing_pages"), backing);
	region_verify_all(&region);
	CHECK(stat_read("pf_taken") > faults);
	CHECK_EQ(stat_read("backing_pages"), backing);
	CHECK_EQ(audit(), 0);
}

static void test_contents_stay(void)
{
	if (ktap_need_phyllo())
		whole(0);
}

static void test_contents_stay_may_block(void)
{
	if (ktap_need_phyllo())
		whole(PHYLLO_MAY_BLOCK);
}

static void test_unmapped_twice(void)
{
	if (!ktap_need_phyllo())
		return;
	CHECK_EQ(unmap(0, region.pages, 0), 0);
	CHECK_EQ(unmap(0, region.pages, PHYLLO_MAY_BLOCK), 0);
	region_verify_all(&region);
}

/* A write after an unmap must reach the same page, and a write before it must not be lost. */
static void test_writes_around_it(void)
{
	if (!ktap_need_phyllo())
		return;
	for (unsigned i = 0; i < region.pages; i += 37) {
		region_fill(&region, i, random32() | 1);
		CHECK_EQ(unmap(i, 1, 0), 0);
		region_verify(&region, i);
		CHECK_EQ(unmap(i, 1, 0), 0);
		region_fill(&region, i, random32() | 1);
		CHECK_EQ(unmap(i, 1, PHYLLO_MAY_BLOCK), 0);
	}
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

static void test_shifting_ranges(void)
{
	if (!ktap_need_phyllo())
		return;
	for (unsigned round = 0, rounds = info_number_or("rounds", ROUNDS); round < rounds; round++) {
		unsigned page = round * 7 % region.pages;
		unsigned n = 1 + round % (region.pages - page);
		unsigned probe = page + random32() % n;

		CHECK_EQ(unmap(page, n, round & 1 ? PHYLLO_MAY_BLOCK : 0), 0);
		region_verify(&region, probe);
		if (round % 16 == 0)
			region_fill(&region, probe, random32() | 1);
	}
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

/* The code that asks, its stack and its tables may lie inside the range. */
static void test_all_memory(void)
{
	if (!ktap_need_phyllo())
		return;
	for (unsigned i = 0; i < info.ram_count; i++) {
		uint64_t base = (info.ram[i].base + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
		uint64_t end = (info.ram[i].base + info.ram[i].size) & ~(PAGE_SIZE - 1);

		CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, base, end - base, i & 1, 0), 0);
	}
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_contents_stay),
	KTAP(test_contents_stay_may_block),
	KTAP(test_unmapped_twice),
	KTAP(test_writes_around_it),
	KTAP(test_shifting_ranges),
	KTAP(test_all_memory),
};

int guest_main(void)
{
	region_take(&region, 4 * SIZE_2M);
	return KTAP_MAIN(tests);
}
