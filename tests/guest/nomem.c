/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Touches all memory that it was promised, which must be more than the host has: the
 * hypervisor stops this guest with a report and goes on itself.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/paging.h"

static uint64_t touched;

static void touch(uint64_t base, uint64_t size)
{
	for (uint64_t p = base; p < base + size; p += PAGE_SIZE, touched++)
		*(volatile uint64_t *)p = p;
}

int guest_main(void)
{
	printf("KTAP version 1\n1..1\n# touching memory until the host has no more\n");
	paging_map_high_ram();
	ram_for_each(touch);
	printf("not ok 1 all %lu pages could be had\n", touched);
	return 1;
}
