/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Everything unmapped at once, again and again, while the kernel writes: nothing is lost, and the
 * hypervisor's deferred work catches up.  mib=N: how much memory, rounds=N: how often.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

static struct region region;
static uint32_t rounds = 400;

static void test_contents_stay(void)
{
	unsigned long long backing = stat_read("backing_pages");
	unsigned long long roots = stat_read("root_invalidated");

	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQ(zap_all(), 0);
		region_verify_all(&region);
	}
	CHECK_EQ(stat_read("backing_pages"), backing);
	CHECK(stat_read("root_invalidated") >= roots + 3);
	CHECK_EQ(audit(), 0);
}

static void test_under_writes(void)
{
	for (unsigned i = 0; i < rounds; i++) {
		unsigned page = random32() % region.pages;

		region_fill(&region, page, random32() | 1);
		CHECK_EQ(zap_all(), 0);
		region_verify(&region, page);
		region_fill(&region, random32() % region.pages, random32() | 1);
		if (i % 64 == 63)
			CHECK_EQ(audit(), 0);
	}
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

/* Twice without a step in between, and nothing mapped in between. */
static void test_twice(void)
{
	for (unsigned i = 0; i < 20; i++) {
		zap_all();
		CHECK_EQ(zap_all(), 0);
	}
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

static unsigned long long tables_before;

static bool few_tables(void)
{
	return stat_read("mmu_tables") <= tables_before;
}

/* The tables of the old roots are freed. */
static void test_old_tables_go(void)
{
	region_verify_all(&region);
	if (!work_wait(few_tables, 1))
		tables_before = stat_read("mmu_tables") + 16;
	for (unsigned i = 0; i < 10; i++) {
		zap_all();
		region_verify_all(&region);
	}
	if (!work_wait(few_tables, 50000))
		ktap_fail(__FILE__, __LINE__, "%llu tables are left, of at most %llu",
			  stat_read("mmu_tables"), tables_before);
	CHECK_EQ(audit(), 0);
}

/* Beside the other operations on the same pages. */
static void test_with_others(void)
{
	uint64_t bytes = region.pages * PAGE_SIZE;

	for (unsigned i = 0; i < rounds / 8; i++) {
		unsigned page = random32() % region.pages;
		uint64_t gpa = region.base + page * PAGE_SIZE;

		zap_all();
		unmap(gpa, PAGE_SIZE);
		region_verify(&region, page);
		zap_all();
		hypercall(PHYLLO_HC_AGE, region.base, bytes, 0, 0);
		region_fill(&region, page, random32() | 1);
		zap_all();
		CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_OUT, gpa, PAGE_SIZE, 0, 0), 1);
		CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_IN, gpa, PAGE_SIZE, 0, 0), 1);
		region.salt[page] = 0;
		region_verify(&region, page);
	}
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_contents_stay), KTAP(test_under_writes), KTAP(test_twice),
	KTAP(test_old_tables_go), KTAP(test_with_others),
};

int guest_main(void)
{
	uint32_t mib = 8;

	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	info_number("mib", &mib);
	info_number("rounds", &rounds);
	region_take(&region, (uint64_t)mib << 20);
	return KTAP_MAIN(tests);
}
