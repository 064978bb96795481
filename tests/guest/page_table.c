/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Large mappings, split under a dirty log and put back when it ends, while the pages are used: in the manner of KVM's
 * dirty_log_page_splitting_test and page_table_test.  iterations=N; and those of lib/stress.h.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/stress.h"

#define PAGES_2M 512u
#define PAGES_1G (512u * 512)

static uint32_t iterations;

/* Leaf entries of each size: of the whole VM; the kernel's own change little. */
struct leaves {
	unsigned long long small, large, giant;
};
static struct leaves before;

static struct leaves leaves_now(const char *when)
{
	struct leaves l = { stat_read("pages_4k"), stat_read("pages_2m"), stat_read("pages_1g") };

	printf("# %s: %llu of 4K, %llu of 2M, %llu of 1G\n", when, l.small, l.large, l.giant);
	return l;
}

static bool back_again(void)
{
	return stat_read("pages_2m") >= before.large && stat_read("pages_1g") >= before.giant;
}

static bool need_large(void)
{
	struct phyllo_mmu_mode mode;

	mmu_mode(&mode);
	if (mode.max_level < 2)
		ktap_skip("no large mappings");
	else if (stress.slot_pages < PAGES_2M)
		ktap_skip("the slots are too small for large mappings");
	return mode.max_level >= 2 && stress.slot_pages >= PAGES_2M;
}

static void test_populate(void)
{
	stress_phase("populate memory", stress_write);
	before = leaves_now("populated");
	if (!need_large())
		return;
	CHECK((before.large + before.giant * 512) * PAGES_2M >= stress.pages / PAGES_2M * PAGES_2M);
}

/* With shadow paging faults make what is right at the time; nobody changes what is there. */
static void end_log(void)
{
	CHECK_EQ(stress_dirty_stop(), 0);
	if (mmu_is_shadow())
		CHECK_EQ(unmap(stress.base, stress_bytes()), 0);
	stress_phase("populate again", stress_verify);
	if (!work_wait(back_again, 40000))
		ktap_fail(__FILE__, __LINE__, "%llu large mappings, not %llu as before",
			  large_mappings(), before.large + before.giant);
}

/* At the start of the log all is split. */
static void split_at_once(void)
{
	struct leaves l;

	CHECK_EQ(stress_dirty_start(0, 0), 0);
	stress_generation++;
	stress_phase("dirty memory pass", stress_write);
	l = leaves_now("logged");
	CHECK(l.small >= stress.pages);
	CHECK((before.large - l.large) * PAGES_2M + (before.giant - l.giant) * PAGES_1G >=
	      stress.pages / PAGES_2M * PAGES_2M);
	end_log();
}

static void test_split_at_once(void)
{
	for (unsigned i = 0; i < iterations && need_large(); i++)
		split_at_once();
	stress_verify_all();
	CHECK_EQ(audit(), 0);
}

static void write_one_per_piece(unsigned page)
{
	if (page % PAGES_2M == 0)
		stress_write(page);
}

/* Reads leave the large mappings alone, writes split the ones that they hit. */
static void split_late(void)
{
	unsigned long long splits = stat_read("split");

	CHECK_EQ(stress_dirty_start(PHYLLO_DIRTY_STYLE_WRPROT, PHYLLO_DIRTY_NO_SPLIT), 0);
	stress_phase("read pass", stress_verify);
	CHECK_EQ(stat_read("split"), splits);
	stress_generation++;
	stress_phase("one write per 2M", write_one_per_piece);
	CHECK(mmu_is_shadow() || stat_read("split") > splits);
	leaves_now("written here and there");
	end_log();
}

static void test_split_late(void)
{
	for (unsigned i = 0; i < iterations && need_large(); i++)
		split_late();
	stress_verify_all();
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_populate), KTAP(test_split_at_once), KTAP(test_split_late),
};

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	iterations = info_number_or("iterations", 3);
	stress_init(32, 1);
	return KTAP_MAIN(tests);
}
