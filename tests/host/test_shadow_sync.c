/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow paging while the guest changes its tables: what it may still find before it told the
 * processor, and what it must find after; and what all that costs.
 */
#include "hosted.h"
#include "ktap.h"
#include "mm/lock.h"
#include "mm/shadow.h"
#include "shadow_guest.h"

#define GVA 0x40012000ul

static gpa_t page_of(unsigned n)
{
	return (gpa_t)(n + 1) * 0x3000;
}

static void number_pages(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t value = 100 + i;

		CHECK_EQ(mmu_write_guest(sg.vm, page_of(i), &value, 8), 0);
	}
}

static uint32_t low_word(uint64_t value)
{
	return (uint32_t)value;
}

/* ---- the lowest level -------------------------------------------------------------------- */

static void remap(const struct guest_variant *v, enum guest_mode mode)
{
	guest_open(v, mode);
	number_pages(4);
	guest_map(GVA, page_of(0), 1, P | W | U);
	CHECK_EQ(guest_read(GVA), 100);
	gpa_t at = guest_entry_at(GVA, 1);

	for (unsigned i = 1; i < 4; i++) {
		uint64_t before, emulated = sg.cpu[0].emulated;

		guest_put(at, page_of(i) | P | W | U);
		before = guest_read(GVA);
		CHECK(before == 100 + i || before == 99 + i);
		shadow_cpu_invlpg(&sg.cpu[0], GVA);
		CHECK_EQ(guest_read(GVA), 100 + i);
		/* Such tables are opened to the guest. */
		CHECK_EQ(sg.cpu[0].emulated, emulated);
		guest_audit();
	}
	CHECK(guest_stats().shadow_unsync >= 1);
	guest_put(at, page_of(0) | P | W | U);
	shadow_cpu_flush(&sg.cpu[0]);
	CHECK_EQ(guest_read(GVA), 100);
	guest_put(at, 0);
	shadow_cpu_flush(&sg.cpu[0]);
	guest_faults(GVA, ACC_R, false, 0);
	guest_close();
}

static void test_remap(void)
{
	guest_for_each(remap);
}

/* ---- tables that map neighbours alike -------------------------------------------------------- */

#define ROW 64u

static bool known_each(void)
{
	const struct shadow_page *page;

	mmu_glance_lock(sg.vm);
	page = shadow_first(sg.vm, guest_entry_at(GVA, 1) >> PAGE_SHIFT);
	CHECK(page != NULL);
	bool each = page && page->gpte;

	mmu_glance_unlock(sg.vm);
	return each;
}

static void open_row(const struct guest_variant *v, enum guest_mode mode)
{
	guest_open(v, mode);
	for (unsigned i = 0; i < ROW; i++) {
		guest_map(GVA + i * PAGE_SIZE, (100 + i) * PAGE_SIZE, 1, P | W | U);
		if (i % 3)
			guest_write(GVA + i * PAGE_SIZE, i);
		else
			CHECK_EQ(guest_read(GVA + i * PAGE_SIZE), 0);
	}
	/* What came so far came by an open table. */
	mmu_zap_all(sg.vm);
	mmu_work_flush(sg.vm);
	for (unsigned i = 0; i < ROW; i++)
		guest_read(GVA + i * PAGE_SIZE);
	CHECK(!known_each());
	guest_audit();
}

