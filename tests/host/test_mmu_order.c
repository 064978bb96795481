/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The order in which things happen: unlink → flush → free, yields, stale faults.
 * One thread; the hooks of the hosted port step in where another CPU would.
 */
#include "ktap.h"
#include "mm/backing.h"
#include "mm/invalidate.h"
#include "mm/iter.h"
#include "world.h"

#define CHUNK 512ul

static struct world w; /* the hooks have to find it */

/* Some memory in use, mapped as 4K so that there are many leaves and tables. */
static void open_used(const struct world_variant *v, uint64_t npages)
{
	world_open(&w, v, npages);
	hosted_deny_2m(true);
	for (gfn_t gfn = 0; gfn < npages; gfn++)
		world_write(&w, gfn, 0, gfn + 1);
}

/* ---- flush ----------------------------------------------------------------------- */

static unsigned kicks, frees;
static hpa_t watched;          /* a page that must not be free when a vCPU is kicked */
static struct mmu_vcpu *guest; /* the vCPU in guest mode */

static spte_t leaf_of(gfn_t gfn)
{
	struct tdp_iter it;

	for (iter_begin(&it, w.vm->root, gfn, gfn + 1, 0); it.valid; iter_next(&it))
		if (format_is_leaf(w.vm->fmt, it.old, it.level))
			return it.old;
	return (spte_t){ 0 };
}

/* The kicked processor looks around before it leaves guest mode. */
static void on_kick(struct mmu_vcpu *vcpu)
{
	kicks++;
	CHECK(vcpu == guest);
	CHECK_EQ(leaf_of(1).raw, 0);
	CHECK_EQ(frees, 0);
	CHECK(!hosted_page_is_free(watched));
	mmu_vcpu_exit(vcpu);
}

static void on_free(hpa_t hpa, unsigned order)
{
	frees++;
}

/* Unlink, then flush, then free; and nobody outside guest mode is kicked. */
static void flush_order(const struct world_variant *v)
{
	uint64_t changed;

	kicks = frees = 0;
	open_used(v, CHUNK);
	for (unsigned i = 0; i < WORLD_CPUS; i++)
		CHECK(fake_cpu_enter(&w.cpu[i]));
	for (unsigned i = 0; i < WORLD_CPUS; i++)
		fake_cpu_exit(&w.cpu[i]);
	CHECK_EQ(mmu_vcpu_enter(&w.cpu[2].mmu), MMU_ENTER_GO);
	guest = &w.cpu[2].mmu;
	watched = format_hpa(w.vm->fmt, leaf_of(1));
	CHECK(watched);
	hosted_hooks.kick = on_kick;
	hosted_hooks.page_free = on_free;
	CHECK_EQ(mmu_balloon_out(w.vm, 0, CHUNK, 0, &changed), 0);
	hosted_hooks.page_free = NULL;
	CHECK_EQ(kicks, 1);
	CHECK_EQ(world_stats(&w).tlb_kick, 1);
	CHECK_EQ(world_stats(&w).tlb_spared, WORLD_CPUS - 1);
	CHECK_EQ(world_stats(&w).tlb_none, 0);
	CHECK_EQ(world_stats(&w).tlb_flush, 1);
	CHECK(frees >= CHUNK);
	CHECK(hosted_page_is_free(watched));
	/* Those that were outside flush when they come in, once. */
	for (unsigned i = 0; i < WORLD_CPUS; i++) {
		CHECK_EQ(mmu_vcpu_enter(&w.cpu[i].mmu), MMU_ENTER_FLUSH);
		mmu_vcpu_exit(&w.cpu[i].mmu);
		CHECK_EQ(mmu_vcpu_enter(&w.cpu[i].mmu), MMU_ENTER_GO);
		mmu_vcpu_exit(&w.cpu[i].mmu);
	}
	world_close(&w);
}

static void test_flush_order(void)
{
	world_for_each(flush_order);
}

/* Nothing was mapped: nothing is flushed. */
static void test_no_flush(void)
{
	world_open(&w, &world_variants[0], CHUNK);
	CHECK(fake_cpu_enter(&w.cpu[0]));
	CHECK_EQ(mmu_unmap(w.vm, 0, CHUNK, 0), 0);
	CHECK_EQ(world_stats(&w).tlb_flush, 0);
	CHECK_EQ(world_stats(&w).tlb_none, 1);
	fake_cpu_exit(&w.cpu[0]);
	world_close(&w);
}

/* ---- yielding ---------------------------------------------------------------------- */

