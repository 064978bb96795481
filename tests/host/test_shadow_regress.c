/* SPDX-License-Identifier: GPL-2.0-only */
/* Shadow paging: what was wrong once. */
#include <pthread.h>

#include "hosted.h"
#include "ktap.h"
#include "mm/lock.h"
#include "mm/memslot.h"
#include "mm/rmap_slot.h"
#include "mm/shadow.h"
#include "shadow_guest.h"

#define GVA 0x40012000ul
/* Behind other entries of the top table than GVA and the window. */
#define FAR   0x8040012000ul
#define OTHER 0x8000000000ul

static gpa_t page_of(unsigned n)
{
	return (gpa_t)(n + 1) * 0x3000;
}

static void open_numbered(const struct guest_variant *v)
{
	guest_open(v, GUEST_4L);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t value = 100 + i;

		CHECK_EQ(mmu_write_guest(sg.vm, page_of(i), &value, 8), 0);
	}
}

/* Two neighbours, the first of which will change while the second keeps the way to it busy. */
static void map_two(gva_t gva)
{
	guest_map(gva, page_of(0), 1, P | W | U);
	guest_map(gva + PAGE_SIZE, page_of(2), 1, P | W | U);
	CHECK_EQ(guest_read(gva), 100);
	CHECK_EQ(guest_read(gva + PAGE_SIZE), 102);
}

/* ---- what a huge leaf covers --------------------------------------------------------------- */

/* The tables of the way lie in the 2M that the fault maps: they are shadowed by that very fault. */
static void test_huge_leaf_over_its_own_tables(void)
{
	gpa_t block = 1536ul << PAGE_SHIFT;

	open_numbered(&guest_variants[1]);
	sg.next_table = 1600;
	guest_map(OTHER, block, 2, P | W | U);
	CHECK(guest_get(guest_entry_at(OTHER, 4)) >> PAGE_SHIFT >= 1536);
	guest_write(OTHER + 0x5000, 11);
	guest_audit();
	/* By that mapping the guest changes the mapping. */
	gpa_t at = guest_entry_at(OTHER, 2);

	guest_read(OTHER + 0x6000);
	guest_write(OTHER + (at - block), P | W | U | PS);
	shadow_cpu_invlpg(&sg.cpu[0], OTHER);
	CHECK_EQ(guest_read(OTHER + page_of(0)), 100);
	guest_close();
}

/* ---- tables below what is linked again ------------------------------------------------------ */

/* An open table that is two levels below a new link. */
static void test_new_way_far_above_an_open_table(void)
{
	open_numbered(&guest_variants[0]);
	map_two(GVA);
	/* Without INVLPG: what is at GVA may be old, but by another address nothing was there yet. */
	guest_put(guest_entry_at(GVA, 1), page_of(1) | P | W | U);
	guest_put(sg.top + 8, guest_get(sg.top));
	CHECK_EQ(guest_read(OTHER + GVA + PAGE_SIZE), 102);
	CHECK_EQ(guest_read(OTHER + GVA), 101);
	guest_close();
}

/* INVLPG comes while a page on the way is without its shadow. */
static void test_invlpg_while_unlinked(void)
{
	open_numbered(&guest_variants[0]);
	map_two(GVA);
	gpa_t at = guest_entry_at(GVA, 1);
	struct shadow_fault f = { .gva = 1, .gpa = guest_entry_at(GVA, 3) };

	guest_put(at, page_of(0) | P | W | U);
	CHECK(mmu_shadow_unprotect(&sg.cpu[0].mmu, &f));
	guest_put(at, page_of(1) | P | W | U);
	shadow_cpu_invlpg(&sg.cpu[0], GVA);
	CHECK_EQ(guest_read(GVA + PAGE_SIZE), 102);
	CHECK_EQ(guest_read(GVA), 101);
	guest_close();
}

