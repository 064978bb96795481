/* SPDX-License-Identifier: GPL-2.0-only */
/* The normaliser of memory maps. */
#include "boot/parse_mmap.h"
#include "tests/host/boot_bytes.h"

static struct boot_info bi;

static void map_start(void)
{
	memset(&bi, 0, sizeof(bi));
}

static void test_mmap_sorts_and_merges(void)
{
	map_start();
	boot_mmap_add(&bi, 0x300000, 0x100000, BOOT_MEM_RAM);
	boot_mmap_add(&bi, 0x100000, 0x100000, BOOT_MEM_RAM);
	boot_mmap_add(&bi, 0x200000, 0x100000, BOOT_MEM_RAM);
	boot_mmap_add(&bi, 0x0, 0x1000, BOOT_MEM_RESERVED);
	CHECK(boot_mmap_finish(&bi));
	CHECK_MAP(&bi, { 0, 0x1000, 2 }, { 0x100000, 0x300000, 1 });
}

static void test_mmap_reserved_wins(void)
{
	map_start();
	boot_mmap_add(&bi, 0x100000, 0x100000, BOOT_MEM_RAM);
	boot_mmap_add(&bi, 0x180000, 0x100000, BOOT_MEM_RESERVED); /* over its end */
	boot_mmap_add(&bi, 0x120000, 0x1000, BOOT_MEM_NVS);        /* in the middle */
	boot_mmap_add(&bi, 0xf0000, 0x20000, BOOT_MEM_ACPI);       /* over its start */
	CHECK(boot_mmap_finish(&bi));
	CHECK_MAP(&bi, { 0xf0000, 0x20000, 3 }, { 0x110000, 0x10000, 1 }, { 0x120000, 0x1000, 4 },
		  { 0x121000, 0x5f000, 1 }, { 0x180000, 0x100000, 2 });
}

static void test_mmap_order_does_not_matter(void)
{
	struct boot_info first;

	map_start();
	boot_mmap_add(&bi, 0, 0x10000, BOOT_MEM_RAM);
	boot_mmap_add(&bi, 0x4000, 0x4000, BOOT_MEM_RESERVED);
	boot_mmap_add(&bi, 0x6000, 0x4000, BOOT_MEM_BAD);
	first = bi;
	map_start();
	boot_mmap_add(&bi, 0x6000, 0x4000, BOOT_MEM_BAD);
	boot_mmap_add(&bi, 0x4000, 0x4000, BOOT_MEM_RESERVED);
	boot_mmap_add(&bi, 0, 0x10000, BOOT_MEM_RAM);
	check_map(&bi, first.mmap, first.mmap_count);
	CHECK_MAP(&bi, { 0, 0x4000, 1 }, { 0x4000, 0x2000, 2 }, { 0x6000, 0x4000, 5 },
		  { 0xa000, 0x6000, 1 });
}

static void test_mmap_swallows(void)
{
	map_start();
	for (unsigned i = 0; i < 8; i++)
		boot_mmap_add(&bi, 0x10000 * i, 0x1000, BOOT_MEM_RAM);
	boot_mmap_add(&bi, 0x10000, 0x60000, BOOT_MEM_RESERVED);
	CHECK(boot_mmap_finish(&bi));
	CHECK_MAP(&bi, { 0, 0x1000, 1 }, { 0x10000, 0x60000, 2 }, { 0x70000, 0x1000, 1 });
}

static void test_mmap_ram_is_whole_pages(void)
{
	map_start();
	boot_mmap_add(&bi, 0x400, 0x9f800, BOOT_MEM_RAM);
	boot_mmap_add(&bi, 0x100100, 0xe00, BOOT_MEM_RAM); /* no whole page */
	boot_mmap_add(&bi, 0x200800, 0x800, BOOT_MEM_RAM); /* pieces that join do not shrink */
	boot_mmap_add(&bi, 0x201000, 0x1800, BOOT_MEM_RAM);
	boot_mmap_add(&bi, 0x9fc00, 0x400, BOOT_MEM_RESERVED);
	CHECK(boot_mmap_finish(&bi));
	CHECK_MAP(&bi, { 0x1000, 0x9e000, 1 }, { 0x9fc00, 0x400, 2 }, { 0x201000, 0x1000, 1 });
	CHECK(boot_mmap_finish(&bi)); /* and once more changes nothing */
	CHECK_EQ(bi.mmap_count, 3);
}