static unsigned rescheds;
static uint64_t zapped_before;

/*
 * While the walk has dropped its lock: others get in, what was zapped so far is flushed,
 * and each time some more of it is.
 */
static void on_resched(void)
{
	struct page_fault pf = { .gpa = (2 * CHUNK - 1) * PAGE_SIZE, .access = ACC_R };
	uint64_t value, gen = atomic_load(&w.vm->tlb_gen), zapped = world_stats(&w).zap_leaf;

	hosted_hooks.resched = NULL;
	rescheds++;
	CHECK(zapped > zapped_before);
	zapped_before = zapped;
	CHECK_EQ(mmu_vcpu_enter(&w.cpu[1].mmu), MMU_ENTER_FLUSH);
	CHECK_EQ(atomic_load(&w.cpu[1].mmu.tlb_gen), gen);
	mmu_vcpu_exit(&w.cpu[1].mmu);
	CHECK_EQ(mmu_read_guest(w.vm, 0, &value, 8), 0);
	/* A fault in what is not yet done has to wait; without the lock it finds the leaf. */
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), w.cfg.hw_ad ? MMU_PF_RETRY : MMU_PF_SPURIOUS);
	hosted_hooks.resched = on_resched;
}

static void yields(const struct world_variant *v)
{
	rescheds = 0;
	zapped_before = 0;
	open_used(v, 2 * CHUNK);
	CHECK(fake_cpu_enter(&w.cpu[1]));
	fake_cpu_exit(&w.cpu[1]);
	hosted_hooks.resched = on_resched;
	hosted_hooks.need_resched = true;
	CHECK_EQ(mmu_unmap(w.vm, 0, 2 * CHUNK, MMU_MAY_BLOCK), 0);
	hosted_hooks.need_resched = false;
	/* At every run but the first, and not forever. */
	CHECK(rescheds >= 2 * CHUNK / ITER_RUN - 2 && rescheds <= 2 * CHUNK / ITER_RUN);
	CHECK_EQ(world_stats(&w).zap_yield, rescheds);
	CHECK_EQ(world_stats(&w).zap_leaf, 2 * CHUNK);
	CHECK_EQ(world_stats(&w).tables, 1);
	world_close(&w);
}

static void test_yields(void)
{
	world_for_each(yields);
}

/*
 * Small leaves over large pieces of backing, and a walk that yields in the midst of each piece: what
 * is kept in reserve for the range's edges has to suffice.
 */
static void yields_within_words(const struct world_variant *v)
{
	const gfn_t words = 12;
	uint64_t changed;

	if (v->max_leaf_level < PG_LEVEL_2M)
		return;
	world_open(&w, v, words * CHUNK);
	for (gfn_t gfn = 0; gfn < words * CHUNK; gfn += CHUNK)
		world_write(&w, gfn, 0, gfn);
	CHECK_EQ(mmu_dirty_start(w.vm, 0, MMU_DIRTY_WRPROT, 0), 0);
	hosted_hooks.need_resched = true;
	CHECK_EQ(mmu_protect(w.vm, 1, words * CHUNK - 2, ACC_R | ACC_X, MMU_MAY_BLOCK), 0);
	CHECK_EQ(mmu_protect(w.vm, 1, words * CHUNK - 2, ACC_RWX, MMU_MAY_BLOCK), 0);
	CHECK(world_stats(&w).zap_yield >= words * CHUNK / ITER_RUN);
	CHECK_EQ(mmu_balloon_out(w.vm, 1, words * CHUNK - 2, MMU_MAY_BLOCK, &changed), 0);
	hosted_hooks.need_resched = false;
	CHECK_EQ(changed, words * CHUNK - 2);
	world_close(&w);
}

static void test_yields_within_words(void)
{
	world_for_each(yields_within_words);
}

static void never(void)
{
	CHECK(!"a walk that must not block let others run");
}

static void non_blocking(const struct world_variant *v)
{
	uint64_t changed;

	open_used(v, 2 * CHUNK);
	hosted_hooks.resched = never;
	hosted_hooks.need_resched = true;
	CHECK_EQ(mmu_unmap(w.vm, 0, CHUNK, 0), 0);
	CHECK_EQ(mmu_balloon_out(w.vm, 0, 2 * CHUNK, 0, &changed), 0);
	CHECK_EQ(mmu_balloon_in(w.vm, 0, 2 * CHUNK, 0, &changed), 0);
	CHECK_EQ(world_stats(&w).zap_yield, 0);
	hosted_hooks.need_resched = false;
	world_close(&w);
}

