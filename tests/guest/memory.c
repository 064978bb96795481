/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Demand paging: touch all memory that nothing lives in, from below and then in random
 * order, with a pattern that depends on the address; fresh memory must read as zero.
 * With the word "full" on the command line every 8-byte word is used, else one per line.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/x86.h"

#define MULTIPLIER 0x9e3779b97f4a7c15ull
#define WORDS_PER_PAGE (PAGE_SIZE / 8)

static struct ram_range ranges[64];
static unsigned range_count;
static uint64_t page_count;
static unsigned step = 8; /* words */
static unsigned long long faults_before;

static void add_range(uint64_t base, uint64_t size)
{
	if (range_count == ARRAY_SIZE(ranges))
		guest_die("the memory map has too many pieces");
	ranges[range_count++] = (struct ram_range){ base, size };
	page_count += size / PAGE_SIZE;
}

static uint64_t *page_at(uint64_t index)
{
	for (unsigned i = 0; i < range_count; i++) {
		uint64_t n = ranges[i].size / PAGE_SIZE;

		if (index < n)
			return (uint64_t *)(ranges[i].base + index * PAGE_SIZE);
		index -= n;
	}
	guest_die("page %lu of %lu", index, page_count);
}

static uint64_t pattern(const uint64_t *p, uint64_t salt)
{
	return ((uintptr_t)p + salt) * MULTIPLIER ^ salt;
}

static void fill(uint64_t *page, uint64_t salt)
{
	for (unsigned i = 0; i < WORDS_PER_PAGE; i += step)
		page[i] = pattern(&page[i], salt);
}

static void verify(uint64_t *page, uint64_t salt)
{
	for (unsigned i = 0; i < WORDS_PER_PAGE; i += step)
		if (page[i] != pattern(&page[i], salt))
			ktap_fail(__FILE__, __LINE__, "0x%lx holds 0x%lx, not 0x%lx",
				  (uintptr_t)&page[i], page[i], pattern(&page[i], salt));
}

/* Index of the first word of n that is not zero; n: all are. */
static uint64_t first_nonzero(const uint64_t *p, uint64_t n)
{
	uint64_t left = n;
	uint8_t all_zero;

	__asm__ volatile("cmpb %%al, %%al\n\t" /* ZF, for n == 0 */
			 "repe scasq\n\tsete %2"
			 : "+D"(p), "+c"(left), "=q"(all_zero) : "a"(0ul) : "memory", "cc");
	return all_zero ? n : n - left - 1;
}

/* Every other 2M block is written first, so that both kinds of first touch occur. */
static void test_fresh_memory_is_zero(void)
{
	uint64_t dirty = 0;

	for (uint64_t i = 0; i < page_count; i++) {
		uint64_t *page = page_at(i);
		bool write_first = (uintptr_t)page & SIZE_2M;

		if (write_first)
			page[0] = pattern(page, 0);
		if (first_nonzero(page + write_first, WORDS_PER_PAGE - write_first) !=
		    WORDS_PER_PAGE - write_first) {
			if (phyllo_present() && !dirty)
				ktap_fail(__FILE__, __LINE__, "fresh page 0x%lx is not zero",
					  (uintptr_t)page);
			dirty++;
		}
		if (write_first)
			CHECK_EQ(page[0], pattern(page, 0));
	}
	printf("# %lu pages, %lu of them not zero\n", page_count, dirty);
	if (!phyllo_present())
		ktap_skip("firmware has used the memory before");
}

static void test_pattern_in_order(void)
{
	for (uint64_t i = 0; i < page_count; i++)
		fill(page_at(i), 1);
	for (uint64_t i = 0; i < page_count; i++)
		verify(page_at(i), 1);
}

/* A full-period generator modulo the next power of two visits each page once. */
static void test_pattern_in_random_order(void)
{
	uint64_t mask = 1, x = 0, seen = 0;

	while (mask < page_count)
		mask <<= 1;
	mask--;
	do {
		x = (x * 5 + 12345) & mask;
		if (x >= page_count)
			continue;
		verify(page_at(x), 1);
		fill(page_at(x), 2);
		seen++;
	} while (x);
	CHECK_EQ(seen, page_count);
	for (uint64_t i = page_count; i--;)
		verify(page_at(i), 2);
}

static void test_statistics(void)
{
	unsigned long long mapped, faults;

	if (!ktap_need_phyllo())
		return;
	faults = stat_read("pf_taken") - faults_before;
	mapped = stat_read("pages_4k") + 512 * stat_read("pages_2m") +
		 512 * 512 * stat_read("pages_1g");
	printf("# %llu faults mapped %llu 4K, %llu 2M, %llu 1G pages\n", faults,
	       stat_read("pages_4k"), stat_read("pages_2m"), stat_read("pages_1g"));
	CHECK(stat_read("pf_taken") != STAT_NONE && faults > 0);
	CHECK(stat_read("backing_pages") != STAT_NONE && stat_read("backing_pages") >= page_count);
	CHECK(mapped >= page_count);
	CHECK(faults <= mapped);
}

static void test_audit(void)
{
	if (ktap_need_phyllo())
		CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_fresh_memory_is_zero),
	KTAP(test_pattern_in_order),
	KTAP(test_pattern_in_random_order),
	KTAP(test_statistics),
	KTAP(test_audit),
};

int guest_main(void)
{
	if (strstr(info.cmdline, "full"))
		step = 1;
	paging_map_high_ram();
	ram_for_each(add_range);
	if (phyllo_present())
		faults_before = stat_read("pf_taken");
	return KTAP_MAIN(tests);
}
