/* SPDX-License-Identifier: GPL-2.0-only */
/* Roots that become invalid, the worker that tears them down, and who keeps them alive. */
#include <pthread.h>

#include "ktap.h"
#include "mm/port.h"
#include "mm/rcu.h"
#include "mm/root.h"
#include "mm/walk.h"
#include "world.h"

#define CHUNK 512ul

static struct world w;
static unsigned work_kicks;

static void on_work(struct mmu_vm *vm)
{
	CHECK(vm == w.vm);
	work_kicks++;
}

static void open_used(const struct world_variant *v, uint64_t npages)
{
	world_open(&w, v, npages);
	work_kicks = 0;
	hosted_hooks.work_kick = on_work;
	hosted_deny_2m(true);
	for (gfn_t gfn = 0; gfn < npages; gfn++)
		world_write(&w, gfn, 0, gfn + 1);
}

static unsigned count_roots(void)
{
	unsigned n = 0;

	for_each_root(w.vm, root)
		n++;
	return n;
}

/* ---- one zap of all ---------------------------------------------------------------- */

static void zap_all(const struct world_variant *v)
{
	open_used(v, 3 * CHUNK);
	uint64_t leaves = world_stats(&w).zap_leaf;

	mmu_zap_all(w.vm);
	/* Nothing is taken out yet, but nobody uses it: the vCPU has to load another. */
	CHECK_EQ(world_stats(&w).zap_leaf, leaves);
	CHECK_EQ(world_stats(&w).pages_4k, 3 * CHUNK);
	CHECK_EQ(world_stats(&w).root_invalidated, 1);
	CHECK(work_kicks > 0);
	CHECK_EQ(mmu_vcpu_enter(&w.cpu[0].mmu), MMU_ENTER_RELOAD);
	CHECK_EQ(atomic_load(&w.cpu[0].mmu.in_guest), 0);
	CHECK_EQ(mmu_vcpu_enter(&w.cpu[0].mmu), MMU_ENTER_RELOAD);
	world_audit(&w);
	/* A fault of the old root's owner does not go into the new one. */
	struct page_fault pf = { .gpa = 0, .access = ACC_R, .present = false };
	enum mmu_pf_result r = mmu_page_fault(&w.cpu[0].mmu, &pf);

	CHECK_EQ(r, w.cfg.hw_ad ? MMU_PF_RETRY : MMU_PF_SPURIOUS);
	/* Faults of the new root go on beside the old one. */
	CHECK_EQ(world_read(&w, 5, 0), 6);
	CHECK_EQ(count_roots(), 2);
	CHECK_EQ(world_stats(&w).pages_4k, 3 * CHUNK + 1);
	world_audit(&w);
	/* Steps are bounded; looking through a table for being empty counts too. */
	uint64_t left = world_stats(&w).pages_4k;

	while (mmu_work_step(w.vm)) {
		uint64_t now = world_stats(&w).pages_4k;

		CHECK(now <= left && left - now <= ROOT_STEP + 1);
		left = now;
		world_audit(&w);
	}
	CHECK_EQ(world_stats(&w).pages_4k, 1);
	CHECK_EQ(count_roots(), 1);
	CHECK(!mmu_work_step(w.vm));
	for (gfn_t gfn = 0; gfn < 3 * CHUNK; gfn++)
		CHECK_EQ(world_read(&w, gfn, 0), gfn + 1);
	world_close(&w);
}

static void test_zap_all(void)
{
	world_for_each(zap_all);
}

/* ---- never twice ------------------------------------------------------------------------ */

/* A vCPU sleeps with the root, through any number of zaps: it stays, empty, and is not queued. */
static void sleeper(const struct world_variant *v)
{
	open_used(v, CHUNK);
	CHECK(fake_cpu_enter(&w.cpu[1]));
	fake_cpu_exit(&w.cpu[1]);
	struct mmu_root *old = w.cpu[1].mmu.loaded;

	CHECK(old == w.cpu[0].mmu.loaded);
	for (unsigned i = 0; i < 3; i++) {
		world_read(&w, i, 0);
		mmu_zap_all(w.vm);
		/* A second one with nothing in between finds no valid root. */
		mmu_zap_all(w.vm);
		CHECK_EQ(world_stats(&w).root_invalidated, i + 1);
		mmu_work_flush(w.vm);
		CHECK_EQ(atomic_load(&old->state), ROOT_ZAPPED);
		CHECK_EQ(old->refs, i ? 1 : 2);
		world_audit(&w);
	}
	/* The sleeper's, and the one that processor 0 has not let go of. */
	CHECK_EQ(count_roots(), 2);
	CHECK_EQ(world_stats(&w).tables, 2);
	CHECK_EQ(world_stats(&w).pages_4k, 0);
	CHECK(fake_cpu_enter(&w.cpu[1]));
	fake_cpu_exit(&w.cpu[1]);
	CHECK(w.cpu[1].mmu.loaded != old);
	CHECK(!rcu_poll(w.vm));
	CHECK_EQ(count_roots(), 2);
	CHECK_EQ(world_read(&w, 1, 0), 2);
	CHECK_EQ(count_roots(), 1);
	world_close(&w);
}

