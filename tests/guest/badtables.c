/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page tables that no kernel should have: reserved bits at each level, garbage, entries that
 * lead to devices, out of memory or back, tables in read-only memory.  The guest gets what the
 * architecture says, and goes on.
 *
 * What a processor's own walk outside of memory gives is no matter of the architecture.  With
 * nested paging it stops the VM (which is not tested here); with shadow paging such tables read
 * as all ones.
 * rounds=N: random tables.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/access.h"
#include "tests/guest/lib/modes.h"
#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define VA 0x300000000000ul
#define VA_LARGE (VA + SIZE_1G)
#define VA_1G (VA + 2 * SIZE_1G)
#define NOWHERE 0x5000000000ul /* between the highest RAM and 1 TiB no firmware puts anything */
#define APIC 0xfee00000ul
#define APIC_LVT_LINT1 0x360 /* keeps what is written */
#define LVT_MASKED (1u << 16)
#define SLOT 5ul
#define SLOT_GPA 0x80000000ul
#define SLOT_PAGES 16ul

static struct space space;
static uint64_t page, large;
static uint32_t rounds;

static bool shadow_paging(void)
{
	struct phyllo_mmu_mode mode;

	if (!ktap_need_phyllo())
		return false;
	mmu_mode(&mode);
	if (!strcmp(mode.format, "shadow"))
		return true;
	ktap_skip("a walk outside of memory stops a VM that has nested paging");
	return false;
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

static void access_six(uint64_t va)
{
	for (unsigned n = 0; n < 6; n++)
		access_check(va, n % 3, n / 3, 0xc3c3c3c3);
}

/* It is set, seen, and gone again. */
static void with_bit(uint64_t *e, uint64_t va, unsigned bit)
{
	uint64_t old = *e;

	*e = old | 1ull << bit;
	tlb_flush();
	access_six(va);
	*e = old;
	tlb_flush();
	access_check(va, ACCESS_WRITE, USER, 0xc3c3c3c3);
}

/* Bits that are reserved or the software's; those between make the address another one. */
static bool is_address_bit(unsigned bit, unsigned first)
{
	return bit >= first && bit < walk_physical_bits() && bit < 52;
}

static void test_bits_at_each_level(void)
{
	enter();
	for (unsigned level = 1; level <= 4; level++)
		for (unsigned bit = 7; bit < 64; bit++) {
			bool ps = bit == 7 && level > 1 && level < 4;

			if (!ps && !is_address_bit(bit, 12))
				with_bit(paging_entry(space.root, VA, level), VA, bit);
		}
	leave();
}

/* Address bits below the size of a large page are reserved, but for the lowest, PAT's. */
static void test_large_pages(void)
{
	enter();
	for (unsigned bit = 7; bit < 64; bit++)
		if (!is_address_bit(bit, 21) && bit != 12)
			with_bit(paging_entry(space.root, VA_LARGE, 2), VA_LARGE, bit);
	if (walk_has_1g())
		for (unsigned bit = 7; bit < 64; bit++)
			if (!is_address_bit(bit, 30) && bit != 12)
				with_bit(paging_entry(space.root, VA_1G, 3), VA_1G + page, bit);
	leave();
}

static uint64_t random64(void)
{
	return (uint64_t)random32() << 32 | random32();
}

/* Nothing, or reserved bits; or with luck a page of ours. */
static uint64_t garbage(void)
{
	uint64_t e = random64(), high = walk_reserved_bit();

	if (random32() % 4 == 0)
		return page | (e & ~PTE_ADDR) | PTE_P;
	return e & PTE_P ? e | (high ? high : PTE_PS) : e;
}

static void test_garbage(void)
{
	uint64_t *table[5];

	enter();
	for (unsigned level = 1; level <= 4; level++)
		table[level] = paging_entry(space.root, VA + 512 * SIZE_1G, level);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned level = 1 + random32() % 4;
		uint64_t old = *table[level], high = walk_reserved_bit();

		if (level == 1)
			for (unsigned n = 0; n < 512; n++)
				table[1][n] = garbage();
		else
			*table[level] = random64() | (high ? high : PTE_PS);
		tlb_flush();
		for (unsigned n = 0; n < 8; n++)
			access_check(VA + 512 * SIZE_1G + random32() % 512 * PAGE_SIZE, n & 1,
				     n >> 1 & 1, 0xc3c3c3c3);
		if (level > 1)
			*table[level] = old;
	}
	leave();
}

