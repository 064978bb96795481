/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * More page tables than the hypervisor keeps shadows of: address spaces without end, tables
 * without end, and table pages that become data and tables again.  It gets on, and the shadows
 * stay within the VM's budget.
 * roots=N: address spaces (4 tables each), tables=N: tables of one space, rounds=N.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/access.h"
#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define VA 0x280000000000ul
#define DATA_PAGES 64u
#define BUDGET 2048u /* shadow pages of a VM */

static struct space space; /* whose low part all others share */
static uint64_t pool, pool_bytes, data;
static uint32_t roots, tables, rounds;
static uint64_t **root;

static uint64_t data_page(unsigned n)
{
	return data + n % DATA_PAGES * PAGE_SIZE;
}

static volatile uint32_t *word_of(unsigned n)
{
	return (volatile uint32_t *)data_page(n) + n / DATA_PAGES % 1024;
}

static void check_budget(bool exceeded)
{
	struct phyllo_mmu_mode mode;

	if (!phyllo_present())
		return;
	CHECK_EQ(audit(), 0);
	mmu_mode(&mode);
	if (strcmp(mode.format, "shadow"))
		return;
	CHECK(stat_read("mmu_shadow_pages") <= BUDGET);
	if (exceeded)
		CHECK(stat_read("mmu_recycled") > 0);
	printf("# %llu shadow pages, %llu recycled, %llu flooded\n", stat_read("mmu_shadow_pages"),
	       stat_read("mmu_recycled"), stat_read("mmu_flooded"));
}

static void make_roots(void)
{
	page_pool_set(pool, pool_bytes);
	for (unsigned i = 0; i < roots; i++) {
		root[i] = page_alloc();
		root[i][0] = space.root[0];
		paging_map(root[i], VA, data_page(i), 1, PTE_W | PTE_U);
	}
}

static void write_there(uint64_t va, unsigned n, uint32_t value)
{
	access_check(va + ((uintptr_t)word_of(n) & (PAGE_SIZE - 1)), ACCESS_WRITE, n & 1, value);
	CHECK_EQ(*word_of(n), value);
}

static void test_roots(void)
{
	make_roots();
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned i = 0; i < roots; i++) {
			unsigned n = round & 1 ? random32() % roots : i;

			write_cr3((uintptr_t)root[n]);
			write_there(VA, n, round << 16 | i);
		}
	space_leave();
	check_budget(roots * 4 > BUDGET);
}

/* One space, with more tables at the lowest level than there may be shadows. */
static void test_tables(void)
{
	page_pool_set(pool, pool_bytes);
	root[0] = page_alloc();
	root[0][0] = space.root[0];
	write_cr3((uintptr_t)root[0]);
	for (unsigned i = 0; i < tables; i++) {
		paging_map(root[0], VA + i * SIZE_2M, data_page(i), 1, PTE_W | PTE_U);
		write_there(VA + i * SIZE_2M, i, i);
	}
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned i = 0; i < tables; i += 1 + random32() % 4)
			write_there(VA + i * SIZE_2M, i, round << 16 | i);
	space_leave();
	check_budget(tables > BUDGET);
}

/* What was a table is data, then a table of another level, while the old shadows may be there. */
static void test_pages_change_hands(void)
{
	for (unsigned round = 0; round < rounds; round++) {
		make_roots();
		for (unsigned i = 0; i < roots; i += 1 + round % 7) {
			write_cr3((uintptr_t)root[i]);
			write_there(VA, i, i);
			if (i % 8)
				continue;
			/* its tables as data, all of a sudden, in another space */
			write_cr3((uintptr_t)space.root);
			for (unsigned w = 0; w < 4 * 512; w++)
				((volatile uint64_t *)root[i])[w] = w + i;
			for (unsigned w = 0; w < 4 * 512; w += 127)
				CHECK_EQ(((volatile uint64_t *)root[i])[w], w + i);
		}
		/* the same memory, with tables where others were */
		page_pool_set(pool + (1 + round % 3) * PAGE_SIZE, pool_bytes - 4 * PAGE_SIZE);
		root[0] = page_alloc();
		root[0][0] = space.root[0];
		write_cr3((uintptr_t)root[0]);
		for (unsigned i = 0; i < tables; i += 9) {
			paging_map(root[0], VA + i * SIZE_2M, data_page(i), 1, PTE_W | PTE_U);
			write_there(VA + i * SIZE_2M, i, round + i);
		}
		space_leave();
	}
	check_budget(false);
}

/* Upper tables written again and again, as no kernel does that goes on using them. */
static void test_write_flood(void)
{
	uint64_t *pd;

	page_pool_set(pool, pool_bytes);
	root[0] = page_alloc();
	root[0][0] = space.root[0];
	paging_map(root[0], VA, data_page(0), 1, PTE_W | PTE_U);
	pd = paging_entry(root[0], VA, 2);
	write_cr3((uintptr_t)root[0]);
	for (unsigned round = 0; round < rounds * 8; round++) {
		write_there(VA, 0, round);
		for (unsigned n = 1; n < 512; n++)
			*(volatile uint64_t *)&pd[n] = round & 1 ? pd[0] : 0;
		write_there(VA, 0, round + 1);
		tlb_flush();
		access_check(VA + (1 + random32() % 511) * SIZE_2M, ACCESS_READ, SUPERVISOR, 0);
	}
	space_leave();
	check_budget(false);
	printf("# %lu accesses compared\n", access_checks);
}

static const struct ktap_test tests[] = {
	KTAP(test_roots), KTAP(test_tables), KTAP(test_pages_change_hands), KTAP(test_write_flood),
};

int guest_main(void)
{
	uint64_t most;

	roots = info_number_or("roots", 640);
	tables = info_number_or("tables", 2400);
	rounds = info_number_or("rounds", 2);
	most = roots * 4 > tables ? roots * 4 : tables;
	pool_bytes = (most + 32) * PAGE_SIZE;
	pool = ram_take(pool_bytes, PAGE_SIZE);
	data = ram_take(DATA_PAGES * PAGE_SIZE, PAGE_SIZE);
	root = (uint64_t **)(uintptr_t)ram_take((roots / 512 + 1) * PAGE_SIZE, PAGE_SIZE);
	if (!pool || !data || !root || pool + pool_bytes > ACCESS_USER_VA)
		guest_die("no memory for %lu tables", most);
	access_init();
	space_init(&space);
	return KTAP_MAIN(tests);
}
