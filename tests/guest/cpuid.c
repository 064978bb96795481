/* SPDX-License-Identifier: GPL-2.0-only */
/* What the hypervisor tells of the processor. */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/x86.h"

#define FEATURE_1_ECX_VMX (1u << 5)
#define FEATURE_1_ECX_OSXSAVE (1u << 27)
#define FEATURE_1_ECX_XSAVE (1u << 26)
#define FEATURE_1_ECX_HYPERVISOR (1u << 31)
#define FEATURE_80000001_ECX_SVM (1u << 2)
#define FEATURE_80000001_EDX_LM (1u << 29)

static void test_signature(void)
{
	struct cpuid_regs r;

	if (!ktap_need_phyllo())
		return;
	r = cpuid(PHYLLO_CPUID_BASE, 0);
	CHECK(r.eax >= PHYLLO_CPUID_FEATURES && r.eax < PHYLLO_CPUID_BASE + 0x100);
	CHECK(!memcmp(&r.ebx, "Phyl", 4));
	CHECK(!memcmp(&r.ecx, "loPh", 4));
	CHECK(!memcmp(&r.edx, "yllo", 4));
	CHECK(cpuid(1, 0).ecx & FEATURE_1_ECX_HYPERVISOR);
	r = cpuid(PHYLLO_CPUID_FEATURES, 0);
	CHECK_EQ(r.eax, PHYLLO_ABI_VERSION);
	CHECK(r.ebx & PHYLLO_FEATURE_CONSOLE);
}

/* An extension that the guest cannot use must not be offered. */
static void test_no_virtualisation(void)
{
	if (!ktap_need_phyllo())
		return;
	CHECK(!(cpuid(1, 0).ecx & FEATURE_1_ECX_VMX));
	CHECK(!(cpuid(0x80000001, 0).ecx & FEATURE_80000001_ECX_SVM));
	if (cpuid(0x80000000, 0).eax >= 0x8000000a) {
		struct cpuid_regs r = cpuid(0x8000000a, 0);

		CHECK_EQ(r.eax | r.ebx | r.ecx | r.edx, 0);
	}
}

static void test_maximum_leaves(void)
{
	uint32_t basic = cpuid(0, 0).eax, extended = cpuid(0x80000000, 0).eax;

	CHECK(basic >= 1 && basic < 0x100);
	CHECK(extended >= 0x80000001 && extended < 0x80000100);
	CHECK(cpuid(0x80000001, 0).edx & FEATURE_80000001_EDX_LM);
	if (extended >= 0x80000008) {
		uint32_t bits = cpuid(0x80000008, 0).eax;

		CHECK((bits & 0xff) >= 32 && (bits & 0xff) <= 52);
		CHECK((bits >> 8 & 0xff) == 48 || (bits >> 8 & 0xff) == 57);
	}
}

/* Features that live code depends on: what is used to get here at all. */
static void test_baseline_features(void)
{
	uint32_t edx = cpuid(1, 0).edx;

	CHECK(edx & 1 << 3);  /* PSE */
	CHECK(edx & 1 << 5);  /* MSR */
	CHECK(edx & 1 << 6);  /* PAE */
	CHECK(edx & 1 << 24); /* FXSR */
	CHECK(edx & 1 << 26); /* SSE2 */
}

static void test_osxsave_follows_cr4(void)
{
	unsigned long cr4 = read_cr4();

	if (!(cpuid(1, 0).ecx & FEATURE_1_ECX_XSAVE)) {
		CHECK(!(cpuid(1, 0).ecx & FEATURE_1_ECX_OSXSAVE));
		ktap_skip("the processor has no XSAVE");
		return;
	}
	for (unsigned i = 0; i < 3; i++) {
		write_cr4(cr4 & ~CR4_OSXSAVE);
		CHECK(!(cpuid(1, 0).ecx & FEATURE_1_ECX_OSXSAVE));
		write_cr4(cr4 | CR4_OSXSAVE);
		CHECK(cpuid(1, 0).ecx & FEATURE_1_ECX_OSXSAVE);
	}
	write_cr4(cr4);
}

static void test_upper_halves_are_zero(void)
{
	static const uint32_t leaves[] = { 0,          1,          7,         0x40000000,
					   0x80000000, 0x80000008, 0xffffffff };

	for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++) {
		uint64_t a = 0xdeadbeef00000000ull | leaves[i], b = ~0ull, d = ~0ull;
		uint64_t c = 0xdeadbeef00000000ull;

		__asm__ volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
		CHECK_EQ((a | b | c | d) >> 32, 0);
	}
}

/* The APIC id and the OSXSAVE mirror are the only things that may change, and here do not. */
static void test_consistent(void)
{
	static const uint32_t leaves[] = { 0, 1, 2, 4, 7, 0xd, 0x40000000, 0x40000001, 0x80000000,
					   0x80000001, 0x80000008 };

	for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++) {
		struct cpuid_regs first = cpuid(leaves[i], 0);

		for (unsigned n = 0; n < 300; n++) {
			struct cpuid_regs r = cpuid(leaves[i], 0);

			CHECK(!memcmp(&r, &first, sizeof(r)));
		}
	}
}

/* No leaf may hang, fault or answer differently for being asked out of range. */
static void test_every_leaf_answers(void)
{
	for (uint32_t leaf = 0; leaf < 0x40; leaf++)
		for (uint32_t sub = 0; sub < 4; sub++)
			cpuid(leaf, sub);
	for (uint32_t leaf = 0x40000000; leaf < 0x40000110; leaf++)
		cpuid(leaf, 0);
	for (uint32_t leaf = 0x80000000; leaf < 0x80000040; leaf++)
		cpuid(leaf, 0xffffffff);
	CHECK_EQ(cpuid(0, 0).eax, cpuid(0, 0xffffffff).eax);
}

static const struct ktap_test tests[] = {
	KTAP(test_signature),
	KTAP(test_no_virtualisation),
	KTAP(test_maximum_leaves),
	KTAP(test_baseline_features),
	KTAP(test_osxsave_follows_cr4),
	KTAP(test_upper_halves_are_zero),
	KTAP(test_consistent),
	KTAP(test_every_leaf_answers),
};

int guest_main(void)
{
	return KTAP_MAIN(tests);
}
