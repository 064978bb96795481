/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dirty logs in every style and with every flag, over both formats: what is logged when, that
 * a page returned as clean is clean although a processor had it cached, what is refused, and
 * memory that runs out.  test_mmu_dirty_threads.c has the same with processors beside it.
 */
#include <string.h>

#include "ktap.h"
#include "mm/leaf.h"
#include "world.h"

#define CHUNK 512ul
#define PAGES (2 * CHUNK)
#define WORDS (PAGES / 64)

static struct world w;
static uint64_t bits[WORDS];

/* ---- every style and flag ----------------------------------------------------------- */

struct log_kind {
	const char *name;
	enum mmu_dirty_style style;
	unsigned flags;
};

static const struct log_kind kinds[] = {
	{ "wrprot", MMU_DIRTY_WRPROT, 0 },
	{ "wrprot-nosplit", MMU_DIRTY_WRPROT, MMU_DIRTY_NO_SPLIT },
	{ "wrprot-allset", MMU_DIRTY_WRPROT, MMU_DIRTY_ALL_SET },
	{ "wrprot-allset-nosplit", MMU_DIRTY_WRPROT, MMU_DIRTY_ALL_SET | MMU_DIRTY_NO_SPLIT },
	{ "dbit", MMU_DIRTY_DBIT, 0 },
	{ "dbit-nosplit", MMU_DIRTY_DBIT, MMU_DIRTY_NO_SPLIT },
	{ "dbit-allset", MMU_DIRTY_DBIT, MMU_DIRTY_ALL_SET },
	{ "dbit-allset-nosplit", MMU_DIRTY_DBIT, MMU_DIRTY_ALL_SET | MMU_DIRTY_NO_SPLIT },
	{ "pml", MMU_DIRTY_PML, 0 },
	{ "pml-nosplit", MMU_DIRTY_PML, MMU_DIRTY_NO_SPLIT },
	{ "pml-allset", MMU_DIRTY_PML, MMU_DIRTY_ALL_SET },
};

static const struct log_kind *kind;     /* of the test that runs now */
static void (*kind_test)(const struct world_variant *v);

static void open_pml(const struct world_variant *v, uint64_t npages)
{
	struct mmu_config cfg = world_config(v);

	cfg.pml = cfg.hw_ad;
	world_open_config(&w, &cfg, npages);
}

static void run_kinds(const struct world_variant *v)
{
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		kind = &kinds[i];
		if (kind->style == MMU_DIRTY_WRPROT || v->hw_ad)
			kind_test(v);
	}
}

static void for_each_kind(void (*fn)(const struct world_variant *v))
{
	kind_test = fn;
	world_for_each(run_kinds);
}

static void wrong(const char *what, uint64_t got)
{
	ktap_fail(__FILE__, __LINE__, "%s with %s: %s (0x%lx)", w.cfg.name, kind->name, what, got);
}

static void start_log(void)
{
	CHECK_EQ(mmu_dirty_start(w.vm, 0, kind->style, kind->flags), 0);
}

/* How many pages are dirty; bits has them. */
static uint64_t get(bool clear)
{
	uint64_t dirty = ~0ul;

	memset(bits, 0xff, sizeof(bits));
	CHECK_EQ(mmu_dirty_get(w.vm, 0, 0, PAGES, clear, bits, &dirty), 0);
	return dirty;
}

static bool bit(gfn_t gfn)
{
	return bits[gfn / 64] >> (gfn % 64) & 1;
}

/* Exactly these two pages, which may be the same. */
static void expect(bool clear, gfn_t a, gfn_t b)
{
	uint64_t dirty = get(clear);

	if (dirty != 1 + (a != b) || !bit(a) || !bit(b))
		wrong("not the pages that were written", dirty);
}

static void expect_none(void)
{
	uint64_t dirty = get(true);

	if (dirty)
		wrong("pages are dirty that nobody wrote", dirty);
}

/* Start, with what comes with the flags done: nothing is dirty behind it. */
static void start_clean(void)
{
	start_log();
	uint64_t dirty = get(true);

	if (dirty != (kind->flags & MMU_DIRTY_ALL_SET ? PAGES : 0))
		wrong("not what a log begins with", dirty);
	expect_none();
}