/* Closed and with one word for all: whatever the hypervisor writes there counts from then on. */
static void row(const struct guest_variant *v, enum guest_mode mode)
{
	open_row(v, mode);
	gpa_t at = guest_entry_at(GVA, 1);
	unsigned size = guest_entry_size();
	uint64_t moved = 9 * PAGE_SIZE | P | W | U, clean = 101 * PAGE_SIZE | P | W | U | A, none = 0;

	guest_write(GVA + PAGE_SIZE, 7);
	/* Clean again: the next write says so. */
	CHECK_EQ(mmu_write_guest(sg.vm, at + size, &clean, size), 0);
	guest_audit();
	shadow_cpu_invlpg(&sg.cpu[0], GVA + PAGE_SIZE);
	CHECK(!(guest_get(at + size) & D));
	guest_write(GVA + PAGE_SIZE, 8);
	CHECK(guest_get(at + size) & D);
	CHECK_EQ(mmu_write_guest(sg.vm, at + 2 * size, &moved, size), 0);
	CHECK_EQ(mmu_write_guest(sg.vm, at + 4 * size, &none, size), 0);
	guest_audit();
	CHECK(!known_each());
	shadow_cpu_flush(&sg.cpu[0]);
	guest_faults(GVA + 4 * PAGE_SIZE, ACC_R, false, 0);
	/* That does not fit. */
	guest_write(GVA + 2 * PAGE_SIZE, 55);
	CHECK(known_each());
	guest_audit();
	CHECK_EQ(guest_read(WINDOW + 9 * PAGE_SIZE), 55);
	for (unsigned i = 5; i < ROW; i++)
		CHECK_EQ(low_word(guest_read(GVA + i * PAGE_SIZE)), i % 3 ? i : 0);
	guest_close();
}

static void test_row(void)
{
	guest_for_each(row);
}

/* What is written when the table is opened is not forgotten, Dirty included. */
static void row_opened(const struct guest_variant *v, enum guest_mode mode)
{
	open_row(v, mode);
	gpa_t at = guest_entry_at(GVA, 1);

	guest_write(GVA + PAGE_SIZE, 7);
	guest_put(at + guest_entry_size(), 101 * PAGE_SIZE | P | W | U | A);
	CHECK(known_each());
	shadow_cpu_flush(&sg.cpu[0]);
	guest_write(GVA + PAGE_SIZE, 8);
	CHECK(guest_get(at + guest_entry_size()) & D);
	guest_put(at + 2 * guest_entry_size(), 9 * PAGE_SIZE | P | W | U);
	shadow_cpu_flush(&sg.cpu[0]);
	guest_write(GVA + 2 * PAGE_SIZE, 55);
	CHECK_EQ(low_word(guest_read(WINDOW + 9 * PAGE_SIZE)), 55);
	guest_audit();
	guest_close();
}

static void test_row_opened(void)
{
	guest_for_each(row_opened);
}

/* From not present to present needs no INVLPG. */
static void new_entries(const struct guest_variant *v, enum guest_mode mode)
{
	guest_open(v, mode);
	number_pages(40);
	for (unsigned i = 0; i < 40; i++) {
		guest_faults(GVA + i * PAGE_SIZE, ACC_R, false, 0);
		guest_map(GVA + i * PAGE_SIZE, page_of(i), 1, P | W | U);
		CHECK_EQ(guest_read(GVA + i * PAGE_SIZE), 100 + i);
	}
	guest_audit();
	guest_close();
}

static void test_new_entries(void)
{
	guest_for_each(new_entries);
}

/* Only what was written is touched, and a table that is in use stays open. */
static void test_sync_costs_what_changed(void)
{
	struct mmu_stats before, after;

	guest_open(&guest_variants[0], GUEST_4L);
	for (unsigned i = 0; i < 256; i++) {
		guest_map(0x40000000 + i * PAGE_SIZE, page_of(i), 1, P | W | U);
		guest_read(0x40000000 + i * PAGE_SIZE);
	}
	gpa_t at = guest_entry_at(0x40000000, 1);

	guest_put(at, page_of(300) | P | W | U);
	shadow_cpu_flush(&sg.cpu[0]);
	before = guest_stats();
	guest_put(at + 8 * 77, page_of(301) | P | W | U | A | D);
	shadow_cpu_flush(&sg.cpu[0]);
	after = guest_stats();
	CHECK_EQ(after.shadow_synced - before.shadow_synced, 1);
	CHECK_EQ(after.pages_4k, before.pages_4k - 1);
	CHECK_EQ(after.shadow_unsync, before.shadow_unsync);
	/* Nothing written: closed, and opened again by the next write. */
	shadow_cpu_flush(&sg.cpu[0]);
	guest_put(at + 8, page_of(302) | P | W | U);
	CHECK_EQ(guest_stats().shadow_unsync, after.shadow_unsync + 1);
	guest_close();
}

