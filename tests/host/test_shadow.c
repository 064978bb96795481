/* SPDX-License-Identifier: GPL-2.0-only */
/* Shadow paging, one processor: what the guest's tables say is what it gets, in every mode. */
#include "hosted.h"
#include "ktap.h"
#include "shadow_guest.h"

#define GVA 0x40012000ul

static gpa_t page_of(unsigned n)
{
	return (gpa_t)(n + 1) * 0x3000;
}

static uint64_t memory_at(gpa_t gpa)
{
	uint64_t value;

	CHECK_EQ(mmu_read_guest(sg.vm, gpa, &value, 8), 0);
	return value;
}

/* ---- cases --------------------------------------------------------------------------------- */

static void read_and_write(const struct guest_variant *v, enum guest_mode mode)
{
	guest_open(v, mode);
	guest_map(GVA, page_of(0), 1, P | W | U);
	guest_write(GVA + 8, 0x1234);
	CHECK_EQ(memory_at(page_of(0) + 8), 0x1234);
	CHECK_EQ(guest_read(GVA + 8), 0x1234);
	CHECK(guest_works(GVA, ACC_R, true) && guest_works(GVA, ACC_W, true));
	CHECK(guest_works(GVA, ACC_X, true));
	guest_audit();
	guest_close();
}

static void test_read_and_write(void)
{
	guest_for_each(read_and_write);
}

static void test_paging_off(void)
{
	for (unsigned i = 0; i < guest_variant_count; i++) {
		guest_open(&guest_variants[i], GUEST_OFF);
		guest_write(0x5008, 77);
		CHECK_EQ(memory_at(0x5008), 77);
		guest_write((GUEST_PAGES << PAGE_SHIFT) - 8, 78);
		CHECK(guest_works(0x5000, ACC_X, false));
		CHECK(!guest_works(GUEST_PAGES << PAGE_SHIFT, ACC_R, false));
		CHECK(!guest_works(0xfee00000, ACC_W, false));
		guest_close();
	}
}

static void marks(const struct guest_variant *v, enum guest_mode mode)
{
	guest_open(v, mode);
	guest_map(GVA, page_of(0), 1, P | W | U);
	gpa_t at = guest_entry_at(GVA, 1);

	CHECK_EQ(guest_get(at) & (A | D), 0);
	guest_read(GVA);
	CHECK_EQ(guest_get(at) & (A | D), A);
	CHECK(guest_get(guest_entry_at(GVA, 2)) & A);
	guest_write(GVA, 1);
	CHECK_EQ(guest_get(at) & (A | D), A | D);
	/* The guest cleans it, tells the processor, and finds the next write. */
	guest_put(at, page_of(0) | P | W | U);
	shadow_cpu_invlpg(&sg.cpu[0], GVA);
	guest_read(GVA);
	CHECK_EQ(guest_get(at) & (A | D), A);
	guest_write(GVA, 2);
	CHECK_EQ(guest_get(at) & (A | D), A | D);
	guest_close();
}

static void test_accessed_and_dirty(void)
{
	guest_for_each(marks);
}

static void errors(const struct guest_variant *v, enum guest_mode mode)
{
	uint32_t fetch = mode >= GUEST_PAE ? E_F : 0;

	guest_open(v, mode);
	guest_faults(GVA, ACC_R, false, 0);
	guest_faults(GVA, ACC_W, true, E_W | E_U);
	guest_map(GVA, page_of(0), 1, P);
	guest_faults(GVA, ACC_W, false, E_P | E_W);
	guest_faults(GVA, ACC_R, true, E_P | E_U);
	CHECK(guest_works(GVA, ACC_R, false));
	guest_map(GVA + PAGE_SIZE, page_of(1), 1, P | U);
	guest_faults(GVA + PAGE_SIZE, ACC_W, true, E_P | E_W | E_U);
	guest_faults(GVA + PAGE_SIZE, ACC_W, false, E_P | E_W);
	CHECK(guest_works(GVA + PAGE_SIZE, ACC_R, true));
	if (mode >= GUEST_PAE) {
		guest_map(GVA + 2 * PAGE_SIZE, page_of(1), 1, P | U | NX);
		guest_faults(GVA + 2 * PAGE_SIZE, ACC_X, true, E_P | E_U | fetch);
		CHECK(guest_works(GVA + 2 * PAGE_SIZE, ACC_R, true));
		guest_map(GVA + 3 * PAGE_SIZE, page_of(1) | 1ul << 50, 1, P | U);
		guest_faults(GVA + 3 * PAGE_SIZE, ACC_R, true, E_P | E_U | E_RSVD);
	}
	guest_close();
}

static void test_error_codes(void)
{
	guest_for_each(errors);
}

