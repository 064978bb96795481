/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the hypervisor says of its MMU, against what it was told at boot: words format=, level=,
 * ad=on|off, nx=on|off, around=, dirty= (numbers, but for format).  And the dump.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/region.h"

static struct phyllo_mmu_mode mode;
static struct region region;

static void check_number(const char *name, unsigned have)
{
	uint32_t want;

	if (info_number(name, &want) && have != want)
		ktap_fail(__FILE__, __LINE__, "%s is %u, not %u", name, have, want);
}

static void check_flag(const char *name, uint32_t flag)
{
	bool on = mode.flags & flag;

	if (info_option(name) && !info_option_is(name, on ? "on" : "off"))
		ktap_fail(__FILE__, __LINE__, "%s is %s", name, on ? "on" : "off");
}

static void test_as_booted(void)
{
	check_number("level", mode.max_level);
	check_number("around", mode.fault_around);
	check_number("dirty", mode.dirty_default);
	check_flag("ad", PHYLLO_MODE_AD);
	check_flag("nx", PHYLLO_MODE_NX_HUGE_PAGES);
	if (info_option("format"))
		CHECK(info_option_is("format", mode.format));
}

static void test_plausible(void)
{
	const uint32_t known = PHYLLO_MODE_AD | PHYLLO_MODE_NX_HUGE_PAGES;

	CHECK(!strcmp(mode.format, "ept") || !strcmp(mode.format, "npt") ||
	      !strcmp(mode.format, "shadow"));
	CHECK(mode.root_level == 4 || mode.root_level == 5);
	CHECK(mode.max_level >= 1 && mode.max_level <= 3);
	CHECK(mode.fault_around >= 1 && mode.fault_around <= 64);
	CHECK(mode.physical_bits >= 32 && mode.physical_bits <= 52);
	CHECK_EQ(mode.flags & ~known, 0);
	CHECK(mode.dirty_styles & 1u << PHYLLO_DIRTY_STYLE_WRPROT);
	CHECK(mode.dirty_styles & 1u << mode.dirty_default);
	/* The processor's log follows its Dirty bits. */
	if (mode.dirty_styles & 1u << PHYLLO_DIRTY_STYLE_PML)
		CHECK(mode.dirty_styles & 1u << PHYLLO_DIRTY_STYLE_DBIT);
	CHECK_EQ(!!(mode.flags & PHYLLO_MODE_AD),
		 mode.dirty_styles >> PHYLLO_DIRTY_STYLE_DBIT & 1);
}

/* No mapping is larger than what was said; where large ones are allowed they are used. */
static void test_mapping_sizes(void)
{
	region_verify_all(&region);
	if (mode.max_level < 3)
		CHECK_EQ(stat_read("pages_1g"), 0);
	if (mode.max_level < 2)
		CHECK_EQ(stat_read("pages_2m"), 0);
	else
		CHECK(large_mappings() > 0);
}

/* In 4K pages: neighbours that have pages come along with one fault. */
static void test_fault_around(void)
{
	uint64_t bytes = region.pages * PAGE_SIZE;
	unsigned long long taken, mapped;

	if (mode.max_level > 1) {
		ktap_skip("the pages are mapped large");
		return;
	}
	CHECK_EQ(unmap(region.base, bytes), 0);
	taken = stat_read("pf_taken");
	for (unsigned i = 0; i < region.pages; i++)
		(void)*(volatile uint64_t *)(region.base + i * PAGE_SIZE);
	taken = stat_read("pf_taken") - taken;
	mapped = region.pages / mode.fault_around;
	if (taken < mapped || taken > mapped + 16)
		ktap_fail(__FILE__, __LINE__, "%llu faults for %u pages", taken, region.pages);
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

static void test_dump(void)
{
	long lines = hypercall(PHYLLO_HC_DUMP, region.base, 4 * PAGE_SIZE, 0, 0);

	CHECK(lines > 0);
	CHECK_EQ(hypercall(PHYLLO_HC_DUMP, region.base, PHYLLO_DUMP_MAX + PAGE_SIZE, 0, 0),
		 PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_DUMP, region.base, 0, 0, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_DUMP, region.base, PAGE_SIZE, 1, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_DUMP, -PAGE_SIZE, PAGE_SIZE, 0, 0), PHYLLO_EINVAL);
	/* Outside memory there is nothing to show, but it is no error to look. */
	CHECK(hypercall(PHYLLO_HC_DUMP, 1ul << 40, PAGE_SIZE, 0, 0) >= 0);
	CHECK(hypercall(PHYLLO_HC_DUMP, (1ul << 62), PAGE_SIZE, 0, 0) >= 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_as_booted),	 KTAP(test_plausible), KTAP(test_mapping_sizes),
	KTAP(test_fault_around), KTAP(test_dump),
};

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	mmu_mode(&mode);
	region_take(&region, 2 * SIZE_2M);
	return KTAP_MAIN(tests);
}
