/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All processors execute in memory that is mapped large, in the manner of KVM's nx_huge_pages_test.  With
 * nx_huge_pages=on each piece that is executed is split, once, and comes back when its time is over, also while
 * others execute; what is only read and written stays large.  rounds=N; and those of lib/stress.h.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/stress.h"

#define RET 0xc3
#define PAGES_2M 512u

static uint32_t rounds;
static unsigned pieces;
static unsigned long long large_before;
static _Atomic bool done;

/* A function in every page, away from its word. */
static uint8_t *code_in(unsigned page)
{
	return (uint8_t *)stress_gpa(page) + (page % 511 + 1) * 8;
}

static void write_page(unsigned page)
{
	stress_write(page);
	*code_in(page) = RET;
}

static void call(unsigned page)
{
	((void (*)(void))code_in(page))();
}

static void call_one_per_piece(unsigned page)
{
	if (page % PAGES_2M == 77)
		call(page);
}

static bool large_again(void)
{
	return large_mappings() >= large_before;
}

static bool mitigated(void)
{
	struct phyllo_mmu_mode mode;

	mmu_mode(&mode);
	if (mode.flags & PHYLLO_MODE_NX_HUGE_PAGES && mode.max_level == 2)
		return true;
	ktap_skip(mode.max_level == 2 ? "nx_huge_pages is off" : "needs mappings of 2M");
	return false;
}

/* Nothing was recovered for a while, and this code itself, which was as well, split again. */
static bool recovery_rests(void)
{
	static unsigned long long last, calls;
	unsigned long long sum = stat_read("recovered") + stat_read("nx_split");

	calls = sum == last ? calls + 1 : 0;
	last = sum;
	return calls >= 60;
}

static void recover(void)
{
	CHECK_EQ(hypercall(PHYLLO_HC_NX_RECOVER, 0, 0, 0, 0), 0);
	if (!work_wait(large_again, 40000))
		ktap_fail(__FILE__, __LINE__, "%llu large mappings, not %llu as before",
			  large_mappings(), large_before);
	CHECK(work_wait(recovery_rests, 40000));
}

static void test_data_stays_large(void)
{
	unsigned long long splits = stat_read("nx_split");

	stress_phase("write", write_page);
	stress_phase("read", stress_verify);
	large_before = large_mappings();
	if (!mitigated())
		return;
	CHECK(large_before >= pieces);
	CHECK_EQ(stat_read("nx_split"), splits);
}

static void test_execution_splits_once(void)
{
	for (unsigned i = 0; i < 3 && mitigated(); i++) {
		unsigned long long splits = stat_read("nx_split");

		stress_phase("execute one page of each piece", call_one_per_piece);
		CHECK_EQ(stat_read("nx_split"), splits + pieces);
		CHECK(large_mappings() <= large_before - pieces);
		stress_phase("execute all", call);
		CHECK_EQ(stat_read("nx_split"), splits + pieces);
		recover();
	}
	stress_verify_all();
	CHECK_EQ(audit(), 0);
}

static void execute(void *arg)
{
	if (this_cpu()->id == 0) {
		for (unsigned i = 0; i < rounds; i++) {
			CPU_CHECK_EQ(hypercall(PHYLLO_HC_NX_RECOVER, 0, 0, 0, 0), 0);
			call(cpu_random_below(stress.pages));
			smp_let_others_step(16);
		}
		atomic_store(&done, true);
	}
	while (!atomic_load(&done))
		stress_each(call);
}

/* Without the mitigation as well. */
static void test_recovery_underway(void)
{
	atomic_store(&done, false);
	stress_phase_job("execute while it recovers", execute);
	stress_verify_all();
	if (large_before)
		recover();
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_data_stays_large), KTAP(test_execution_splits_once),
	KTAP(test_recovery_underway),
};

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	rounds = info_number_or("rounds", 60);
	stress_init(8, 1);
	pieces = stress.pages / PAGES_2M;
	return KTAP_MAIN(tests);
}
