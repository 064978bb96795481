/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long a processor waits in a fault while another runs an operation over a slot of mib=N MiB (1024), mapped by 4K
 * pages.  `make bench` runs it in two ways:
 *
 * how=sleep, two vCPUs on one CPU, under icount: the one sleeps for a millisecond, touches a page that is not
 * mapped, and again; what its longest turn took beyond the sleep is the figure.
 *
 * how=spin, two vCPUs on two CPUs: the one touches such a page ten times in a millisecond; the longest touch is the
 * figure, in microseconds.
 */
#include "tests/guest/lib/bench.h"

#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/x86.h"

#define ID 3ul
#define PLACE 0x80000000ul /* above all RAM of this kernel */
#define NAP 1000000u       /* of the TSC, which the timer counts in */
#define TIMER_VECTOR 0x51
#define OTHER_CPU 1u
#define ELSEWHERE_BYTES (256ul << 20)
#define SLEEP_STEP (64 * PAGE_SIZE) /* more than one fault maps */
#define SPIN_US 100

static struct bench b;
static uint64_t bytes, pages;
static bool spins;
static uint64_t ticks_per_us, step;
static uint64_t *bitmap;

/* What the other processor faults on. */
static struct {
	uint64_t base, bytes;
	_Atomic bool stop;
	_Atomic unsigned turns;
} victim;
static uint64_t elsewhere;

static void touch_all(uint64_t base, uint64_t size)
{
	for (uint64_t at = base; at < base + size; at += PAGE_SIZE)
		*(volatile uint64_t *)at = at;
}

static void nap(void)
{
	struct cpu *c = this_cpu();
	unsigned before = c->irq.count;

	cli();
	apic_timer(TIMER_VECTOR, APIC_DIVIDE_BY_1, NAP);
	while (c->irq.count == before)
		sti_hlt();
}

static void touch_next(uint64_t *at)
{
	*(volatile uint64_t *)(victim.base + *at) = *at;
	*at = (*at + step) % victim.bytes;
}

static uint64_t sleep_turn(uint64_t *at)
{
	uint64_t start = rdtsc(), took;

	nap();
	touch_next(at);
	took = rdtsc() - start;
	return took > NAP ? took - NAP : 0;
}

static uint64_t spin_turn(uint64_t *at)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < SPIN_US * ticks_per_us)
		__asm__ volatile("pause");
	start = rdtsc();
	touch_next(at);
	return rdtsc() - start;
}

/* The turns go over the memory and wrap: until then no page is touched twice. */
static void suffer(void *arg)
{
	uint64_t at = 0;

	cpu_apic_begin();
	while (!victim.stop && bench_wants(&b)) {
		bench_add(&b, spins ? spin_turn(&at) : sleep_turn(&at));
		victim.turns++;
	}
}

/* Some turns before the operation begins, and some behind it. */
static void wait_turns(unsigned n)
{
	unsigned until = victim.turns + n;

	while (victim.turns < until)
		__asm__ volatile("pause");
}

static void measure(const char *name, long (*operation)(void), long want, uint64_t base,
		    uint64_t size)
{
	uint64_t start, ticks;
	long got;

	touch_all(PLACE, bytes);
	touch_all(elsewhere, ELSEWHERE_BYTES);
	CHECK_EQ(unmap(elsewhere, ELSEWHERE_BYTES), 0);
	victim.base = base;
	victim.bytes = size;
	victim.stop = false;
	smp_give(1ul << OTHER_CPU, suffer, NULL);
	wait_turns(3);
	start = rdtsc();
	got = operation();
	ticks = rdtsc() - start;
	wait_turns(3);
	victim.stop = true;
	smp_finish(1ul << OTHER_CPU);
	CHECK_EQ(got, want);
	printf("# %s: the operation took %lu ticks, %u turns\n", name, ticks, b.count);
	if (spins)
		bench_say_in(&b, name, BENCH_MAX, "microseconds", ticks_per_us);
	else
		bench_say(&b, name, BENCH_MAX);
}

static void measure_elsewhere(const char *name, long (*operation)(void), long want)
{
	measure(name, operation, want, elsewhere, ELSEWHERE_BYTES);
}

static long op_nothing(void)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < 100 * NAP)
		__asm__ volatile("pause");
	return 0;
}

static long op_unmap(void)
{
	return unmap(PLACE, bytes);
}

static long op_protect(void)
{
	return protect(PLACE, bytes, PHYLLO_PROTECT_RO | PHYLLO_MAY_BLOCK);
}

static long op_balloon(void)
{
	return hypercall(PHYLLO_HC_BALLOON_OUT, PLACE, bytes, PHYLLO_MAY_BLOCK, 0);
}

static long op_get_log(void)
{
	return dirty_get(ID, 0, pages, bitmap, PHYLLO_DIRTY_GET_CLEAR);
}

static long op_slot(void)
{
	return slot_delete(ID);
}

static void test_nothing(void)
{
	measure_elsewhere("stall.nothing", op_nothing, 0);
}

static void test_unmap(void)
{
	measure_elsewhere(bench_by_mode("stall.unmap"), op_unmap, 0);
}

static void test_protect(void)
{
	measure_elsewhere("stall.protect", op_protect, 0);
	CHECK_EQ(protect(PLACE, bytes, PHYLLO_PROTECT_RW | PHYLLO_MAY_BLOCK), 0);
}

/* The pages go as well. */
static void test_balloon(void)
{
	measure_elsewhere("stall.balloon", op_balloon, pages);
	CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_IN, PLACE, bytes, PHYLLO_MAY_BLOCK, 0), pages);
}

static void test_inrange(void)
{
	measure("stall.inrange", op_unmap, 0, PLACE, bytes);
}

static void test_get_log(void)
{
	touch_all(PLACE, bytes);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, ID, PHYLLO_DIRTY_STYLE_WRPROT, 0, 0), 0);
	measure_elsewhere("stall.getlog", op_get_log, pages);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_STOP, ID, 0, 0, 0), 0);
}

static void test_slot(void)
{
	measure_elsewhere("stall.slot", op_slot, 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_nothing),
	KTAP(test_unmap),
	KTAP(test_inrange),
	KTAP(test_protect),
	KTAP(test_balloon),
	KTAP(test_get_log),
	KTAP(test_slot),
};

int guest_main(void)
{
	uint32_t mib = 1024;
	struct phyllo_mmu_mode mode;

	info_number("mib", &mib);
	bytes = (uint64_t)mib << 20;
	pages = bytes / PAGE_SIZE;
	smp_init();
	if (smp_count < 2)
		guest_die("this kernel needs two processors");
	smp_start_all();
	spins = info_option_is("how", "spin");
	ticks_per_us = bench_ticks_per_us();
	mmu_mode(&mode);
	step = spins ? mode.fault_around * PAGE_SIZE : SLEEP_STEP;
	b = bench_new(100000);
	bitmap = (uint64_t *)ram_take(pages / 8, PAGE_SIZE);
	elsewhere = ram_take(ELSEWHERE_BYTES, SIZE_2M);
	if (!bitmap || !elsewhere || slot_create(ID, PLACE, bytes, 0))
		guest_die("no slot of %u MiB", mib);
	bench_map_small(PLACE, bytes);
	bench_map_small(elsewhere, ELSEWHERE_BYTES);
	return KTAP_MAIN(tests);
}
