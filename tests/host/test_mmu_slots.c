/* SPDX-License-Identifier: GPL-2.0-only */
/* Slots that come, go, move and change; device slots; what is freed with them. */
#include <pthread.h>

#include "ktap.h"
#include "mm/backing.h"
#include "mm/iter.h"
#include "mm/lock.h"
#include "mm/memslot.h"
#include "mm/port.h"
#include "world.h"

#define CHUNK 512ul

static struct world w;

static int add(unsigned id, gfn_t base, uint64_t npages, uint32_t flags, hpa_t hpa)
{
	struct mmu_slot_desc d = { id, base, npages, flags, hpa };

	return mmu_slot_create(w.vm, &d);
}

static uint64_t generation(void)
{
	return memslots_get(w.vm)->generation;
}

static bool has_2m(const struct world_variant *v)
{
	return v->max_leaf_level >= PG_LEVEL_2M;
}

/* ---- ids and places ----------------------------------------------------------------- */

static void places(const struct world_variant *v)
{
	struct mmu_slot_desc d;

	world_open_empty(&w, v, 0);
	CHECK_EQ(add(MMU_SLOTS_MAX, 0, 1, 0, 0), -EINVAL);
	CHECK_EQ(add(7, 0, 100, 0, 0), 0);
	CHECK_EQ(add(7, 1000, 100, 0, 0), -EEXIST);
	CHECK_EQ(add(8, 99, 100, 0, 0), -EEXIST);
	CHECK_EQ(add(MMU_SLOTS_MAX - 1, 100, 100, MMU_SLOT_READONLY, 0), 0);
	CHECK_EQ(mmu_slot_info(w.vm, 8, &d), -ENOENT);
	CHECK_EQ(mmu_slot_info(w.vm, MMU_SLOTS_MAX - 1, &d), 0);
	CHECK_EQ(d.base_gfn, 100);
	CHECK_EQ(d.npages, 100);
	CHECK_EQ(d.flags, MMU_SLOT_READONLY);
	CHECK_EQ(mmu_slot_delete(w.vm, 8), -ENOENT);
	CHECK_EQ(mmu_slot_delete(w.vm, ~0u), -ENOENT);
	CHECK_EQ(mmu_slot_move(w.vm, 8, 0), -ENOENT);
	CHECK_EQ(mmu_slot_set_flags(w.vm, 8, 0), -ENOENT);
	CHECK_EQ(mmu_slot_set_flags(w.vm, 7, MMU_SLOT_DEVICE), -EINVAL);
	CHECK_EQ(mmu_slot_set_flags(w.vm, 7, 1u << 31), -EINVAL);
	CHECK_EQ(mmu_slot_move(w.vm, 7, ~0ul - 10), -EINVAL);
	CHECK_EQ(mmu_slot_move(w.vm, 7, (1ul << 34) - 99), -EINVAL);
	CHECK_EQ(mmu_slot_move(w.vm, 7, 50), -EEXIST);
	CHECK_EQ(mmu_slot_move(w.vm, 7, (1ul << 34) - 100), 0);
	CHECK_EQ(mmu_slot_end(w.vm), 1ul << 34);
	/* Onto a part of itself is fine. */
	CHECK_EQ(mmu_slot_move(w.vm, 7, (1ul << 34) - 150), 0);
	CHECK_EQ(mmu_slot_delete(w.vm, 7), 0);
	CHECK_EQ(mmu_slot_end(w.vm), 200);
	CHECK_EQ(add(7, 0, 100, 0, 0), 0);
	world_close(&w);
}

static void test_places(void)
{
	world_for_each(places);
}

