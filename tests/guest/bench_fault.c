/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a nested page fault costs, as the guest sees it: the time of one store.  `make bench` runs it with
 * the options that each test needs, and only= for that test.  mib=N: how much memory.
 */
#include "tests/guest/lib/bench.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/x86.h"

static struct bench b;
static uint64_t base, bytes;

static void touch(uint64_t gpa)
{
	*(volatile uint64_t *)gpa = gpa;
}

static void touch_all(void)
{
	for (uint64_t at = base; at < base + bytes; at += PAGE_SIZE)
		touch(at);
}

static void sample_touch(uint64_t gpa)
{
	uint64_t start = rdtsc();

	touch(gpa);
	bench_add(&b, rdtsc() - start);
}

/* The first touch in each piece of so many bytes, in random order. */
static void sample_pieces(uint64_t piece)
{
	unsigned n = bytes / piece;
	const uint32_t *order = bench_order(n);

	for (unsigned i = 0; i < n; i++)
		sample_touch(base + order[i] * piece);
}

static void sample_pages(void)
{
	for (uint64_t at = base; at < base + bytes; at += PAGE_SIZE)
		sample_touch(at);
}

static unsigned long long faults(void)
{
	return stat_read("pf_taken");
}

/*
 * Every sample has to be a fault, or none is a figure.  KVM's own threads may take a page from
 * below the guest meanwhile: one in a thousand is no sample's.
 */
static void check_faults(unsigned long long before)
{
	unsigned long long taken = faults() - before;

	CHECK(taken >= b.count);
	CHECK(taken <= b.count + b.count / 1000);
}

/* One touch in each window of fault-around: each is a fault, and maps its neighbours as well. */
static void test_random(void)
{
	struct phyllo_mmu_mode mode;
	unsigned long long before;

	mmu_mode(&mode);
	touch_all();
	CHECK_EQ(unmap(base, bytes), 0);
	before = faults();
	sample_pieces(mode.fault_around * PAGE_SIZE);
	CHECK(faults() - before >= b.count);
	CHECK_EQ(large_mappings(), 0);
	bench_say(&b, "fault.4k", BENCH_MEDIAN);
}

static void test_seq(void)
{
	touch_all();
	CHECK_EQ(unmap(base, bytes), 0);
	sample_pages();
	CHECK_EQ(large_mappings(), 0);
	bench_say(&b, "fault.4k.seq", BENCH_MEAN);
}

/* One page of each table stays mapped, so that the tables do. */
static void test_refault(void)
{
	unsigned long long tables, before;

	touch_all();
	tables = stat_read("mmu_tables");
	for (uint64_t at = base; at < base + bytes; at += SIZE_2M)
		CHECK_EQ(unmap(at + PAGE_SIZE, SIZE_2M - PAGE_SIZE), 0);
	CHECK_EQ(stat_read("mmu_tables"), tables);
	before = faults();
	for (uint64_t at = base; at < base + bytes; at += PAGE_SIZE)
		if (at % SIZE_2M)
			sample_touch(at);
	check_faults(before);
	bench_say(&b, "fault.4k.refault", BENCH_MEDIAN);
}

static void test_alloc(void)
{
	unsigned long long before;

	touch_all();
	CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_OUT, base, bytes, PHYLLO_MAY_BLOCK, 0),
		 bytes / PAGE_SIZE);
	CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_IN, base, bytes, PHYLLO_MAY_BLOCK, 0),
		 bytes / PAGE_SIZE);
	before = faults();
	sample_pages();
	check_faults(before);
	bench_say(&b, "fault.4k.alloc", BENCH_MEAN);
}

static void test_2m(void)
{
	unsigned long long before;

	touch_all();
	CHECK_EQ(unmap(base, bytes), 0);
	before = faults();
	sample_pieces(SIZE_2M);
	check_faults(before);
	CHECK(stat_read("pages_2m") >= b.count);
	bench_say(&b, "fault.2m", BENCH_MEDIAN);
}

/* A write to a page that the dirty log has made read-only. */
static void test_dirty(void)
{
	unsigned long long before;

	touch_all();
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 0, PHYLLO_DIRTY_STYLE_WRPROT, 0, 0), 0);
	before = stat_read("pf_fast");
	sample_pages();
	CHECK(stat_read("pf_fast") - before >= b.count);
	bench_say(&b, "fault.dirty", BENCH_MEDIAN);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_STOP, 0, 0, 0, 0), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_random),
	KTAP(test_seq),
	KTAP(test_refault),
	KTAP(test_alloc),
	KTAP(test_2m),
	KTAP(test_dirty),
};

int guest_main(void)
{
	uint32_t mib = 128;

	info_number("mib", &mib);
	bytes = (uint64_t)mib << 20;
	base = ram_take(bytes, SIZE_2M);
	if (!base)
		guest_die("no %u MiB of memory", mib);
	b = bench_new(bytes / PAGE_SIZE);
	return KTAP_MAIN(tests);
}
