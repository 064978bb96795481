/* SPDX-License-Identifier: GPL-2.0-only */
/* Latencies: the histograms, the worst events, and who is said to have been in the way. */
#include <pthread.h>
#include <sched.h>

#include "ktap.h"
#include "mm/lock.h"
#include "world.h"

#define CHUNK 512ul
#define VARIANT (&world_variants[0]) /* nothing here depends on the format */

static struct world w;
static struct mmu_latency lat;

/* A clock of our own: every look at it takes one tick. */
static _Atomic uint64_t ticks;

static uint64_t own_clock(void)
{
	return atomic_fetch_add(&ticks, 1) + 1;
}

static void open_world(uint64_t npages)
{
	world_open(&w, VARIANT, npages);
	atomic_store(&ticks, 1000);
	hosted_hooks.clock = own_clock;
}

static const struct mmu_latency *take(enum mmu_latency_kind kind, bool reset)
{
	uint64_t sum = 0;

	CHECK_EQ(mmu_latency_read(w.vm, kind, reset, &lat), 0);
	for (unsigned b = 0; b < MMU_LATENCY_BUCKETS; b++)
		sum += lat.bucket[b];
	CHECK_EQ(sum, lat.count);
	CHECK_EQ(lat.worst_count, lat.count < MMU_LATENCY_WORST ? lat.count : MMU_LATENCY_WORST);
	if (lat.worst_count)
		CHECK_EQ(lat.worst[0].ticks, lat.max);
	return &lat;
}

static void reset_all(void)
{
	for (unsigned kind = 0; kind < MMU_LATENCY_COUNT; kind++)
		take(kind, true);
}

NO_THREAD_SAFETY_ANALYSIS
static void add(enum mmu_latency_kind kind, uint64_t n)
{
	struct latency_event e = { n, 5000 + n, who_make(MMU_OP_UNMAP, n), 7,
				   who_make(MMU_OP_FAULT, n + 1) };

	write_lock(&w.vm->mmu_lock);
	latency_add_excl(w.vm, kind, &e);
	write_unlock(&w.vm->mmu_lock);
}

/* ---- the figures --------------------------------------------------------------- */

static void test_buckets(void)
{
	static const struct {
		uint64_t ticks;
		unsigned bucket;
	} cases[] = {
		{ 1, 0 }, { 2, 1 }, { 3, 1 }, { 4, 2 }, { 1023, 9 }, { 1024, 10 },
		{ 1ul << 39, 39 }, { 1ul << 40, 39 }, { ~0ul >> 8, 39 },
	};
	uint64_t sum = 0;

	open_world(CHUNK);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = take(MMU_LATENCY_SHOOTDOWN, false)->bucket[cases[i].bucket];

		add(MMU_LATENCY_SHOOTDOWN, cases[i].ticks);
		sum += cases[i].ticks;
		CHECK_EQ(take(MMU_LATENCY_SHOOTDOWN, false)->bucket[cases[i].bucket], before + 1);
		CHECK_EQ(lat.count, i + 1);
		CHECK_EQ(lat.sum, sum);
		CHECK_EQ(lat.max, cases[i].ticks);
	}
	CHECK_EQ(mmu_latency_read(w.vm, MMU_LATENCY_COUNT, false, &lat), -EINVAL);
	CHECK_STR(mmu_latency_name(MMU_LATENCY_SHOOTDOWN), "shootdown");
	CHECK_STR(mmu_op_name(MMU_OP_TEARDOWN), "zap worker");
	world_close(&w);
}

static void test_worst(void)
{
	open_world(CHUNK);
	/* 3 · i mod 31 visits 1 … 30 in no order. */
	for (uint64_t i = 1; i < 31; i++)
		add(MMU_LATENCY_SHOOTDOWN, 3 * i % 31);
	CHECK_EQ(take(MMU_LATENCY_SHOOTDOWN, false)->worst_count, MMU_LATENCY_WORST);
	for (unsigned i = 0; i < MMU_LATENCY_WORST; i++) {
		const struct mmu_latency_event *e = &lat.worst[i];

		CHECK_EQ(e->ticks, 30 - i);
		CHECK_EQ(e->when, 5030 - i);
		CHECK_EQ(e->op, MMU_OP_UNMAP);
		CHECK_EQ(e->gfn, 30 - i);
		CHECK_EQ(e->npages, 7);
		CHECK_EQ(e->with, MMU_OP_FAULT);
		CHECK_EQ(e->with_gfn, 31 - i);
	}
	world_close(&w);
}