/* As many as there are ids, and the order by base whatever the order they come in. */
static void test_many(void)
{
	world_open_empty(&w, &world_variants[0], 0);
	for (unsigned i = 0; i < MMU_SLOTS_MAX; i++)
		CHECK_EQ(add(i, (i * 37ul % MMU_SLOTS_MAX) * 8, 7, 0, 0), 0);
	uint64_t gen = generation();

	for (unsigned i = 0; i < MMU_SLOTS_MAX; i++) {
		CHECK(memslot_find(w.vm, i * 8 + 6) == memslot_find(w.vm, i * 8));
		CHECK(memslot_find(w.vm, i * 8 + 7) == NULL);
	}
	for (unsigned i = 0; i < MMU_SLOTS_MAX; i += 2)
		CHECK_EQ(mmu_slot_delete(w.vm, i), 0);
	CHECK(generation() > gen);
	CHECK_EQ(memslots_get(w.vm)->count, MMU_SLOTS_MAX / 2);
	world_close(&w);
}

/* ---- delete ----------------------------------------------------------------------------- */

/* Mappings, pages and contents go with the slot, and nothing of its neighbours. */
static void delete(const struct world_variant *v)
{
	uint64_t value, changed;

	world_open_empty(&w, v, 0);
	CHECK_EQ(add(0, 0, 2 * CHUNK, 0, 0), 0);
	CHECK_EQ(add(1, 2 * CHUNK, 2 * CHUNK + 5, 0, 0), 0);
	uint64_t pages = hosted_pages_used();

	for (gfn_t gfn = 0; gfn < 4 * CHUNK + 5; gfn++)
		world_write(&w, gfn, 0, gfn + 1);
	CHECK_EQ(mmu_balloon_out(w.vm, 3 * CHUNK + 9, 20, 0, &changed), 0);
	CHECK_EQ(mmu_slot_delete(w.vm, 1), 0);
	CHECK_EQ(world_stats(&w).backing_pages, 2 * CHUNK);
	CHECK_EQ(world_stats(&w).ballooned_pages, 0);
	CHECK_EQ(world_stats(&w).pages_4k, has_2m(v) ? 0 : 2 * CHUNK);
	world_audit(&w);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 2 * CHUNK * PAGE_SIZE, ACC_R, &value), MMU_PF_EMULATE);
	CHECK_EQ(mmu_read_guest(w.vm, 2 * CHUNK * PAGE_SIZE, &value, 8), -EFAULT);
	CHECK_EQ(world_read(&w, 2 * CHUNK - 1, 0), 2 * CHUNK);
	/* A new one there is empty. */
	CHECK_EQ(add(1, 2 * CHUNK, CHUNK, 0, 0), 0);
	CHECK_EQ(world_read(&w, 2 * CHUNK, 0), 0);
	CHECK_EQ(mmu_slot_delete(w.vm, 1), 0);
	CHECK_EQ(mmu_slot_delete(w.vm, 0), 0);
	CHECK_EQ(world_stats(&w).backing_pages, 0);
	/* The trees went too; what is left is tables of MMIO entries and caches. */
	CHECK(hosted_pages_used() <= pages + 24);
	world_close(&w);
}

static void test_delete(void)
{
	world_for_each(delete);
}

/* Each step lets others in, who find the slot gone, its range taken, and all books right. */
static unsigned rescheds;

static void on_resched(void)
{
	struct page_fault pf = { .gpa = (ITER_RUN + 5) * PAGE_SIZE, .access = ACC_R };
	struct mmu_slot_desc d;

	hosted_hooks.resched = NULL;
	rescheds++;
	CHECK_EQ(mmu_slot_info(w.vm, 0, &d), -ENOENT);
	CHECK_EQ(mmu_slot_delete(w.vm, 0), -ENOENT);
	CHECK_EQ(mmu_unmap(w.vm, 0, 1, 0), -ENOENT);
	CHECK_EQ(add(0, 100 * CHUNK, 1, 0, 0), -EEXIST);
	CHECK_EQ(add(3, 0, 1, 0, 0), -EEXIST);
	if (rescheds % 4 == 1) {
		CHECK_EQ(mmu_page_fault(&w.cpu[1].mmu, &pf),
			 w.cfg.hw_ad || rescheds > 1 ? MMU_PF_EMULATE : MMU_PF_SPURIOUS);
		world_audit(&w);
	}
	hosted_hooks.resched = on_resched;
}