/* ---- what is logged -------------------------------------------------------------------- */

static void writes(const struct world_variant *v)
{
	open_pml(v, PAGES);
	/* Written before the log: huge where that is possible, and in use. */
	world_write(&w, 3, 0, 1);
	world_write(&w, 600, 0, 1);
	start_clean();
	world_audit(&w);
	world_read(&w, 3, 0);
	world_read(&w, 5, 0);
	expect_none();
	world_write(&w, 3, 0, 2);
	world_write(&w, 700, 0, 2);
	/* Looking changes nothing. */
	expect(false, 3, 700);
	expect(false, 3, 700);
	expect(true, 3, 700);
	expect_none();
	world_write(&w, 700, 0, 3);
	world_write(&w, 700, 1, 3);
	expect(true, 700, 700);
	CHECK_EQ(world_read(&w, 3, 0), 2);
	CHECK_EQ(world_read(&w, 700, 0), 3);
	world_close(&w);
}

static void test_writes(void)
{
	for_each_kind(writes);
}

/* A bit does not depend on its leaf: whoever takes that away hands the bit on. */
static void leaves_go(const struct world_variant *v)
{
	uint64_t value = 9, changed, young;

	open_pml(v, PAGES);
	world_write(&w, 3, 0, 1);
	start_clean();
	world_write(&w, 3, 0, 2);
	CHECK_EQ(mmu_unmap(w.vm, 0, PAGES, 0), 0);
	world_read(&w, 3, 0);
	expect(true, 3, 3);
	world_write(&w, 4, 0, 2);
	CHECK_EQ(mmu_age(w.vm, 0, PAGES, &young), 0);
	expect(true, 4, 4);
	world_read(&w, 4, 0);
	expect_none();
	world_write(&w, 5, 0, 2);
	mmu_zap_all(w.vm);
	expect(true, 5, 5);
	mmu_work_flush(w.vm);
	expect_none();
	world_write(&w, 6, 0, 2);
	CHECK_EQ(mmu_balloon_out(w.vm, 6, 1, 0, &changed), 0);
	CHECK_EQ(mmu_balloon_in(w.vm, 6, 1, 0, &changed), 0);
	expect(true, 6, 6);
	/* The hypervisor's own writes. */
	CHECK_EQ(mmu_write_guest(w.vm, 900 * PAGE_SIZE, &value, 8), 0);
	CHECK_EQ(mmu_read_guest(w.vm, 901 * PAGE_SIZE, &value, 8), 0);
	expect(true, 900, 900);
	world_close(&w);
}

static void test_leaves_go(void)
{
	for_each_kind(leaves_go);
}

/* Look without clearing, then clear what was seen; any part of the slot, at any bit. */
static void clear_apart(const struct world_variant *v)
{
	uint64_t some[3], dirty;

	open_pml(v, PAGES);
	start_clean();
	for (gfn_t gfn = 60; gfn < 200; gfn += 10)
		world_write(&w, gfn, 0, 1);
	CHECK_EQ(mmu_dirty_get(w.vm, 0, 61, 110, false, some, &dirty), 0);
	CHECK_EQ(dirty, 11);
	CHECK_EQ(some[0] & 1ul << 9, 1ul << 9);
	CHECK_EQ(some[1] & 1ul << 5, 1ul << 5);
	CHECK_EQ(mmu_dirty_clear(w.vm, 0, 61, 110, some), 0);
	CHECK_EQ(get(false), 3);
	CHECK(bit(60) && bit(180) && bit(190));
	world_write(&w, 70, 0, 2);
	CHECK_EQ(get(true), 4);
	CHECK(bit(70));
	expect_none();
	world_close(&w);
}

static void test_clear_apart(void)
{
	for_each_kind(clear_apart);
}

/* ---- what processors have cached -------------------------------------------------------- */

static struct fake_cpu *inside;

static void leave(struct mmu_vcpu *vcpu)
{
	if (inside && vcpu == &inside->mmu)
		fake_cpu_exit(inside);
	inside = NULL;
}

static bool write_inside(struct fake_cpu *cpu, gfn_t gfn)
{
	struct page_fault pf;
	uint64_t value = 77;

	return fake_cpu_access(cpu, gfn * PAGE_SIZE, ACC_W, &value, &pf);
}