static void test_non_blocking(void)
{
	world_for_each(non_blocking);
}

/* ---- stale faults -------------------------------------------------------------------- */

static uint64_t balloon_at_alloc; /* page count of the balloon that steps in */

static void balloon_behind_the_back(unsigned order)
{
	uint64_t changed;

	hosted_hooks.page_alloc = NULL;
	CHECK_EQ(mmu_balloon_out(w.vm, 0, balloon_at_alloc, 0, &changed), 0);
	CHECK_EQ(mmu_balloon_in(w.vm, 0, balloon_at_alloc, 0, &changed), 0);
}

/* An invalidation between the snapshot and the install: what was looked up is not used. */
static void stale_fault(const struct world_variant *v)
{
	struct page_fault pf = { .gpa = 3 * PAGE_SIZE, .access = ACC_R };

	balloon_at_alloc = 8;
	world_open(&w, v, CHUNK);
	CHECK(fake_cpu_enter(&w.cpu[0]));
	fake_cpu_exit(&w.cpu[0]);
	/*
	 * The first may use up tables for an MMIO entry; the cache is full after the second, so
	 * the next allocation is the page itself.
	 */
	pf.gpa = CHUNK * PAGE_SIZE;
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_EMULATE);
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_EMULATE);
	pf.gpa = 3 * PAGE_SIZE;
	hosted_hooks.page_alloc = balloon_behind_the_back;
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_RETRY);
	CHECK(!hosted_hooks.page_alloc);
	CHECK_EQ(world_stats(&w).pages_4k + world_stats(&w).pages_2m, 0);
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_FIXED);
	CHECK_EQ(world_stats(&w).pf_retry, 1);
	world_close(&w);
}

static void test_stale_fault(void)
{
	world_for_each(stale_fault);
}

static void touch_behind_the_back(unsigned order)
{
	uint64_t value = 0x5a;

	if (order == 0 && w.cfg.max_leaf_level == PG_LEVEL_2M)
		return; /* a table of the other processor's: wait for the page */
	hosted_hooks.page_alloc = NULL;
	CHECK_EQ(fake_cpu_touch(&w.cpu[1], 3 * PAGE_SIZE, ACC_W, &value), MMU_PF_FIXED);
}

/* Another processor brings the page first: ours is freed and theirs is used. */
static void lost_page(const struct world_variant *v)
{
	struct page_fault pf = { .gpa = CHUNK * PAGE_SIZE, .access = ACC_R };

	world_open(&w, v, CHUNK);
	CHECK(fake_cpu_enter(&w.cpu[0]));
	fake_cpu_exit(&w.cpu[0]);
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_EMULATE);
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_EMULATE);
	pf.gpa = 3 * PAGE_SIZE;
	hosted_hooks.page_alloc = touch_behind_the_back;
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_SPURIOUS);
	CHECK(!hosted_hooks.page_alloc);
	CHECK_EQ(world_read(&w, 3, 0), 0x5a);
	CHECK_EQ(world_stats(&w).backing_pages, level_pages(v->max_leaf_level));
	CHECK_EQ(atomic_load(&w.vm->backing_reserved), world_stats(&w).backing_pages);
	world_close(&w);
}

static void test_lost_page(void)
{
	world_for_each(lost_page);
}

/* A 2M leaf must not slip in beside an invalidation of a part of it. */
static void test_stale_span(void)
{
	struct invalidation one, two;
	uint64_t s;

	world_open(&w, &world_variants[1], 2 * CHUNK);
	write_lock(&w.vm->mmu_lock);
	s = invalidate_snapshot(w.vm);
	invalidate_begin(w.vm, &one, 100, 101);
	CHECK(invalidate_is_stale(w.vm, s, 0, CHUNK));
	CHECK(!invalidate_is_stale(w.vm, s, 0, 100));
	CHECK(!invalidate_is_stale(w.vm, s, 101, 102));
	invalidate_begin(w.vm, &two, 600, 700); /* beside each other, not one range */
	CHECK(!invalidate_is_stale(w.vm, s, 300, 301));
	invalidate_end(w.vm, &one);
	CHECK(!invalidate_is_stale(w.vm, invalidate_snapshot(w.vm), 100, 101));
	CHECK(invalidate_is_stale(w.vm, s, 100, 101));
	CHECK(invalidate_is_stale(w.vm, s, 650, 651));
	invalidate_end(w.vm, &two);
	CHECK(!invalidate_is_stale(w.vm, invalidate_snapshot(w.vm), 600, 700));
	CHECK(invalidate_is_stale(w.vm, s, 600, 601));
	CHECK(!invalidate_is_stale(w.vm, s, 300, 301));
	write_unlock(&w.vm->mmu_lock);
	world_close(&w);
}