static void test_sleeper(void)
{
	world_for_each(sleeper);
}

/* Zapped again before the worker came: two wait, each is torn down once. */
static void two_queued(const struct world_variant *v)
{
	uint64_t changed;

	open_used(v, CHUNK);
	mmu_zap_all(w.vm);
	world_write(&w, 3, 0, 33);
	mmu_zap_all(w.vm);
	world_write(&w, 4, 0, 44);
	CHECK_EQ(count_roots(), 3);
	CHECK_EQ(world_stats(&w).pages_4k, CHUNK + 2);
	/* Operations on ranges see them all: the pages are freed while old roots map them. */
	CHECK_EQ(mmu_balloon_out(w.vm, 2, 3, 0, &changed), 0);
	CHECK_EQ(changed, 3);
	CHECK_EQ(world_stats(&w).pages_4k, CHUNK - 3);
	world_audit(&w);
	CHECK_EQ(mmu_slot_delete(w.vm, 0), 0);
	CHECK_EQ(world_stats(&w).pages_4k, 0);
	mmu_work_flush(w.vm);
	CHECK_EQ(count_roots(), 1);
	world_close(&w);
}

static void test_two_queued(void)
{
	world_for_each(two_queued);
}

/* The VM ends with roots queued, half torn down and referred to. */
static void ends(const struct world_variant *v)
{
	open_used(v, 3 * CHUNK);
	CHECK(fake_cpu_enter(&w.cpu[2]));
	fake_cpu_exit(&w.cpu[2]);
	mmu_zap_all(w.vm);
	world_write(&w, 3, 0, 33);
	CHECK(mmu_work_step(w.vm));
	mmu_zap_all(w.vm);
	world_close(&w);
}

static void test_ends(void)
{
	world_for_each(ends);
}

/* ---- what others see in between ------------------------------------------------------------- */

static unsigned kicks;

/* The kick comes before anything is freed, and the kicked vCPU must not come back in. */
static void on_kick(struct mmu_vcpu *vcpu)
{
	kicks++;
	mmu_vcpu_exit(vcpu);
	CHECK_EQ(mmu_vcpu_enter(vcpu), MMU_ENTER_RELOAD);
}

static void kicked(const struct world_variant *v)
{
	open_used(v, CHUNK);
	kicks = 0;
	hosted_hooks.kick = on_kick;
	CHECK(fake_cpu_enter(&w.cpu[3]));
	mmu_zap_all(w.vm);
	CHECK_EQ(kicks, 1);
	mmu_work_flush(w.vm);
	/* The new root's first entry flushes, whatever generation it is. */
	CHECK(mmu_vcpu_load_root(&w.cpu[3].mmu) != HPA_INVALID);
	CHECK_EQ(mmu_vcpu_enter(&w.cpu[3].mmu), MMU_ENTER_FLUSH);
	mmu_vcpu_exit(&w.cpu[3].mmu);
	world_close(&w);
}

static void test_kicked(void)
{
	world_for_each(kicked);
}

/* No memory for a root: the vCPU cannot enter, and can later. */
static void no_root(const struct world_variant *v)
{
	open_used(v, CHUNK);
	mmu_zap_all(w.vm);
	for (unsigned n = 0; n < 2; n++) {
		hosted_fail_at(n, false);
		CHECK_EQ(mmu_vcpu_load_root(&w.cpu[0].mmu), HPA_INVALID);
		CHECK(w.cpu[0].mmu.loaded == NULL);
		hosted_fail_off();
		world_audit(&w);
	}
	CHECK_EQ(world_read(&w, 9, 0), 10);
	world_close(&w);
}

static void test_no_root(void)
{
	world_for_each(no_root);
}

/* ---- grace periods ---------------------------------------------------------------------------- */

static uint64_t freed;

static void on_free(hpa_t hpa, unsigned order)
{
	freed++;
}

/* A table that a reader may be in is not freed until the reader has left. */
static void grace(const struct world_variant *v)
{
	struct rcu_reader reader = { 0 };

	open_used(v, CHUNK);
	freed = 0;
	hosted_hooks.page_free = on_free;
	rcu_reader_add(w.vm, &reader);
	rcu_enter(w.vm, &reader);
	CHECK_EQ(mmu_unmap(w.vm, 0, CHUNK, 0), 0);
	CHECK_EQ(world_stats(&w).tables, 1);
	CHECK_EQ(freed, 0);
	CHECK(work_kicks > 0);
	CHECK(mmu_work_step(w.vm));
	CHECK_EQ(freed, 0);
	rcu_exit(w.vm, &reader);
	/* One that comes now cannot have seen it, and holds nothing up. */
	rcu_enter(w.vm, &reader);
	CHECK(!mmu_work_step(w.vm));
	CHECK_EQ(freed, v->root_level - 1);
	rcu_exit(w.vm, &reader);
	rcu_reader_remove(w.vm, &reader);
	hosted_hooks.page_free = NULL;
	world_close(&w);
}

