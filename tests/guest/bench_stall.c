/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long a processor waits in a fault while another runs an operation over a slot of mib=N MiB (1024), mapped by 4K
 * pages.  `make bench` runs it with two vCPUs on one CPU: the one sleeps for a millisecond, touches a page
 * that is not mapped, and again; what its longest turn took beyond the sleep is the figure.
 */
#include "tests/guest/lib/bench.h"

#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/x86.h"

#define ID 3ul
#define PLACE 0x80000000ul /* above all RAM of this kernel */
#define NAP 1000000u       /* of the TSC, which the timer counts in */
#define TIMER_VECTOR 0x51
#define OTHER_CPU 1u
#define ELSEWHERE_BYTES (64ul << 20)
#define WINDOW (64 * PAGE_SIZE) /* more than one fault maps */

static struct bench b;
static uint64_t bytes, pages;
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

/* The turns go over the memory and wrap: until then no page is touched twice. */
static void suffer(void *arg)
{
	uint64_t at = 0, last, now;

	cpu_apic_begin();
	for (last = rdtsc(); !victim.stop && bench_wants(&b); last = now) {
		nap();
		*(volatile uint64_t *)(victim.base + at) = at;
		at = (at + WINDOW) % victim.bytes;
		now = rdtsc();
		bench_add(&b, now - last > NAP ? now - last - NAP : 0);
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
	measure_elsewhere("stall.unmap.tdp", op_unmap, 0);
}

static void test_protect(void)
{
	measure_elsewhere("stall.protect", op_protect, 0);
	CHECK_EQ(protect(PLACE, bytes, PHYLLO_PROTECT_RW | PHYLLO_MAY_BLOCK), 0);
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
	KTAP(test_get_log),
	KTAP(test_slot),
};

int guest_main(void)
{
	uint32_t mib = 1024;

	info_number("mib", &mib);
	bytes = (uint64_t)mib << 20;
	pages = bytes / PAGE_SIZE;
	smp_init();
	if (smp_count < 2)
		guest_die("this kernel needs two processors");
	smp_start_all();
	b = bench_new(100000);
	bitmap = (uint64_t *)ram_take(pages / 8, PAGE_SIZE);
	elsewhere = ram_take(ELSEWHERE_BYTES, SIZE_2M);
	if (!bitmap || !elsewhere || slot_create(ID, PLACE, bytes, 0))
		guest_die("no slot of %u MiB", mib);
	return KTAP_MAIN(tests);
}