static void on_resched_beside(void)
{
	struct page_fault pf = { .gpa = (CHUNK + 300) * PAGE_SIZE, .access = ACC_R };
	bool spans = w.cfg.max_leaf_level == PG_LEVEL_2M;

	hosted_hooks.resched = NULL;
	hosted_hooks.need_resched = false;
	rescheds++;
	enum mmu_pf_result r = mmu_page_fault(&w.cpu[0].mmu, &pf);

	/* Where leaves are looked at without the lock first, it is found mapped. */
	if (spans && !w.cfg.hw_ad)
		CHECK_EQ(r, MMU_PF_SPURIOUS);
	else
		CHECK_EQ(r, spans ? MMU_PF_RETRY : MMU_PF_FIXED);
}

/* A fault beside the range, whose 2M leaf would reach into it. */
static void fault_beside(const struct world_variant *v)
{
	rescheds = 0;
	world_open(&w, v, 2 * CHUNK);
	hosted_deny_2m(true);
	world_read(&w, 200, 0);
	world_read(&w, 201, 0);
	hosted_deny_2m(false);
	world_read(&w, CHUNK, 0);
	hosted_hooks.resched = on_resched_beside;
	hosted_hooks.need_resched = true;
	CHECK_EQ(mmu_unmap(w.vm, 100, CHUNK, MMU_MAY_BLOCK), 0);
	CHECK_EQ(rescheds, 1);
	world_close(&w);
}

static void test_fault_beside(void)
{
	world_for_each(fault_beside);
}

/* A frozen entry sends the fault back, and the audit finds one that stays. */
static void frozen(const struct world_variant *v)
{
	struct page_fault pf = { .gpa = 0, .access = ACC_R };
	struct mmu_audit_report report;

	world_open(&w, v, CHUNK);
	CHECK(fake_cpu_enter(&w.cpu[0]));
	fake_cpu_exit(&w.cpu[0]);
	spte_cell_t *top = spte_table(w.vm->root->hpa);

	spte_store(top, (spte_t){ SPTE_FROZEN });
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_RETRY);
	CHECK_EQ(mmu_audit(w.vm, &report), -EIO);
	CHECK_STR(report.first, "the entry at gfn 0x0 was left frozen: 0x80000000000000");
	spte_store(top, (spte_t){ 0 });
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_FIXED);
	world_close(&w);
}

static void test_frozen(void)
{
	world_for_each(frozen);
}

/* ---- the iterator ----------------------------------------------------------------------- */

/* Pre-order, each table once more behind its contents, and on after a restart. */
static void iterator(const struct world_variant *v)
{
	gfn_t expected = 10, restarted = 0;
	unsigned left = 0;
	struct tdp_iter it;

	open_used(v, 3 * CHUNK);
	iter_begin(&it, w.vm->root, 10, 2 * CHUNK + 5, ITER_LEAVE);
	while (it.valid) {
		if (it.leaving) {
			left++;
			CHECK(format_is_table(w.vm->fmt, it.old, it.level));
		} else if (it.level == PG_LEVEL_4K && it.gfn % 100 == 0 && it.gfn != restarted) {
			/* From the top again: it comes back to the same leaf. */
			restarted = it.gfn;
			iter_restart(&it);
			CHECK_EQ(it.level, w.cfg.root_level);
		} else if (it.level == PG_LEVEL_4K) {
			CHECK_EQ(it.gfn, expected++);
		}
		iter_next(&it);
	}
	CHECK_EQ(expected, 2 * CHUNK + 5);
	CHECK_EQ(left, 3 + w.cfg.root_level - 2u);
	world_close(&w);
}

static void test_iterator(void)
{
	world_for_each(iterator);
}

static const struct ktap_test tests[] = {
	KTAP(test_flush_order), KTAP(test_no_flush),   KTAP(test_yields),
	KTAP(test_non_blocking), KTAP(test_stale_fault), KTAP(test_stale_span),
	KTAP(test_frozen),      KTAP(test_iterator),    KTAP(test_lost_page),
	KTAP(test_fault_beside), KTAP(test_yields_within_words),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