static void delete_yields(const struct world_variant *v)
{
	world_open(&w, v, 2 * CHUNK);
	hosted_deny_2m(true);
	for (gfn_t gfn = 0; gfn < 2 * CHUNK; gfn++)
		world_write(&w, gfn, 0, 1);
	CHECK(fake_cpu_enter(&w.cpu[1]));
	fake_cpu_exit(&w.cpu[1]);
	rescheds = 0;
	hosted_hooks.resched = on_resched;
	hosted_hooks.need_resched = true;
	CHECK_EQ(mmu_slot_delete(w.vm, 0), 0);
	hosted_hooks.resched = NULL;
	hosted_hooks.need_resched = false;
	CHECK(rescheds >= 2 * CHUNK / ITER_RUN);
	CHECK_EQ(world_stats(&w).backing_pages, 0);
	CHECK_EQ(add(0, 0, CHUNK, 0, 0), 0);
	world_close(&w);
}

static void test_delete_yields(void)
{
	world_for_each(delete_yields);
}

/* The end of a VM takes long, and others run meanwhile. */
static void count_resched(void)
{
	rescheds++;
}

static void destroy_yields(const struct world_variant *v)
{
	world_open(&w, v, 4 * CHUNK);
	hosted_deny_2m(true);
	for (gfn_t gfn = 0; gfn < 4 * CHUNK; gfn++)
		world_write(&w, gfn, 0, 1);
	CHECK_EQ(mmu_unmap(w.vm, 0, 4 * CHUNK, MMU_MAY_BLOCK), 0);
	mmu_work_flush(w.vm);
	rescheds = 0;
	hosted_hooks.resched = count_resched;
	hosted_hooks.need_resched = true;
	world_close(&w);
	hosted_hooks.resched = NULL;
	hosted_hooks.need_resched = false;
	CHECK(rescheds >= 4);
}

static void test_destroy_yields(void)
{
	world_for_each(destroy_yields);
}

/* A fault that has found the slot brings no page into it any more. */
static void delete_behind_the_back(unsigned order)
{
	hosted_hooks.page_alloc = NULL;
	CHECK_EQ(mmu_slot_delete(w.vm, 0), 0);
}

static void fault_in_dead(const struct world_variant *v)
{
	struct page_fault pf = { .gpa = 2 * CHUNK * PAGE_SIZE, .access = ACC_W };

	world_open(&w, v, CHUNK);
	CHECK(fake_cpu_enter(&w.cpu[0]));
	fake_cpu_exit(&w.cpu[0]);
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_EMULATE);
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_EMULATE);
	pf.gpa = 3 * PAGE_SIZE;
	hosted_hooks.page_alloc = delete_behind_the_back;
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_RETRY);
	CHECK(!hosted_hooks.page_alloc);
	CHECK_EQ(world_stats(&w).backing_pages, 0);
	CHECK_EQ(atomic_load(&w.vm->backing_reserved), 0);
	/* What it still looked at is freed now that it has left. */
	CHECK(!rcu_poll(w.vm));
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_EMULATE);
	world_close(&w);
}

static void test_fault_in_dead(void)
{
	world_for_each(fault_in_dead);
}

/* The same, with the slot gone before its backing is looked at for the first time. */
static void stale_slot(const struct world_variant *v)
{
	struct rcu_reader reader = { 0 };
	struct mmu_cache cache = { 0 };
	struct mmu_reading r = MMU_READING(COPY, 3, 1);

	world_open(&w, v, CHUNK);
	world_write(&w, 3, 0, 1);
	rcu_reader_add(w.vm, &reader);
	rcu_enter(w.vm, &reader);
	const struct memslot *slot = memslot_find(w.vm, 3);

	CHECK_EQ(mmu_slot_delete(w.vm, 0), 0);
	CHECK_EQ(slot->base + slot->npages, CHUNK);
	CHECK_EQ(backing_touch(w.vm, &cache, slot, 3, &r), -EAGAIN);
	CHECK_EQ(backing_touch(w.vm, &cache, slot, 4, &r), -EAGAIN);
	CHECK(rcu_poll(w.vm));
	rcu_exit(w.vm, &reader);
	CHECK(!rcu_poll(w.vm));
	rcu_reader_remove(w.vm, &reader);
	world_close(&w);
}

