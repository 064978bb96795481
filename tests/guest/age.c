/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ageing in its three forms: the guest touches a set of pages that it knows, and compares.
 * Pages that are mapped together are young together, so with large mappings the set grows to
 * whole 2M pieces; with 4K mappings it must be exact.
 *
 * A processor that holds a translation need not mark the page again: the kernel flushes its own after
 * each ageing.  mib=N: how much memory.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define PAGES_PER_2M 512u
#define WORDS_MAX 1024 /* 64 K pages */

static struct region region;
static uint64_t touched[WORDS_MAX], got[WORDS_MAX];

static uint64_t bytes(void)
{
	return region.pages * PAGE_SIZE;
}

static unsigned words(void)
{
	return (region.pages + 63) / 64;
}

static long age_all(void)
{
	long young = hypercall(PHYLLO_HC_AGE, region.base, bytes(), 0, 0);

	tlb_flush();
	memset(touched, 0, sizeof(touched));
	return young;
}

static long test_age(uint64_t gpa, uint64_t size)
{
	return hypercall(PHYLLO_HC_TEST_AGE, gpa, size, 0, 0);
}

static void touch(unsigned page, bool write)
{
	volatile uint64_t *p = (volatile uint64_t *)(region.base + page * PAGE_SIZE);

	if (write)
		*p = *p;
	else
		(void)*p;
	bit_set(touched, page);
}

/* Every n-th page on the average. */
static void touch_some(unsigned n)
{
	for (unsigned i = 0; i < region.pages; i++)
		if (random32() % n == 0)
			touch(i, i & 1);
}

static bool piece_touched(unsigned page)
{
	const uint64_t *w = &touched[page / PAGES_PER_2M * (PAGES_PER_2M / 64)];
	uint64_t any = 0;

	for (unsigned i = 0; i < PAGES_PER_2M / 64; i++)
		any |= w[i];
	return any != 0;
}

/* Nothing touched is missing; nothing else is there, but what a large mapping drags along. */
static void compare(const uint64_t *bitmap)
{
	bool large = large_mappings() != 0;

	for (unsigned i = 0; i < region.pages; i++) {
		bool young = bit_get(bitmap, i);

		if (bit_get(touched, i) && !young)
			ktap_fail(__FILE__, __LINE__, "page %u was touched and is old", i);
		if (young && !(large ? piece_touched(i) : bit_get(touched, i)))
			ktap_fail(__FILE__, __LINE__, "page %u is young, but nobody touched it", i);
	}
}

static void test_bitmap(void)
{
	for (unsigned round = 0; round < 4; round++) {
		long n;

		age_all();
		touch_some(1 + round * 20);
		memset(got, 0xff, sizeof(got));
		n = age_bitmap(region.base, bytes(), got, 0);
		CHECK_EQ(n, bit_count(got, region.pages));
		CHECK_EQ(got[words()], ~0ull); /* nothing behind the end is written */
		compare(got);
		/* It changed nothing; now it does. */
		CHECK_EQ(age_bitmap(region.base, bytes(), got, PHYLLO_AGE_CLEAR), n);
		compare(got);
		CHECK_EQ(age_bitmap(region.base, bytes(), got, PHYLLO_AGE_CLEAR), 0);
		CHECK_EQ(bit_count(got, region.pages), 0);
		tlb_flush();
	}
	CHECK_EQ(audit(), 0);
}

static void test_count(void)
{
	long n;

	age_all();
	CHECK_EQ(age_all(), 0);
	touch_some(7);
	n = age_bitmap(region.base, bytes(), got, 0);
	compare(got);
	CHECK(n > 0);
	CHECK_EQ(age_all(), n);
	CHECK_EQ(age_all(), 0);
}

static void test_any(void)
{
	unsigned last = region.pages - 1;

	age_all();
	CHECK_EQ(test_age(region.base, bytes()), 0);
	touch(last, false);
	CHECK_EQ(test_age(region.base, bytes()), 1);
	CHECK_EQ(test_age(region.base, bytes()), 1);
	CHECK_EQ(test_age(region.base + last * PAGE_SIZE, PAGE_SIZE), 1);
	CHECK_EQ(test_age(region.base, SIZE_2M), 0);
	age_all();
	CHECK_EQ(test_age(region.base + last * PAGE_SIZE, PAGE_SIZE), 0);
}

/* A part of the range, at odd places. */
static void test_parts(void)
{
	age_all();
	for (unsigned i = 0; i < region.pages; i += 3)
		touch(i, true);
	for (unsigned first = 1; first + 70 < region.pages; first += 331) {
		memset(got, 0, sizeof(got));
		age_bitmap(region.base + first * PAGE_SIZE, 70 * PAGE_SIZE, got, 0);
		for (unsigned i = 0; i < 70; i++)
			if ((first + i) % 3 == 0 && !bit_get(got, i))
				ktap_fail(__FILE__, __LINE__, "page %u is old", first + i);
	}
}

/* What is not mapped is old, whatever it was before. */
static void test_unmapped_is_old(void)
{
	age_all();
	touch_some(2);
	CHECK_EQ(unmap(region.base, bytes()), 0);
	CHECK_EQ(test_age(region.base, bytes()), 0);
	CHECK_EQ(age_bitmap(region.base, bytes(), got, 0), 0);
	region_verify_all(&region);
	for (unsigned i = 0; i < region.pages; i++)
		bit_set(touched, i);
	age_bitmap(region.base, bytes(), got, 0);
	compare(got);
	CHECK_EQ(audit(), 0);
}

/* Ageing takes nothing away: no contents, no rights, no dirty data. */
static void test_contents(void)
{
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < region.pages; i += 5) {
			region_fill(&region, i, random32() | 1);
			if (i % 64 == 0)
				age_all();
		}
		age_all();
		region_verify_all(&region);
	}
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_bitmap), KTAP(test_count),	      KTAP(test_any),
	KTAP(test_parts),  KTAP(test_unmapped_is_old), KTAP(test_contents),
};

int guest_main(void)
{
	uint32_t mib = 20; /* more than one piece of a bitmap */

	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	info_number("mib", &mib);
	if (mib * 256 > (WORDS_MAX - 1) * 64)
		guest_die("mib= is at most %u here", (WORDS_MAX - 1) / 4);
	region_take(&region, (uint64_t)mib << 20);
	return KTAP_MAIN(tests);
}