static void test_grace(void)
{
	world_for_each(grace);
}

/* What comes while others wait goes in a second period. */
static void test_generations(void)
{
	struct rcu_reader one = { 0 }, two = { 0 };

	open_used(&world_variants[0], 4 * CHUNK);
	hosted_hooks.page_free = on_free;
	freed = 0;
	rcu_reader_add(w.vm, &one);
	rcu_reader_add(w.vm, &two);
	rcu_enter(w.vm, &one);
	CHECK_EQ(mmu_unmap(w.vm, 0, CHUNK, 0), 0);
	rcu_enter(w.vm, &two);
	CHECK_EQ(mmu_unmap(w.vm, CHUNK, CHUNK, 0), 0);
	rcu_exit(w.vm, &one);
	CHECK(rcu_poll(w.vm));
	CHECK_EQ(freed, 1);
	CHECK_EQ(mmu_unmap(w.vm, 2 * CHUNK, CHUNK, 0), 0);
	CHECK_EQ(freed, 1);
	rcu_exit(w.vm, &two);
	CHECK(!rcu_poll(w.vm));
	CHECK_EQ(freed, 3);
	rcu_reader_remove(w.vm, &one);
	rcu_reader_remove(w.vm, &two);
	hosted_hooks.page_free = NULL;
	world_close(&w);
}

/* ---- holds -------------------------------------------------------------------------------------- */

static void holds(const struct world_variant *v)
{
	struct mmu_holds h;

	open_used(v, 4 * CHUNK);
	hosted_hooks.need_resched = true;
	CHECK_EQ(mmu_unmap(w.vm, 0, 4 * CHUNK, MMU_MAY_BLOCK), 0);
	hosted_hooks.need_resched = false;
	mmu_holds_read(w.vm, &h);
	/* Tables looked through for being empty, one per level on the way out: that is longest. */
	CHECK(h.write_entries >= CHUNK && h.write_entries <= v->root_level * CHUNK);
	for (gfn_t gfn = 0; gfn < 4 * CHUNK; gfn++)
		world_read(&w, gfn, 0);
	CHECK_EQ(mmu_unmap(w.vm, 0, 4 * CHUNK, 0), 0);
	mmu_holds_read(w.vm, &h);
	/* Who may not yield does not. */
	CHECK(h.write_entries >= 4 * CHUNK);
	world_close(&w);
}

static void test_holds(void)
{
	world_for_each(holds);
}

/* ---- threads ------------------------------------------------------------------------------------- */

static _Atomic bool stop;

static void *toucher(void *arg)
{
	struct fake_cpu *cpu = arg;
	uint64_t value, n = cpu->mmu.id * 1000;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		gfn_t gfn = (n += 7) % (2 * CHUNK);

		if (fake_cpu_touch(cpu, gfn * PAGE_SIZE, ACC_R, &value) != MMU_PF_FIXED ||
		    value != gfn + 1)
			port_bug(__FILE__, __LINE__, "contents were lost by a zap");
	}
	return NULL;
}

static void *worker(void *arg)
{
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		if (!mmu_work_step(w.vm))
			port_resched();
	return NULL;
}

/* Zaps of all beside faults, beside the worker, beside vCPUs that come and go. */
static void threads(const struct world_variant *v)
{
	pthread_t t[4];

	open_used(v, 2 * CHUNK);
	hosted_hooks.work_kick = NULL;
	atomic_store(&stop, false);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, toucher, &w.cpu[i]);
	for (unsigned i = 2; i < 4; i++)
		pthread_create(&t[i], NULL, worker, NULL);
	for (unsigned i = 0; i < 10; i++) {
		mmu_zap_all(w.vm);
		CHECK(fake_cpu_enter(&w.cpu[2]));
		fake_cpu_exit(&w.cpu[2]);
		if (i % 4 == 0) {
			fake_cpu_destroy(&w.cpu[2]);
			mmu_vcpu_init(w.vm, &w.cpu[2].mmu, 2);
			world_audit(&w);
		}
		for (unsigned k = 0; k < 10; k++)
			port_resched();
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	mmu_work_flush(w.vm);
	CHECK(world_stats(&w).root_invalidated >= 5);
	world_close(&w);
}

static void test_threads(void)
{
	world_for_each(threads);
}

static const struct ktap_test tests[] = {
	KTAP(test_zap_all), KTAP(test_sleeper), KTAP(test_two_queued), KTAP(test_ends),
	KTAP(test_kicked),  KTAP(test_no_root), KTAP(test_grace),      KTAP(test_generations),
	KTAP(test_holds),   KTAP(test_threads),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
