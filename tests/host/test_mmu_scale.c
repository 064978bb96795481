/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processors that all fault, each in memory of its own: what they are in each other's way.  Besides what is
 * checked there are `bench:` lines, for `make bench`, which builds this without sanitizers.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "fake_cpu.h"
#include "hosted.h"
#include "ktap.h"
#include "mm/port.h"

#define CPUS_MAX 8
#define ARENA_BYTES (192ul << 20)
#define PAGES 4096ul /* of each */
#define ROUNDS 10
/* Nobody changes anything, so nobody waits; but who is interrupted within the lock may be in the way of one. */
#define WAITS_SPARED 1000
/* The tables that they share: each may be lost to another once a round by all but one. */
#define SHARED_TABLES 3

static struct mmu_vm *vm;
static struct fake_cpu cpu[CPUS_MAX];
static pthread_barrier_t start_line;

static struct mmu_config config(void)
{
	return (struct mmu_config){
		.name = "scale", .format = MMU_FORMAT_NPT, .root_level = 4,
		.max_leaf_level = PG_LEVEL_4K, .fault_around = 1, .hw_ad = true, .maxphyaddr = 46,
	};
}

static void *processor(void *arg)
{
	struct fake_cpu *c = arg;
	gfn_t first = (c - cpu) * PAGES;

	pthread_barrier_wait(&start_line);
	for (gfn_t gfn = first; gfn < first + PAGES; gfn++) {
		uint64_t value = gfn;

		if (fake_cpu_touch(c, gfn * PAGE_SIZE, ACC_W, &value) != MMU_PF_FIXED)
			port_bug(__FILE__, __LINE__, "a page was not mapped");
	}
	return NULL;
}

static void one_round(unsigned n)
{
	pthread_t thread[CPUS_MAX];

	pthread_barrier_init(&start_line, NULL, n);
	for (unsigned i = 0; i < n; i++)
		pthread_create(&thread[i], NULL, processor, &cpu[i]);
	for (unsigned i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&start_line);
	CHECK_EQ(mmu_unmap(vm, 0, n * PAGES, MMU_MAY_BLOCK), 0);
}

static void say(const char *name, unsigned n, uint64_t events, uint64_t faults)
{
	uint64_t v = events * 1000000 / faults;

	printf("bench: scale.%s.%u per-million-faults value=%lu min=%lu max=%lu mean=%lu n=%lu\n",
	       name, n, v, v, v, v, faults);
}

static void report(unsigned n)
{
	struct mmu_audit_report audit;
	struct mmu_latency waits;
	struct mmu_stats stats;
	uint64_t faults = ROUNDS * n * PAGES;

	mmu_stats_read(vm, &stats);
	CHECK_EQ(mmu_latency_read(vm, MMU_LATENCY_READ_WAIT, false, &waits), 0);
	CHECK_EQ(stats.pf_fixed, faults);
	CHECK(waits.count * WAITS_SPARED <= faults);
	CHECK(stats.cmpxchg_fail <= (uint64_t)ROUNDS * SHARED_TABLES * (n - 1));
	CHECK_EQ(mmu_audit(vm, &audit), 0);
	say("lost", n, stats.cmpxchg_fail, faults);
	say("waits", n, waits.count, faults);
}

static void run(unsigned n)
{
	struct mmu_config cfg = config();
	struct mmu_slot_desc slot = { .npages = n * PAGES };

	hosted_reset(ARENA_BYTES);
	vm = mmu_vm_create(&cfg);
	for (unsigned i = 0; i < n; i++)
		fake_cpu_init(&cpu[i], vm, &cfg, i);
	CHECK_EQ(mmu_slot_create(vm, &slot), 0);
	for (unsigned i = 0; i < ROUNDS; i++)
		one_round(n);
	report(n);
	for (unsigned i = 0; i < n; i++)
		fake_cpu_destroy(&cpu[i]);
	mmu_vm_destroy(vm);
	CHECK_EQ(hosted_pages_used(), 0);
	CHECK_EQ(hosted_objects_used(), 0);
}

static void test_one(void)
{
	run(1);
}

static void test_two(void)
{
	run(2);
}

static void test_four(void)
{
	run(4);
}

static void test_eight(void)
{
	run(CPUS_MAX);
}

static const struct ktap_test tests[] = {
	KTAP(test_one),
	KTAP(test_two),
	KTAP(test_four),
	KTAP(test_eight),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
