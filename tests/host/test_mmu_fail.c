/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that runs out at every single allocation of a life of a VM, and an audit
 * that has to notice each kind of damage.
 */
#include "ktap.h"
#include "mm/backing.h"
#include "mm/iter.h"
#include "world.h"

#define CHUNK 512ul

/* ---- allocation failure ------------------------------------------------------------- */

static struct fake_cpu cpu;
static bool left_out; /* a balloon could not come in again */

/* The only ways out of a lack of memory; contents that were written must be there. */
static void poke(gfn_t gfn, uint64_t value)
{
	uint64_t back = 0;
	enum mmu_pf_result r = fake_cpu_touch(&cpu, gfn * PAGE_SIZE, ACC_W, &value);

	CHECK(r == MMU_PF_FIXED || (r == MMU_PF_NOMEM && hosted_failed()) ||
	      (r == MMU_PF_EMULATE && left_out));
	if (r != MMU_PF_FIXED)
		return;
	CHECK_EQ(fake_cpu_touch(&cpu, gfn * PAGE_SIZE, ACC_R, &back), MMU_PF_FIXED);
	CHECK_EQ(back, value);
}

static void out_and_in(struct mmu_vm *vm, gfn_t gfn, uint64_t npages)
{
	uint64_t changed, before, after;
	struct mmu_stats s;

	mmu_stats_read(vm, &s);
	before = s.ballooned_pages;
	int err = mmu_balloon_out(vm, gfn, npages, MMU_MAY_BLOCK, &changed);

	mmu_stats_read(vm, &s);
	after = s.ballooned_pages;
	CHECK_EQ(after - before, changed);
	CHECK((!err && changed == npages) || (err == -ENOMEM && !changed && hosted_failed()));
	err = mmu_balloon_in(vm, gfn + 1, npages - 1, 0, &changed);
	CHECK(!err || (err == -ENOMEM && !changed && hosted_failed()));
	err = mmu_balloon_in(vm, gfn, npages, 0, &changed);
	CHECK(!err || (err == -ENOMEM && !changed && hosted_failed()));
	left_out = err != 0;
}

static void script_in_vm(struct mmu_vm *vm)
{
	struct mmu_slot_desc low = { .npages = 2 * CHUNK };
	struct mmu_slot_desc high = { 1, 1ul << 24, 3 * CHUNK, 0, 0 };
	struct mmu_audit_report report;
	uint64_t value = 42;
	int err = mmu_slot_create(vm, &low);

	CHECK(!err || (err == -ENOMEM && hosted_failed()));
	if (!err)
		err = mmu_slot_create(vm, &high);
	CHECK(!err || (err == -ENOMEM && hosted_failed()));
	if (err)
		return;
	poke(0, 1);
	poke(high.base_gfn, 2);
	poke(high.base_gfn + CHUNK, 3);
	out_and_in(vm, high.base_gfn + CHUNK + 7, CHUNK);
	poke(high.base_gfn + CHUNK + 9, 4);
	CHECK_EQ(mmu_unmap(vm, 0, 2 * CHUNK, 0), 0);
	err = mmu_write_guest(vm, CHUNK * PAGE_SIZE - 8, &value, 8);
	CHECK(!err || (err == -ENOMEM && hosted_failed()));
	err = mmu_read_guest(vm, (2 * CHUNK - 1) * PAGE_SIZE, &value, 8);
	CHECK(!err || (err == -ENOMEM && hosted_failed()));
	poke(CHUNK, 5);
	if (mmu_audit(vm, &report))
		ktap_fail(__FILE__, __LINE__, "audit: %s", report.first);
}

static void script(const struct world_variant *v)
{
	struct mmu_config cfg = {
		.name = v->name, .format = v->format, .root_level = v->root_level,
		.max_leaf_level = v->max_leaf_level, .hw_ad = v->hw_ad, .maxphyaddr = 46,
	};
	struct mmu_vm *vm = mmu_vm_create(&cfg);

	left_out = false;
	CHECK(vm || hosted_failed());
	if (!vm)
		return;
	fake_cpu_init(&cpu, vm, &cfg, 0);
	script_in_vm(vm);
	fake_cpu_destroy(&cpu);
	mmu_vm_destroy(vm);
}

static void fail_each(const struct world_variant *v, bool all)
{
	uint64_t n = 0;

	do {
		hosted_reset(32ul << 20);
		hosted_fail_at(n++, all);
		script(v);
		CHECK_EQ(hosted_pages_used(), 0);
		CHECK_EQ(hosted_objects_used(), 0);
	} while (hosted_failed());
	CHECK(n > 20);
}

static void fail_one(const struct world_variant *v)
{
	fail_each(v, false);
}

static void fail_from(const struct world_variant *v)
{
	fail_each(v, true);
}

static void test_fail_one(void)
{
	world_for_each(fail_one);
}

static void test_fail_from(void)
{
	world_for_each(fail_from);
}

/* ---- the audit ------------------------------------------------------------------------- */

static struct world w;

