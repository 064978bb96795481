/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The dirty log in every style that the machine has: random writes, and a bitmap of them of the
 * kernel's own to compare with.  The log must be exact, page by page, whatever the pages were
 * mapped with before.
 *
 * Most of it happens in a slot of its own; the slot with the kernel itself comes last.
 * mib=N: how much memory, rounds=N: how often.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define SLOT 7ul
#define SLOT_GPA (2ul << 30)
#define WORDS_MAX 256 /* 16 K pages: 64 MiB */

static struct phyllo_mmu_mode mode;
static uint32_t pages, rounds = 6;
static uint64_t mine[WORDS_MAX], got[WORDS_MAX];
static uint32_t salt[WORDS_MAX * 64];
static unsigned style;

static volatile uint32_t *word_of(unsigned page)
{
	return (volatile uint32_t *)(SLOT_GPA + page * PAGE_SIZE + page % 1000 * 4);
}

static void write_page(unsigned page)
{
	salt[page] = random32();
	*word_of(page) = salt[page];
	bit_set(mine, page);
}

static void verify(void)
{
	for (unsigned i = 0; i < pages; i++) {
		if (*word_of(i) == salt[i])
			continue;
		ktap_fail(__FILE__, __LINE__, "page %u holds 0x%x, not 0x%x", i, *word_of(i), salt[i]);
		return;
	}
}

static void compare(const char *when)
{
	unsigned lost = 0, extra = 0, first = 0;

	for (unsigned i = 0; i < pages; i++) {
		bool want = bit_get(mine, i), have = bit_get(got, i);

		if (want != have && !lost && !extra)
			first = i;
		lost += want && !have;
		extra += have && !want;
	}
	if (lost || extra)
		ktap_fail(__FILE__, __LINE__,
			  "style %u, %s: %u writes lost, %u pages reported that nobody wrote, the "
			  "first of them %u", style, when, lost, extra, first);
}

static long start(unsigned flags)
{
	long ret = hypercall(PHYLLO_HC_DIRTY_START, SLOT, style, flags, 0);

	CHECK_EQ(ret, 0);
	memset(mine, 0, sizeof(mine));
	return ret;
}

static void stop(void)
{
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_STOP, SLOT, 0, 0, 0), 0);
}

/* Compare with the log and begin anew. */
static void harvest(const char *when)
{
	long n;

	memset(got, 0xaa, sizeof(got));
	n = dirty_get(SLOT, 0, pages, got, PHYLLO_DIRTY_GET_CLEAR);
	CHECK_EQ(n, bit_count(got, pages));
	compare(when);
	memset(mine, 0, sizeof(mine));
}

static void write_some(void)
{
	unsigned n = random32() % (pages / 2) + 1;

	for (unsigned i = 0; i < n; i++)
		write_page(random32() % pages);
	/* Reading makes nothing dirty. */
	for (unsigned i = 0; i < 50; i++)
		(void)*word_of(random32() % pages);
}

static void log_rounds(unsigned flags)
{
	if (start(flags))
		return;
	for (unsigned i = 0; i < rounds; i++) {
		write_some();
		harvest("after random writes");
	}
	harvest("after nothing");
	stop();
	verify();
	CHECK_EQ(audit(), 0);
}

static void test_random_writes(void)
{
	log_rounds(0);
}

static void test_split_on_write(void)
{
	log_rounds(PHYLLO_DIRTY_NO_SPLIT);
}

static void test_all_set(void)
{
	for (unsigned flags = 1; flags <= 3; flags += 2) {
		if (start(flags))
			return;
		CHECK_EQ(dirty_get(SLOT, 0, pages, got, 0), pages);
		CHECK_EQ(dirty_get(SLOT, 0, pages, got, PHYLLO_DIRTY_GET_CLEAR), pages);
		CHECK_EQ(bit_count(got, pages), pages);
		write_some();
		harvest("after the first clear of everything");
		write_some();
		harvest("the second time");
		stop();
	}
	verify();
}