/* The same as guests come to it: by writing to the upper table again and again. */
static void test_invlpg_while_flooded(void)
{
	open_numbered(&guest_variants[0]);
	map_two(FAR);
	gpa_t upper = guest_entry_at(FAR, 3) & PAGE_MASK;
	uint64_t flooded = guest_stats().shadow_flooded;

	guest_put(guest_entry_at(FAR, 1), page_of(1) | P | W | U);
	for (unsigned i = 0; i < 3; i++)
		guest_put(upper + 8 * (100 + i), 0x1000 * i + 0x2000);
	CHECK(guest_stats().shadow_flooded > flooded);
	shadow_cpu_invlpg(&sg.cpu[0], FAR);
	CHECK_EQ(guest_read(FAR + PAGE_SIZE), 102);
	CHECK_EQ(guest_read(FAR), 101);
	guest_close();
}

/* ---- flushes ---------------------------------------------------------------------------------- */

/* A leaf that ageing has parked is in the TLB, and writable there, when its page becomes a table. */
static void test_parked_leaf_loses_write(void)
{
	gva_t next = (GVA & ~0x1ffffful) + 0x200000;
	uint64_t young;

	open_numbered(&guest_variants[2]);
	gfn_t table = guest_new_table();
	gva_t entry = WINDOW + (table << PAGE_SHIFT);

	guest_map(GVA, page_of(2), 1, P | W | U);
	CHECK_EQ(guest_read(GVA), 102);
	guest_write(WINDOW + guest_entry_at(GVA, 2) + 8, table << PAGE_SHIFT | P | W | U | A);
	guest_write(entry, page_of(0) | P | W | U | A | D);
	CHECK_EQ(mmu_age(sg.vm, table, 1, &young), 0);
	CHECK_EQ(guest_read(next), 100);
	guest_write(entry, page_of(1) | P | W | U | A | D);
	guest_audit();
	shadow_cpu_invlpg(&sg.cpu[0], next);
	CHECK_EQ(guest_read(next), 101);
	guest_close();
}

/* ---- memory that goes --------------------------------------------------------------------------- */

static unsigned yields;

static void want_yield(hpa_t hpa, unsigned order)
{
	(void)hpa;
	(void)order;
	if (!yields)
		hosted_hooks.need_resched = true;
}

static void walk_a_table(void)
{
	if (yields++)
		return;
	hosted_hooks.need_resched = false;
	CHECK_EQ(guest_read(FAR), 100);
}

static void balloon_out_yielding(gfn_t gfn, uint64_t npages)
{
	uint64_t changed;

	yields = 0;
	hosted_hooks.resched = walk_a_table;
	hosted_hooks.page_free = want_yield;
	CHECK_EQ(mmu_balloon_out(sg.vm, gfn, npages, MMU_MAY_BLOCK, &changed), 0);
	hosted_hooks.need_resched = false;
	hosted_hooks.resched = NULL;
	hosted_hooks.page_free = NULL;
	CHECK(yields);
}

/* The zap has been at a table, its page is still to go; meanwhile the guest goes by it once more. */
static void test_table_walked_before_it_goes(void)
{
	gfn_t first = 256, table = 500;
	uint64_t value, changed;

	open_numbered(&guest_variants[0]);
	guest_map(FAR + 0x200000, page_of(2), 1, P | W | U);
	gfn_t tables = sg.next_table;

	sg.next_table = table;
	guest_map(FAR, page_of(0), 1, P | W | U);
	sg.next_table = tables;
	CHECK_EQ(guest_entry_at(FAR, 1) >> PAGE_SHIFT, table);
	for (gfn_t gfn = first; gfn < 512; gfn++)
		CHECK_EQ(mmu_read_guest(sg.vm, gfn << PAGE_SHIFT, &value, 8), 0);
	CHECK_EQ(guest_read(FAR), 100);
	guest_read(WINDOW);
	balloon_out_yielding(first, 512 - first);
	guest_audit();
	CHECK_EQ(mmu_balloon_in(sg.vm, first, 512 - first, 0, &changed), 0);
	shadow_cpu_flush(&sg.cpu[0]);
	/* It comes back as zeros. */
	guest_faults(FAR, ACC_R, false, 0);
	guest_close();
}

