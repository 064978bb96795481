/* SPDX-License-Identifier: GPL-2.0-only */
/* All that a VM can do with nested paging, without: every operation on ranges, by reverse maps. */
#include <string.h>

#include "hosted.h"
#include "ktap.h"
#include "mm/vm.h"
#include "shadow_guest.h"

#define GVA   0x40000000ul
#define OTHER 0x40400000ul
#define PAGES 40u

/* Pages [0, PAGES) at two addresses each, read by both. */
static void open_mapped(const struct guest_variant *v, enum guest_mode mode)
{
	guest_open(v, mode);
	for (unsigned i = 0; i < PAGES; i++) {
		guest_map(GVA + i * PAGE_SIZE, i * PAGE_SIZE, 1, P | W | U);
		guest_map(OTHER + i * PAGE_SIZE, i * PAGE_SIZE, 1, P | W | U);
		guest_write(GVA + i * PAGE_SIZE, 1000 + i);
		CHECK_EQ((uint32_t)guest_read(OTHER + i * PAGE_SIZE), 1000 + i);
	}
}

static uint64_t get(unsigned page)
{
	return guest_read((page & 1 ? GVA : OTHER) + page * PAGE_SIZE);
}

static struct shadow_outcome touch(gva_t gva, unsigned access)
{
	uint64_t value = 1;

	return shadow_cpu_touch(&sg.cpu[0], gva, access, 8, &value);
}

/* ---- unmap, balloon, protect, migrate -------------------------------------------------------- */

static void unmap(const struct guest_variant *v, enum guest_mode mode)
{
	open_mapped(v, mode);
	uint64_t zapped = guest_stats().zap_leaf;

	CHECK_EQ(mmu_unmap(sg.vm, 3, 10, 0), 0);
	CHECK(guest_stats().zap_leaf - zapped >= 1);
	guest_audit();
	CHECK_EQ(mmu_unmap(sg.vm, 0, GUEST_PAGES, MMU_MAY_BLOCK), 0);
	struct mmu_stats s = guest_stats();

	CHECK_EQ(s.pages_4k + s.pages_2m, 0);
	guest_audit();
	for (unsigned i = 0; i < PAGES; i++)
		CHECK_EQ(get(i), 1000 + i);
	CHECK_EQ(mmu_unmap(sg.vm, 0, GUEST_PAGES + 1, 0), -ENOENT);
	guest_close();
}

static void test_unmap(void)
{
	guest_for_each(unmap);
}

static void balloon(const struct guest_variant *v, enum guest_mode mode)
{
	uint64_t changed;

	open_mapped(v, mode);
	CHECK_EQ(mmu_balloon_out(sg.vm, 5, 20, MMU_MAY_BLOCK, &changed), 0);
	CHECK_EQ(changed, 20);
	guest_audit();
	for (unsigned i = 5; i < 25; i++) {
		CHECK_EQ(touch(GVA + i * PAGE_SIZE, ACC_R).result, MMU_PF_EMULATE);
		CHECK_EQ(touch(OTHER + i * PAGE_SIZE, ACC_W).result, MMU_PF_EMULATE);
	}
	CHECK_EQ(get(4), 1004);
	CHECK_EQ(mmu_balloon_in(sg.vm, 5, 20, 0, &changed), 0);
	for (unsigned i = 5; i < 25; i++)
		CHECK_EQ(get(i), 0);
	CHECK_EQ(get(25), 1025);
	guest_close();
}

static void test_balloon(void)
{
	guest_for_each(balloon);
}

/* The guest's tables themselves: it reads ones there, and later nothing. */
static void balloon_table(const struct guest_variant *v, enum guest_mode mode)
{
	uint64_t changed;

	open_mapped(v, mode);
	gfn_t table = guest_entry_at(GVA, 1) >> PAGE_SHIFT;

	CHECK_EQ(mmu_balloon_out(sg.vm, table, 1, 0, &changed), 0);
	guest_audit();
	struct shadow_outcome o = touch(GVA, ACC_R);

	CHECK(mode >= GUEST_PAE ? o.result == MMU_PF_INJECT && o.error == (E_P | E_RSVD)
				: o.result == MMU_PF_EMULATE);
	CHECK_EQ(mmu_balloon_in(sg.vm, table, 1, 0, &changed), 0);
	guest_faults(GVA, ACC_R, false, 0);
	guest_map(GVA, 7 * PAGE_SIZE, 1, P | W | U);
	CHECK_EQ(guest_read(GVA), 1007);
	guest_audit();
	guest_close();
}

