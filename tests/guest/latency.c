/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The latencies that the hypervisor keeps: each kind agrees with itself, and with what this kernel
 * has just done.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/region.h"

#define KINDS_MAX 32u

static struct phyllo_latency lat;
static struct region region;
static struct phyllo_mmu_mode mode;

static long read_kind(unsigned kind, unsigned flags)
{
	memset(&lat, 0xee, sizeof(lat));
	lat.kind = kind;
	lat.flags = flags;
	return hypercall(PHYLLO_HC_LATENCY, (uintptr_t)&lat, sizeof(lat), 0, 0);
}

static bool read_name(const char *name, unsigned flags)
{
	for (unsigned kind = 0; kind < KINDS_MAX && !read_kind(kind, 0); kind++)
		if (!strcmp(lat.name, name))
			return !read_kind(kind, flags);
	ktap_fail(__FILE__, __LINE__, "no kind is called %s", name);
	return false;
}

static void check_worst(unsigned i)
{
	const struct phyllo_latency_event *e = &lat.worst[i];

	CHECK(strlen(e->what) > 0 && strlen(e->what) < sizeof(e->what));
	CHECK(strlen(e->with) < sizeof(e->with));
	CHECK(e->ticks <= (i ? lat.worst[i - 1].ticks : lat.max));
	CHECK(e->ticks >= lat.max / 2 || i);
	CHECK(e->when >= e->ticks);
}

/* While we are in a hypercall of our own, nothing else of this VM happens. */
static void check_kind(void)
{
	unsigned long long sum = 0, least = 0;

	for (unsigned b = 0; b < PHYLLO_LATENCY_BUCKETS; b++) {
		sum += lat.bucket[b];
		least += b ? lat.bucket[b] << b : 0;
	}
	CHECK_EQ(sum, lat.count);
	CHECK(lat.sum >= least);
	CHECK(lat.sum <= lat.max * lat.count);
	CHECK(lat.worst_count <= PHYLLO_LATENCY_WORST && lat.worst_count <= lat.count);
	if (lat.worst_count)
		CHECK_EQ(lat.worst[0].ticks, lat.max);
	for (unsigned i = 0; i < lat.worst_count; i++)
		check_worst(i);
}

static void test_every_kind(void)
{
	unsigned kind = 0;

	for (; kind < KINDS_MAX && !read_kind(kind, 0); kind++)
		check_kind();
	CHECK(kind >= 7 && kind < KINDS_MAX);
	CHECK_EQ(read_kind(kind, 0), PHYLLO_EINVAL);
	/* A call that fails leaves the structure as it was. */
	CHECK_EQ((unsigned char)lat.name[0], 0xee);
	CHECK_EQ(read_kind(~0u, 0), PHYLLO_EINVAL);
	CHECK_EQ(read_kind(0, 2), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_LATENCY, (uintptr_t)&lat, sizeof(lat) - 1, 0, 0),
		 PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_LATENCY, 1ul << 52, sizeof(lat), 0, 0), PHYLLO_EFAULT);
	CHECK_EQ(hypercall(PHYLLO_HC_FEATURES, 0, 0, 0, 0) & PHYLLO_FEATURE_LATENCY,
		 PHYLLO_FEATURE_LATENCY);
}

/* Every fault is counted: as many as the statistics say, and no fewer than the touches need. */
static void test_faults(void)
{
	uint64_t bytes = (uint64_t)region.pages * PAGE_SIZE;
	uint64_t per_fault = mode.max_level > 1 ? SIZE_2M / PAGE_SIZE : mode.fault_around;
	unsigned long long taken;

	CHECK_EQ(unmap(region.base, bytes), 0);
	if (!read_name("fault", PHYLLO_LATENCY_RESET))
		return;
	taken = stat_read("pf_taken");
	for (unsigned i = 0; i < region.pages; i++)
		(void)*(volatile uint64_t *)(region.base + (uint64_t)i * PAGE_SIZE);
	taken = stat_read("pf_taken") - taken;
	if (!read_name("fault", 0))
		return;
	check_kind();
	CHECK(taken >= region.pages / per_fault);
	/* Reading the figures takes no new pages, but the stack may. */
	CHECK(lat.count >= taken && lat.count <= taken + 8);
	CHECK(!strcmp(lat.worst[0].what, "fault"));
	CHECK_EQ(lat.worst[0].bytes, PAGE_SIZE);
	CHECK(lat.max > 0);
}

/* A reset begins anew; what the lock was held for has its name. */
static void test_holds(void)
{
	uint64_t bytes = (uint64_t)region.pages * PAGE_SIZE;
	unsigned long long before;

	region_verify_all(&region);
	if (!read_name("write_hold", PHYLLO_LATENCY_RESET) || !read_name("write_hold", 0))
		return;
	before = lat.count;
	/* The reads' own holds, and nothing else. */
	CHECK(before >= 1 && before <= KINDS_MAX);
	/* Not to block: one hold. */
	CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, region.base, bytes, 0, 0), 0);
	if (!read_name("write_hold", 0))
		return;
	check_kind();
	CHECK(lat.count > before);
	bool found = false;

	for (unsigned i = 0; i < lat.worst_count; i++)
		found |= !strcmp(lat.worst[i].what, "unmap") && lat.worst[i].gpa == region.base &&
			 lat.worst[i].bytes == bytes;
	CHECK(found);
}

static const struct ktap_test tests[] = {
	KTAP(test_every_kind),
	KTAP(test_faults),
	KTAP(test_holds),
};

int guest_main(void)
{
	uint32_t mib = 4;

	info_number("mib", &mib);
	if (!phyllo_present()) {
		printf("KTAP version 1\n1..0 # SKIP needs Phyllo below\n");
		return 0;
	}
	mmu_mode(&mode);
	region_take(&region, (uint64_t)mib << 20);
	return KTAP_MAIN(tests);
}