/* Rights are those of the whole path. */
static void upper_rights(const struct guest_variant *v, enum guest_mode mode)
{
	guest_open(v, mode);
	guest_map(GVA, page_of(0), 1, P | W | U);
	guest_write(GVA, 5);
	gpa_t at = guest_entry_at(GVA, 2);
	uint64_t entry = guest_get(at);

	guest_put(at, entry & ~W);
	shadow_cpu_flush(&sg.cpu[0]);
	guest_faults(GVA, ACC_W, true, E_P | E_W | E_U);
	CHECK(guest_works(GVA, ACC_R, true));
	guest_put(at, entry & ~U);
	shadow_cpu_flush(&sg.cpu[0]);
	guest_faults(GVA, ACC_R, true, E_P | E_U);
	guest_write(GVA, 6);
	guest_put(at, 0);
	shadow_cpu_flush(&sg.cpu[0]);
	guest_faults(GVA, ACC_R, false, 0);
	guest_put(at, entry);
	CHECK_EQ(guest_read(GVA), 6);
	guest_close();
}

static void test_upper_rights(void)
{
	guest_for_each(upper_rights);
}

/* One table by two ways, of which one permits less. */
static void two_ways(const struct guest_variant *v, enum guest_mode mode)
{
	gva_t other = GVA + (1ul << 22);

	guest_open(v, mode);
	guest_map(GVA, page_of(0), 1, P | W | U);
	gpa_t table = guest_entry_at(GVA, 1) & PAGE_MASK;

	/* 32-bit tables map 4M: the same offset in the next one. */
	guest_put(guest_entry_at(other, 2), table | P | U);
	guest_write(GVA, 1);
	CHECK(guest_works(other, ACC_R, true));
	guest_faults(other, ACC_W, true, E_P | E_W | E_U);
	guest_write(GVA, 2);
	guest_faults(other, ACC_W, false, E_P | E_W);
	CHECK_EQ(guest_read(other), 2);
	guest_audit();
	guest_close();
}

static void test_two_ways(void)
{
	guest_for_each(two_ways);
}

/* ---- huge pages ------------------------------------------------------------------------------- */

static void huge(const struct guest_variant *v, enum guest_mode mode)
{
	if (mode == GUEST_32)
		return;
	guest_open(v, mode);
	uint64_t size = 1ul << guest_shift(2);

	guest_map(0x40000000, 0, 2, P | W | U);
	guest_write(0x40000000 + 0x5000, 11);
	guest_write(0x40000000 + size - 8, 12);
	guest_read(0x40000000 + size / 2);
	CHECK_EQ(memory_at(0x5000), 11);
	CHECK_EQ(memory_at(size - 8), 12);
	CHECK_EQ(guest_get(guest_entry_at(0x40000000, 2)) & (A | D), A | D);
	if (v->max_leaf_level == PG_LEVEL_2M)
		CHECK(guest_stats().pages_2m >= 1);
	guest_audit();
	/* Read-only, and dirty with the first write only. */
	guest_put(guest_entry_at(0x40000000, 2), P | U | PS);
	shadow_cpu_invlpg(&sg.cpu[0], 0x40000000);
	guest_faults(0x40005000, ACC_W, true, E_P | E_W | E_U);
	guest_put(guest_entry_at(0x40000000, 2), P | W | U | PS);
	shadow_cpu_invlpg(&sg.cpu[0], 0x40000000);
	CHECK_EQ(guest_read(0x40005000), 11);
	CHECK_EQ(guest_get(guest_entry_at(0x40000000, 2)) & (A | D), A);
	guest_write(0x40005000, 13);
	CHECK_EQ(guest_get(guest_entry_at(0x40000000, 2)) & (A | D), A | D);
	guest_close();
}

static void test_huge_pages(void)
{
	guest_for_each(huge);
}

/* A table lies inside a 2M page that is mapped as one: its page alone is protected. */
static void test_table_in_huge_page(void)
{
	guest_open(&guest_variants[1], GUEST_4L);
	uint64_t base = TABLES_GFN << PAGE_SHIFT;

	guest_map(0x40000000, base, 2, P | W | U);
	guest_map(GVA + (1ul << 30), page_of(0), 1, P | W | U);
	guest_read(GVA + (1ul << 30));
	gpa_t at = guest_entry_at(GVA + (1ul << 30), 2);

	/* By the huge mapping. */
	guest_write(0x40000000 + (at - base), 0);
	guest_faults(GVA + (1ul << 30), ACC_R, false, 0);
	guest_write(0x40000000 + 0x1ff000, 3);
	guest_close();
}

/* ---- the supervisor and write protection -------------------------------------------------------- */

#define T_WP   (1ul << 16)
#define T_SMEP (1ul << 20)
#define T_SMAP (1ul << 21)

