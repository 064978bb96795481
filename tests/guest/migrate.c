/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Other host pages behind the kernel's memory, its own code and stack included: contents stay.
 * mib=N: how much memory, rounds=N: how often.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/region.h"

static struct region region;
static uint32_t rounds = 200;

static long migrate(uint64_t gpa, uint64_t bytes, unsigned flags)
{
	return hypercall(PHYLLO_HC_MIGRATE, gpa, bytes, flags, 0);
}

static void whole(unsigned flags)
{
	unsigned long long backing = stat_read("backing_pages"), moved = stat_read("migrated");

	CHECK_EQ(migrate(region.base, region.pages * PAGE_SIZE, flags), region.pages);
	CHECK_EQ(stat_read("migrated"), moved + region.pages);
	CHECK_EQ(stat_read("backing_pages"), backing);
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

static void test_whole_region(void)
{
	whole(0);
	whole(PHYLLO_MAY_BLOCK);
	whole(0);
}

static void test_under_writes(void)
{
	for (unsigned i = 0; i < rounds; i++) {
		unsigned page = random32() % region.pages, n = random32() % 32 + 1;

		if (n > region.pages - page)
			n = region.pages - page;
		region_fill(&region, page, random32() | 1);
		CHECK_EQ(migrate(region.base + page * PAGE_SIZE, n * PAGE_SIZE, i & 1), n);
		region_verify(&region, page + n - 1);
		region_fill(&region, page + n / 2, random32() | 1);
	}
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

/* The code that asks, its stack and its tables. */
static void test_kernel_itself(void)
{
	extern char image_start[], image_end[];
	uint64_t base = (uintptr_t)image_start & ~(PAGE_SIZE - 1);
	uint64_t end = ((uintptr_t)image_end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);

	for (unsigned i = 0; i < 10; i++)
		CHECK(migrate(base, end - base, i & 1) > 0);
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

/* Pages that were never touched have nothing to move. */
static void test_untouched(void)
{
	uint64_t gpa = ram_take(SIZE_2M, SIZE_2M);

	CHECK(gpa != 0);
	CHECK_EQ(migrate(gpa, SIZE_2M, 0), 0);
	CHECK_EQ(*(volatile uint64_t *)gpa, 0);
	CHECK(migrate(gpa, SIZE_2M, 0) > 0);
	CHECK_EQ(*(volatile uint64_t *)(gpa + SIZE_2M - 8), 0);
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_whole_region),
	KTAP(test_under_writes),
	KTAP(test_kernel_itself),
	KTAP(test_untouched),
};

int guest_main(void)
{
	uint32_t mib = 6;

	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	info_number("mib", &mib);
	info_number("rounds", &rounds);
	region_take(&region, (uint64_t)mib << 20);
	return KTAP_MAIN(tests);
}
