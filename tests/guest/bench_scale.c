/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a fault costs while all processors fault, each in mib=N MiB (16) of its own.  Under icount the clock counts
 * the instructions of all CPUs together, so what one waits for another shows as instructions of its own.
 */
#include "tests/guest/lib/bench.h"

#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/x86.h"

#define ROUNDS 3

static uint64_t base, bytes; /* of each */
static struct barrier start_line, end_line;
static _Atomic uint64_t started, ended;

static void touch_mine(void)
{
	uint64_t from = base + this_cpu()->id * bytes;

	for (uint64_t at = from; at < from + bytes; at += PAGE_SIZE)
		*(volatile uint64_t *)at = at;
}

/* From the first who begins to the last who is done. */
static void race(void *arg)
{
	barrier_wait(&start_line);
	uint64_t none = 0;

	atomic_compare_exchange_strong(&started, &none, rdtsc());
	touch_mine();
	ended = rdtsc();
	barrier_wait(&end_line);
}

static void test_faults(void)
{
	struct bench b = bench_new(ROUNDS);
	unsigned long long faults, lost = stat_read("cmpxchg_fail");

	smp_run_on_all(race, NULL); /* the pages come from the host */
	while (bench_wants(&b)) {
		CHECK_EQ(unmap(base, smp_count * bytes), 0);
		faults = stat_read("pf_fixed");
		started = 0;
		smp_run_on_all(race, NULL);
		faults = stat_read("pf_fixed") - faults;
		CHECK_EQ(faults, smp_count * bytes / PAGE_SIZE);
		bench_add(&b, (ended - started) / faults);
	}
	bench_say(&b, "scale.fault", BENCH_MEDIAN);
	printf("# %u processors, %llu entries that another changed first\n", smp_count,
	       stat_read("cmpxchg_fail") - lost);
}

static const struct ktap_test tests[] = {
	KTAP(test_faults),
};

int guest_main(void)
{
	bytes = (uint64_t)info_number_or("mib", 16) << 20;
	smp_init();
	smp_start_all();
	barrier_init(&start_line, smp_count);
	barrier_init(&end_line, smp_count);
	base = ram_take(smp_count * bytes, SIZE_2M);
	if (!base)
		guest_die("no memory for %u processors", smp_count);
	return KTAP_MAIN(tests);
}