static void test_not_canonical(void)
{
	static const uint64_t list[] = { 1ul << 47, 1ul << 62, ~0ul << 48, 0x0000800000000000 };

	enter();
	for (unsigned i = 0; i < ARRAY_SIZE(list); i++)
		for (unsigned kind = ACCESS_READ; kind <= ACCESS_WRITE; kind++)
			access_expect(__FILE__, __LINE__, list[i], kind, i & 1, VEC_GP, 0, 0);
	leave();
}

/* ---- devices ---------------------------------------------------------------------------- */

static void device_at(uint64_t va, bool user)
{
	uint32_t value = LVT_MASKED | (random32() & 0xff);

	ACCESS_EXPECT_VALUE(va + APIC_LVT_LINT1, ACCESS_WRITE, user, value);
	ACCESS_EXPECT_VALUE(va + APIC_LVT_LINT1, ACCESS_READ, user, value);
	space_leave();
	CHECK_EQ(*(volatile uint32_t *)(APIC + APIC_LVT_LINT1), value);
	enter();
}

/* A device is where the guest's own tables have it, with the rights that they give. */
static void test_device_is_a_page(void)
{
	uint64_t *e = paging_entry(space.root, VA, 1), *pd = paging_entry(space.root, VA_LARGE, 2);
	uint64_t old = *e, old_large = *pd;

	enter();
	*e = APIC | PTE_P | PTE_W | PTE_U;
	tlb_flush();
	device_at(VA, SUPERVISOR);
	CHECK_EQ(*e & (PTE_A | PTE_D), PTE_A | PTE_D);
	device_at(VA, USER);
	*e = APIC | PTE_P;
	tlb_flush();
	ACCESS_EXPECT_PF(VA + APIC_LVT_LINT1, ACCESS_WRITE, SUPERVISOR, PF_P | PF_W);
	ACCESS_EXPECT_PF(VA + APIC_LVT_LINT1, ACCESS_READ, USER, PF_P | PF_U);
	*pd = (APIC & ~(SIZE_2M - 1)) | PTE_P | PTE_W | PTE_PS;
	tlb_flush();
	device_at(VA_LARGE + (APIC & (SIZE_2M - 1)), SUPERVISOR);
	*e = old;
	*pd = old_large;
	tlb_flush();
	access_check(VA, ACCESS_WRITE, USER, 0xc3c3c3c3);
	leave();
}

/* ---- tables that are not there ---------------------------------------------------------- */

static void lead_to(unsigned level, uint64_t pa)
{
	uint64_t *e = paging_entry(space.root, VA, level), old = *e;

	*e = pa | PTE_P | PTE_W | PTE_U;
	tlb_flush();
	for (unsigned n = 0; n < 6; n++)
		ACCESS_EXPECT_PF(VA, n % 3, n / 3,
				 PF_P | PF_RSVD | (n % 3 == ACCESS_WRITE ? PF_W : 0) |
					 (n / 3 ? PF_U : 0) | (n % 3 == ACCESS_FETCH ? PF_I : 0));
	*e = old;
	tlb_flush();
	access_check(VA, ACCESS_WRITE, USER, 0xc3c3c3c3);
}

static void test_tables_outside_memory(void)
{
	if (!shadow_paging())
		return;
	enter();
	for (unsigned i = 0; i < 4; i++)
		for (unsigned level = 2; level <= 4; level++)
			lead_to(level, i & 1 ? NOWHERE + i * PAGE_SIZE : (1ul << 38) - PAGE_SIZE);
	leave();
}