static void test_stale_slot(void)
{
	world_for_each(stale_slot);
}

/* ---- move --------------------------------------------------------------------------------- */

static void move(const struct world_variant *v)
{
	uint64_t value;

	world_open(&w, v, 2 * CHUNK);
	for (gfn_t gfn = 0; gfn < 2 * CHUNK; gfn++)
		world_write(&w, gfn, 0, gfn + 1);
	/* As it was aligned: huge pages stay huge. */
	CHECK_EQ(mmu_slot_move(w.vm, 0, 8 * CHUNK), 0);
	CHECK_EQ(world_stats(&w).pages_4k + world_stats(&w).pages_2m, 0);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 0, ACC_R, &value), MMU_PF_EMULATE);
	for (gfn_t gfn = 0; gfn < 2 * CHUNK; gfn++)
		CHECK_EQ(world_read(&w, 8 * CHUNK + gfn, 0), gfn + 1);
	CHECK_EQ(world_stats(&w).pages_2m, has_2m(v) ? 2 : 0);
	/* Aside by a few pages: the same contents, in small leaves. */
	CHECK_EQ(mmu_slot_move(w.vm, 0, 8 * CHUNK + 3), 0);
	for (gfn_t gfn = 0; gfn < 2 * CHUNK; gfn++)
		CHECK_EQ(world_read(&w, 8 * CHUNK + 3 + gfn, 0), gfn + 1);
	CHECK_EQ(world_stats(&w).pages_4k, 2 * CHUNK);
	CHECK_EQ(world_stats(&w).backing_pages, 2 * CHUNK);
	world_audit(&w);
	CHECK_EQ(mmu_balloon_out(w.vm, 8 * CHUNK + 3, CHUNK, 0, &value), 0);
	CHECK_EQ(value, CHUNK);
	CHECK_EQ(mmu_slot_move(w.vm, 0, 0), 0);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 0, ACC_R, &value), MMU_PF_EMULATE);
	CHECK_EQ(world_read(&w, CHUNK, 0), CHUNK + 1);
	CHECK_EQ(world_stats(&w).pages_2m, has_2m(v) ? 1 : 0);
	world_close(&w);
}

static void test_move(void)
{
	world_for_each(move);
}

/* Somebody takes the new place while the old mappings are being taken down. */
static void take_place(void)
{
	hosted_hooks.resched = NULL;
	CHECK_EQ(add(9, 8 * CHUNK, 1, 0, 0), 0);
}

static void move_taken(const struct world_variant *v)
{
	struct mmu_slot_desc d;

	world_open(&w, v, 2 * CHUNK);
	hosted_deny_2m(true);
	world_write(&w, 1, 0, 11);
	world_write(&w, 2, 0, 22);
	hosted_hooks.resched = take_place;
	hosted_hooks.need_resched = true;
	CHECK_EQ(mmu_slot_move(w.vm, 0, 8 * CHUNK), -EEXIST);
	hosted_hooks.need_resched = false;
	CHECK_EQ(mmu_slot_info(w.vm, 0, &d), 0);
	CHECK_EQ(d.base_gfn, 0);
	CHECK_EQ(world_read(&w, 1, 0), 11);
	CHECK_EQ(world_read(&w, 2, 0), 22);
	world_close(&w);
}

static void test_move_taken(void)
{
	world_for_each(move_taken);
}

/* ---- flags ---------------------------------------------------------------------------------- */