/* A fault that found the slot prepares its rmaps when they are gone: nothing is left over. */
static void test_rmaps_prepared_too_late(void)
{
	struct rcu_reader reader = { 0 };
	gfn_t base = 1ul << 20;

	open_numbered(&guest_variants[0]);
	struct mmu_slot_desc desc = { .id = 9, .base_gfn = base, .npages = 2048 };

	CHECK_EQ(mmu_slot_create(sg.vm, &desc), 0);
	uint64_t objects = hosted_objects_used();

	rcu_reader_add(sg.vm, &reader);
	rcu_enter(sg.vm, &reader);
	const struct memslot *slot = memslot_find(sg.vm, base);

	CHECK_EQ(slot_rmaps_prepare(slot, base, RMAP_LEVELS), 0);
	CHECK_EQ(hosted_objects_used(), objects + RMAP_LEVELS);
	CHECK_EQ(mmu_slot_delete(sg.vm, desc.id), 0);
	objects = hosted_objects_used();
	CHECK_EQ(slot_rmaps_prepare(slot, base, RMAP_LEVELS), 0);
	CHECK_EQ(slot_rmaps_prepare(slot, base + 2 * RMAP_CHUNK, RMAP_LEVELS), 0);
	CHECK_EQ(hosted_objects_used(), objects);
	CHECK(!slot_rmap(slot, base, PG_LEVEL_4K));
	rcu_exit(sg.vm, &reader);
	rcu_reader_remove(sg.vm, &reader);
	mmu_work_flush(sg.vm);
	guest_close();
}

/* ---- entries of four bytes -------------------------------------------------------------------------- */

#define HALF_WRITES 100000u

static _Atomic bool half_done;

/* A processor that walks: how often it saw a mixture. */
static void *look_at_half(void *arg)
{
	uint32_t *half = arg;
	uintptr_t torn = 0;

	while (!atomic_load_explicit(&half_done, memory_order_relaxed)) {
		uint32_t value = __atomic_load_n(half, __ATOMIC_RELAXED);

		torn += value != 0 && value != ~0u;
	}
	return (void *)torn;
}

static void test_half_is_written_whole(void)
{
	gpa_t at = page_of(0) + 4;
	uint32_t value = 0;
	pthread_t thread;
	void *torn;

	open_numbered(&guest_variants[0]);
	CHECK_EQ(mmu_write_guest(sg.vm, at, &value, 4), 0);
	mmu_write_lock(sg.vm, MMU_OP_FAULT, 0, 1);
	unsigned char *page = guest_page_va(sg.vm, at >> PAGE_SHIFT);

	mmu_write_unlock(sg.vm);
	atomic_store_explicit(&half_done, false, memory_order_relaxed);
	CHECK_EQ(pthread_create(&thread, NULL, look_at_half, page + (at & ~PAGE_MASK)), 0);
	for (unsigned i = 0; i < HALF_WRITES; i++) {
		value = ~value;
		CHECK_EQ(mmu_write_guest(sg.vm, at, &value, 4), 0);
	}
	atomic_store_explicit(&half_done, true, memory_order_relaxed);
	CHECK_EQ(pthread_join(thread, &torn), 0);
	CHECK_EQ((uintptr_t)torn, 0);
	guest_close();
}

static const struct ktap_test tests[] = {
	KTAP(test_huge_leaf_over_its_own_tables),
	KTAP(test_new_way_far_above_an_open_table),
	KTAP(test_invlpg_while_unlinked),
	KTAP(test_invlpg_while_flooded),
	KTAP(test_parked_leaf_loses_write),
	KTAP(test_table_walked_before_it_goes),
	KTAP(test_rmaps_prepared_too_late),
	KTAP(test_half_is_written_whole),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