static void test_balloon_table(void)
{
	guest_for_each(balloon_table);
}

static void protect(const struct guest_variant *v, enum guest_mode mode)
{
	open_mapped(v, mode);
	CHECK_EQ(mmu_protect(sg.vm, 2, 4, ACC_R | ACC_X, 0), 0);
	guest_audit();
	CHECK_EQ(guest_read(GVA + 3 * PAGE_SIZE), 1003);
	CHECK_EQ(touch(GVA + 3 * PAGE_SIZE, ACC_W).result, MMU_PF_PROTECTED);
	CHECK_EQ(touch(OTHER + 3 * PAGE_SIZE, ACC_W).result, MMU_PF_PROTECTED);
	guest_write(GVA + 6 * PAGE_SIZE, 7);
	CHECK_EQ(mmu_protect(sg.vm, 2, 4, 0, MMU_MAY_BLOCK), 0);
	CHECK_EQ(touch(OTHER + 3 * PAGE_SIZE, ACC_R).result, MMU_PF_PROTECTED);
	CHECK_EQ(mmu_protect(sg.vm, 2, 4, ACC_RWX, 0), 0);
	guest_write(OTHER + 3 * PAGE_SIZE, 8);
	CHECK_EQ(guest_read(GVA + 3 * PAGE_SIZE), 8);
	guest_close();
}

static void test_protect(void)
{
	guest_for_each(protect);
}

static void migrate(const struct guest_variant *v, enum guest_mode mode)
{
	uint64_t changed;

	open_mapped(v, mode);
	gfn_t table = guest_entry_at(GVA, 1) >> PAGE_SHIFT;

	CHECK_EQ(mmu_migrate(sg.vm, 0, PAGES, MMU_MAY_BLOCK, &changed), 0);
	CHECK_EQ(changed, PAGES);
	/* And a table that is in use. */
	CHECK_EQ(mmu_migrate(sg.vm, table, 1, 0, &changed), 0);
	guest_audit();
	for (unsigned i = 0; i < PAGES; i++)
		CHECK_EQ(get(i), 1000 + i);
	guest_map(GVA, 7 * PAGE_SIZE, 1, P | W | U);
	shadow_cpu_invlpg(&sg.cpu[0], GVA);
	CHECK_EQ(guest_read(GVA), 1007);
	guest_close();
}

static void test_migrate(void)
{
	guest_for_each(migrate);
}

/* ---- ageing ------------------------------------------------------------------------------------- */

static void age(const struct guest_variant *v, enum guest_mode mode)
{
	uint64_t young, bitmap;
	bool any;

	open_mapped(v, mode);
	/* Mapped twice, counted once. */
	CHECK_EQ(mmu_age(sg.vm, 0, PAGES, &young), 0);
	CHECK_EQ(young, PAGES);
	CHECK_EQ(mmu_test_age(sg.vm, 0, PAGES, &any), 0);
	CHECK(!any);
	/* By either address, and the first of the two entries does not hide the second. */
	shadow_cpu_flush(&sg.cpu[0]);
	guest_read(GVA + 3 * PAGE_SIZE);
	guest_read(OTHER + 5 * PAGE_SIZE);
	CHECK_EQ(mmu_test_age(sg.vm, 4, 2, &any), 0);
	CHECK(any);
	CHECK_EQ(mmu_age_bitmap(sg.vm, 0, PAGES, false, &bitmap), 0);
	CHECK_EQ(bitmap, 1ul << 3 | 1ul << 5);
	CHECK_EQ(mmu_age_bitmap(sg.vm, 1, PAGES - 1, true, &bitmap), 0);
	CHECK_EQ(bitmap, 1ul << 2 | 1ul << 4);
	CHECK_EQ(mmu_age(sg.vm, 0, PAGES, &young), 0);
	CHECK_EQ(young, 0);
	guest_audit();
	/* What is parked comes back, with all that it permitted. */
	for (unsigned i = 0; i < PAGES; i++)
		guest_write(GVA + i * PAGE_SIZE, i);
	guest_close();
}

static void test_age(void)
{
	guest_for_each(age);
}

/* ---- dirty logs ------------------------------------------------------------------------------------ */

static uint64_t dirty(bool clear)
{
	uint64_t bitmap, n;

	CHECK_EQ(mmu_dirty_get(sg.vm, 0, 0, PAGES, clear, &bitmap, &n), 0);
	return bitmap;
}

