/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The same memory in pages of 4K, 2M, 4M and 1G at once: the guest's sizes over whatever sizes
 * the host has, with dirty log, protection and the rest at single pages within.
 * rounds=N: random steps.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/access.h"
#include "tests/guest/lib/modes.h"
#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define SIZE_4M 0x400000ul
#define BYTES (2 * SIZE_4M)
#define PAGES (BYTES / PAGE_SIZE)
#define VA_4K 0x200000000000ul
#define VA_2M (VA_4K + 512 * SIZE_1G)
#define VA_1G (VA_2M + 512 * SIZE_1G)
#define VA_ODD (VA_1G + 512 * SIZE_1G)
#define SLOT 5ul
#define SLOT_GPA 0x80003000ul /* no 2M page of the guest's can be one of the host's there */

static struct space space;
static uint64_t base; /* of the memory */
static uint32_t rounds, turns; /* random steps; how often each operation is done within */
static uint32_t model[PAGES]; /* the word in the middle of each page */

enum { WAYS = 3 };

/* A page by one of the ways to it. */
static uint64_t va_of(unsigned way, unsigned page)
{
	if (way == 2 && walk_has_1g())
		return VA_1G + base + page * PAGE_SIZE + 2048;
	return (way ? VA_2M : VA_4K) + page * PAGE_SIZE + 2048;
}

static void enter(void)
{
	space_use(&space);
}

static void leave(void)
{
	space_leave();
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
}

static void write_page(unsigned way, unsigned page, bool user)
{
	model[page] = random32();
	access_check(va_of(way, page), ACCESS_WRITE, user, model[page]);
}

static void read_page(unsigned way, unsigned page, bool user)
{
	access_check(va_of(way, page), ACCESS_READ, user, 0);
	CHECK_EQ(access_last.value, model[page]);
}

static void verify_all(void)
{
	for (unsigned page = 0; page < PAGES; page++)
		if (*(uint32_t *)(base + page * PAGE_SIZE + 2048) != model[page])
			ktap_fail(__FILE__, __LINE__, "page %u holds 0x%x, not 0x%x", page,
				  *(uint32_t *)(base + page * PAGE_SIZE + 2048), model[page]);
}

static void random_steps(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned page = random32() % PAGES;

		if (random32() & 1)
			write_page(random32() % WAYS, page, i & 1);
		else
			read_page(random32() % WAYS, page, i & 1);
	}
}

static void test_all_sizes(void)
{
	enter();
	random_steps(rounds);
	leave();
	verify_all();
}

/* The guest splits and joins its own pages; what they show is the same. */
static void test_guest_splits(void)
{
	uint64_t *pde = paging_entry(space.root, VA_2M, 2), large = *pde, *pt = page_alloc();

	for (unsigned i = 0; i < 512; i++)
		pt[i] = (base + i * PAGE_SIZE) | PTE_P | PTE_W | PTE_U;
	enter();
	for (unsigned round = 0; round < 1 + rounds / 50; round++) {
		*pde = round & 1 ? large : (uintptr_t)pt | PTE_P | PTE_W | PTE_U;
		tlb_flush();
		for (unsigned i = 0; i < 16; i++) {
			unsigned page = random32() % 512;

			write_page(1, page, i & 1);
			read_page(random32() % WAYS, page, i & 1);
		}
		if (round % 8 == 1) { /* the small pages' bits are their own */
			pt[random32() % 512] ^= PTE_W;
			large ^= PTE_A | PTE_D;
		}
		for (unsigned i = 0; i < 512; i++)
			pt[i] |= PTE_W;
	}
	*pde = large | PTE_A | PTE_D;
	leave();
	verify_all();
}

/* ---- single pages within ---------------------------------------------------------------- */

static uint64_t gpa_of(unsigned page)
{
	return base + page * PAGE_SIZE;
}

static void expect_ve(unsigned way, unsigned page, enum access_kind kind)
{
	ACCESS_EXPECT_VE(va_of(way, page), kind, SUPERVISOR);
	CHECK_EQ(ve_last.gpa, gpa_of(page) + 2048);
	CHECK(ve_last.access & (kind == ACCESS_WRITE ? PHYLLO_VE_WRITE : PHYLLO_VE_READ));
}