/* ---- above ---------------------------------------------------------------------------------- */

static void replace_table(const struct guest_variant *v, enum guest_mode mode)
{
	guest_open(v, mode);
	number_pages(3);
	guest_map(GVA, page_of(0), 1, P | W | U);
	CHECK_EQ(guest_read(GVA), 100);
	gpa_t at = guest_entry_at(GVA, 2);
	uint64_t old = guest_get(at);
	uint64_t emulated = sg.cpu[0].emulated;

	/* The same place filled by another table. */
	guest_put(at, 0);
	CHECK(sg.cpu[0].emulated > emulated);
	guest_map(GVA, page_of(1), 1, P | W | U);
	shadow_cpu_invlpg(&sg.cpu[0], GVA);
	CHECK_EQ(guest_read(GVA), 101);
	guest_put(at, old);
	shadow_cpu_invlpg(&sg.cpu[0], GVA);
	CHECK_EQ(guest_read(GVA), 100);
	CHECK(guest_stats().shadow_written >= 2);
	guest_audit();
	guest_close();
}

static void test_replace_table(void)
{
	guest_for_each(replace_table);
}

/* The page of a table becomes a data page: it is not emulated for ever. */
static void flood(const struct guest_variant *v, enum guest_mode mode)
{
	guest_open(v, mode);
	number_pages(1);
	guest_map(GVA, page_of(0), 1, P | W | U);
	guest_read(GVA);
	gpa_t table = guest_entry_at(GVA, 2) & PAGE_MASK, at = guest_entry_at(GVA, 2);
	uint64_t entry = guest_get(at), value;

	if (table == sg.top)
		goto out; /* a root stays */
	for (unsigned i = 0; i < 64; i++) {
		value = i * 2;
		guest_write(WINDOW + table + 0x400 + i * 8, value);
	}
	CHECK(sg.cpu[0].emulated < 16);
	CHECK(guest_stats().shadow_flooded >= (mode != GUEST_PAE));
	CHECK_EQ(guest_get(at), entry);
	CHECK_EQ(guest_read(GVA), 100);
out:
	guest_close();
}

static void test_flood(void)
{
	for (unsigned i = 0; i < guest_variant_count; i++) {
		flood(&guest_variants[i], GUEST_4L);
		flood(&guest_variants[i], GUEST_5L);
	}
}

/* The top table in itself, in a table that has itself as entry i. */
#define SELF(i) (0xffff800000000000ul | (i) << 30 | (i) << 21 | (i) << 12)

/* What cannot be emulated: the shadow goes, and the guest writes itself; but not twice in vain. */
static void test_unprotect(void)
{
	uint64_t value = 0;

	guest_open(&guest_variants[0], GUEST_4L);
	guest_map(GVA, page_of(0), 1, P | W | U);
	guest_read(GVA);
	gva_t at = WINDOW + guest_entry_at(GVA, 2);
	struct shadow_fault f = { .gva = at, .error = E_P | E_W };

	CHECK_EQ(mmu_shadow_fault(&sg.cpu[0].mmu, &f), MMU_PF_EMULATE);
	CHECK(f.memory_write);
	CHECK(mmu_shadow_unprotect(&sg.cpu[0].mmu, &f));
	CHECK_EQ(mmu_shadow_fault(&sg.cpu[0].mmu, &f), MMU_PF_FIXED);
	CHECK_EQ(shadow_cpu_touch(&sg.cpu[0], at, ACC_R, 8, &value).result, MMU_PF_FIXED);
	/* A table that maps itself: the way to it makes it a table again. */
	unsigned tries = 0;

	guest_put(sg.top + 8 * 256, sg.top | P | W);
	f = (struct shadow_fault){ .gva = SELF(256ul), .error = E_P | E_W };
	/* Its entry is on the way at every level: Dirty in the last is news to the first. */
	CHECK_EQ(mmu_shadow_fault(&sg.cpu[0].mmu, &f), MMU_PF_RETRY);
	do {
		guest_read(GVA);
		enum mmu_pf_result r = mmu_shadow_fault(&sg.cpu[0].mmu, &f);

		while (r == MMU_PF_RETRY && guest_read(GVA) == 0)
			r = mmu_shadow_fault(&sg.cpu[0].mmu, &f);
		CHECK_EQ(r, MMU_PF_EMULATE);
		CHECK(f.memory_write);
	} while (mmu_shadow_unprotect(&sg.cpu[0].mmu, &f) && ++tries < 100);
	CHECK(tries && tries < 10);
	guest_close();
}