static void log_style(const struct guest_variant *v, enum guest_mode mode,
		      enum mmu_dirty_style style)
{
	open_mapped(v, mode);
	CHECK_EQ(mmu_dirty_start(sg.vm, 0, style, 0), 0);
	CHECK_EQ(dirty(true), 0);
	guest_write(GVA + 3 * PAGE_SIZE, 1);
	guest_write(OTHER + 5 * PAGE_SIZE, 1);
	guest_read(OTHER + 6 * PAGE_SIZE);
	CHECK_EQ(dirty(false), 1ul << 3 | 1ul << 5);
	/* What the leaf knows is not lost with it. */
	CHECK_EQ(mmu_unmap(sg.vm, 3, 1, 0), 0);
	CHECK_EQ(dirty(true), 1ul << 3 | 1ul << 5);
	CHECK_EQ(dirty(true), 0);
	guest_write(OTHER + 3 * PAGE_SIZE, 2);
	guest_write(GVA + 5 * PAGE_SIZE, 2);
	guest_audit();
	CHECK_EQ(dirty(true), 1ul << 3 | 1ul << 5);
	/* What the walker marks in the guest's tables is written too. */
	uint64_t table = guest_entry_at(GVA, 1) >> PAGE_SHIFT, bitmap, n;

	guest_map(GVA, 9 * PAGE_SIZE, 1, P | W | U);
	shadow_cpu_invlpg(&sg.cpu[0], GVA);
	CHECK_EQ(mmu_dirty_get(sg.vm, 0, table, 1, true, &bitmap, &n), 0);
	guest_read(GVA);
	CHECK_EQ(mmu_dirty_get(sg.vm, 0, table, 1, true, &bitmap, &n), 0);
	CHECK_EQ(bitmap, 1);
	CHECK_EQ(mmu_dirty_stop(sg.vm, 0), 0);
	mmu_work_flush(sg.vm);
	guest_close();
}

static void logs(const struct guest_variant *v, enum guest_mode mode)
{
	log_style(v, mode, MMU_DIRTY_WRPROT);
	if (v->hw_ad)
		log_style(v, mode, MMU_DIRTY_DBIT);
}

static void test_dirty_log(void)
{
	guest_for_each(logs);
}

/* ---- slots and zap-all -------------------------------------------------------------------------------- */

static void slots(const struct guest_variant *v, enum guest_mode mode)
{
	struct mmu_slot_desc slot = { .id = 1, .base_gfn = GUEST_PAGES, .npages = 16 };
	gpa_t base = GUEST_PAGES << PAGE_SHIFT, moved = base + 0x100000;

	guest_open(v, mode);
	guest_map(GVA, base, 1, P | W | U);
	guest_map(OTHER, moved, 1, P | W | U);
	CHECK_EQ(touch(GVA, ACC_W).result, MMU_PF_EMULATE);
	CHECK_EQ(mmu_slot_create(sg.vm, &slot), 0);
	guest_write(GVA, 42);
	CHECK_EQ(mmu_slot_move(sg.vm, 1, GUEST_PAGES + 0x100), 0);
	guest_audit();
	CHECK_EQ(touch(GVA, ACC_R).result, MMU_PF_EMULATE);
	CHECK_EQ(guest_read(OTHER), 42);
	CHECK_EQ(mmu_slot_set_flags(sg.vm, 1, MMU_SLOT_READONLY), 0);
	CHECK_EQ(touch(OTHER, ACC_W).result, MMU_PF_EMULATE);
	CHECK_EQ(guest_read(OTHER), 42);
	CHECK_EQ(mmu_slot_set_flags(sg.vm, 1, 0), 0);
	/* A page table in the slot that goes. */
	guest_put(guest_entry_at(GVA, 2), moved | PAGE_SIZE | P | W | U);
	shadow_cpu_flush(&sg.cpu[0]);
	guest_faults(GVA, ACC_R, false, 0);
	CHECK_EQ(mmu_slot_delete(sg.vm, 1), 0);
	guest_audit();
	CHECK(touch(GVA, ACC_R).result != MMU_PF_FIXED);
	/* It comes again, at the same place, where the guest still has a table. */
	slot.base_gfn += 0x100;
	CHECK_EQ(mmu_slot_create(sg.vm, &slot), 0);
	guest_faults(GVA, ACC_R, false, 0);
	guest_close();
}

static void test_slots(void)
{
	guest_for_each(slots);
}

