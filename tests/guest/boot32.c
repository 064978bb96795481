/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A 32-bit kernel (ELF32, loaded by its program headers) that looks at the state in which a
 * multiboot1 loader starts it.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/bootcheck.h"
#include "tests/guest/lib/x86.h"

static uint8_t zeroed[65536];

static void test_entry_state(void)
{
	bootcheck_registers(MB1_MAGIC_EAX);
}

static void test_bss_is_zero(void)
{
	for (unsigned i = 0; i < sizeof(zeroed); i++)
		if (zeroed[i])
			ktap_fail(__FILE__, __LINE__, "byte %u is %x", i, zeroed[i]);
	memset(zeroed, 0xff, sizeof(zeroed));
}

/* Through each segment, base 0 and read/write: the same word, up to the last of RAM. */
#define CHECK_SEGMENT(seg, address)                                                           \
	do {                                                                                  \
		uint32_t saved_ = *(volatile uint32_t *)(address), v_;                        \
		__asm__ volatile("movl $0x5e95e9, %%" seg ":(%1)\n\tmovl %%" seg ":(%1), %0"  \
				 : "=&r"(v_) : "r"(address) : "memory");                      \
		CHECK_EQ(v_, 0x5e95e9);                                                       \
		CHECK_EQ(*(volatile uint32_t *)(address), 0x5e95e9);                          \
		*(volatile uint32_t *)(address) = saved_;                                     \
	} while (0)

static void check_segments_at(uint32_t address)
{
	CHECK_SEGMENT("ds", address);
	CHECK_SEGMENT("es", address);
	CHECK_SEGMENT("ss", address);
	CHECK_SEGMENT("fs", address);
	CHECK_SEGMENT("gs", address);
}

static void test_segments(void)
{
	static uint32_t word;
	uint32_t code;

	check_segments_at((uintptr_t)&word);
	for (unsigned i = 0; i < info.ram_count; i++)
		if (info.ram[i].base < 0xfffff000)
			check_segments_at(info.ram[i].base + info.ram[i].size - 4);
	__asm__ volatile("movl %%cs:(%1), %0" : "=r"(code) : "r"(test_segments));
	CHECK_EQ(code, *(uint32_t *)(uintptr_t)test_segments);
}

static void test_hypercalls(void)
{
	static const char text[] = "# 32-bit code wrote this by hypercall\n";
	const unsigned long size = sizeof(text) - 1;

	if (!ktap_need_phyllo())
		return;
	console_flush();
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(hypercall_by(i, PHYLLO_HC_VERSION, 0, 0, 0, 0), PHYLLO_ABI_VERSION);
		CHECK_EQ(hypercall_by(i, 0xffffffff, 0, 0, 0, 0), PHYLLO_ENOSYS);
		CHECK_EQ(hypercall_by(i, PHYLLO_HC_CONSOLE_WRITE, (uintptr_t)text, size, 0, 0),
			 size);
	}
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_entry_state),
	KTAP(test_bss_is_zero),
	KTAP(test_segments),
	{ "test_a20", bootcheck_a20 },
	{ "test_memory_map", bootcheck_memory_map },
	{ "test_cmdline", bootcheck_cmdline },
	{ "test_modules", bootcheck_modules },
	KTAP(test_hypercalls),
};

int guest_main(void)
{
	return KTAP_MAIN(tests);
}
