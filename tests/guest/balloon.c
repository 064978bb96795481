/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The balloon: pages that go out really return to the host, pages that come in read as
 * zeroes, and nothing happens to their neighbours.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define PAGES_2M 512u
#define REGION_PAGES (3 * PAGES_2M)
#define ROUNDS 1000

static struct region region;

static uint64_t gpa_of(unsigned page)
{
	return region.base + page * PAGE_SIZE;
}

static long out(unsigned page, unsigned n, unsigned flags)
{
	return hypercall(PHYLLO_HC_BALLOON_OUT, gpa_of(page), n * PAGE_SIZE, flags, 0);
}

static long in(unsigned page, unsigned n, unsigned flags)
{
	return hypercall(PHYLLO_HC_BALLOON_IN, gpa_of(page), n * PAGE_SIZE, flags, 0);
}

static void mark_zero(unsigned page, unsigned n)
{
	for (unsigned i = page; i < page + n; i++)
		region.salt[i] = 0;
}

static void refill(void)
{
	for (unsigned i = 0; i < region.pages; i++)
		region_fill(&region, i, i + 1);
}

/* Out and in again, with what it must do to the counters and to the contents. */
static void round_trip(unsigned page, unsigned n, unsigned flags)
{
	unsigned long long backing = stat_read("backing_pages");
	unsigned long long ballooned = stat_read("ballooned_pages");

	CHECK_EQ(out(page, n, flags), n);
	CHECK_EQ(stat_read("backing_pages"), backing - n);
	CHECK_EQ(stat_read("ballooned_pages"), ballooned + n);
	CHECK_EQ(in(page, n, flags), n);
	CHECK_EQ(stat_read("ballooned_pages"), ballooned);
	mark_zero(page, n);
	region_verify_all(&region);
	CHECK_EQ(stat_read("backing_pages"), backing);
	CHECK_EQ(audit(), 0);
	refill();
}

static void test_whole_2m(void)
{
	if (!ktap_need_phyllo())
		return;
	round_trip(PAGES_2M, PAGES_2M, 0);
	round_trip(PAGES_2M, PAGES_2M, PHYLLO_MAY_BLOCK);
	round_trip(0, region.pages, PHYLLO_MAY_BLOCK);
}

static void test_parts_of_2m(void)
{
	if (!ktap_need_phyllo())
		return;
	round_trip(PAGES_2M + 7, 1, 0);
	round_trip(PAGES_2M, 3, PHYLLO_MAY_BLOCK);
	round_trip(2 * PAGES_2M - 5, 5, 0);
	round_trip(2 * PAGES_2M - 5, 12, 0);                         /* over a boundary */
	round_trip(PAGES_2M - 1, PAGES_2M + 2, PHYLLO_MAY_BLOCK);    /* a whole one inside */
}

static void test_host_gets_the_pages(void)
{
	unsigned long long before, after;

	if (!ktap_need_phyllo())
		return;
	before = stat_read("host_free_pages");
	if (before == STAT_NONE) {
		ktap_skip("the hypervisor has no statistic host_free_pages");
		return;
	}
	CHECK_EQ(out(0, PAGES_2M, 0), PAGES_2M);
	after = stat_read("host_free_pages");
	/* A split takes a table or two out of the same pool. */
	CHECK(after + 4 >= before + PAGES_2M);
	CHECK_EQ(in(0, PAGES_2M, 0), PAGES_2M);
	mark_zero(0, PAGES_2M);
	region_verify_all(&region);
	CHECK(stat_read("host_free_pages") <= before + 4);
	refill();
}

static void test_twice_changes_nothing(void)
{
	if (!ktap_need_phyllo())
		return;
	CHECK_EQ(in(10, 20, 0), 0);
	region_verify_all(&region);
	CHECK_EQ(out(10, 10, 0), 10);
	CHECK_EQ(out(10, 10, 0), 0);
	CHECK_EQ(out(5, 20, PHYLLO_MAY_BLOCK), 10);
	CHECK_EQ(in(15, 20, 0), 10);
	CHECK_EQ(in(0, 40, 0), 10);
	CHECK_EQ(in(0, 40, 0), 0);
	mark_zero(5, 20);
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
	refill();
}

/* The hypervisor's own access to a page that is out is refused like one outside memory. */
static void test_buffers_that_are_out(void)
{
	if (!ktap_need_phyllo())
		return;
	CHECK_EQ(out(3, 1, 0), 1);
	CHECK_EQ(hypercall(PHYLLO_HC_CONSOLE_WRITE, gpa_of(3), 8, 0, 0), PHYLLO_EFAULT);
	CHECK_EQ(hypercall(PHYLLO_HC_STATS_READ, gpa_of(3), 256, 0, 0), PHYLLO_EFAULT);
	CHECK_EQ(in(3, 1, 0), 1);
	mark_zero(3, 1);
	region_verify_all(&region);
	region_fill(&region, 3, 4);
}

/* Random ranges against a model: which pages are out, and what the others hold. */
static void test_random_ranges(void)
{
	static bool is_out[REGION_PAGES];

	if (!ktap_need_phyllo())
		return;
	for (unsigned round = 0, rounds = info_number_or("rounds", ROUNDS); round < rounds; round++) {
		unsigned page = random32() % region.pages;
		unsigned n = 1 + random32() % (round % 40 ? 16 : region.pages);
		bool go_out = random32() & 1;
		unsigned expect = 0;

		if (n > region.pages - page)
			n = region.pages - page;
		for (unsigned i = page; i < page + n; i++)
			expect += is_out[i] != go_out;
		CHECK_EQ((go_out ? out : in)(page, n, random32() & 1), expect);
		for (unsigned i = page; i < page + n; i++) {
			if (is_out[i] && !go_out) {
				region.salt[i] = 0;
				region_verify(&region, i);
				region_fill(&region, i, random32() | 1);
			}
			is_out[i] = go_out;
		}
		page = random32() % region.pages;
		if (!is_out[page])
			region_verify(&region, page);
	}
	for (unsigned i = 0; i < region.pages; i++)
		if (!is_out[i])
			region_verify(&region, i);
	CHECK_EQ(audit(), 0);
	CHECK(in(0, region.pages, 0) > 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_whole_2m),
	KTAP(test_parts_of_2m),
	KTAP(test_host_gets_the_pages),
	KTAP(test_twice_changes_nothing),
	KTAP(test_buffers_that_are_out),
	KTAP(test_random_ranges),
};

int guest_main(void)
{
	region_take(&region, REGION_PAGES * PAGE_SIZE);
	return KTAP_MAIN(tests);
}