static void flags(const struct world_variant *v)
{
	uint64_t value = 9;

	world_open(&w, v, CHUNK);
	world_write(&w, 4, 0, 7);
	CHECK_EQ(mmu_slot_set_flags(w.vm, 0, MMU_SLOT_READONLY), 0);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 4 * PAGE_SIZE, ACC_W, &value), MMU_PF_EMULATE);
	CHECK_EQ(world_read(&w, 4, 0), 7);
	CHECK_EQ(mmu_slot_set_flags(w.vm, 0, MMU_SLOT_READONLY), 0);
	CHECK_EQ(mmu_slot_set_flags(w.vm, 0, 0), 0);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 4 * PAGE_SIZE, ACC_W, &value), MMU_PF_FIXED);
	CHECK_EQ(world_read(&w, 4, 0), 9);
	world_close(&w);
}

static void test_flags(void)
{
	world_for_each(flags);
}

/* ---- devices ----------------------------------------------------------------------------------- */

static void device(const struct world_variant *v)
{
	hpa_t bar, far = 3ul << 40;
	uint64_t value = 0x1234, changed;
	unsigned level;

	world_open_empty(&w, v, 0);
	/* A page of the arena stands for a device's. */
	bar = port_pages_alloc(0, PORT_ZERO);
	CHECK_EQ(add(0, 10, 1, MMU_SLOT_DEVICE, bar + 1), -EINVAL);
	CHECK_EQ(add(0, 10, 1, MMU_SLOT_DEVICE, 1ul << 46), -EINVAL);
	CHECK_EQ(add(0, 10, 2, MMU_SLOT_DEVICE, (1ul << 46) - PAGE_SIZE), -EINVAL);
	CHECK_EQ(add(0, 10, 1, MMU_SLOT_DEVICE, bar), 0);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 10 * PAGE_SIZE, ACC_W, &value), MMU_PF_FIXED);
	CHECK_EQ(*(uint64_t *)port_hpa_to_va(bar), 0x1234);
	CHECK_EQ(world_leaf(&w, 10, &level).raw & SPTE_REFCOUNTED, 0);
	CHECK_EQ(world_stats(&w).backing_pages, 0);
	CHECK_EQ(mmu_balloon_out(w.vm, 10, 1, 0, &changed), -EINVAL);
	CHECK_EQ(mmu_protect(w.vm, 10, 1, ACC_R | ACC_X, 0), -EINVAL);
	CHECK_EQ(mmu_migrate(w.vm, 10, 1, 0, &changed), -EINVAL);
	CHECK_EQ(mmu_read_guest(w.vm, 10 * PAGE_SIZE, &value, 8), -EFAULT);
	CHECK_EQ(mmu_protection(w.vm, 10), ACC_RWX);
	CHECK_EQ(mmu_slot_set_flags(w.vm, 0, MMU_SLOT_DEVICE | MMU_SLOT_READONLY), 0);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 10 * PAGE_SIZE, ACC_W, &value), MMU_PF_EMULATE);
	/* Leaves as large as host and guest addresses allow. */
	CHECK_EQ(add(1, CHUNK, 2 * CHUNK, MMU_SLOT_DEVICE, far), 0);
	CHECK_EQ(add(2, 3 * CHUNK, CHUNK, MMU_SLOT_DEVICE, far + PAGE_SIZE), 0);
	CHECK(fake_cpu_enter(&w.cpu[1]));
	fake_cpu_exit(&w.cpu[1]);
	for (gfn_t gfn = CHUNK; gfn < 4 * CHUNK; gfn += CHUNK) {
		struct page_fault pf = { .gpa = (gfn + 5) * PAGE_SIZE, .access = ACC_R };

		CHECK_EQ(mmu_page_fault(&w.cpu[1].mmu, &pf), MMU_PF_FIXED);
		CHECK_EQ(pf.goal_level, has_2m(v) && gfn < 3 * CHUNK ? PG_LEVEL_2M : PG_LEVEL_4K);
	}
	world_audit(&w);
	CHECK_EQ(mmu_slot_move(w.vm, 1, 8 * CHUNK), 0);
	CHECK_EQ(mmu_slot_delete(w.vm, 2), 0);
	CHECK_EQ(mmu_slot_delete(w.vm, 0), 0);
	port_pages_free(bar, 0);
	world_close(&w);
}

static void test_device(void)
{
	world_for_each(device);
}

