/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM that works and counts: how many units of work in each window of time.  What another VM
 * does meanwhile must not cost it more than its share; who reads the counts judges.
 * mcycles=N: length of a window, windows=N: how many.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/windows.h"

#define PAGES 64

static uint8_t pages[PAGES][PAGE_SIZE] __attribute__((aligned(4096)));

/* Some arithmetic, and some memory. */
static uint32_t unit(uint32_t x)
{
	for (unsigned i = 0; i < 2000; i++) {
		x = x * 1664525 + 1013904223;
		__asm__ volatile("" : "+r"(x));
	}
	for (unsigned i = 0; i < 8; i++)
		pages[(x >> 8) % PAGES][x % PAGE_SIZE]++;
	return x;
}

static void test_counts(void)
{
	uint32_t n = info_number_or("windows", 4), x = 1;
	uint64_t first = window_now() + 1;

	window_sleep(first);
	for (uint64_t w = first; w < first + n; w++) {
		unsigned long long units = 0;

		while (window_now() == w) {
			x = unit(x);
			units++;
		}
		printf("# window %llu: %llu units\n", (unsigned long long)w, units);
	}
	CHECK(x != 0 || pages[0][0]);
}

static const struct ktap_test tests[] = { KTAP(test_counts) };

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	smp_init();
	return KTAP_MAIN(tests);
}
