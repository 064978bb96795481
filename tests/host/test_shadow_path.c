/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow paging: what a vCPU remembers of its last fault (struct gwalk_path, struct shadow_lowest), and what
 * makes it forget.  The tables are changed from outside, so that the fault behind is the next one.
 */
#include "hosted.h"
#include "ktap.h"
#include "mm/lock.h"
#include "mm/shadow.h"
#include "shadow_guest.h"

#define GVA  0x40012000ul
#define TWIN 0x40212000ul /* by the next entry of the same table */
#define NEXT PAGE_SIZE

static gpa_t page_of(unsigned n)
{
	return (gpa_t)(n + 1) * 0x3000;
}

static void put(gpa_t at, uint64_t entry)
{
	CHECK_EQ(mmu_write_guest(sg.vm, at, &entry, 8), 0);
}

/* Three pages by one table, the first of them touched. */
static void open_mapped(void)
{
	guest_open(&guest_variants[0], GUEST_4L);
	for (unsigned i = 0; i < 4; i++)
		put(page_of(i), 100 + i);
	guest_map(GVA, page_of(0), 1, P | W | U);
	guest_map(GVA + NEXT, page_of(1), 1, P | W | U);
	guest_map(GVA + 2 * NEXT, page_of(2), 1, P | W | U);
	CHECK_EQ(guest_read(GVA), 100);
}

/* The last fault is one at this table again. */
static void fault_again(void)
{
	CHECK_EQ(guest_read(GVA + 2 * NEXT), 102);
}

/* An entry above the table is gone for a moment. */
static void test_unlinked(void)
{
	for (unsigned level = PG_LEVEL_2M; level <= PG_LEVEL_512G; level++) {
		open_mapped();
		gpa_t at = guest_entry_at(GVA, level);
		uint64_t entry = guest_get(at);

		put(at, 0);
		put(at, entry);
		CHECK_EQ(guest_read(GVA + NEXT), 101);
		guest_audit();
		guest_close();
	}
}

static void test_zapped(void)
{
	open_mapped();
	struct shadow_fault f = { .gva = GVA, .gpa = guest_entry_at(GVA, 1) };

	CHECK(mmu_shadow_unprotect(&sg.cpu[0].mmu, &f));
	CHECK_EQ(guest_read(GVA + NEXT), 101);
	guest_audit();
	guest_close();
}

/* The same table by another root. */
static void test_other_root(void)
{
	open_mapped();
	uint64_t table = guest_get(guest_entry_at(GVA, 2));
	gpa_t second = guest_new_space();

	guest_map(GVA, page_of(2), 1, P | W | U);
	put(guest_entry_at(GVA, 2), table);
	fault_again();
	guest_load(&sg.cpu[0], second);
	CHECK_EQ(guest_read(GVA + NEXT), 101);
	guest_audit();
	guest_close();
}

/* Another table by the same way. */
static void test_other_table(void)
{
	open_mapped();
	guest_map(TWIN, page_of(2), 1, P | W | U);
	guest_map(TWIN + NEXT, page_of(3), 1, P | W | U);
	uint64_t other = guest_get(guest_entry_at(TWIN, 2));

	fault_again();
	put(guest_entry_at(GVA, 2), other);
	CHECK_EQ(guest_read(GVA + NEXT), 103);
	guest_audit();
	guest_close();
}

/* The memory has changed, and mm/ was not told: no write that there is leaves that to be seen. */
static void poke(gpa_t at, uint64_t entry)
{
	mmu_glance_lock(sg.vm);
	uint64_t *table = guest_page_va(sg.vm, at >> PAGE_SHIFT);

	__atomic_store_n(&table[at % PAGE_SIZE / 8], entry, __ATOMIC_RELAXED);
	mmu_glance_unlock(sg.vm);
}

static void tell(gpa_t at)
{
	mmu_write_lock(sg.vm, MMU_OP_TABLE_WRITE, at >> PAGE_SHIFT, 1);
	shadow_written(sg.vm, at, 8);
	mmu_write_unlock(sg.vm);
}

/* Two ways without W lead to a table; then one gets it, and would be used before mm/ knows. */
static void test_other_rights(void)
{
	open_mapped();
	guest_map(TWIN, page_of(2), 1, P | W | U);
	gpa_t at = guest_entry_at(GVA, 2);
	uint64_t may = guest_get(at), may_not = may & ~W;

	put(at, may_not);
	put(guest_entry_at(TWIN, 2), may_not);
	shadow_cpu_flush(&sg.cpu[0]);
	CHECK_EQ(guest_read(TWIN), 100);
	CHECK_EQ(guest_read(GVA), 100);
	poke(at, may);
	CHECK(guest_works(GVA + NEXT, ACC_W, true));
	tell(at);
	CHECK(!guest_works(TWIN + NEXT, ACC_W, true));
	guest_audit();
	guest_close();
}

static const struct ktap_test tests[] = {
	KTAP(test_unlinked),
	KTAP(test_zapped),
	KTAP(test_other_root),
	KTAP(test_other_table),
	KTAP(test_other_rights),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
