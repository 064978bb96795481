/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bad neighbour: all its processors do one thing as fast as they can, for some windows of time.
 *
 * how=hypercall|ipi|mmio|fault|zap|spin: what.  skip=N: sleep for so many whole windows first,
 * windows=N: how many then, mcycles=N: length of one.
 * how=hog: touches memory until it is stopped.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/windows.h"
#include "tests/guest/lib/x86.h"

#define VEC 0x52

static uint64_t base, bytes, until;

static void do_hypercall(void)
{
	hypercall(PHYLLO_HC_VERSION, 0, 0, 0, 0);
}

static void do_ipi(void)
{
	apic_send(APIC_TO_ALL | VEC);
	sti();
	cli();
}

static void do_mmio(void)
{
	apic_read(APIC_ID);
	apic_write(APIC_TPR, 0);
}

static void do_fault(void)
{
	uint64_t gpa = base + cpu_random_below(bytes / PAGE_SIZE) * PAGE_SIZE;

	hypercall(PHYLLO_HC_UNMAP, gpa, PAGE_SIZE, 0, 0);
	*(volatile uint64_t *)gpa = gpa;
}

/* The whole memory, mapped and taken away again; number 0 takes, the others map. */
static void do_zap(void)
{
	static unsigned n;

	if (this_cpu()->id || smp_count == 1)
		for (uint64_t o = 0; o < bytes; o += PAGE_SIZE * 4)
			*(volatile uint64_t *)(base + o) = o;
	if (this_cpu()->id)
		return;
	switch (n++ % 3) {
	case 0:
		hypercall(PHYLLO_HC_UNMAP, base, bytes, PHYLLO_MAY_BLOCK, 0);
		break;
	case 1:
		zap_all();
		break;
	default:
		protect(base, bytes, PHYLLO_PROTECT_RO | PHYLLO_MAY_BLOCK);
		protect(base, bytes, PHYLLO_PROTECT_RW | PHYLLO_MAY_BLOCK);
	}
}

static void do_spin(void)
{
	for (unsigned i = 0; i < 100000; i++)
		__asm__ volatile("");
}

static void make_noise(void *arg)
{
	void (*const *fn)(void) = arg;

	cpu_ve_start();
	while (window_now() < until) {
		(*fn)();
		atomic_fetch_add(&this_cpu()->progress, 1);
	}
}

static const struct {
	const char *name;
	void (*fn)(void);
} kinds[] = {
	{ "hypercall", do_hypercall }, { "ipi", do_ipi }, { "mmio", do_mmio },
	{ "fault", do_fault },         { "zap", do_zap }, { "spin", do_spin },
};

static void test_noise(void)
{
	uint64_t first = window_now() + 1 + info_number_or("skip", 0), sum = 0;
	unsigned kind = 0;

	while (kind < ARRAY_SIZE(kinds) && !info_option_is("how", kinds[kind].name))
		kind++;
	if (kind == ARRAY_SIZE(kinds))
		guest_die("how=: unknown, or none");
	until = first + info_number_or("windows", 2);
	window_sleep(first);
	smp_run_on_all(make_noise, (void *)&kinds[kind].fn);
	for (unsigned i = 0; i < smp_count; i++)
		sum += smp_cpu[i]->progress;
	printf("# windows %llu to %llu: %llu times\n", (unsigned long long)first,
	       (unsigned long long)until - 1, (unsigned long long)sum);
	CHECK(sum > 0);
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = { KTAP(test_noise) };

static void hog_range(uint64_t start, uint64_t size)
{
	for (uint64_t o = 0; o < size && start + o < 0x100000000ull; o += PAGE_SIZE)
		*(volatile uint64_t *)(start + o) = ~0ull;
}

static void hog(void)
{
	printf("KTAP version 1\n1..1\n# to be stopped: more memory than it may have\n");
	ram_for_each(hog_range);
	printf("not ok 1 it got all of it\n");
	guest_exit(1);
}

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	if (info_option_is("how", "hog"))
		hog();
	smp_init();
	smp_start_all();
	bytes = (uint64_t)info_number_or("mib", 16) << 20;
	base = ram_take(bytes, SIZE_2M);
	if (!base)
		guest_die("no memory");
	return KTAP_MAIN(tests);
}
