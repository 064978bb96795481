/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory that page tables lie in, while they are in use: unmapped, migrated, aged, logged,
 * protected, ballooned out, moved with its slot.
 *
 * Tables that are forbidden or gone: with nested paging the walk itself is the access, a #VE or
 * the end of the VM; with shadow paging the hypervisor walks, whom a protection does not concern
 * and to whom a table outside of memory reads as all ones.
 * rounds=N: how often.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/access.h"
#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define VA 0x180000000000ul
#define TABLES 24u
#define DATA_PAGES 16u
#define SLOT 5ul
#define SLOT_A 0x80000000ul
#define SLOT_B 0x90003000ul
#define SLOT_PAGES 16ul

static struct space space; /* all of its tables are in `tables` */
static uint64_t tables, data;
static uint32_t rounds;
static bool shadow;

static uint64_t *pt_of(unsigned region)
{
	return paging_entry(space.root, VA + region * SIZE_2M, 1);
}

static uint64_t random_entry(void)
{
	return (data + random32() % DATA_PAGES * PAGE_SIZE) | (random32() % 8 ? PTE_P : 0) |
	       (random32() % 4 ? PTE_W : 0) | (random32() % 4 ? PTE_U : 0);
}

static void enter(void)
{
	space_use(&space);
}

static void leave(void)
{
	space_leave();
	CHECK_EQ(audit(), 0);
}

/* Some entries change, with INVLPG; then what all of them say is compared. */
static void use_tables(unsigned edits)
{
	for (unsigned i = 0; i < edits; i++) {
		unsigned region = random32() % 4, n = random32() % 64;

		pt_of(region)[n] = random_entry();
		invlpg(VA + region * SIZE_2M + n * PAGE_SIZE);
	}
	for (unsigned i = 0; i < 2 * edits; i++)
		access_check(VA + random32() % 4 * SIZE_2M + random32() % 64 * PAGE_SIZE +
				     random32() % 1024 * 4,
			     random32() & 1, random32() & 1, random32());
}

static void beside(long (*op)(uint64_t gpa, uint64_t bytes, unsigned round))
{
	enter();
	for (unsigned i = 0; i < rounds; i++) {
		unsigned page = random32() % TABLES, n = i % 4 ? 1 : TABLES - page;

		use_tables(4);
		CHECK(op(tables + page * PAGE_SIZE, n * PAGE_SIZE, i) >= 0);
	}
	use_tables(16);
	leave();
}

static long op_unmap(uint64_t gpa, uint64_t bytes, unsigned round)
{
	return hypercall(PHYLLO_HC_UNMAP, gpa, bytes, round & 1, 0);
}

static long op_migrate(uint64_t gpa, uint64_t bytes, unsigned round)
{
	return hypercall(PHYLLO_HC_MIGRATE, gpa, bytes, round & 1, 0);
}

static long op_age(uint64_t gpa, uint64_t bytes, unsigned round)
{
	return hypercall(round & 1 ? PHYLLO_HC_AGE : PHYLLO_HC_TEST_AGE, gpa, bytes, 0, 0);
}

static long op_zap_all(uint64_t gpa, uint64_t bytes, unsigned round)
{
	return zap_all();
}

/* There and back, with nobody at the tables in between. */
static long op_protect(uint64_t gpa, uint64_t bytes, unsigned round)
{
	long ret;

	space_leave();
	ret = protect(gpa, bytes, round & 1 ? PHYLLO_PROTECT_RO : PHYLLO_PROTECT_NONE);
	if (!ret)
		ret = protect(gpa, bytes, PHYLLO_PROTECT_RW);
	enter();
	return ret;
}

static void test_unmap(void) { beside(op_unmap); }
static void test_migrate(void) { beside(op_migrate); }
static void test_age(void) { beside(op_age); }
static void test_zap_all(void) { beside(op_zap_all); }
static void test_protect_and_back(void) { beside(op_protect); }

/* ---- protected -------------------------------------------------------------------------- */