/* What a vCPU has counted goes, even if it does nothing any more. */
static void test_reset(void)
{
	open_world(CHUNK);
	world_read(&w, 1, 0);
	add(MMU_LATENCY_SHOOTDOWN, 100);
	add(MMU_LATENCY_YIELD, 100);
	CHECK_EQ(take(MMU_LATENCY_FAULT, true)->count, 1);
	CHECK_EQ(take(MMU_LATENCY_FAULT, false)->count, 0);
	CHECK_EQ(lat.sum + lat.max + lat.worst_count, 0);
	CHECK_EQ(take(MMU_LATENCY_SHOOTDOWN, true)->count, 1);
	CHECK_EQ(take(MMU_LATENCY_SHOOTDOWN, false)->count, 0);
	CHECK_EQ(take(MMU_LATENCY_YIELD, false)->count, 1);
	world_read(&w, 2, 0);
	world_read(&w, 3, 0);
	CHECK_EQ(take(MMU_LATENCY_FAULT, false)->count, 2);
	world_close(&w);
}

static void test_vcpu_gone(void)
{
	open_world(CHUNK);
	world_read(&w, 1, 0);
	world_read(&w, 2, 0);
	uint64_t sum = take(MMU_LATENCY_FAULT, false)->sum, max = lat.max;

	CHECK_EQ(lat.count, 2);
	fake_cpu_destroy(&w.cpu[0]);
	CHECK_EQ(take(MMU_LATENCY_FAULT, false)->count, 2);
	CHECK_EQ(lat.sum, sum);
	CHECK_EQ(lat.max, max);
	fake_cpu_init(&w.cpu[0], w.vm, &w.cfg, 0);
	world_read(&w, 3, 0);
	CHECK_EQ(take(MMU_LATENCY_FAULT, false)->count, 3);
	world_close(&w);
}

/* ---- what is measured ------------------------------------------------------------- */

static void page_takes_long(void)
{
	atomic_fetch_add(&ticks, 10000);
}

/* A page that took long is in the fault's time, and not in the lock's. */
static void test_faults(void)
{
	open_world(CHUNK);
	world_read(&w, 1, 0);
	reset_all();
	for (gfn_t gfn = 10; gfn < 30; gfn++)
		world_read(&w, gfn, 0);
	CHECK_EQ(take(MMU_LATENCY_FAULT, false)->count, 20);
	CHECK_EQ(lat.worst[0].op, MMU_OP_FAULT);
	CHECK(lat.max < 20);
	/* One in sixteen. */
	CHECK_EQ(take(MMU_LATENCY_READ_HOLD, false)->count, 1);
	CHECK_EQ(take(MMU_LATENCY_READ_WAIT, false)->count, 0);
	hosted_hooks.page_alloc_done = page_takes_long;
	for (gfn_t gfn = 77; gfn < 77 + 32; gfn++)
		world_read(&w, gfn, 0);
	hosted_hooks.page_alloc_done = NULL;
	CHECK(take(MMU_LATENCY_FAULT, false)->worst[0].gfn - 77 < 32);
	CHECK(lat.max >= 10000);
	CHECK_EQ(take(MMU_LATENCY_READ_HOLD, false)->count, 3);
	CHECK(lat.max < 20);
	world_close(&w);
}

static void others_run(void)
{
	atomic_fetch_add(&ticks, 100000);
}

/* A yield ends the hold: what others do meanwhile is nobody's hold. */
static void test_holds(void)
{
	open_world(4 * CHUNK);
	for (gfn_t gfn = 0; gfn < 4 * CHUNK; gfn++)
		world_read(&w, gfn, 0);
	reset_all();
	take(MMU_LATENCY_WRITE_HOLD, true);
	uint64_t yields = world_stats(&w).zap_yield;

	hosted_hooks.need_resched = true;
	hosted_hooks.resched = others_run;
	CHECK_EQ(mmu_unmap(w.vm, 0, 4 * CHUNK, MMU_MAY_BLOCK), 0);
	hosted_hooks.need_resched = false;
	hosted_hooks.resched = NULL;
	yields = world_stats(&w).zap_yield - yields;
	CHECK(yields > 10);
	/* Each stretch and, of the reset itself, one. */
	CHECK_EQ(take(MMU_LATENCY_WRITE_HOLD, false)->count, yields + 2);
	CHECK(lat.max < 100000);
	CHECK_EQ(lat.worst[1].op, MMU_OP_UNMAP);
	CHECK_EQ(lat.worst[1].npages, 4 * CHUNK);
	CHECK(take(MMU_LATENCY_YIELD, false)->count >= yields);
	CHECK_EQ(lat.worst[0].op, MMU_OP_UNMAP);
	CHECK(lat.max < 100000);
	/* Who may not let go does not look. */
	reset_all();
	CHECK_EQ(mmu_unmap(w.vm, 0, CHUNK, 0), 0);
	CHECK_EQ(take(MMU_LATENCY_YIELD, false)->count, 0);
	world_close(&w);
}

static _Atomic bool was_kicked;

