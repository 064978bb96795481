/* SPDX-License-Identifier: GPL-2.0-only */
/* The smallest useful kernel: who runs me, with what words, with how much memory? */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/x86.h"

static void test_greeting(void)
{
	struct cpuid_regs r = cpuid(0, 0);
	char vendor[13] = "";

	memcpy(vendor, &r.ebx, 4);
	memcpy(vendor + 4, &r.edx, 4);
	memcpy(vendor + 8, &r.ecx, 4);
	CHECK(strlen(vendor) == 12);
	printf("# Hello from a guest on a %s processor.\n", vendor);
	printf("# command line: \"%s\"\n", info.cmdline);
}

static void test_hypervisor(void)
{
	struct cpuid_regs r;

	if (!ktap_need_phyllo())
		return;
	r = cpuid(PHYLLO_CPUID_FEATURES, 0);
	CHECK_EQ(r.eax, PHYLLO_ABI_VERSION);
	CHECK_EQ(hypercall(PHYLLO_HC_VERSION, 0, 0, 0, 0), r.eax);
	CHECK_EQ(hypercall(PHYLLO_HC_FEATURES, 0, 0, 0, 0), r.ebx);
	printf("# %s: ABI version %u, features 0x%x\n", PHYLLO_SIGNATURE, r.eax, r.ebx);
}

static void test_memory_map(void)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < info.ram_count; i++) {
		const struct ram_range *r = &info.ram[i];

		printf("# RAM 0x%09lx - 0x%09lx\n", r->base, r->base + r->size);
		total += r->size;
	}
	printf("# %lu KiB of RAM, %u other ranges, %u modules\n", total >> 10, info.other_count,
	       info.module_count);
	CHECK(total >= 4 << 20);
}

static const struct ktap_test tests[] = {
	KTAP(test_greeting),
	KTAP(test_hypervisor),
	KTAP(test_memory_map),
};

int guest_main(void)
{
	return KTAP_MAIN(tests);
}