/* Page tables that are in themselves at the top: every level by one entry. */
static void test_recursive(void)
{
	for (unsigned i = 0; i < guest_variant_count; i++) {
		guest_open(&guest_variants[i], GUEST_4L);
		number_pages(2);
		guest_map(GVA, page_of(0), 1, P | W | U);
		guest_put(sg.top + 8 * 256, sg.top | P | W);
		gva_t base = 0xffff800000000000ul;
		gva_t leaf = base | ((GVA >> 12) << 3);

		CHECK_EQ(guest_read(GVA), 100);
		CHECK_EQ(guest_read(leaf) & ~0xffful, page_of(0));
		guest_write(leaf, page_of(1) | P | W | U);
		shadow_cpu_invlpg(&sg.cpu[0], GVA);
		CHECK_EQ(guest_read(GVA), 101);
		/* By way of the table that it changes: an entry of the top table, and the leaf's. */
		guest_write(SELF(256ul) + 8 * 300, page_of(0));
		CHECK_EQ(guest_get(sg.top + 8 * 300), page_of(0));
		guest_write(leaf, 0);
		shadow_cpu_invlpg(&sg.cpu[0], GVA);
		guest_faults(GVA, ACC_R, false, 0);
		guest_audit();
		guest_close();
	}
}

/* ---- address spaces ------------------------------------------------------------------------------ */

static void spaces(const struct guest_variant *v, enum guest_mode mode)
{
	gpa_t top[2];

	guest_open(v, mode);
	number_pages(2);
	top[0] = sg.top;
	guest_map(GVA, page_of(0), 1, P | W | U);
	top[1] = guest_new_space();
	guest_map(GVA, page_of(1), 1, P | W | U);
	for (unsigned i = 0; i < 20; i++) {
		guest_load(&sg.cpu[0], top[i % 2]);
		CHECK_EQ(guest_read(GVA), 100 + i % 2);
	}
	/* Their roots are remembered. */
	struct mmu_stats before = guest_stats();
	uint64_t faults = sg.cpu[0].faults;

	for (unsigned i = 0; i < 2000; i++) {
		guest_load(&sg.cpu[0], top[i % 2]);
		CHECK_EQ(guest_read(GVA), 100 + i % 2);
	}
	CHECK_EQ(guest_stats().pf_taken, before.pf_taken);
	CHECK_EQ(sg.cpu[0].faults, faults);
	/* The same page table in both. */
	gpa_t table = guest_entry_at(GVA, 1) & PAGE_MASK;

	sg.top = top[0];
	gpa_t shared = guest_entry_at(GVA, 2);

	guest_load(&sg.cpu[0], top[0]);
	guest_put(shared, table | P | W | U);
	shadow_cpu_flush(&sg.cpu[0]);
	CHECK_EQ(guest_read(GVA), 101);
	guest_put(table + (guest_entry_at(GVA, 1) & ~PAGE_MASK), page_of(0) | P | W | U);
	guest_load(&sg.cpu[0], top[1]);
	CHECK_EQ(guest_read(GVA), 100);
	guest_audit();
	guest_close();
}

static void test_address_spaces(void)
{
	guest_for_each(spaces);
}