static void zap_all(const struct guest_variant *v, enum guest_mode mode)
{
	open_mapped(v, mode);
	for (unsigned n = 0; n < 4; n++) {
		uint64_t pages = guest_stats().shadow_pages;

		mmu_zap_all(sg.vm);
		CHECK_EQ(guest_stats().shadow_pages, pages);
		guest_audit();
		for (unsigned i = 0; i < PAGES; i++)
			CHECK_EQ(get(i), 1000 + i);
		guest_audit();
		if (n & 1)
			mmu_work_flush(sg.vm);
		if (n & 1)
			CHECK(guest_stats().shadow_pages <= pages);
	}
	guest_close();
}

static void test_zap_all(void)
{
	guest_for_each(zap_all);
}

/* ---- the dump ---------------------------------------------------------------------------------------------- */

static unsigned dumped_pages, dumped_leaves;

static void on_line(void *ctx, const char *line)
{
	(void)ctx;
	dumped_pages += !strncmp(line, "shadow page", 11);
	dumped_leaves += strstr(line, "leaf pfn") != NULL;
}

static void test_dump(void)
{
	open_mapped(&guest_variants[0], GUEST_4L);
	dumped_pages = dumped_leaves = 0;
	mmu_dump(sg.vm, 0, PAGES, on_line, NULL);
	CHECK_EQ(dumped_pages, guest_stats().shadow_pages);
	CHECK_EQ(dumped_leaves, 2 * PAGES);
	guest_close();
}

/* ---- yielding -------------------------------------------------------------------------------------------- */

static uint64_t rescheds;

static void count_resched(void)
{
	rescheds++;
}

static void test_yield(void)
{
	open_mapped(&guest_variants[0], GUEST_4L);
	hosted_hooks.resched = count_resched;
	hosted_hooks.need_resched = true;
	rescheds = 0;
	CHECK_EQ(mmu_unmap(sg.vm, 0, PAGES, 0), 0);
	CHECK_EQ(rescheds, 0);
	hosted_hooks.need_resched = false;
	for (unsigned i = 0; i < PAGES; i++)
		get(i);
	hosted_hooks.need_resched = true;
	uint64_t flushes = guest_stats().tlb_flush;

	CHECK_EQ(mmu_unmap(sg.vm, 0, PAGES, MMU_MAY_BLOCK), 0);
	CHECK(rescheds >= PAGES - 1);
	/* Whatever was taken out before a yield was flushed before it. */
	CHECK(guest_stats().tlb_flush - flushes >= PAGES);
	hosted_hooks.need_resched = false;
	/* In the middle of one page that is mapped at many places. */
	for (unsigned i = 0; i < 500; i++) {
		guest_map(0x50000000 + i * PAGE_SIZE, 0, 1, P | W | U);
		guest_read(0x50000000 + i * PAGE_SIZE);
	}
	hosted_hooks.need_resched = true;
	rescheds = 0;
	CHECK_EQ(mmu_unmap(sg.vm, 0, 1, MMU_MAY_BLOCK), 0);
	CHECK(rescheds >= 5);
	hosted_hooks.need_resched = false;
	guest_close();
}

/* ---- no memory --------------------------------------------------------------------------------------------- */

/* Each allocation fails once; the access works the next time, and nothing is lost. */
static void fail_each(const struct guest_variant *v, enum guest_mode mode)
{
	for (uint64_t n = 0; n < 200; n++) {
		open_mapped(v, mode);
		mmu_zap_all(sg.vm);
		mmu_work_flush(sg.vm);
		hosted_fail_at(n, false);
		struct shadow_outcome o = touch(GVA + 3 * PAGE_SIZE, ACC_W);

		hosted_fail_off();
		CHECK(o.result == MMU_PF_FIXED || (hosted_failed() && o.result == MMU_PF_NOMEM));
		guest_audit();
		guest_write(GVA + 3 * PAGE_SIZE, 5);
		CHECK_EQ(guest_read(OTHER + 3 * PAGE_SIZE), 5);
		bool failed = hosted_failed();

		guest_close();
		if (!failed)
			return;
	}
	CHECK(false);
}

static void test_no_memory(void)
{
	fail_each(&guest_variants[0], GUEST_4L);
	fail_each(&guest_variants[1], GUEST_PAE);
}

static const struct ktap_test tests[] = {
	KTAP(test_unmap),
	KTAP(test_balloon),
	KTAP(test_balloon_table),
	KTAP(test_protect),
	KTAP(test_migrate),
	KTAP(test_age),
	KTAP(test_dirty_log),
	KTAP(test_slots),
	KTAP(test_zap_all),
	KTAP(test_dump),
	KTAP(test_yield),
	KTAP(test_no_memory),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