static void kicked(struct mmu_vcpu *vcpu)
{
	atomic_store(&was_kicked, true);
}

static void *leaves(void *arg)
{
	while (!atomic_load(&was_kicked))
		sched_yield();
	/* Somebody waits for us: the clock goes on with every turn of it. */
	uint64_t seen = atomic_load(&ticks);

	while (atomic_load(&ticks) < seen + 100)
		sched_yield();
	mmu_vcpu_exit(&w.cpu[2].mmu);
	return NULL;
}

static void test_shootdown(void)
{
	pthread_t thread;

	open_world(CHUNK);
	world_read(&w, 1, 0);
	fake_cpu_exit(&w.cpu[0]);
	reset_all();
	CHECK_EQ(mmu_unmap(w.vm, 1, 1, 0), 0);
	CHECK_EQ(take(MMU_LATENCY_SHOOTDOWN, false)->count, 0);
	world_read(&w, 1, 0);
	fake_cpu_exit(&w.cpu[0]);
	CHECK(mmu_vcpu_load_root(&w.cpu[2].mmu) != HPA_INVALID);
	CHECK(mmu_vcpu_enter(&w.cpu[2].mmu) != MMU_ENTER_RELOAD);
	hosted_hooks.kick = kicked;
	pthread_create(&thread, NULL, leaves, NULL);
	CHECK_EQ(mmu_unmap(w.vm, 1, 1, 0), 0);
	pthread_join(thread, NULL);
	CHECK_EQ(take(MMU_LATENCY_SHOOTDOWN, false)->count, 1);
	CHECK(lat.max >= 90);
	CHECK_EQ(lat.worst[0].op, MMU_OP_UNMAP);
	CHECK_EQ(lat.worst[0].gfn, 1);
	CHECK_EQ(lat.worst[0].with, MMU_OP_GUEST);
	CHECK_EQ(lat.worst[0].with_gfn, 2);
	world_close(&w);
}

/* ---- collisions --------------------------------------------------------------------- */

static void *faults_at_5(void *arg)
{
	struct page_fault pf = { .gpa = 5 * PAGE_SIZE, .access = ACC_R };

	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_FIXED);
	return NULL;
}

static void *unmaps_at_8(void *arg)
{
	CHECK_EQ(mmu_unmap(w.vm, 8, 2, 0), 0);
	return NULL;
}

/* So often do they look at the clock until they wait: nobody else does meanwhile. */
#define LOOKS_FAULT 2u
#define LOOKS_UNMAP 1u

static void until_waited_for(uint64_t since, unsigned looks)
{
	while (!rwlock_needbreak(&w.vm->mmu_lock) || atomic_load(&ticks) < since + looks)
		sched_yield();
	/* Time passes while they wait. */
	atomic_fetch_add(&ticks, 100);
}

static void check_wait(enum mmu_latency_kind kind, enum mmu_op op, gfn_t gfn, enum mmu_op with,
		       gfn_t with_gfn)
{
	CHECK_EQ(take(kind, true)->count, 1);
	CHECK(lat.max >= 100);
	CHECK_EQ(lat.worst[0].op, op);
	CHECK_EQ(lat.worst[0].gfn, gfn);
	CHECK_EQ(lat.worst[0].with, with);
	CHECK_EQ(lat.worst[0].with_gfn, with_gfn);
}

static void open_collision(void)
{
	open_world(CHUNK);
	CHECK(mmu_vcpu_load_root(&w.cpu[0].mmu) != HPA_INVALID);
	reset_all();
}

NO_THREAD_SAFETY_ANALYSIS
static void beside_writer(void *(*other)(void *), unsigned looks)
{
	pthread_t thread;

	mmu_write_lock(w.vm, MMU_OP_MIGRATE, 77, 3);
	uint64_t since = atomic_load(&ticks);

	pthread_create(&thread, NULL, other, NULL);
	until_waited_for(since, looks);
	/* It is who was in the way when the waiting began that counts. */
	mmu_lock_about(w.vm, 78, 3);
	mmu_write_unlock(w.vm);
	pthread_join(thread, NULL);
}

static void test_fault_waits(void)
{
	open_collision();
	beside_writer(faults_at_5, LOOKS_FAULT);
	check_wait(MMU_LATENCY_READ_WAIT, MMU_OP_FAULT, 5, MMU_OP_MIGRATE, 77);
	check_wait(MMU_LATENCY_FAULT, MMU_OP_FAULT, 5, MMU_OP_MIGRATE, 77);
	world_close(&w);
}

static void test_writer_waits_for_writer(void)
{
	open_collision();
	beside_writer(unmaps_at_8, LOOKS_UNMAP);
	check_wait(MMU_LATENCY_WRITE_WAIT, MMU_OP_UNMAP, 8, MMU_OP_MIGRATE, 77);
	CHECK_EQ(take(MMU_LATENCY_READ_WAIT, false)->count, 0);
	world_close(&w);
}

