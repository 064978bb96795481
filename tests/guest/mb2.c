/* SPDX-License-Identifier: GPL-2.0-only */
/* A kernel with a multiboot2 header and no other (guest.mk leaves the first one out). */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/bootcheck.h"

static void test_entry_state(void)
{
	bootcheck_registers(MB2_MAGIC_EAX);
	CHECK_EQ(boot_state.ebx % 8, 0);
}

/* Size, reserved word, then tags to the very end. */
static void test_information(void)
{
	const uint32_t *mbi = (const uint32_t *)(uintptr_t)boot_state.ebx;
	uint32_t off = 8, tags = 0;

	CHECK(mbi[0] >= 16 && mbi[0] < 0x100000);
	CHECK_EQ(mbi[1], 0);
	while (off + 8 <= mbi[0]) {
		const uint32_t *tag = mbi + off / 4;

		if (tag[1] < 8)
			ktap_fail(__FILE__, __LINE__, "tag %u of %u bytes", tag[0], tag[1]);
		if (tag[1] < 8 || tag[0] == 0)
			break;
		tags++;
		off += (tag[1] + 7) & ~7u;
	}
	CHECK_EQ(off + 8, mbi[0]);
	CHECK_EQ(mbi[off / 4 + 1], 8);
	printf("# %u tags in %u bytes\n", tags, mbi[0]);
}

static const struct ktap_test tests[] = {
	KTAP(test_entry_state),
	KTAP(test_information),
	{ "test_a20", bootcheck_a20 },
	{ "test_memory_map", bootcheck_memory_map },
	{ "test_cmdline", bootcheck_cmdline },
	{ "test_modules", bootcheck_modules },
};

int guest_main(void)
{
	return KTAP_MAIN(tests);
}