/* 1G leaves, where a device's memory is as large. */
static void test_device_1g(void)
{
	struct mmu_config cfg = world_config(&world_variants[1]);
	struct page_fault pf = { .gpa = (1ul << 30) + 0x5000, .access = ACC_R };

	cfg.max_leaf_level = PG_LEVEL_1G;
	world_open_config(&w, &cfg, 0);
	CHECK_EQ(add(0, 1ul << 18, 2ul << 18, MMU_SLOT_DEVICE, 4ul << 40), 0);
	CHECK(fake_cpu_enter(&w.cpu[0]));
	fake_cpu_exit(&w.cpu[0]);
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_FIXED);
	CHECK_EQ(pf.goal_level, PG_LEVEL_1G);
	CHECK_EQ(world_stats(&w).pages_1g, 1);
	CHECK_EQ(world_stats(&w).tables, 2);
	CHECK_EQ(mmu_unmap(w.vm, (1ul << 18) + 77, 1, 0), 0);
	CHECK_EQ(world_stats(&w).pages_1g, 0);
	world_close(&w);
}

/* The same in RAM: one page of 1G, broken step by step, and freed whatever it is by then. */
static void gig_ram(enum mmu_format_id format)
{
	struct mmu_config cfg = world_config(&world_variants[1]);
	struct mmu_slot_desc slot = { 0, 1ul << 18, 2ul << 18, 0, 0 };
	uint64_t changed;

	cfg.format = format;
	cfg.max_leaf_level = PG_LEVEL_1G;
	hosted_reset(4ul << 30);
	w.cfg = cfg;
	w.vm = mmu_vm_create(&cfg);
	for (unsigned i = 0; i < WORLD_CPUS; i++)
		fake_cpu_init(&w.cpu[i], w.vm, &cfg, i);
	CHECK_EQ(mmu_slot_create(w.vm, &slot), 0);
	for (gfn_t gfn = slot.base_gfn; gfn < slot.base_gfn + slot.npages; gfn += 0x7777)
		world_write(&w, gfn, 0, gfn);
	CHECK_EQ(world_stats(&w).pages_1g, 2);
	CHECK_EQ(world_stats(&w).pf_fixed, 2);
	CHECK_EQ(world_stats(&w).backing_pages, 2ul << 18);
	/* What comes now is the backing's alone, and takes seconds: once is enough. */
	if (format == MMU_FORMAT_NPT) {
		world_close(&w);
		return;
	}
	/* Protection of a part breaks the page; as one again it folds back. */
	CHECK_EQ(mmu_protect(w.vm, slot.base_gfn + 1000, 1, ACC_R | ACC_X, 0), 0);
	CHECK_EQ(world_read(&w, slot.base_gfn, 0), slot.base_gfn);
	CHECK_EQ(world_read(&w, slot.base_gfn + 0x7777, 0), slot.base_gfn + 0x7777);
	CHECK_EQ(world_stats(&w).pages_1g, 1);
	CHECK_EQ(world_stats(&w).pages_2m, 2);
	world_audit(&w);
	CHECK_EQ(mmu_protect(w.vm, slot.base_gfn, 1ul << 18, ACC_RWX, MMU_MAY_BLOCK), 0);
	CHECK_EQ(mmu_unmap(w.vm, slot.base_gfn, 1ul << 18, 0), 0);
	CHECK_EQ(world_read(&w, slot.base_gfn, 0), slot.base_gfn);
	CHECK_EQ(world_stats(&w).pages_1g, 2);
	/* The balloon takes a part, which lies in what are single pages by now. */
	CHECK_EQ(mmu_balloon_out(w.vm, slot.base_gfn + 700, 800, 0, &changed), 0);
	CHECK_EQ(changed, 800);
	CHECK_EQ(world_stats(&w).backing_pages, (2ul << 18) - 800);
	CHECK_EQ(world_read(&w, slot.base_gfn + 0x7777, 0), slot.base_gfn + 0x7777);
	CHECK_EQ(mmu_balloon_out(w.vm, slot.base_gfn, 1ul << 18, 0, &changed), 0);
	CHECK_EQ(changed, (1ul << 18) - 800);
	world_close(&w);
}