static void test_mmap_extremes(void)
{
	map_start();
	boot_mmap_add(&bi, 0x1000, 0, BOOT_MEM_RAM);
	boot_mmap_add(&bi, ~0ull, ~0ull, BOOT_MEM_RAM);
	boot_mmap_add(&bi, BOOT_PHYS_END, 0x1000, BOOT_MEM_RAM);
	CHECK_EQ(bi.mmap_count, 0);
	CHECK(!boot_mmap_finish(&bi));
	boot_mmap_add(&bi, BOOT_PHYS_END - 0x1000, ~0ull, BOOT_MEM_RAM);
	boot_mmap_add(&bi, 0, 0x1000, 77); /* unknown types are reserved */
	boot_mmap_add(&bi, 0x2000, 0x1000, 0);
	CHECK(boot_mmap_finish(&bi));
	CHECK_MAP(&bi, { 0, 0x1000, 2 }, { 0x2000, 0x1000, 2 },
		  { BOOT_PHYS_END - 0x1000, 0x1000, 1 });
}

/* With no room left RAM is lost, never something reserved turned into RAM. */
static void test_mmap_overflow_is_safe(void)
{
	map_start();
	for (unsigned i = 0; i < BOOT_MMAP_MAX; i++)
		boot_mmap_add(&bi, 0x10000ull * i, 0x8000, BOOT_MEM_RAM);
	CHECK_EQ(bi.mmap_count, BOOT_MMAP_MAX);
	CHECK_EQ(bi.dropped, 0);
	boot_mmap_add(&bi, 0x12000, 0x1000, BOOT_MEM_RESERVED);
	CHECK_EQ(bi.mmap_count, BOOT_MMAP_MAX);
	CHECK_EQ(bi.dropped, 2); /* what is above it, and itself */
	CHECK_EQ(bi.mmap[1].base, 0x10000);
	CHECK_EQ(bi.mmap[1].size, 0x2000);
	CHECK_EQ(bi.mmap[2].base, 0x20000);
}

/* Against a flat picture of 256 pages. */
static void test_mmap_random_against_flat(void)
{
	static const uint8_t rank[] = { 0, 1, 4, 2, 3, 5 };
	static const uint8_t order[] = { 1, 3, 4, 2, 5 };

	srand(1);
	for (unsigned round = 0; round < 2000; round++) {
		uint8_t flat[256] = { 0 };

		map_start();
		for (unsigned n = 0; n < 24; n++) {
			unsigned base = rand() % 256, size = rand() % (256 - base) / 3 + 1;
			unsigned type = order[rand() % 5];

			boot_mmap_add(&bi, base * 4096ull, size * 4096ull, type);
			for (unsigned i = base; i < base + size && i < 256; i++) {
				if (rank[type] > rank[flat[i]])
					flat[i] = type;
			}
		}
		for (unsigned i = 0; i < bi.mmap_count; i++) {
			const struct boot_mmap_entry *e = &bi.mmap[i];

			for (uint64_t pa = e->base; pa < e->base + e->size; pa += 4096) {
				if (flat[pa / 4096] != e->type)
					ktap_fail(__FILE__, __LINE__, "round %u, page %llu", round,
						  (unsigned long long)pa / 4096);
				flat[pa / 4096] = 0; /* each page once */
			}
			if (i)
				CHECK(e[-1].base + e[-1].size <= e->base);
		}
		for (unsigned i = 0; i < 256; i++)
			CHECK_EQ(flat[i], 0);
	}
}

static void test_mmap_efi_types(void)
{
	static const uint8_t want[] = { 2, 1, 1, 1, 1, 2, 2, 1, 5, 3, 4, 2, 2, 2, 2, 2 };
	struct buf b = { .size = 0 };
	void *map;

	for (unsigned type = 0; type < sizeof(want); type++) {
		put64(&b, type);
		put64(&b, type * 0x10000ull);
		put64(&b, 0);
		put64(&b, 1);
		put64(&b, 0xf);
		put64(&b, 0); /* descriptors may be larger than we know */
	}
	map = exact_copy(b.data, b.size);
	map_start();
	boot_mmap_add_efi(&bi, map, b.size, 48);
	CHECK_EQ(bi.mmap_count, sizeof(want));
	for (unsigned i = 0; i < bi.mmap_count; i++)
		CHECK_EQ(bi.mmap[i].type, want[i]);
	map_start();
	boot_mmap_add_efi(&bi, map, b.size, 39);
	boot_mmap_add_efi(&bi, map, b.size, 0);
	CHECK_EQ(bi.mmap_count, 0);
	free(map);
}

static const struct ktap_test tests[] = {
	KTAP(test_mmap_sorts_and_merges),
	KTAP(test_mmap_reserved_wins),
	KTAP(test_mmap_order_does_not_matter),
	KTAP(test_mmap_swallows),
	KTAP(test_mmap_ram_is_whole_pages),
	KTAP(test_mmap_extremes),
	KTAP(test_mmap_overflow_is_safe),
	KTAP(test_mmap_random_against_flat),
	KTAP(test_mmap_efi_types),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