static void test_tables_in_a_device(void)
{
	if (!shadow_paging())
		return;
	enter();
	for (unsigned level = 2; level <= 4; level++)
		lead_to(level, APIC);
	leave();
}

/* ---- tables in a slot ------------------------------------------------------------------- */

/* Two levels of tables there that lead to the page. */
static void tables_in_slot(uint64_t flags)
{
	uint64_t *pd = (uint64_t *)SLOT_GPA, *pt = (uint64_t *)(SLOT_GPA + PAGE_SIZE);

	memset(pd, 0, 2 * PAGE_SIZE);
	pd[0] = (uintptr_t)pt | PTE_P | PTE_W | PTE_U | flags;
	for (unsigned i = 0; i < 8; i++)
		pt[i] = page | PTE_P | (i & 1 ? PTE_W : 0) | PTE_U | flags;
}

/* Nobody can set Accessed and Dirty there; all else is as ever. */
static void test_read_only_slot(void)
{
	uint64_t *e = paging_entry(space.root, VA, 3), old = *e;
	const uint64_t *pd = (const uint64_t *)SLOT_GPA, *pt = pd + 512;

	if (!shadow_paging())
		return;
	space_map_4g(&space);
	enter();
	CHECK_EQ(slot_create(SLOT, SLOT_GPA, SLOT_PAGES * PAGE_SIZE, 0), 0);
	for (unsigned round = 0; round < 4; round++) {
		uint64_t flags = round & 1 ? PTE_A | PTE_D : 0;

		CHECK_EQ(slot_flags(SLOT, 0), 0);
		tables_in_slot(flags);
		CHECK_EQ(slot_flags(SLOT, PHYLLO_SLOT_READONLY), 0);
		*e = SLOT_GPA | PTE_P | PTE_W | PTE_U;
		tlb_flush();
		ACCESS_EXPECT_VALUE(VA + PAGE_SIZE, ACCESS_WRITE, USER, 0x1234 + round);
		ACCESS_EXPECT_VALUE(VA, ACCESS_READ, SUPERVISOR, 0x1234 + round);
		ACCESS_EXPECT_PF(VA, ACCESS_WRITE, SUPERVISOR, PF_P | PF_W);
		ACCESS_EXPECT_VALUE(VA + 3 * PAGE_SIZE, ACCESS_WRITE, SUPERVISOR, 0x5678 + round);
		ACCESS_EXPECT_VALUE(VA + 7 * PAGE_SIZE, ACCESS_READ, USER, 0x5678 + round);
		CHECK_EQ(pd[0], (SLOT_GPA + PAGE_SIZE) | PTE_P | PTE_W | PTE_U | flags);
		CHECK_EQ(pt[1], page | PTE_P | PTE_W | PTE_U | flags);
	}
	*e = old;
	tlb_flush();
	CHECK_EQ(slot_delete(SLOT), 0);
	access_check(VA, ACCESS_WRITE, USER, 0xc3c3c3c3);
	leave();
}

/* The tables' memory goes while they are in use, and comes back empty. */
static void test_deleted_slot(void)
{
	uint64_t *e = paging_entry(space.root, VA, 3), old = *e;

	if (!shadow_paging())
		return;
	space_map_4g(&space);
	enter();
	for (unsigned round = 0; round < 4; round++) {
		CHECK_EQ(slot_create(SLOT, SLOT_GPA, SLOT_PAGES * PAGE_SIZE, 0), 0);
		tables_in_slot(0);
		*e = SLOT_GPA | PTE_P | PTE_W | PTE_U;
		tlb_flush();
		access_check(VA, ACCESS_READ, SUPERVISOR, 0);
		access_check(VA + PAGE_SIZE, ACCESS_WRITE, USER, round);
		CHECK_EQ(slot_delete(SLOT), 0);
		ACCESS_EXPECT_PF(VA, ACCESS_READ, SUPERVISOR, PF_P | PF_RSVD);
		CHECK_EQ(audit(), 0);
		CHECK_EQ(slot_create(SLOT, SLOT_GPA, SLOT_PAGES * PAGE_SIZE, 0), 0);
		access_check(VA, ACCESS_READ, SUPERVISOR, 0);
		CHECK_EQ(access_last.vector, VEC_PF);
		CHECK_EQ(slot_delete(SLOT), 0);
	}
	*e = old;
	leave();
}

