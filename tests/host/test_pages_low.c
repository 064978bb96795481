/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages below 4 GiB, on a machine that has most of its memory above (host/pages.c). */
#include "boot/boot_info.h"
#include "host/pages.h"
#include "tests/host/fake_machine.h"
#include "tests/host/ktap.h"

#define MIB (1ul << 20)
#define GIB (1ul << 30)
#define PAGE 4096ul

/* Everything that is left, in large blocks and then in single pages; all of it in [from, to). */
static uint64_t take_rest(unsigned flags, uint64_t from, uint64_t to)
{
	uint64_t n = 0, pa;

	for (unsigned order = 9;; order = 0) {
		for (; (pa = pages_alloc(order, flags)) != PAGES_NONE; n += 1ul << order)
			EXPECT(pa >= from && pa + (PAGE << order) <= to);
		if (!order)
			return n;
	}
}

/* However much is free above: what is asked for below lies there, and all of it can be had. */
static void below_4g_child(void)
{
	static struct boot_info bi = {
		.mmap = { { MIB, 3 * GIB - MIB, BOOT_MEM_RAM }, { 4 * GIB, 5 * GIB, BOOT_MEM_RAM } },
		.mmap_count = 2,
		.image_base = 2 * MIB,
		.image_end = 4 * MIB,
	};
	struct pages_stats st;
	uint64_t low;

	fake_ram_create(9 * GIB);
	EXPECT(pages_init(&bi) == 0);
	pages_add_high(&bi);
	pages_free(pages_alloc(0, 0), 0); /* some are in the CPU's cache */
	pages_stats(&st);
	low = take_rest(PAGES_BELOW_4G, 0, 4 * GIB);
	EXPECT(low > 2 * GIB / PAGE);
	EXPECT(low + take_rest(0, 4 * GIB, ~0ul) == st.free);
}

static void test_below_4g(void)
{
	CHECK(fake_child(below_4g_child));
}

static const struct ktap_test tests[] = { KTAP(test_below_4g) };

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