static void test_protect_within(void)
{
	if (!ktap_need_phyllo())
		return;
	enter();
	for (unsigned i = 0; i < turns; i++) {
		unsigned page = 1 + random32() % (PAGES - 2);

		for (unsigned way = 0; way < WAYS; way++)
			write_page(way, page, USER);
		CHECK_EQ(protect(gpa_of(page), PAGE_SIZE, PHYLLO_PROTECT_RO), 0);
		for (unsigned way = 0; way < WAYS; way++) {
			expect_ve(way, page, ACCESS_WRITE);
			read_page(way, page, USER);
			write_page(way, page - 1, SUPERVISOR);
			write_page(way, page + 1, USER);
		}
		CHECK_EQ(protect(gpa_of(page), PAGE_SIZE, PHYLLO_PROTECT_NONE), 0);
		for (unsigned way = 0; way < WAYS; way++) {
			expect_ve(way, page, ACCESS_READ);
			read_page(way, page - 1, SUPERVISOR);
		}
		CHECK_EQ(protect(gpa_of(page), PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
		write_page(i % WAYS, page, USER);
	}
	leave();
	verify_all();
}

static void test_dirty_within(void)
{
	static uint64_t bitmap[PAGES / 64], want[PAGES / 64];
	struct phyllo_mmu_mode mode;
	struct phyllo_slot s;
	uint64_t first;

	if (!ktap_need_phyllo())
		return;
	mmu_mode(&mode);
	CHECK_EQ(slot_info(0, &s), 0);
	first = (base - s.gpa) / PAGE_SIZE;
	enter();
	for (unsigned style = PHYLLO_DIRTY_STYLE_WRPROT; style <= PHYLLO_DIRTY_STYLE_PML; style++) {
		if (!(mode.dirty_styles >> style & 1))
			continue;
		random_steps(64); /* there are writable mappings of all sizes */
		CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 0, style,
				   style & 1 ? PHYLLO_DIRTY_NO_SPLIT : 0, 0), 0);
		for (unsigned round = 0; round < 6; round++) {
			CHECK(dirty_get(0, first, PAGES, bitmap, PHYLLO_DIRTY_GET_CLEAR) >= 0);
			memset(want, 0, sizeof(want));
			for (unsigned i = 0; i < 40; i++) {
				unsigned page = random32() % PAGES;

				if (i & 1)
					read_page(random32() % WAYS, random32() % PAGES, USER);
				write_page(i % WAYS, page, i & 1);
				bit_set(want, page);
			}
			CHECK_EQ(dirty_get(0, first, PAGES, bitmap, 0), bit_count(want, PAGES));
			CHECK_EQ(memcmp(bitmap, want, sizeof(want)), 0);
		}
		CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_STOP, 0, 0, 0, 0), 0);
	}
	leave();
	verify_all();
}

static void test_pages_go_within(void)
{
	if (!ktap_need_phyllo())
		return;
	enter();
	for (unsigned i = 0; i < turns; i++) {
		unsigned page = random32() % PAGES;

		random_steps(16);
		for (unsigned way = 0; way < WAYS; way++)
			read_page(way, page, USER);
		CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_OUT, gpa_of(page), PAGE_SIZE, i & 1, 0), 1);
		CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_IN, gpa_of(page), PAGE_SIZE, 0, 0), 1);
		model[page] = 0;
		for (unsigned way = 0; way < WAYS; way++)
			read_page((i + way) % WAYS, page, USER);
		CHECK_EQ(hypercall(PHYLLO_HC_MIGRATE, base + i % 4 * SIZE_2M, SIZE_2M, 0, 0), 512);
		CHECK_EQ(unmap(base, BYTES / 2), 0);
		random_steps(16);
	}
	leave();
	verify_all();
}

/* What was used is young, whatever else is. */
static void test_age_within(void)
{
	static uint64_t bitmap[PAGES / 64];

	if (!ktap_need_phyllo())
		return;
	enter();
	for (unsigned i = 0; i < turns; i++) {
		unsigned page = random32() % PAGES;

		CHECK(hypercall(PHYLLO_HC_AGE, base, BYTES, 0, 0) >= 0);
		CHECK_EQ(hypercall(PHYLLO_HC_TEST_AGE, base, BYTES, 0, 0), 0);
		read_page(i % WAYS, page, i & 1);
		CHECK(age_bitmap(base, BYTES, bitmap, 0) > 0);
		CHECK(bit_get(bitmap, page));
	}
	leave();
}

/* ---- memory that begins in the middle of a large page ----------------------------------- */

static void test_odd_slot(void)
{
	if (!ktap_need_phyllo())
		return;
	enter();
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(slot_create(SLOT, SLOT_GPA, 2 * SIZE_2M, 0), 0);
		for (unsigned n = 3; n < 1024; n += 1 + random32() % 32) {
			uint64_t va = VA_ODD + n * PAGE_SIZE + n % 1024 * 4;

			ACCESS_EXPECT_VALUE(va, ACCESS_READ, SUPERVISOR, 0);
			ACCESS_EXPECT_VALUE(va, ACCESS_WRITE, USER, 0x1000 + n);
			ACCESS_EXPECT_VALUE(va, ACCESS_READ, SUPERVISOR, 0x1000 + n);
		}
		CHECK_EQ(slot_delete(SLOT), 0);
		CHECK_EQ(audit(), 0);
	}
	leave();
}