/*
 * A processor in guest mode that has just written can write again without a walk.  Not any
 * more once the log has said that the page is clean.
 */
static void stale(const struct world_variant *v)
{
	struct fake_cpu *cpu = &w.cpu[1];

	open_pml(v, PAGES);
	hosted_hooks.kick = leave;
	start_clean();
	world_write(&w, 8, 0, 1);
	CHECK(fake_cpu_touch(cpu, 8 * PAGE_SIZE, ACC_W, &(uint64_t){ 1 }) == MMU_PF_FIXED);
	CHECK(fake_cpu_enter(cpu));
	inside = cpu;
	CHECK(write_inside(cpu, 8));
	expect(true, 8, 8);
	CHECK(!inside);
	CHECK(fake_cpu_enter(cpu));
	/* With Dirty bits it may write, and says so; else it has to ask. */
	CHECK_EQ(write_inside(cpu, 8), kind->style != MMU_DIRTY_WRPROT);
	fake_cpu_exit(cpu);
	CHECK_EQ(fake_cpu_touch(cpu, 8 * PAGE_SIZE, ACC_W, &(uint64_t){ 2 }), MMU_PF_FIXED);
	expect(true, 8, 8);
	world_close(&w);
}

static void test_stale(void)
{
	for_each_kind(stale);
}

/* ---- huge pages --------------------------------------------------------------------------- */

static void huge(const struct world_variant *v)
{
	if (v->max_leaf_level < PG_LEVEL_2M)
		return;
	open_pml(v, PAGES);
	world_write(&w, 3, 0, 33);
	world_write(&w, 600, 0, 66);
	CHECK_EQ(world_stats(&w).pages_2m, 2);
	start_log();
	bool split_now = !(kind->flags & (MMU_DIRTY_NO_SPLIT | MMU_DIRTY_ALL_SET));

	CHECK_EQ(world_stats(&w).pages_2m, split_now ? 0 : 2);
	get(true);
	CHECK_EQ(world_stats(&w).pages_2m, kind->flags & MMU_DIRTY_NO_SPLIT ? 2 : 0);
	world_audit(&w);
	world_write(&w, 4, 0, 44);
	expect(true, 4, 4);
	world_write(&w, 601, 0, 67);
	expect(true, 601, 601);
	CHECK_EQ(world_stats(&w).pages_2m, 0);
	CHECK_EQ(world_stats(&w).split, 2);
	/* The log ends: they come back, with what was written. */
	CHECK_EQ(mmu_dirty_stop(w.vm, 0), 0);
	mmu_work_flush(w.vm);
	CHECK_EQ(world_stats(&w).pages_2m, 2);
	CHECK_EQ(world_stats(&w).recovered, 2);
	world_audit(&w);
	CHECK_EQ(world_read(&w, 3, 0), 33);
	CHECK_EQ(world_read(&w, 4, 0), 44);
	world_write(&w, 601, 0, 68);
	CHECK_EQ(world_stats(&w).pages_2m, 2);
	CHECK_EQ(world_stats(&w).pages_4k, 0);
	world_close(&w);
}

static void test_huge(void)
{
	for_each_kind(huge);
}

/* ---- start and stop -------------------------------------------------------------------------- */