/* Get leaves it; clear takes just what it is told, also at odd places. */
static void test_clear(void)
{
	unsigned first = 67, n = pages - 130;
	uint64_t half[WORDS_MAX];

	if (start(0))
		return;
	for (unsigned i = 0; i < pages; i++)
		write_page(i);
	CHECK_EQ(dirty_get(SLOT, 0, pages, got, 0), pages);
	CHECK_EQ(dirty_get(SLOT, first, n, got, 0), n);
	memset(half, 0, sizeof(half));
	for (unsigned i = 0; i < n; i += 2) {
		bit_set(half, i);
		mine[(first + i) / 64] &= ~(1ull << (first + i) % 64);
	}
	CHECK_EQ(dirty_clear(SLOT, first, n, half), 0);
	CHECK_EQ(dirty_get(SLOT, 0, pages, got, 0), bit_count(mine, pages));
	compare("after clearing every other page");
	write_page(first + 2);
	harvest("and a page written again");
	stop();
}

/* What the hypervisor itself writes on the guest's behalf is a write. */
static void test_hypercall_buffer(void)
{
	if (start(0))
		return;
	CHECK(hypercall(PHYLLO_HC_STATS_READ, SLOT_GPA + 5 * PAGE_SIZE, 2048, 0, 0) > 0);
	bit_set(mine, 5);
	harvest("after a hypercall wrote to page 5");
	salt[5] = *word_of(5);
	stop();
}

/* Other operations in between lose no write. */
static void test_beside_others(void)
{
	uint64_t bytes = pages * PAGE_SIZE;

	if (start(0))
		return;
	for (unsigned i = 0; i < rounds; i++) {
		write_some();
		CHECK_EQ(unmap(SLOT_GPA, bytes), 0);
		write_some();
		CHECK_EQ(zap_all(), 0);
		write_some();
		CHECK(hypercall(PHYLLO_HC_AGE, SLOT_GPA, bytes, 0, 0) >= 0);
		write_some();
		CHECK(hypercall(PHYLLO_HC_MIGRATE, SLOT_GPA, 16 * PAGE_SIZE, 0, 0) >= 0);
		harvest("with unmap, zap, ageing and migration in between");
	}
	stop();
	verify();
	CHECK_EQ(audit(), 0);
}

static unsigned long long large_before;

static bool large_again(void)
{
	return large_mappings() >= large_before;
}

/* Nothing has become large for a while: what earlier logs left the worker to do is done. */
static bool worker_rests(void)
{
	static unsigned long long recovered, calls;
	unsigned long long now = stat_read("recovered");

	calls = now == recovered ? calls + 1 : 0;
	recovered = now;
	return calls >= 200;
}

/* Splitting for the log is undone when it ends. */
static void test_large_pages_come_back(void)
{
	for (unsigned i = 0; i < pages; i++)
		write_page(i);
	CHECK(work_wait(worker_rests, 100000));
	large_before = large_mappings();
	if (!large_before) {
		printf("# no large mappings here\n");
		return;
	}
	if (mmu_is_shadow())
		return; /* there it is faults that make small and large ones, and no worker */
	unsigned long long split_before = stat_read("split");

	if (start(0))
		return;
	write_some();
	harvest("large pages split");
	CHECK(stat_read("split") > split_before);
	stop();
	if (!work_wait(large_again, 20000))
		ktap_fail(__FILE__, __LINE__, "%llu large mappings, not %llu as before",
			  large_mappings(), large_before);
	verify();
	CHECK_EQ(audit(), 0);
}

/* The slot that holds this code, its stack and its tables. */
static void test_own_memory(void)
{
	static uint64_t page[512] __attribute__((aligned(4096)));
	struct phyllo_slot slot;
	uint64_t n = (uintptr_t)page / PAGE_SIZE;

	CHECK_EQ(slot_info(0, &slot), 0);
	CHECK_EQ(slot.gpa, 0);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 0, style, 0, 0), 0);
	for (unsigned i = 0; i < 200; i++) {
		CHECK_EQ(dirty_get(0, n, 1, got, PHYLLO_DIRTY_GET_CLEAR), i && i % 3 == 0);
		if ((i + 1) % 3 == 0)
			*(volatile uint64_t *)page = i;
	}
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_STOP, 0, 0, 0, 0), 0);
	CHECK_EQ(audit(), 0);
}