/* The table forbids itself to be written; its entries hold all the same. */
static void test_protected(void)
{
	uint64_t *pt = pt_of(0);

	enter();
	for (unsigned i = 0; i < 8; i++) {
		struct access a = { .va = VA, .kind = ACCESS_READ };
		uint64_t old;

		pt[0] = old = (data + i * PAGE_SIZE) | PTE_P | PTE_W | (i & 1 ? PTE_A | PTE_D : 0);
		tlb_flush();
		CHECK_EQ(protect((uintptr_t)pt, PAGE_SIZE, PHYLLO_PROTECT_RO), 0);
		ACCESS_EXPECT_VE((uintptr_t)pt + 4, ACCESS_WRITE, SUPERVISOR);
		CHECK_EQ(ve_last.gpa, (uintptr_t)pt + 4);
		CHECK(ve_last.access & PHYLLO_VE_DATA);
		access_do(&a);
		if (a.vector == VEC_VE) { /* the processor's walk sets Accessed, or might */
			CHECK(!shadow);
			CHECK_EQ(ve_last.gpa & ~(PAGE_SIZE - 1), (uintptr_t)pt);
			CHECK(!(ve_last.access & PHYLLO_VE_DATA));
			CHECK_EQ(pt[0], old);
		} else {
			CHECK_EQ(a.vector, ACCESS_DONE);
			CHECK_EQ(a.value, *(uint32_t *)(data + i * PAGE_SIZE));
		}
		CHECK_EQ(pt[0] | PTE_A, old | PTE_A);
		CHECK_EQ(protect((uintptr_t)pt, PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
		access_check(VA, ACCESS_WRITE, SUPERVISOR, i);
	}
	leave();
}

/* ---- logged ----------------------------------------------------------------------------- */

/*
 * Accessed and Dirty, which nobody wrote but the walk, are in the log: a migrated guest must
 * have them.
 */
static void test_logged(void)
{
	static uint64_t bitmap[1];
	struct phyllo_mmu_mode mode;
	struct phyllo_slot s;
	uint64_t *pt = pt_of(1), n;

	mmu_mode(&mode);
	CHECK_EQ(slot_info(0, &s), 0);
	n = ((uintptr_t)pt - s.gpa) / PAGE_SIZE;
	enter();
	for (unsigned style = PHYLLO_DIRTY_STYLE_WRPROT; style <= PHYLLO_DIRTY_STYLE_PML; style++) {
		if (!(mode.dirty_styles >> style & 1))
			continue;
		CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 0, style, 0, 0), 0);
		for (unsigned i = 0; i < 8; i++) {
			pt[i] = (data + i * PAGE_SIZE) | PTE_P | PTE_W | (i & 1 ? PTE_A : 0);
			invlpg(VA + SIZE_2M + i * PAGE_SIZE);
			CHECK(dirty_get(0, n, 1, bitmap, PHYLLO_DIRTY_GET_CLEAR) >= 0);
			access_check(VA + SIZE_2M + i * PAGE_SIZE, i & 1, SUPERVISOR, i);
			CHECK_EQ(dirty_get(0, n, 1, bitmap, 0), 1);
		}
		CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_STOP, 0, 0, 0, 0), 0);
	}
	leave();
}

/* ---- gone ------------------------------------------------------------------------------- */

/*
 * The page under the table goes and comes: all ones, then nothing, then what the guest puts
 * there.
 */
static void test_ballooned_out(void)
{
	uint64_t *e = paging_entry(space.root, VA + 2 * SIZE_2M, 2);
	uint64_t *pt = pt_of(2);

	if (!shadow) {
		ktap_skip("a walk outside of memory stops a VM that has nested paging");
		return;
	}
	enter();
	for (unsigned i = 0; i < rounds / 4 + 1; i++) {
		pt[0] = (data + i % DATA_PAGES * PAGE_SIZE) | PTE_P | PTE_W;
		invlpg(VA + 2 * SIZE_2M);
		access_check(VA + 2 * SIZE_2M, ACCESS_WRITE, SUPERVISOR, i);
		CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_OUT, (uintptr_t)pt, PAGE_SIZE, i & 1, 0), 1);
		ACCESS_EXPECT_PF(VA + 2 * SIZE_2M, ACCESS_READ, SUPERVISOR, PF_P | PF_RSVD);
		CHECK(*e & PTE_P);
		CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_IN, (uintptr_t)pt, PAGE_SIZE, 0, 0), 1);
		tlb_flush();
		access_check(VA + 2 * SIZE_2M, ACCESS_READ, SUPERVISOR, 0);
		CHECK_EQ(access_last.vector, VEC_PF);
		CHECK_EQ(pt[0], 0);
	}
	for (unsigned n = 0; n < 64; n++)
		pt[n] = random_entry();
	tlb_flush();
	use_tables(16);
	leave();
}