static void test_gig_ram(void)
{
	gig_ram(MMU_FORMAT_EPT);
	gig_ram(MMU_FORMAT_NPT);
}

/* ---- memory runs out --------------------------------------------------------------------------- */

static void slot_script(void)
{
	int err = add(0, 0, CHUNK, 0, 0);

	CHECK(!err || (err == -ENOMEM && hosted_failed()));
	if (err)
		return;
	err = mmu_slot_move(w.vm, 0, 4 * CHUNK);
	CHECK(!err || (err == -ENOMEM && hosted_failed()));
	err = mmu_slot_set_flags(w.vm, 0, MMU_SLOT_READONLY);
	CHECK(!err || (err == -ENOMEM && hosted_failed()));
	err = mmu_slot_delete(w.vm, 0);
	CHECK(!err || (err == -ENOMEM && hosted_failed()));
	world_audit(&w);
}

static void no_memory(const struct world_variant *v)
{
	uint64_t n = 0;

	do {
		world_open_empty(&w, v, 0);
		hosted_fail_at(n++, false);
		slot_script();
		hosted_fail_off();
		world_close(&w);
	} while (hosted_failed());
	CHECK(n > 8);
}

static void test_no_memory(void)
{
	world_for_each(no_memory);
}

/* ---- faults beside deletes ---------------------------------------------------------------------- */

static _Atomic bool stop;

/* The slot comes and goes: an access finds it, or nothing, and never what was there before. */
static void *toucher(void *arg)
{
	struct fake_cpu *cpu = arg;
	uint64_t n = cpu->mmu.id * 100;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		gfn_t gfn = n++ % (2 * CHUNK);
		uint64_t value = 0, mine = gfn + 1;
		enum mmu_pf_result r = fake_cpu_touch(cpu, gfn * PAGE_SIZE, ACC_R, &value);

		if (r == MMU_PF_FIXED && value && value != mine)
			port_bug(__FILE__, __LINE__, "a page of another gfn");
		if (r == MMU_PF_FIXED)
			r = fake_cpu_touch(cpu, gfn * PAGE_SIZE, ACC_W, &mine);
		if (r != MMU_PF_FIXED && r != MMU_PF_EMULATE)
			port_bug(__FILE__, __LINE__, "neither memory nor none");
	}
	return NULL;
}

static void beside_faults(const struct world_variant *v)
{
	pthread_t t[3];
	uint64_t changed;

	world_open_empty(&w, v, 0);
	atomic_store(&stop, false);
	for (unsigned i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, toucher, &w.cpu[i]);
	for (unsigned i = 0; i < 8; i++) {
		CHECK_EQ(add(i % 5, 0, 2 * CHUNK, 0, 0), 0);
		for (unsigned k = 0; k < 10; k++)
			port_resched();
		if (i % 3 == 0)
			CHECK_EQ(mmu_slot_set_flags(w.vm, i % 5, MMU_SLOT_READONLY), 0);
		if (i % 3 == 1)
			CHECK_EQ(mmu_balloon_out(w.vm, 3, CHUNK, MMU_MAY_BLOCK, &changed), 0);
		CHECK_EQ(mmu_slot_delete(w.vm, i % 5), 0);
		world_audit(&w);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(world_stats(&w).backing_pages, 0);
	world_close(&w);
}

static void test_beside_faults(void)
{
	world_for_each(beside_faults);
}

static const struct ktap_test tests[] = {
	KTAP(test_places),     KTAP(test_many),      KTAP(test_delete),
	KTAP(test_delete_yields), KTAP(test_destroy_yields), KTAP(test_fault_in_dead), KTAP(test_stale_slot),
	KTAP(test_move),
	KTAP(test_move_taken), KTAP(test_flags),     KTAP(test_device),
	KTAP(test_device_1g),  KTAP(test_gig_ram),  KTAP(test_no_memory), KTAP(test_beside_faults),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