static void test_errors(void)
{
	CHECK_EQ(dirty_get(SLOT, 0, pages, got, 0), PHYLLO_ENOENT);
	CHECK_EQ(dirty_clear(SLOT, 0, pages, got), PHYLLO_ENOENT);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_STOP, SLOT, 0, 0, 0), PHYLLO_ENOENT);
	if (start(0))
		return;
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, SLOT, style, 0, 0), PHYLLO_EBUSY);
	CHECK_EQ(dirty_get(SLOT, 0, pages + 1, got, 0), PHYLLO_EINVAL);
	CHECK_EQ(dirty_get(SLOT, pages, 1, got, 0), PHYLLO_EINVAL);
	CHECK_EQ(dirty_get(SLOT, ~0ull, 2, got, 0), PHYLLO_EINVAL);
	CHECK_EQ(dirty_get(SLOT, 0, 0, got, 0), PHYLLO_EINVAL);
	CHECK_EQ(dirty_get(SLOT, 0, pages, got, 2), PHYLLO_EINVAL);
	CHECK_EQ(dirty_get(SLOT, 0, pages, (uint64_t *)((uintptr_t)got + 4), 0), PHYLLO_EINVAL);
	CHECK_EQ(dirty_get(SLOT + 1, 0, 1, got, 0), PHYLLO_ENOENT);
	CHECK_EQ(dirty_get(1ul << 32 | SLOT, 0, 1, got, 0), PHYLLO_ENOENT);
	CHECK_EQ(dirty_clear(SLOT, 0, pages, (uint64_t *)(1ul << 45)), PHYLLO_EFAULT);
	/* A buffer that is no memory costs no dirty page. */
	write_some();
	CHECK_EQ(dirty_get(SLOT, 0, pages, (uint64_t *)(1ul << 45), PHYLLO_DIRTY_GET_CLEAR),
		 PHYLLO_EFAULT);
	harvest("after a get that failed");
	stop();
}

/* A slot that goes while it is logged takes its log along. */
static void test_slot_deleted(void)
{
	if (start(0))
		return;
	write_some();
	CHECK_EQ(slot_delete(SLOT), 0);
	CHECK_EQ(dirty_get(SLOT, 0, pages, got, 0), PHYLLO_ENOENT);
	CHECK_EQ(slot_create(SLOT, SLOT_GPA, pages * PAGE_SIZE, 0), 0);
	memset(salt, 0, sizeof(salt));
	verify();
	CHECK_EQ(audit(), 0);
}

static void (*const each_style[])(void) = {
	test_random_writes, test_split_on_write,	test_all_set,	 test_clear,
	test_hypercall_buffer, test_beside_others, test_large_pages_come_back,
	test_own_memory, test_errors, test_slot_deleted,
};

static void run_style(unsigned s)
{
	if (!(mode.dirty_styles >> s & 1) && s) {
		ktap_skip("this machine has no such style");
		return;
	}
	style = s;
	for (unsigned i = 0; i < ARRAY_SIZE(each_style); i++)
		each_style[i]();
}

static void test_style_default(void)
{
	run_style(PHYLLO_DIRTY_STYLE_DEFAULT);
}

static void test_style_write_protection(void)
{
	run_style(PHYLLO_DIRTY_STYLE_WRPROT);
}

static void test_style_dirty_bit(void)
{
	run_style(PHYLLO_DIRTY_STYLE_DBIT);
}

static void test_style_processor_log(void)
{
	run_style(PHYLLO_DIRTY_STYLE_PML);
}

static const struct ktap_test tests[] = {
	KTAP(test_style_write_protection),
	KTAP(test_style_dirty_bit),
	KTAP(test_style_processor_log),
	KTAP(test_style_default),
};

int guest_main(void)
{
	uint32_t mib = 20;
	long ret;

	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	info_number("mib", &mib);
	info_number("rounds", &rounds);
	pages = mib * 256;
	if (pages > WORDS_MAX * 64 || pages < 512)
		guest_die("mib= is from 2 to %u here", WORDS_MAX / 4);
	mmu_mode(&mode);
	ret = slot_create(SLOT, SLOT_GPA, pages * PAGE_SIZE, 0);
	if (ret)
		guest_die("no slot of %u MiB: %ld", mib, ret);
	return KTAP_MAIN(tests);
}
