/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * With nx_huge_pages=on nothing that is mapped large can be executed: executing splits it, and
 * later it comes back, not executable again.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/region.h"

#define RET 0xc3
#define ROUNDS 8

static struct region region;
static unsigned long long large_before;

static void call(unsigned page)
{
	uint8_t *code = (uint8_t *)(region.base + page * PAGE_SIZE + 64);

	*code = RET;
	((void (*)(void))code)();
}

static bool large_again(void)
{
	return large_mappings() >= large_before;
}

static bool need_mitigation(void)
{
	struct phyllo_mmu_mode mode;

	mmu_mode(&mode);
	if (!(mode.flags & PHYLLO_MODE_NX_HUGE_PAGES))
		ktap_skip("nx_huge_pages is off");
	else if (mode.max_level < 2)
		ktap_skip("no large mappings");
	else
		return true;
	return false;
}

static void test_execution_splits(void)
{
	unsigned long long splits;

	if (!need_mitigation())
		return;
	region_verify_all(&region);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned page = random32() % region.pages;

		large_before = large_mappings();
		splits = stat_read("nx_split");
		CHECK(large_before > 0);
		call(page);
		CHECK_EQ(stat_read("nx_split"), splits + 1);
		CHECK(large_mappings() < large_before);
		region_fill(&region, page, random32() | 1);
		region_verify_all(&region);
		CHECK_EQ(audit(), 0);
		CHECK_EQ(hypercall(PHYLLO_HC_NX_RECOVER, 0, 0, 0, 0), 0);
		if (!work_wait(large_again, 20000))
			ktap_fail(__FILE__, __LINE__, "%llu large mappings, not %llu as before",
				  large_mappings(), large_before);
		region_verify_all(&region);
		CHECK_EQ(audit(), 0);
	}
}

/* Without the mitigation execution splits nothing. */
static void test_off(void)
{
	struct phyllo_mmu_mode mode;

	mmu_mode(&mode);
	if (mode.flags & PHYLLO_MODE_NX_HUGE_PAGES) {
		ktap_skip("nx_huge_pages is on");
		return;
	}
	region_verify_all(&region);
	large_before = large_mappings();
	call(5);
	CHECK_EQ(large_mappings(), large_before);
	CHECK_EQ(stat_read("nx_split"), 0);
	region_fill(&region, 5, 1);
}

static const struct ktap_test tests[] = {
	KTAP(test_execution_splits),
	KTAP(test_off),
};

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	region_take(&region, 2 * SIZE_2M);
	return KTAP_MAIN(tests);
}