static spte_cell_t *cell_of(gfn_t gfn, unsigned level)
{
	struct tdp_iter it;

	for (iter_begin(&it, w.vm->root, gfn, gfn + 1, 0); it.valid; iter_next(&it))
		if (it.level == level)
			return it.cell;
	return NULL;
}

/* Put raw there, look at what the audit says, and put back what was there. */
static void damage(spte_cell_t *cell, uint64_t raw, const char *expected)
{
	spte_t old = spte_xchg(cell, (spte_t){ raw });
	struct mmu_audit_report report;

	CHECK_EQ(mmu_audit(w.vm, &report), -EIO);
	if (!__builtin_strstr(report.first, expected))
		ktap_fail(__FILE__, __LINE__, "the audit says \"%s\", not \"%s\"", report.first,
			  expected);
	spte_store(cell, old);
	world_audit(&w);
}

static void audit_entries(const struct world_variant *v)
{
	struct mmu_slot_desc ram = { 0, 0, 4 * CHUNK, 0, 0 };
	struct mmu_slot_desc rom = { 1, 8 * CHUNK, CHUNK, MMU_SLOT_READONLY, 0 };
	uint64_t changed;

	world_open_empty(&w, v, 0);
	CHECK_EQ(mmu_slot_create(w.vm, &ram), 0);
	CHECK_EQ(mmu_slot_create(w.vm, &rom), 0);
	hosted_deny_2m(true);
	world_read(&w, 5, 0);
	world_read(&w, 6, 0);
	world_read(&w, CHUNK, 0);
	world_read(&w, 8 * CHUNK, 0);
	CHECK_EQ(mmu_balloon_out(w.vm, 7, 1, 0, &changed), 0);

	uint64_t leaf = spte_load(cell_of(5, 1)).raw;
	uint64_t rom_leaf = spte_load(cell_of(8 * CHUNK, 1)).raw;
	uint64_t table = spte_load(cell_of(0, 2)).raw;

	damage(cell_of(5, 1), leaf + PAGE_SIZE, "gfn 0x5 does not map the page it has");
	damage(cell_of(7, 1), leaf, "gfn 0x7 is ballooned but maps pfn");
	damage(cell_of(8, 1), leaf, "gfn 0x8 has no page but maps pfn");
	damage(cell_of(8 * CHUNK, 1),
	       rom_leaf | w.vm->fmt->allow_w | SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE,
	       "permits more than its slot");
	damage(cell_of(5, 1), leaf & ~SPTE_HOST_WRITABLE, "contradicts its writable bits");
	damage(cell_of(5, 1), leaf ^ w.vm->fmt->type, "lacks bits of its format");
	damage(cell_of(8, 1), 1ul << 30, "maps nothing but is not empty");
	damage(cell_of(CHUNK, 2), table, "is linked twice");
	damage(cell_of(CHUNK, 2), table | 1ul << 60, "has bits it should not");
	damage(cell_of(CHUNK, 2), 0, "mmu_tables 0x");
	damage(cell_of(5, 1), 0, "pages_4k 0x4 is what the books say, but the walk counted 0x3");
	damage(cell_of(5 * CHUNK, 2), leaf | w.vm->fmt->huge, "leaf at gfn 0xa00");
	world_close(&w);
}

static void test_audit_entries(void)
{
	world_for_each(audit_entries);
}

static void expect_audit(const char *expected)
{
	struct mmu_audit_report report;

	CHECK_EQ(mmu_audit(w.vm, &report), -EIO);
	CHECK_STR(report.first, expected);
}

static void test_audit_gauges(void)
{
	world_open(&w, &world_variants[0], CHUNK);
	world_read(&w, 0, 0);
	stat_add(w.vm, backing_pages, 1);
	expect_audit("backing_pages 0x2 is what the books say, but the walk counted 0x1");
	stat_sub(w.vm, backing_pages, 1);
	stat_add(w.vm, ballooned_pages, 1);
	expect_audit("ballooned_pages 0x1 is what the books say, but the walk counted 0x0");
	stat_sub(w.vm, ballooned_pages, 1);
	stat_add(w.vm, pages_2m, 1);
	expect_audit("pages_2m 0x1 is what the books say, but the walk counted 0x0");
	stat_sub(w.vm, pages_2m, 1);
	world_close(&w);
}

/* A 2M leaf over a chunk that the backing has in 4K pages. */
static void test_audit_large(void)
{
	world_open(&w, &world_variants[1], CHUNK);
	world_read(&w, 0, 0);
	uint64_t leaf = spte_load(cell_of(0, 2)).raw, changed;

	CHECK_EQ(mmu_balloon_out(w.vm, 9, 1, 0, &changed), 0);
	world_read(&w, 0, 0);
	damage(cell_of(0, 2), leaf, "the 2M leaf at gfn 0x0 is larger than its page");
	world_close(&w);
}

static const struct ktap_test tests[] = {
	KTAP(test_fail_one),      KTAP(test_fail_from),   KTAP(test_audit_entries),
	KTAP(test_audit_gauges),  KTAP(test_audit_large),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