/* ---- 32-bit: 4M ------------------------------------------------------------------------- */

#define VA32_LARGE 0x40000000u
#define VA32_SMALL 0x80000000u

static struct mode_op ops[64];
static uint32_t *pd32, *pt32;

static void make_tables32(void)
{
	pd32 = page_alloc();
	pt32 = page_alloc();
	for (unsigned i = 0; i < 32; i++)
		pd32[i] = i * SIZE_4M | PTE_P | PTE_W | PTE_PS;
	for (unsigned i = 0; i < BYTES / SIZE_4M; i++)
		pd32[VA32_LARGE / SIZE_4M + i] = (base + i * SIZE_4M) | PTE_P | PTE_W | PTE_PS;
	for (unsigned i = 0; i < 1024; i++)
		pt32[i] = (base + i * PAGE_SIZE) | PTE_P | PTE_W;
	pd32[VA32_SMALL / SIZE_4M] = (uintptr_t)pt32 | PTE_P | PTE_W;
}

/* Writes by one size and reads by the other. */
static void test_4m_pages(void)
{
	struct mode_job job = { .cr0 = CR0_PG | CR0_WP | CR0_PE | 1 << 4, .cr4 = CR4_PSE,
				.cr3 = (uintptr_t)pd32, .ops = (uintptr_t)ops };

	for (unsigned round = 0; round < 1 + rounds / 200; round++) {
		for (unsigned i = 0; i + 1 < ARRAY_SIZE(ops); i += 2) {
			unsigned page = random32() % (i % 8 ? 1024 : PAGES);
			uint32_t large = VA32_LARGE + page * PAGE_SIZE + 2048;
			uint32_t small = VA32_SMALL + page * PAGE_SIZE + 2048;
			bool one = i & 2 || page >= 1024;

			model[page] = random32();
			ops[i] = (struct mode_op){ .kind = OP_WRITE, .addr = one ? large : small,
						   .value = model[page] };
			ops[i + 1] = (struct mode_op){ .kind = OP_READ,
						       .addr = one && page < 1024 ? small : large };
		}
		job.op_count = ARRAY_SIZE(ops);
		mode_run(&job);
		for (unsigned i = 0; i + 1 < ARRAY_SIZE(ops); i += 2) {
			CHECK_EQ(ops[i].vector, OP_NO_VECTOR);
			CHECK_EQ(ops[i + 1].vector, OP_NO_VECTOR);
			CHECK_EQ(ops[i + 1].value, ops[i].value);
		}
		verify_all();
		if (phyllo_present())
			CHECK_EQ(unmap(base + round % 8 * SIZE_2M / 2, SIZE_2M / 2), 0);
	}
	CHECK_EQ(pd32[VA32_LARGE / SIZE_4M] & (PTE_A | PTE_D), PTE_A | PTE_D);
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
	printf("# %lu accesses compared\n", access_checks);
}

static const struct ktap_test tests[] = {
	KTAP(test_all_sizes), KTAP(test_guest_splits), KTAP(test_protect_within),
	KTAP(test_dirty_within), KTAP(test_pages_go_within), KTAP(test_age_within),
	KTAP(test_odd_slot), KTAP(test_4m_pages),
};

static void make_tables(void)
{
	space_init(&space);
	for (unsigned i = 0; i < PAGES; i++)
		paging_map(space.root, VA_4K + i * PAGE_SIZE, gpa_of(i), 1, PTE_W | PTE_U);
	for (unsigned i = 0; i < BYTES / SIZE_2M; i++)
		paging_map(space.root, VA_2M + i * SIZE_2M, base + i * SIZE_2M, 2, PTE_W | PTE_U);
	if (walk_has_1g())
		paging_map(space.root, VA_1G, 0, 3, PTE_W | PTE_U);
	for (unsigned i = 0; i < 3; i++)
		paging_map(space.root, VA_ODD + i * SIZE_2M,
			   (SLOT_GPA & ~(SIZE_2M - 1)) + i * SIZE_2M, 2, PTE_W | PTE_U);
}

int guest_main(void)
{
	rounds = info_number_or("rounds", 2000);
	turns = 2 + rounds / 100;
	base = ram_take(BYTES, SIZE_4M);
	if (!base || base + BYTES > 32 * SIZE_4M)
		guest_die("this kernel needs 8 MiB of free memory below 128 MiB");
	memset((void *)base, 0, BYTES);
	if (phyllo_present())
		ve_start();
	mode_init();
	access_init();
	make_tables();
	make_tables32();
	printf("# 1G pages: %s\n", walk_has_1g() ? "yes" : "no");
	return KTAP_MAIN(tests);
}
