/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Each page of the memory under many addresses, in 4K pages of the guest's own tables: all processors write through any
 * of them and verify through any other, while number 0 works on the memory behind.  With shadow paging each alias is a
 * mapping that has to be found when its page goes.
 *
 * mib=N aliases=N rounds=N seed=N
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/storm.h"
#include "tests/guest/lib/x86.h"

#define ALIAS_VA (1ul << 46)

static struct storm storm;
static uint32_t rounds;

static void map_aliases(unsigned aliases)
{
	uint64_t *root = paging_new_root();

	storm.alias_va = ALIAS_VA;
	for (unsigned a = 0; a < aliases; a++)
		for (unsigned i = 0; i < storm.pages; i++)
			paging_map(root, ALIAS_VA + ((uint64_t)a * storm.pages + i) * PAGE_SIZE,
				   storm.base + i * PAGE_SIZE, 1, PTE_W);
	storm.root = (uintptr_t)root;
	storm.aliases = aliases;
}

static void fill_part(void *arg)
{
	write_cr3(storm.root);
	for (unsigned page = this_cpu()->id; page < storm.pages; page += smp_count)
		if (!STORM_RESERVED(page))
			storm_write(&storm, page);
}

static void test_fill(void)
{
	smp_run_on_all(fill_part, NULL);
	storm_verify_all(&storm);
	smp_report();
	CHECK_EQ(audit(), 0);
}

#define STORM_TEST(name)                                          \
	static void test_##name(void)                             \
	{                                                         \
		storm_beside(&storm, storm_op_##name, rounds);    \
	}
STORM_TEST(unmap)
STORM_TEST(protect)
STORM_TEST(age)
STORM_TEST(migrate)
STORM_TEST(balloon)
STORM_TEST(zap_all)
STORM_TEST(any)

static const struct ktap_test tests[] = {
	KTAP(test_fill), KTAP(test_unmap), KTAP(test_protect), KTAP(test_age),
	KTAP(test_migrate), KTAP(test_balloon), KTAP(test_zap_all), KTAP(test_any),
};

int guest_main(void)
{
	uint64_t bytes;
	unsigned aliases;

	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	bytes = (uint64_t)info_number_or("mib", 1) << 20;
	aliases = info_number_or("aliases", 64);
	rounds = info_number_or("rounds", 40);
	if (!aliases)
		guest_die("aliases=0: at least 1");
	smp_init();
	smp_start_all();
	storm_create(&storm, bytes);
	map_aliases(aliases);
	printf("# %u processors, %u pages under %u addresses each\n", smp_count, storm.pages,
	       aliases);
	return KTAP_MAIN(tests);
}
