/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Populate, write, read, mark idle, write, mark idle, read: in the manner of KVM's access_tracking_perf_test.  Beyond
 * its times the counts are checked: who was accessed is young, and nobody else.
 *
 * mib=N slots=N overlap=on order=random (lib/stress.h); shared=on: somebody else ages the same memory, and the counts
 * are bounds.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/stress.h"

#define EVERY 3u /* page of a partial pass */

static bool shared;
static bool large; /* pages that are mapped together are young together */

/* Marks all idle; -> how many were not. */
static long mark_idle(const char *name)
{
	uint64_t begun = stress_begin();
	long young = stress_age();

	stress_end(name, begun);
	CHECK_EQ(hypercall(PHYLLO_HC_TEST_AGE, stress.base, stress_bytes(), 0, 0), 0);
	return young;
}

static void check_young(long young, long want)
{
	if (shared)
		CHECK(young >= 0 && young <= want);
	else
		CHECK_EQ(young, want);
}

static void test_populate(void)
{
	stress_generation = 1;
	stress_phase("populating memory", stress_write);
	stress_phase("writing to populated memory", stress_write);
	stress_phase("reading from populated memory", stress_verify);
	large = large_mappings() != 0;
	check_young(mark_idle("mark memory idle"), stress.pages);
	CHECK_EQ(mark_idle("mark idle memory idle"), 0);
}

static void test_write_idle(void)
{
	stress_generation = 2;
	stress_phase("writing to idle memory", stress_write);
	check_young(mark_idle("mark memory idle"), stress.pages);
}

static void test_read_idle(void)
{
	stress_phase("reading from idle memory", stress_verify);
	check_young(mark_idle("mark memory idle"), stress.pages);
}

static void read_some(unsigned page)
{
	if (page % EVERY == 0)
		stress_verify(page);
}

/* Only what is accessed becomes young. */
static void test_some_idle(void)
{
	long young;

	stress_phase("reading some of idle memory", read_some);
	young = mark_idle("mark memory idle");
	if (large)
		CHECK(shared || young >= (stress.pages + EVERY - 1) / EVERY);
	else
		check_young(young, (stress.pages + EVERY - 1) / EVERY);
	stress_verify_all();
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_populate), KTAP(test_write_idle), KTAP(test_read_idle), KTAP(test_some_idle),
};

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	shared = info_option_is("shared", "on");
	stress_init(32, 1);
	return KTAP_MAIN(tests);
}