/* NULL: a vCPU's fault. */
NO_THREAD_SAFETY_ANALYSIS
static void beside_reader(struct mmu_reading *r, bool queue)
{
	uint64_t who = who_make(MMU_OP_FAULT, 3), measured = 0;
	struct mmu_vcpu *vcpu = &w.cpu[1].mmu;
	pthread_t writer, reader;

	if (r)
		mmu_read_lock(w.vm, r);
	else
		measured = mmu_fault_lock(vcpu, who);
	uint64_t since = atomic_load(&ticks);

	pthread_create(&writer, NULL, unmaps_at_8, NULL);
	/* It has said that it comes, and stands in front of us. */
	while (!(atomic_load(&w.vm->mmu_lock.state) & 2))
		sched_yield();
	if (queue)
		pthread_create(&reader, NULL, faults_at_5, NULL);
	while (queue && (atomic_load(&w.vm->mmu_lock.state) >> 8) ==
				(atomic_load(&w.vm->mmu_lock.left) >> 8) + 1)
		sched_yield();
	until_waited_for(since, LOOKS_UNMAP + (queue ? LOOKS_FAULT : 0));
	if (r)
		mmu_read_unlock(w.vm, r);
	else
		mmu_fault_unlock(vcpu, who, measured);
	pthread_join(writer, NULL);
	if (queue)
		pthread_join(reader, NULL);
}

static void test_writer_waits_for_readers(void)
{
	struct mmu_reading copy = MMU_READING(COPY, 9, 1);

	open_collision();
	beside_reader(&copy, false);
	check_wait(MMU_LATENCY_WRITE_WAIT, MMU_OP_UNMAP, 8, MMU_OP_COPY, 9);
	/* A vCPU's fault does not say its name. */
	beside_reader(NULL, false);
	check_wait(MMU_LATENCY_WRITE_WAIT, MMU_OP_UNMAP, 8, MMU_OP_FAULT, 0);
	world_close(&w);
}

/* Often: the host may let the reader look only when the writer is there already, which has its name too. */
#define TURNS 8u

/* A reader waits because a writer waits: that one is named. */
static void test_fault_waits_behind_waiter(void)
{
	for (unsigned i = 0; i < TURNS; i++) {
		struct mmu_reading copy = MMU_READING(COPY, 9, 1);

		open_collision();
		beside_reader(&copy, true);
		check_wait(MMU_LATENCY_READ_WAIT, MMU_OP_FAULT, 5, MMU_OP_UNMAP, 8);
		world_close(&w);
	}
}

/* ---- all at once ----------------------------------------------------------------------- */

#define ROUNDS 2000u

static void *faults(void *arg)
{
	struct fake_cpu *cpu = arg;
	uint64_t value;

	for (unsigned i = 0; i < ROUNDS; i++)
		(void)fake_cpu_touch(cpu, (i * 7 % CHUNK) * PAGE_SIZE, ACC_R, &value);
	fake_cpu_exit(cpu);
	return NULL;
}

/* Whatever is read in between, in the end everything was read once. */
static void test_threads(void)
{
	pthread_t thread[WORLD_CPUS];
	uint64_t count = 0;

	open_world(CHUNK);
	hosted_hooks.clock = NULL;
	for (unsigned i = 0; i < WORLD_CPUS; i++)
		pthread_create(&thread[i], NULL, faults, &w.cpu[i]);
	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		CHECK_EQ(mmu_unmap(w.vm, i % CHUNK, 1, MMU_MAY_BLOCK), 0);
		(void)take(MMU_LATENCY_WRITE_WAIT, i % 8 == 0);
		CHECK_EQ(mmu_latency_read(w.vm, MMU_LATENCY_FAULT, false, &lat), 0);
	}
	for (unsigned i = 0; i < WORLD_CPUS; i++)
		pthread_join(thread[i], NULL);
	count = take(MMU_LATENCY_FAULT, false)->count;
	CHECK_EQ(count, world_stats(&w).pf_taken);
	CHECK(take(MMU_LATENCY_READ_HOLD, false)->count >= world_stats(&w).pf_fixed / 16);
	world_close(&w);
}

static const struct ktap_test tests[] = {
	KTAP(test_buckets),
	KTAP(test_worst),
	KTAP(test_reset),
	KTAP(test_vcpu_gone),
	KTAP(test_faults),
	KTAP(test_holds),
	KTAP(test_shootdown),
	KTAP(test_fault_waits),
	KTAP(test_writer_waits_for_writer),
	KTAP(test_writer_waits_for_readers),
	KTAP(test_fault_waits_behind_waiter),
	KTAP(test_threads),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
