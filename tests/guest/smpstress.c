/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress of the default scenario: all processors fault, write and verify all over the memory,
 * while number 0 unmaps, protects, ages, migrates and balloons it.  A line for each phase.
 * mib=N: how much memory, rounds=N: operations of each phase, seed=N.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/storm.h"
#include "tests/guest/lib/x86.h"

static struct storm storm;
static uint64_t bulk, bulk_bytes; /* for the balloon: nobody else's */
static uint32_t rounds;

static uint64_t steps(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < smp_count; i++)
		sum += smp_cpu[i]->progress;
	return sum;
}

static void phase(void (*op)(struct storm *s, unsigned round))
{
	unsigned long long taken = stat_read("pf_taken");

	storm_beside(&storm, op, rounds);
	printf("# %u operations beside %llu steps, %llu faults\n", rounds,
	       (unsigned long long)steps(), stat_read("pf_taken") - taken);
}

static void fill_part(void *arg)
{
	for (unsigned page = this_cpu()->id; page < storm.pages; page += smp_count)
		if (!STORM_RESERVED(page))
			storm_write(&storm, page);
}

static void test_fill(void)
{
	smp_run_on_all(fill_part, NULL);
	storm_verify_all(&storm);
	smp_report();
	printf("# %u pages by %u processors\n", storm.pages, smp_count);
}

static void test_unmap(void)
{
	phase(storm_op_unmap);
}

static void test_protect(void)
{
	phase(storm_op_protect);
}

static void test_age(void)
{
	phase(storm_op_age);
}

/* All of a part goes back to the host in one call, and comes again as zeroes. */
static void balloon_bulk(struct storm *s, unsigned round)
{
	unsigned step = 1 + round % 7;

	for (uint64_t o = 0; o < bulk_bytes; o += step * PAGE_SIZE)
		*(volatile uint64_t *)(bulk + o) = o + 1;
	CPU_CHECK(hypercall(PHYLLO_HC_BALLOON_OUT, bulk, bulk_bytes, PHYLLO_MAY_BLOCK, 0) > 0);
	CPU_CHECK(hypercall(PHYLLO_HC_BALLOON_IN, bulk, bulk_bytes, PHYLLO_MAY_BLOCK, 0) > 0);
	for (uint64_t o = 0; o < bulk_bytes; o += PAGE_SIZE)
		CPU_CHECK_EQ(*(volatile uint64_t *)(bulk + o), 0);
}

static void test_balloon(void)
{
	phase(balloon_bulk);
}

static void test_zap_all(void)
{
	phase(storm_op_zap_all);
}

static void test_everything(void)
{
	phase(storm_op_any);
}

static const struct ktap_test tests[] = {
	KTAP(test_fill), KTAP(test_unmap), KTAP(test_protect), KTAP(test_age),
	KTAP(test_balloon), KTAP(test_zap_all), KTAP(test_everything),
};

int guest_main(void)
{
	uint64_t bytes;

	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	bytes = (uint64_t)info_number_or("mib", 24) << 20;
	rounds = info_number_or("rounds", 60);
	smp_init();
	smp_start_all();
	storm_place(&storm, ram_take(bytes, SIZE_2M), bytes);
	bulk_bytes = bytes / 4;
	bulk = ram_take(bulk_bytes, PAGE_SIZE);
	if (!bulk)
		guest_die("no memory for the balloon");
	return KTAP_MAIN(tests);
}