static void write_protect_off(const struct guest_variant *v, enum guest_mode mode)
{
	guest_open(v, mode);
	guest_map(GVA, page_of(0), 1, P | U);
	guest_map(GVA + PAGE_SIZE, page_of(1), 1, P);
	sg.cr0 &= ~T_WP;
	guest_load(&sg.cpu[0], sg.top);
	guest_write(GVA, 1);
	guest_write(GVA + PAGE_SIZE, 1);
	CHECK(guest_get(guest_entry_at(GVA, 1)) & D);
	guest_faults(GVA, ACC_W, true, E_P | E_W | E_U);
	CHECK(guest_works(GVA, ACC_R, true));
	guest_faults(GVA, ACC_W, true, E_P | E_W | E_U);
	guest_write(GVA, 2);
	CHECK_EQ(memory_at(page_of(0)), 2);
	sg.cr0 |= T_WP;
	guest_load(&sg.cpu[0], sg.top);
	guest_faults(GVA, ACC_W, false, E_P | E_W);
	guest_faults(GVA + PAGE_SIZE, ACC_W, false, E_P | E_W);
	guest_close();
}

static void test_write_protect_off(void)
{
	guest_for_each(write_protect_off);
}

static void test_smep_and_smap(void)
{
	guest_open(&guest_variants[0], GUEST_4L);
	guest_map(GVA, page_of(0), 1, P | U);
	sg.cr0 &= ~T_WP;
	sg.cr4 |= T_SMEP;
	guest_load(&sg.cpu[0], sg.top);
	guest_write(GVA, 1);
	guest_faults(GVA, ACC_X, false, E_P | E_F);
	CHECK(guest_works(GVA, ACC_X, true));
	sg.cr4 |= T_SMAP;
	guest_load(&sg.cpu[0], sg.top);
	guest_faults(GVA, ACC_R, false, E_P);
	sg.cpu[0].ac = true;
	guest_write(GVA, 7);
	CHECK_EQ(guest_read(GVA), 7);
	sg.cpu[0].ac = false;
	guest_faults(GVA, ACC_W, false, E_P | E_W);
	guest_close();
}

/* ---- bad tables ------------------------------------------------------------------------------------ */

static void bad_tables(const struct guest_variant *v, enum guest_mode mode)
{
	guest_open(v, mode);
	guest_map(GVA, page_of(0), 1, P | W | U);
	guest_read(GVA);
	gpa_t at = guest_entry_at(GVA, 2);
	uint64_t entry = guest_get(at);
	struct shadow_outcome o;
	uint64_t value = 0;

	/* A table where there is no memory reads as ones. */
	guest_put(at, (GUEST_PAGES + 5) << PAGE_SHIFT | P | W | U);
	shadow_cpu_flush(&sg.cpu[0]);
	o = shadow_cpu_touch(&sg.cpu[0], GVA, ACC_R, 8, &value);
	if (mode >= GUEST_PAE)
		CHECK(o.result == MMU_PF_INJECT && o.error == (E_P | E_RSVD));
	else
		CHECK(o.result == MMU_PF_EMULATE && o.gpa == 0xfffff000);
	/* A table that is the one above. */
	guest_put(at, (at & PAGE_MASK) | P | W | U);
	shadow_cpu_flush(&sg.cpu[0]);
	guest_works(GVA, ACC_W, true);
	guest_audit();
	guest_put(at, entry);
	shadow_cpu_flush(&sg.cpu[0]);
	guest_write(GVA, 9);
	/* A root where there is no memory. */
	guest_load(&sg.cpu[0], (GUEST_PAGES + 64) << PAGE_SHIFT);
	CHECK(!guest_works(GVA, ACC_R, false));
	guest_load(&sg.cpu[0], sg.top);
	CHECK_EQ(guest_read(GVA), 9);
	guest_close();
}

static void test_bad_tables(void)
{
	guest_for_each(bad_tables);
}

static void test_mmio_and_rom(void)
{
	struct mmu_slot_desc rom = { .id = 1, .base_gfn = GUEST_PAGES + 16, .npages = 4,
				     .flags = MMU_SLOT_READONLY };
	uint64_t value = 0;

	guest_open(&guest_variants[0], GUEST_4L);
	CHECK_EQ(mmu_slot_create(sg.vm, &rom), 0);
	guest_map(GVA, rom.base_gfn << PAGE_SHIFT, 1, P | W | U);
	guest_map(GVA + PAGE_SIZE, 0xfee00000, 1, P | W | U);
	CHECK_EQ(guest_read(GVA), 0);
	struct shadow_outcome o = shadow_cpu_touch(&sg.cpu[0], GVA, ACC_W, 8, &value);

	CHECK(o.result == MMU_PF_EMULATE && o.gpa == rom.base_gfn << PAGE_SHIFT);
	o = shadow_cpu_touch(&sg.cpu[0], GVA + PAGE_SIZE + 0x30, ACC_R, 8, &value);
	CHECK(o.result == MMU_PF_EMULATE && o.gpa == 0xfee00030);
	guest_close();
}

static const struct ktap_test tests[] = {
	KTAP(test_read_and_write),
	KTAP(test_paging_off),
	KTAP(test_accessed_and_dirty),
	KTAP(test_error_codes),
	KTAP(test_upper_rights),
	KTAP(test_two_ways),
	KTAP(test_huge_pages),
	KTAP(test_table_in_huge_page),
	KTAP(test_write_protect_off),
	KTAP(test_smep_and_smap),
	KTAP(test_bad_tables),
	KTAP(test_mmio_and_rom),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
