/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One page of memory under tens of thousands of addresses: each of them shows what was written
 * through any other, and the page's going away, by hypercall, is seen through all.
 * count=N: addresses, large=N: addresses of one page of 2M.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/access.h"
#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define VA 0x400000000000ul
#define VA_LARGE (VA + 512 * SIZE_1G)
#define WORDS (PAGE_SIZE / 4)
#define SOME (count / 16)

static struct space space;
static uint64_t page;  /* the one page */
static uint64_t large; /* the one of 2M */
static uint32_t count, large_count;
/* Of the addresses, in this test: all, or some where it is done again and again. */
static unsigned used;

static uint64_t va_of(unsigned i)
{
	return VA + i * PAGE_SIZE;
}

static uint64_t large_va_of(unsigned i)
{
	return VA_LARGE + i * SIZE_2M;
}

static volatile uint32_t *word(uint64_t va, unsigned n)
{
	return (volatile uint32_t *)va + n % WORDS;
}

/* Every address is used, so that the hypervisor knows all of them; wrong values are counted. */
static unsigned read_all(unsigned n, uint32_t want)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < used; i++)
		wrong += *word(va_of(i), n) != want;
	return wrong;
}

static void write_all(uint32_t salt)
{
	for (unsigned i = 0; i < used; i++)
		*word(va_of(i), i) = salt + i;
}

/* After write_all(): the last one through each word counts. */
static unsigned check_words(uint64_t va, uint32_t salt)
{
	unsigned wrong = 0;

	for (unsigned w = 0; w < WORDS && w < used; w++)
		wrong += *word(va, w) != salt + w + (used - 1 - w) / WORDS * WORDS;
	return wrong;
}

static void enter(unsigned addresses)
{
	used = addresses;
	space_use(&space);
}

static void leave(void)
{
	space_leave();
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
}

static void test_write_through_all(void)
{
	enter(count);
	write_all(0x1000000);
	for (unsigned i = 0; i < used; i += used / 16 + 1)
		CHECK_EQ(check_words(va_of(i), 0x1000000), 0);
	CHECK_EQ(check_words(page, 0x1000000), 0);
	used = SOME;
	write_all(0x2000000);
	CHECK_EQ(check_words(va_of(count - 1), 0x2000000), 0);
	leave();
}

static void test_unmap(void)
{
	if (!ktap_need_phyllo())
		return;
	enter(count);
	write_all(5);
	for (unsigned may_block = 0; may_block < 2; may_block++) {
		used = may_block ? SOME : count;
		CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, page, PAGE_SIZE, may_block, 0), 0);
		CHECK_EQ(*word(page, 7), 5 + 7 + (count - 1 - 7) / WORDS * WORDS);
		CHECK_EQ(read_all(7, *word(page, 7)), 0);
	}
	leave();
}

/* Out and in: through every address there are zeroes, and what is written then is new. */
static void test_balloon(void)
{
	if (!ktap_need_phyllo())
		return;
	enter(count);
	for (unsigned i = 0; i < WORDS; i++)
		*word(page, i) = 0xdead;
	CHECK_EQ(read_all(9, 0xdead), 0);
	CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_OUT, page, PAGE_SIZE, 0, 0), 1);
	CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_IN, page, PAGE_SIZE, 0, 0), 1);
	CHECK_EQ(read_all(9, 0), 0);
	used = SOME;
	*word(va_of(count / 2), 9) = 0xbeef;
	CHECK_EQ(read_all(9, 0xbeef), 0);
	CHECK_EQ(*word(page, 10), 0);
	leave();
}

static void test_migrate(void)
{
	if (!ktap_need_phyllo())
		return;
	enter(SOME);
	write_all(77);
	CHECK_EQ(hypercall(PHYLLO_HC_MIGRATE, page, PAGE_SIZE, 0, 0), 1);
	CHECK_EQ(check_words(va_of(used - 1), 77), 0);
	*word(va_of(used - 1), 3) = 0x4444;
	CHECK_EQ(read_all(3, 0x4444), 0);
	leave();
}

/* Young through any of them; old when none was used since. */
static void test_age(void)
{
	if (!ktap_need_phyllo())
		return;
	enter(SOME);
	read_all(0, 0);
	CHECK_EQ(hypercall(PHYLLO_HC_TEST_AGE, page, PAGE_SIZE, 0, 0), 1);
	CHECK_EQ(hypercall(PHYLLO_HC_AGE, page, PAGE_SIZE, 0, 0), 1);
	CHECK_EQ(hypercall(PHYLLO_HC_TEST_AGE, page, PAGE_SIZE, 0, 0), 0);
	for (unsigned i = 0; i < 64; i++) {
		(void)*word(va_of(random32() % used), i);
		CHECK_EQ(hypercall(PHYLLO_HC_AGE, page, PAGE_SIZE, 0, 0), 1);
		CHECK_EQ(hypercall(PHYLLO_HC_AGE, page, PAGE_SIZE, 0, 0), 0);
	}
	leave();
}

static unsigned try_writes(uint32_t want)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < used; i += 1 + used / 500) {
		TRAP_TRY("movl %%eax, (%0)", (), ("r"(word(va_of(i), 8)), "a"(i)));
		wrong += trap.count != 1 || trap.vector != VEC_VE || *word(va_of(i), 8) != want;
	}
	return wrong;
}

