/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Local APIC timers of several processors at once: none fires early, none is lost, none comes to
 * another; sleep ends by timer and by IPI.  Judged by counts.  rounds=N: how often.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/x86.h"

#define VEC 0x51
#define VEC_IPI 0x61
#define COUNT 300000u /* of the TSC, under Phyllo */

static uint32_t rounds;
static struct barrier everybody;

static void on_all(void (*fn)(void *arg))
{
	barrier_init(&everybody, smp_count);
	smp_run_on_all(fn, NULL);
	cpu_apic_begin();
}

static void begin(void)
{
	cpu_apic_begin();
	barrier_wait(&everybody);
}

/* Starts a one-shot and checks that it has not fired early, when it has. */
static void one_shot(uint32_t count, unsigned vector, bool asleep)
{
	struct cpu *c = this_cpu();
	struct spin s = { .what = "a timer" };
	unsigned before = c->irq.count;
	uint64_t start = rdtsc();

	cli();
	apic_timer(vector, APIC_DIVIDE_BY_1, count);
	while (c->irq.count == before) {
		if (asleep) {
			sti_hlt();
			continue;
		}
		sti();
		spin_wait(&s);
		cli();
	}
	if (phyllo_present())
		CPU_CHECK(rdtsc() - start >= count);
	CPU_CHECK_EQ(apic_read(APIC_TIMER_CURRENT), 0);
}

static void one_shots(void *arg)
{
	struct cpu *c = this_cpu();

	begin();
	for (unsigned i = 0; i < rounds; i++)
		one_shot(1000 + cpu_random_below(COUNT), VEC + c->id, *(bool *)arg);
	barrier_wait(&everybody);
	CPU_CHECK_EQ(c->irq.count, rounds);
	CPU_CHECK_EQ(c->irq.of_vector[VEC + c->id], rounds);
}

static void test_one_shot(void)
{
	bool asleep = false;

	barrier_init(&everybody, smp_count);
	smp_run_on_all(one_shots, &asleep);
}

static void test_one_shot_asleep(void)
{
	bool asleep = true;

	barrier_init(&everybody, smp_count);
	smp_run_on_all(one_shots, &asleep);
}

/*
 * Periods that passed while the vCPU had no CPU end in one interrupt, so the count is bounded by the
 * time from above only; and it must get on.
 */
static void periodic(void *arg)
{
	struct cpu *c = this_cpu();
	uint64_t start, passed;

	begin();
	start = rdtsc();
	apic_timer(VEC | APIC_PERIODIC, APIC_DIVIDE_BY_1, COUNT);
	sti();
	cpu_irq_wait(rounds);
	cli();
	apic_write(APIC_TIMER_INITIAL, 0);
	passed = rdtsc() - start;
	if (phyllo_present())
		CPU_CHECK(c->irq.count <= passed / COUNT + 1);
	sti();
	unsigned count = c->irq.count;

	irq_spend(3 * COUNT);
	cli();
	CPU_CHECK_EQ(c->irq.count, count);
	barrier_wait(&everybody);
}

static void test_periodic(void)
{
	on_all(periodic);
}

/* Asleep all the time, with different periods: nobody's ticks end another's sleep. */
static void periodic_asleep(void *arg)
{
	struct cpu *c = this_cpu();
	unsigned wakes = 0, n = rounds / 2 + 1;

	begin();
	apic_timer(VEC | APIC_PERIODIC, APIC_DIVIDE_BY_1, COUNT + c->id * 7919);
	while (c->irq.count < n) {
		sti_hlt();
		wakes++;
	}
	apic_write(APIC_TIMER_INITIAL, 0);
	CPU_CHECK(wakes <= c->irq.count);
	CPU_CHECK_EQ(c->irq.of_vector[VEC], c->irq.count);
	barrier_wait(&everybody);
}

static void test_periodic_asleep(void)
{
	on_all(periodic_asleep);
}

/* Number 0 wakes the others, who sleep with nothing else to wake them. */
static void woken_by_ipi(void *arg)
{
	struct cpu *c = this_cpu();

	begin();
	for (unsigned i = 1; i <= rounds; i++) {
		if (c->id == 0)
			apic_send(APIC_TO_OTHERS | VEC_IPI);
		while (c->id && c->irq.count < i)
			sti_hlt();
		barrier_wait(&everybody);
	}
	CPU_CHECK_EQ(c->irq.count, c->id ? rounds : 0);
}

static void test_woken_by_ipi(void)
{
	on_all(woken_by_ipi);
}

/* Timers and IPIs at once, half of the time asleep; every IPI counts, every one-shot comes. */
static void mixture(void *arg)
{
	struct cpu *c = this_cpu();
	unsigned next = (c->id + 1) % smp_count;

	begin();
	for (unsigned i = 1; i <= rounds; i++) {
		unsigned before = c->irq.of_vector[VEC];

		apic_timer(VEC, APIC_DIVIDE_BY_1, 500 + cpu_random_below(COUNT / 4));
		apic_send_to(next, VEC_IPI);
		while (c->irq.of_vector[VEC] == before || c->irq.of_vector[VEC_IPI] < i)
			sti_hlt();
		barrier_wait(&everybody);
	}
	CPU_CHECK_EQ(c->irq.of_vector[VEC], rounds);
	CPU_CHECK_EQ(c->irq.of_vector[VEC_IPI], rounds);
	CPU_CHECK_EQ(c->irq.count, 2 * rounds);
}

static void test_mixture(void)
{
	on_all(mixture);
}

/* A processor that waits without ever giving way must not keep the others from their ticks. */
static void beside_spinners(void *arg)
{
	struct cpu *c = this_cpu();
	struct spin s = { .what = "the ticks of number 0", .stubborn = true };
	static _Atomic unsigned done;

	if (c->id == 0)
		atomic_store(&done, 0);
	begin();
	if (c->id == 0) {
		apic_timer(VEC | APIC_PERIODIC, APIC_DIVIDE_BY_1, COUNT);
		while (c->irq.count < rounds / 4 + 1)
			sti_hlt();
		apic_write(APIC_TIMER_INITIAL, 0);
		atomic_store(&done, 1);
	}
	while (!atomic_load(&done))
		spin_wait(&s);
	barrier_wait(&everybody);
	CPU_CHECK_EQ(c->irq.count != 0, c->id == 0);
}

static void test_beside_spinners(void)
{
	on_all(beside_spinners);
}

static const struct ktap_test tests[] = {
	KTAP(test_one_shot), KTAP(test_one_shot_asleep), KTAP(test_periodic),
	KTAP(test_periodic_asleep), KTAP(test_woken_by_ipi), KTAP(test_mixture),
	KTAP(test_beside_spinners),
};

int guest_main(void)
{
	rounds = info_number_or("rounds", 100);
	smp_init();
	smp_start_all();
	printf("# %u processors, %u rounds\n", smp_count, rounds);
	return KTAP_MAIN(tests);
}
