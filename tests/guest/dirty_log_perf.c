/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Passes of writes under a dirty log, in the manner of KVM's dirty_log_perf_test: populate, enable, and for
 * each iteration a pass, get, and (manual) clear; disable, and a pass without.  The log must be the set of
 * pages that were written, exactly, in every iteration.
 *
 * iterations=N; write_percent=N of the pages of a pass, the others are read; manual=off: get clears;
 * style=0-3 as hypercalls have it; split=late: large pages are split when written; and those of lib/stress.h.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/stress.h"

static uint32_t iterations, write_percent, style, flags;
static bool manual;
static uint64_t *mine, *got; /* bitmaps over all pages, slot by slot: each rounded up to 64 */
static unsigned words;       /* of one slot */

static unsigned bit_of(unsigned page)
{
	return stress_slot_of(page) * words * 64 + page % stress.slot_pages;
}

static void note(unsigned page)
{
	unsigned bit = bit_of(page);

	__atomic_fetch_or(&mine[bit / 64], 1ull << bit % 64, __ATOMIC_RELAXED);
}

static void read_or_write(unsigned page)
{
	if (cpu_random_below(100) >= write_percent) {
		(void)*stress_word(page);
		return;
	}
	stress_write(page);
	note(page);
}

static void forget(void)
{
	memset(mine, 0, stress.slots * words * 8);
}

static void get_all(unsigned get_flags)
{
	uint64_t begun = stress_begin();

	for (unsigned i = 0; i < stress.slots; i++)
		CHECK(dirty_get(STRESS_SLOT + i, 0, stress.slot_pages, &got[i * words],
				get_flags) >= 0);
	stress_end("get dirty log", begun);
}

static void clear_all(void)
{
	uint64_t begun = stress_begin();

	for (unsigned i = 0; i < stress.slots; i++)
		CHECK_EQ(dirty_clear(STRESS_SLOT + i, 0, stress.slot_pages, &got[i * words]), 0);
	stress_end("clear dirty log", begun);
}

static void compare(void)
{
	unsigned lost = 0, extra = 0;

	for (unsigned page = 0; page < stress.pages; page++) {
		bool want = bit_get(mine, bit_of(page)), have = bit_get(got, bit_of(page));

		lost += want && !have;
		extra += have && !want;
	}
	CHECK_EQ(lost, 0);
	CHECK_EQ(extra, 0);
}

static void harvest(void)
{
	get_all(manual ? 0 : PHYLLO_DIRTY_GET_CLEAR);
	compare();
	if (manual)
		clear_all();
	forget();
}

static void test_populate(void)
{
	stress_phase("populate memory", stress_write);
	CHECK(mapped_pages() >= stress.pages);
}

static void start(void)
{
	uint64_t begun = stress_begin();

	CHECK_EQ(stress_dirty_start(style, flags), 0);
	stress_end("enable dirty logging", begun);
}

static void stop(void)
{
	uint64_t begun = stress_begin();

	CHECK_EQ(stress_dirty_stop(), 0);
	stress_end("disable dirty logging", begun);
}

static void test_passes(void)
{
	start();
	for (unsigned i = 0; i < iterations; i++) {
		stress_generation++;
		stress_phase("dirty memory pass", read_or_write);
		harvest();
	}
	harvest(); /* after nothing, nothing */
	stop();
	stress_verify_all();
	CHECK_EQ(audit(), 0);
}

/* What is dirty from the start on: everything, and it is tracked from the first clear on. */
static void test_initially_set(void)
{
	flags |= PHYLLO_DIRTY_ALL_SET;
	start();
	for (unsigned page = 0; page < stress.pages; page++)
		note(page);
	harvest();
	stress_generation++;
	stress_phase("dirty memory pass", read_or_write);
	harvest();
	stop();
	stress_verify_all();
	CHECK_EQ(audit(), 0);
}

static void test_without(void)
{
	stress_generation++;
	stress_phase("pass without logging", stress_write);
	stress_verify_all();
}

static const struct ktap_test tests[] = {
	KTAP(test_populate), KTAP(test_passes), KTAP(test_initially_set), KTAP(test_without),
};

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	iterations = info_number_or("iterations", 4);
	write_percent = info_number_or("write_percent", 70);
	style = info_number_or("style", PHYLLO_DIRTY_STYLE_DEFAULT);
	manual = !info_option_is("manual", "off");
	flags = info_option_is("split", "late") ? PHYLLO_DIRTY_NO_SPLIT : 0;
	stress_init(32, 2);
	words = (stress.slot_pages + 63) / 64;
	mine = stress_take(stress.slots * words * 8);
	got = stress_take(stress.slots * words * 8);
	return KTAP_MAIN(tests);
}