static void test_protect(void)
{
	if (!ktap_need_phyllo())
		return;
	enter(SOME);
	*word(page, 8) = 0x88;
	write_all(0x10000); /* all of them may write */
	*word(page, 8) = 0x88;
	CHECK_EQ(protect(page, PAGE_SIZE, PHYLLO_PROTECT_RO), 0);
	CHECK_EQ(try_writes(0x88), 0);
	CHECK_EQ(read_all(8, 0x88), 0);
	CHECK_EQ(protect(page, PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
	write_all(0x20000);
	CHECK_EQ(check_words(page, 0x20000), 0);
	leave();
}

/* A write through any of them after the log was cleared is in the log. */
static void test_dirty_log(void)
{
	static uint64_t bitmap[(SIZE_2M * 64 / PAGE_SIZE) / 64];

	if (!ktap_need_phyllo())
		return;
	enter(SOME);
	write_all(1);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 0, PHYLLO_DIRTY_STYLE_DEFAULT, 0, 0), 0);
	for (unsigned i = 0; i < 40; i++) {
		struct phyllo_slot s;
		uint64_t n;

		CHECK_EQ(slot_info(0, &s), 0);
		n = (page - s.gpa) / PAGE_SIZE;
		CHECK(dirty_get(0, n, 1, bitmap, PHYLLO_DIRTY_GET_CLEAR) >= 0);
		(void)*word(va_of(random32() % used), 0);
		CHECK_EQ(dirty_get(0, n, 1, bitmap, 0), 0);
		*word(va_of(random32() % used), i) = i;
		CHECK_EQ(dirty_get(0, n, 1, bitmap, 0), 1);
	}
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_STOP, 0, 0, 0, 0), 0);
	leave();
}

/* The tables go one after the other: the hypervisor forgets addresses, not the page. */
static void test_tables_go(void)
{
	uint64_t *pd = (uint64_t *)(*paging_entry(space.root, VA, 3) & PTE_ADDR);
	unsigned tables = (used + 511) / 512;

	enter(SOME);
	write_all(9);
	for (unsigned i = 0; i < tables; i++) {
		uint64_t old = pd[i];

		pd[i] = 0;
		tlb_flush();
		ACCESS_EXPECT_PF(va_of(i * 512), ACCESS_READ, SUPERVISOR, 0);
		CHECK_EQ(check_words(va_of((i + 1) * 512 % used), 9), 0);
		pd[i] = old;
		ACCESS_EXPECT_VALUE(va_of(i * 512), ACCESS_READ, SUPERVISOR, *word(page, 0));
	}
	leave();
}

static void test_large_aliases(void)
{
	volatile uint32_t *p = (volatile uint32_t *)large;
	unsigned wrong = 0;

	enter(SOME);
	for (unsigned i = 0; i < large_count; i++)
		*word(large_va_of(i) + i % 512 * PAGE_SIZE, i) = 0x5000 + i;
	for (unsigned i = 0; i < large_count; i++) {
		unsigned last = i + (large_count - 1 - i) / 1024 * 1024;

		wrong += p[i % 512 * 1024 + i % WORDS] != 0x5000 + last;
	}
	CHECK_EQ(wrong, 0);
	if (phyllo_present()) {
		CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_OUT, large, SIZE_2M, 0, 0), 512);
		CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_IN, large, SIZE_2M, 0, 0), 512);
		for (unsigned i = 0; i < large_count; i++)
			wrong += *word(large_va_of(i) + i % 512 * PAGE_SIZE, i) != 0;
		CHECK_EQ(wrong, 0);
	}
	leave();
}

static const struct ktap_test tests[] = {
	KTAP(test_write_through_all), KTAP(test_unmap), KTAP(test_balloon), KTAP(test_migrate),
	KTAP(test_age), KTAP(test_protect), KTAP(test_dirty_log), KTAP(test_tables_go),
	KTAP(test_large_aliases),
};

static void make_tables(void)
{
	space_init(&space);
	page = (uintptr_t)page_alloc();
	for (unsigned i = 0; i < count; i++)
		paging_map(space.root, va_of(i), page, 1, PTE_W | (i & 1 ? PTE_U : 0));
	for (unsigned i = 0; i < large_count; i++)
		paging_map(space.root, large_va_of(i), large, 2, PTE_W);
}

int guest_main(void)
{
	uint64_t tables;

	count = info_number_or("count", 32768);
	large_count = info_number_or("large", 1024);
	if (count < 16 * 1024)
		guest_die("count=%u: at least 16384", count);
	large = ram_take(SIZE_2M, SIZE_2M);
	tables = ram_take((count / 512 + large_count / 512 + 16) * PAGE_SIZE, PAGE_SIZE);
	if (!large || !tables)
		guest_die("no memory");
	page_pool_set(tables, (count / 512 + large_count / 512 + 16) * PAGE_SIZE);
	if (phyllo_present())
		ve_start();
	access_init();
	make_tables();
	printf("# %u addresses of a page, %u of one of 2M\n", count, large_count);
	return KTAP_MAIN(tests);
}