static void test_modes_switch(void)
{
	guest_open(&guest_variants[1], GUEST_PAE);
	number_pages(2);
	guest_map(GVA, page_of(0), 1, P | W | U);
	for (unsigned i = 0; i < 10; i++) {
		CHECK_EQ(guest_read(GVA), 100);
		shadow_cpu_load(&sg.cpu[0], CR0_PE, 0, 0, 0);
		CHECK_EQ(low_word(guest_read(page_of(1))), 101);
		guest_load(&sg.cpu[0], sg.top);
	}
	/* PAE's top entries count when CR3 is loaded. */
	gpa_t at = guest_entry_at(GVA, 3);
	uint64_t entry = guest_get(at);

	guest_put(at, 0);
	CHECK_EQ(guest_read(GVA), 100);
	guest_read(GVA + (1ul << 21) * 0);
	guest_load(&sg.cpu[0], sg.top);
	guest_faults(GVA, ACC_R, false, 0);
	guest_put(at, entry);
	guest_faults(GVA, ACC_R, false, 0);
	guest_load(&sg.cpu[0], sg.top);
	CHECK_EQ(guest_read(GVA), 100);
	guest_close();
}

/* ---- the budget ------------------------------------------------------------------------------------ */

static void test_budget(void)
{
	struct mmu_config cfg = guest_config(&guest_variants[0], GUEST_4L);

	cfg.shadow_pages = 128;
	guest_open_config(&cfg, GUEST_4L);
	number_pages(1);
	for (unsigned i = 0; i < 400; i++) {
		gva_t gva = 0x100000000ul + (uint64_t)i * 0x200000;

		guest_map(gva, page_of(0), 1, P | W | U);
		CHECK_EQ(guest_read(gva), 100);
		CHECK(guest_stats().shadow_pages <= 128);
	}
	CHECK(guest_stats().shadow_recycled > 0);
	guest_audit();
	for (unsigned i = 0; i < 400; i++)
		CHECK_EQ(guest_read(0x100000000ul + (uint64_t)i * 0x200000), 100);
	guest_close();
}

/* More tables than there are buckets: each is found by what it stands for. */
static void test_many_tables(void)
{
	guest_open(&guest_variants[0], GUEST_4L);
	for (unsigned i = 0; i < 900; i++) {
		uint64_t value = i;

		CHECK_EQ(mmu_write_guest(sg.vm, (gpa_t)(i + 1) * PAGE_SIZE + 8, &value, 8), 0);
		guest_map(0x100000000ul + (uint64_t)i * 0x200000, (gpa_t)(i + 1) * PAGE_SIZE, 1, P);
	}
	for (unsigned n = 0; n < 2; n++)
		for (unsigned i = 0; i < 900; i++)
			CHECK_EQ(guest_read(0x100000008ul + (uint64_t)i * 0x200000), i);
	guest_close();
}

/* One page mapped so often that its rmap is cut. */
static void test_aliases(void)
{
	guest_open(&guest_variants[0], GUEST_4L);
	number_pages(1);
	for (unsigned i = 0; i < 3000; i++) {
		guest_map(0x40000000ul + i * PAGE_SIZE, page_of(0), 1, P | W | U);
		guest_write(0x40000000ul + i * PAGE_SIZE, i);
		CHECK_EQ(guest_read(0x40000000ul), i);
	}
	CHECK(guest_stats().rmap_recycled >= 2);
	guest_audit();
	CHECK_EQ(mmu_unmap(sg.vm, page_of(0) >> PAGE_SHIFT, 1, MMU_MAY_BLOCK), 0);
	guest_audit();
	CHECK_EQ(guest_read(0x40000000ul), 2999);
	guest_close();
}

static const struct ktap_test tests[] = {
	KTAP(test_remap),
	KTAP(test_row),
	KTAP(test_row_opened),
	KTAP(test_new_entries),
	KTAP(test_sync_costs_what_changed),
	KTAP(test_replace_table),
	KTAP(test_flood),
	KTAP(test_unprotect),
	KTAP(test_recursive),
	KTAP(test_address_spaces),
	KTAP(test_modes_switch),
	KTAP(test_budget),
	KTAP(test_many_tables),
	KTAP(test_aliases),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
