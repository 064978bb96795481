/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All processors give memory to the host and take it back, each a part of its own, at the same time: what comes back
 * is zero, what stayed keeps its contents, and the host has its pages meanwhile.
 *
 * rounds=N; and those of lib/stress.h but overlap=.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/stress.h"

#define PIECE_MAX 64u /* pages in one call */

static uint32_t rounds;
static struct barrier barrier;

/* The pages of this processor. */
struct part {
	unsigned first, count;
};

static struct part my_part(void)
{
	unsigned me = this_cpu()->id;
	unsigned first = (uint64_t)stress.pages * me / smp_count;

	return (struct part){ first, (uint64_t)stress.pages * (me + 1) / smp_count - first };
}

static long balloon(unsigned long call, unsigned first, unsigned count)
{
	return hypercall(call, stress_gpa(first), count * PAGE_SIZE,
			 cpu_random() >> 63 ? PHYLLO_MAY_BLOCK : 0, 0);
}

static void out_and_in(unsigned first, unsigned count)
{
	CPU_CHECK_EQ(balloon(PHYLLO_HC_BALLOON_OUT, first, count), count);
	CPU_CHECK_EQ(balloon(PHYLLO_HC_BALLOON_OUT, first, count), 0);
	CPU_CHECK_EQ(balloon(PHYLLO_HC_BALLOON_IN, first, count), count);
	CPU_CHECK_EQ(balloon(PHYLLO_HC_BALLOON_IN, first, count), 0);
	stress_forget(first, count);
}

static void storm(void *arg)
{
	struct part part = my_part();

	for (unsigned i = 0; i < rounds; i++) {
		unsigned count = 1 + cpu_random_below(PIECE_MAX);
		unsigned first;

		if (count > part.count)
			count = part.count;
		first = part.first + cpu_random_below(part.count - count + 1);
		out_and_in(first, count);
		for (unsigned n = 0; n < count; n += 1 + cpu_random_below(4)) {
			stress_verify(first + n);
			stress_write(first + n);
		}
		stress_verify(part.first + cpu_random_below(part.count));
		atomic_fetch_add(&this_cpu()->progress, 1);
	}
}

static void test_storm(void)
{
	stress_phase("populate memory", stress_write);
	stress_phase_job("storm", storm);
	stress_verify_all();
	CHECK_EQ(audit(), 0);
}

/* All of it at once, and back. */
static void all_out(void *arg)
{
	struct part part = my_part();

	CPU_CHECK_EQ(balloon(PHYLLO_HC_BALLOON_OUT, part.first, part.count), part.count);
	barrier_wait(&barrier);
	if (this_cpu()->id == 0)
		CPU_CHECK_EQ(stat_read("ballooned_pages"), stress.pages);
	barrier_wait(&barrier);
	CPU_CHECK_EQ(balloon(PHYLLO_HC_BALLOON_IN, part.first, part.count), part.count);
	stress_forget(part.first, part.count);
}

static void test_all(void)
{
	unsigned long long backing;

	stress_phase("write", stress_write);
	backing = stat_read("backing_pages");
	stress_phase_job("all out and in", all_out);
	CHECK(stat_read("backing_pages") <= backing - stress.pages);
	CHECK_EQ(stat_read("ballooned_pages"), 0);
	stress_verify_all();
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = { KTAP(test_storm), KTAP(test_all) };

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	rounds = info_number_or("rounds", 100);
	stress_init(16, 1);
	barrier_init(&barrier, smp_count);
	return KTAP_MAIN(tests);
}