/* A data page that goes while tables lead to it: the one that comes is zero. */
static void test_data_ballooned(void)
{
	uint64_t *pt = pt_of(3);

	enter();
	for (unsigned i = 0; i < rounds / 4 + 1; i++) {
		uint64_t gpa = data + i % DATA_PAGES * PAGE_SIZE;

		pt[1] = gpa | PTE_P | PTE_W;
		invlpg(VA + 3 * SIZE_2M + PAGE_SIZE);
		access_check(VA + 3 * SIZE_2M + PAGE_SIZE, ACCESS_WRITE, SUPERVISOR, 0xdead);
		CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_OUT, gpa, PAGE_SIZE, 0, 0), 1);
		CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_IN, gpa, PAGE_SIZE, 0, 0), 1);
		ACCESS_EXPECT_VALUE(VA + 3 * SIZE_2M + PAGE_SIZE, ACCESS_READ, SUPERVISOR, 0);
	}
	leave();
}

/* ---- moved ------------------------------------------------------------------------------ */

static void tables_in_slot(uint64_t at)
{
	uint64_t *pd = (uint64_t *)at, *pt = (uint64_t *)(at + PAGE_SIZE);

	pd[0] = (uintptr_t)pt | PTE_P | PTE_W | PTE_U;
	for (unsigned i = 0; i < 8; i++)
		pt[i] = (data + i * PAGE_SIZE) | PTE_P | PTE_W;
}

/* The tables are somewhere else, and the entries say so before they are used again. */
static void test_slot_moves(void)
{
	uint64_t va = VA + 8 * SIZE_1G, *e = paging_entry(space.root, va, 3), at = SLOT_A;

	enter();
	CHECK_EQ(slot_create(SLOT, at, SLOT_PAGES * PAGE_SIZE, 0), 0);
	tables_in_slot(at);
	*e = at | PTE_P | PTE_W | PTE_U;
	tlb_flush();
	for (unsigned i = 0; i < 8; i++) {
		uint64_t *pd;

		access_check(va + i * PAGE_SIZE, ACCESS_WRITE, SUPERVISOR, i);
		*e = 0;
		tlb_flush();
		at = at == SLOT_A ? SLOT_B : SLOT_A;
		CHECK_EQ(slot_move(SLOT, at), 0);
		pd = (uint64_t *)at;
		CHECK(pd[512 + i] & PTE_D); /* the same table */
		pd[0] = (at + PAGE_SIZE) | PTE_P | PTE_W | PTE_U;
		*e = at | PTE_P | PTE_W | PTE_U;
		tlb_flush();
		access_check(va + i * PAGE_SIZE, ACCESS_READ, SUPERVISOR, 0);
		CHECK_EQ(access_last.value, i);
	}
	*e = 0;
	tlb_flush();
	CHECK_EQ(slot_delete(SLOT), 0);
	access_check(va, ACCESS_READ, SUPERVISOR, 0);
	leave();
	printf("# %lu accesses compared\n", access_checks);
}

static const struct ktap_test tests[] = {
	KTAP(test_unmap), KTAP(test_migrate), KTAP(test_age), KTAP(test_zap_all),
	KTAP(test_protect_and_back), KTAP(test_protected), KTAP(test_logged),
	KTAP(test_ballooned_out), KTAP(test_data_ballooned), KTAP(test_slot_moves),
};

int guest_main(void)
{
	struct phyllo_mmu_mode mode;

	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	mmu_mode(&mode);
	shadow = !strcmp(mode.format, "shadow");
	rounds = info_number_or("rounds", 100);
	tables = ram_take(TABLES * PAGE_SIZE, PAGE_SIZE);
	data = ram_take(DATA_PAGES * PAGE_SIZE, PAGE_SIZE);
	if (!tables || !data || data > ACCESS_USER_VA)
		guest_die("no memory");
	ve_start();
	access_init();
	page_pool_set(tables, TABLES * PAGE_SIZE);
	space_init(&space);
	space_map_4g(&space);
	for (unsigned region = 0; region < 4; region++)
		for (unsigned n = 0; n < 64; n++)
			pt_of(region)[n] = random_entry();
	return KTAP_MAIN(tests);
}