/* ---- PAE -------------------------------------------------------------------------------- */

#define PAE_VA 0x40000000u

/*
 * A load of CR3 with reserved bits in one of the four is refused, and what was loaded before
 * counts.
 */
static void test_pae_pdptes(void)
{
	static struct mode_op ops[12];
	struct mode_job job = { .cr0 = CR0_PG | CR0_WP | CR0_PE | 1 << 4, .cr4 = CR4_PAE,
				.ops = (uintptr_t)ops };
	uint64_t *pdpt = page_alloc(), *bad = page_alloc(), *pd[2] = { page_alloc(), page_alloc() };
	unsigned bits[] = { 1, 2, 8, 63, 52 };

	for (unsigned n = 0; n < 512; n++)
		pd[0][n] = n * SIZE_2M | PTE_P | PTE_W | PTE_PS;
	pd[1][0] = large | PTE_P | PTE_PS;
	pdpt[0] = bad[0] = (uintptr_t)pd[0] | PTE_P;
	pdpt[1] = bad[1] = (uintptr_t)pd[1] | PTE_P;
	job.cr3 = (uintptr_t)pdpt;
	for (unsigned i = 0; i < ARRAY_SIZE(bits); i++) {
		bad[2] = 1ull << bits[i]; /* not present: nobody looks */
		bad[3] = i ? 1ull << bits[i] | PTE_P : 0;
		ops[0] = (struct mode_op){ .kind = OP_CR3, .value = (uintptr_t)bad };
		ops[1] = (struct mode_op){ .kind = OP_READ, .addr = PAE_VA };
		ops[2] = (struct mode_op){ .kind = OP_WRITE, .addr = PAE_VA };
		job.op_count = 3;
		mode_run(&job);
		/* QEMU's TCG, which loads CR3 itself under nested paging, does not look either. */
		if (ops[0].vector != OP_NO_VECTOR || !i) {
			CHECK_EQ(ops[0].vector, i ? VEC_GP : OP_NO_VECTOR);
			CHECK_EQ(ops[0].error, 0);
		} else {
			printf("# bit %u of a PDPTE was not refused\n", bits[i]);
		}
		CHECK_EQ(ops[1].vector, OP_NO_VECTOR);
		CHECK_EQ(ops[1].value, *(uint32_t *)large);
		CHECK_EQ(ops[2].vector, VEC_PF);
		CHECK_EQ(ops[2].error, PF_P | PF_W);
	}
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
	printf("# %lu accesses compared\n", access_checks);
}

static const struct ktap_test tests[] = {
	KTAP(test_bits_at_each_level), KTAP(test_large_pages), KTAP(test_garbage),
	KTAP(test_not_canonical), KTAP(test_device_is_a_page), KTAP(test_tables_outside_memory),
	KTAP(test_tables_in_a_device), KTAP(test_read_only_slot), KTAP(test_deleted_slot),
	KTAP(test_pae_pdptes),
};

int guest_main(void)
{
	rounds = info_number_or("rounds", 1000);
	large = ram_take(SIZE_2M, SIZE_2M);
	if (!large || large >= ACCESS_USER_VA)
		guest_die("no memory");
	memset((void *)large, 0xc3, SIZE_2M); /* whatever is executed returns */
	page = (uintptr_t)page_alloc();
	memset((void *)page, 0xc3, PAGE_SIZE);
	mode_init();
	access_init();
	space_init(&space);
	paging_map(space.root, VA, page, 1, PTE_W | PTE_U);
	paging_map(space.root, VA_LARGE, large, 2, PTE_W | PTE_U);
	if (walk_has_1g())
		paging_map(space.root, VA_1G, 0, 3, PTE_W | PTE_U);
	return KTAP_MAIN(tests);
}