static void refused(const struct world_variant *v)
{
	struct mmu_slot_desc device = { .id = 7, .base_gfn = 8 * CHUNK, .npages = 4,
					.flags = MMU_SLOT_DEVICE, .hpa = 1ul << 40 };
	uint64_t dirty;

	open_pml(v, PAGES);
	CHECK_EQ(mmu_slot_create(w.vm, &device), 0);
	CHECK_EQ(mmu_dirty_start(w.vm, 1, MMU_DIRTY_WRPROT, 0), -ENOENT);
	CHECK_EQ(mmu_dirty_start(w.vm, 7, MMU_DIRTY_WRPROT, 0), -EINVAL);
	CHECK_EQ(mmu_dirty_start(w.vm, 0, MMU_DIRTY_WRPROT, 1u << 7), -EINVAL);
	CHECK_EQ(mmu_dirty_start(w.vm, 0, (enum mmu_dirty_style)9, 0), -EINVAL);
	CHECK_EQ(mmu_dirty_start(w.vm, 0, MMU_DIRTY_DBIT, 0), v->hw_ad ? 0 : -EINVAL);
	if (v->hw_ad)
		CHECK_EQ(mmu_dirty_stop(w.vm, 0), 0);
	CHECK_EQ(mmu_dirty_get(w.vm, 0, 0, PAGES, true, bits, &dirty), -ENOENT);
	CHECK_EQ(mmu_dirty_clear(w.vm, 0, 0, PAGES, bits), -ENOENT);
	CHECK_EQ(mmu_dirty_stop(w.vm, 0), -ENOENT);
	CHECK_EQ(mmu_dirty_start(w.vm, 0, MMU_DIRTY_WRPROT, 0), 0);
	CHECK_EQ(mmu_dirty_start(w.vm, 0, MMU_DIRTY_WRPROT, 0), -EBUSY);
	CHECK_EQ(mmu_dirty_get(w.vm, 0, 1, PAGES, true, bits, &dirty), -EINVAL);
	CHECK_EQ(mmu_dirty_get(w.vm, 0, ~0ul, 2, true, bits, &dirty), -EINVAL);
	CHECK_EQ(mmu_dirty_get(w.vm, 0, 0, 0, true, bits, &dirty), -EINVAL);
	CHECK_EQ(mmu_dirty_clear(w.vm, 0, PAGES, 1, bits), -EINVAL);
	world_write(&w, 5, 0, 1);
	CHECK_EQ(get(true), 1);
	world_close(&w);
}

static void test_refused(void)
{
	world_for_each(refused);
}

/* The log goes with its slot, and moves with it. */
static void slots(const struct world_variant *v)
{
	uint64_t dirty;

	open_pml(v, PAGES);
	start_clean();
	world_write(&w, 5, 0, 1);
	CHECK_EQ(mmu_slot_move(w.vm, 0, 8 * CHUNK), 0);
	expect(true, 5, 5);
	world_write(&w, 8 * CHUNK + 6, 0, 1);
	expect(true, 6, 6);
	CHECK_EQ(mmu_dirty_pml_wanted(w.vm), kind->style == MMU_DIRTY_PML);
	CHECK_EQ(mmu_slot_delete(w.vm, 0), 0);
	CHECK(!mmu_dirty_pml_wanted(w.vm));
	CHECK_EQ(mmu_dirty_get(w.vm, 0, 0, PAGES, true, bits, &dirty), -ENOENT);
	world_close(&w);
}

static void test_slots(void)
{
	for_each_kind(slots);
}

/* ---- no memory ------------------------------------------------------------------------- */

static void fail_script(void)
{
	int err = mmu_dirty_start(w.vm, 0, kind->style, kind->flags);

	CHECK(!err || (err == -ENOMEM && hosted_failed()));
	enum mmu_pf_result r = world_touch(&w, 5, ACC_W);

	CHECK(r == MMU_PF_FIXED || (r == MMU_PF_NOMEM && hosted_failed()));
	if (!err) {
		uint64_t dirty = get(true);

		CHECK(dirty == (kind->flags & MMU_DIRTY_ALL_SET ? PAGES : r == MMU_PF_FIXED));
		CHECK_EQ(bit(5), dirty != 0);
		CHECK_EQ(mmu_dirty_stop(w.vm, 0), 0);
	}
	mmu_work_flush(w.vm);
}

static void fail_each(const struct world_variant *v)
{
	uint64_t n = 0;
	bool failed;

	do {
		open_pml(v, PAGES);
		world_write(&w, 3, 0, 1);
		world_write(&w, 600, 0, 1);
		hosted_fail_at(n / 2, n % 2);
		n++;
		fail_script();
		failed = hosted_failed();
		hosted_fail_off();
		world_close(&w);
	} while (failed || n % 2);
}

static void test_fail_each(void)
{
	for_each_kind(fail_each);
}

static const struct ktap_test tests[] = {
	KTAP(test_writes),  KTAP(test_leaves_go), KTAP(test_clear_apart), KTAP(test_stale),
	KTAP(test_huge),    KTAP(test_refused),   KTAP(test_slots),       KTAP(test_fail_each),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
