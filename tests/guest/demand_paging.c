/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All processors touch memory that is not there yet, in the manner of KVM's demand_paging_test: pages that the
 * host has not made (missing), pages that it has but does not map (minor), and pages that the balloon gave back.
 *
 * mib=N slots=N overlap=on order=random (lib/stress.h)
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/stress.h"

static void check_all_there(unsigned long long faults_before)
{
	unsigned long long faults = stat_read("pf_fixed") - faults_before;

	stress_verify_all();
	CHECK(mapped_pages() >= stress.pages);
	CHECK(faults > 0);
	CHECK_EQ(audit(), 0);
}

/* Zero at the first touch, and what was written stays. */
static void touch_and_write(unsigned page)
{
	if (!stress.overlap)
		CPU_CHECK_EQ(*stress_word(page), 0);
	stress_write(page);
}

static void test_missing(void)
{
	unsigned long long backing = stat_read("backing_pages"), before = stat_read("pf_fixed");

	stress_generation = 1;
	stress_phase("missing", touch_and_write);
	CHECK(stat_read("backing_pages") - backing >= stress.pages);
	check_all_there(before);
}

/* Contents are there, mappings are not. */
static void test_minor(void)
{
	unsigned long long backing = stat_read("backing_pages"), before;

	CHECK_EQ(unmap(stress.base, stress_bytes()), 0);
	before = stat_read("pf_fixed");
	stress_phase("minor", stress_verify);
	check_all_there(before);
	CHECK_EQ(stat_read("backing_pages"), backing);
}

static void test_ballooned(void)
{
	unsigned long long before;

	CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_OUT, stress.base, stress_bytes(), PHYLLO_MAY_BLOCK, 0),
		 stress.pages);
	CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_IN, stress.base, stress_bytes(), PHYLLO_MAY_BLOCK, 0),
		 stress.pages);
	stress_forget(0, stress.pages);
	stress_generation = 2;
	before = stat_read("pf_fixed");
	stress_phase("ballooned", touch_and_write);
	check_all_there(before);
}

static const struct ktap_test tests[] = {
	KTAP(test_missing), KTAP(test_minor), KTAP(test_ballooned),
};

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	stress_init(32, 1);
	return KTAP_MAIN(tests);
}
