/* SPDX-License-Identifier: GPL-2.0-only */
/* Neighbours that are freed together (host/pages.c): whatever their borders, all of it can be had again as one. */
#include <string.h>

#include "boot/boot_info.h"
#include "host/machine.h"
#include "host/pages.h"
#include "tests/host/fake_machine.h"
#include "tests/host/ktap.h"

#define MIB  (1ul << 20)
#define PAGE 4096ul
#define RAM  (64 * MIB)
#define LARGE 9u
#define BLOCK (1ul << LARGE)

static struct boot_info bi = {
	.mmap = { { MIB, RAM - MIB, BOOT_MEM_RAM } },
	.mmap_count = 1,
	.image_base = 2 * MIB,
	.image_end = 4 * MIB,
};

static void machine(void)
{
	fake_ram_create(RAM);
	EXPECT(pages_init(&bi) == 0);
}

static struct pages_stats stats_now(void)
{
	struct pages_stats st;

	pages_drain_local();
	pages_stats(&st);
	return st;
}

/* As much is free as before, in blocks as large. */
static void expect_as_before(const struct pages_stats *before)
{
	struct pages_stats now = stats_now();

	EXPECT(now.free == before->free);
	EXPECT(now.allocs - before->allocs == now.frees - before->frees);
	for (unsigned order = 0; order <= PAGES_ORDER_MAX; order++)
		EXPECT(now.free_by_order[order] == before->free_by_order[order]);
}

static uint64_t split_block(unsigned flags)
{
	uint64_t pa = pages_alloc(LARGE, flags);

	EXPECT(pa != PAGES_NONE);
	pages_split(pa, LARGE);
	return pa;
}

/* ---- all borders ---------------------------------------------------------------------- */

/* Every start and length around those of blocks; the rest one by one. */
static void borders_child(void)
{
	static const uint64_t at[] = { 0, 1, 2, 3, 7, 8, 63, 64, 65, 255, 256, 257, 510, 511, 512 };
	const unsigned n = sizeof(at) / sizeof(at[0]);

	machine();
	struct pages_stats before = stats_now();

	for (unsigned i = 0; i < n; i++)
		for (unsigned j = i; j < n; j++) {
			uint64_t pa = split_block(0);

			/* A split block was one allocation, and is freed as many. */
			before.frees += BLOCK - 1;
			pages_free_run(pa + at[i] * PAGE, at[j] - at[i]);
			for (uint64_t page = 0; page < BLOCK; page++)
				if (page < at[i] || page >= at[j])
					pages_free(pa + page * PAGE, 0);
			expect_as_before(&before);
		}
}

static void test_borders(void)
{
	CHECK(fake_child(borders_child));
}

/* Several blocks in a row, in pieces of any size, in any order. */
static void pieces_child(void)
{
	uint64_t seed = 12345, pa[4], end = 4 * BLOCK;

	machine();
	struct pages_stats before = stats_now();

	for (unsigned round = 0; round < 200; round++) {
		uint64_t block = pages_alloc(LARGE + 2, PAGES_ZERO), cut[3];

		EXPECT(block != PAGES_NONE);
		pages_split(block, LARGE + 2);
		before.frees += end - 1;
		for (unsigned i = 0; i < 3; i++) {
			seed = seed * 6364136223846793005ul + 1442695040888963407ul;
			cut[i] = (seed >> 33) % (end / 4) + i * end / 4;
		}
		pa[0] = 0, pa[1] = cut[0], pa[2] = cut[1], pa[3] = cut[2];
		for (unsigned i = 0; i < 4; i++) {
			unsigned k = (i * 3 + round) % 4;

			pages_free_run(block + pa[k] * PAGE, (k == 3 ? end : pa[k + 1]) - pa[k]);
		}
		expect_as_before(&before);
	}
}

static void test_pieces(void)
{
	CHECK(fake_child(pieces_child));
}

/* What was written into them is no more there for the next one, and nobody gets a page twice. */
static void contents_child(void)
{
	machine();
	uint64_t pa = split_block(0);

	memset(machine_phys_to_virt(pa), 0x5a, BLOCK * PAGE);
	pages_free_run(pa + 3 * PAGE, BLOCK - 3);
	for (unsigned i = 0; i < 3; i++)
		EXPECT(*((uint8_t *)machine_phys_to_virt(pa + i * PAGE)) == 0x5a);
	for (uint64_t next; (next = pages_alloc(0, PAGES_ZERO)) != PAGES_NONE;) {
		const uint64_t *word = machine_phys_to_virt(next);

		EXPECT(next < pa || next >= pa + 3 * PAGE);
		for (unsigned i = 0; i < PAGE / 8; i += 63)
			EXPECT(!word[i]);
		memset(machine_phys_to_virt(next), 0xff, PAGE);
	}
}

static void test_contents(void)
{
	CHECK(fake_child(contents_child));
}

/* ---- what is no run -------------------------------------------------------------------- */

static void freed_twice(void)
{
	machine();
	uint64_t pa = split_block(0);

	pages_free_run(pa, BLOCK);
	pages_free_run(pa, BLOCK);
}

static void freed_in_the_middle(void)
{
	machine();
	uint64_t pa = split_block(0);

	pages_free(pa + 77 * PAGE, 0);
	pages_free_run(pa + 70 * PAGE, 10);
}

static void not_split(void)
{
	machine();
	pages_free_run(pages_alloc(LARGE, 0), BLOCK);
}

static void beyond_the_end(void)
{
	machine();
	uint64_t pa = pages_alloc(0, 0);

	pages_free_run(pa, RAM / PAGE);
}

static void test_refused(void)
{
	CHECK(fake_panics(freed_twice, "not allocated as a single page"));
	CHECK(fake_panics(freed_in_the_middle, "not allocated as a single page"));
	CHECK(fake_panics(not_split, "not allocated as a single page"));
	CHECK(fake_panics(beyond_the_end, "free of 0x"));
}

static const struct ktap_test tests[] = {
	KTAP(test_borders), KTAP(test_pieces), KTAP(test_contents), KTAP(test_refused),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
