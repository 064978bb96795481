/* SPDX-License-Identifier: GPL-2.0-only */
/* Timers, on CPUs in virtual time (fake_cpus.h). */
#include "host/timer.h"

#include "host/machine.h"
#include "host/thread.h"
#include "tests/host/fake_cpus.h"
#include "tests/host/fake_machine.h"
#include "tests/host/ktap.h"

static struct timer timers[50];
static uint64_t rang_at[50];
static unsigned rings;

static void ring(void *arg)
{
	uint64_t *at = arg;

	EXPECT(!machine_irqs_enabled());
	*at = machine_cycles();
	rings++;
}

/* The earliest is not the first that is set. */
static unsigned ring_ms(unsigned i)
{
	return 1 + (i * 37 + 21) % 50;
}

static void timer_order(void)
{
	uint64_t begin;

	fake_cpus_start(1);
	begin = machine_cycles();
	for (unsigned i = 0; i < 50; i++) {
		timer_init(&timers[i], ring, &rang_at[i]);
		timer_set(&timers[i], begin + ring_ms(i) * FAKE_MS);
	}
	/* Some twice, some not at all. */
	timer_set(&timers[10], begin + 7 * FAKE_MS);
	timer_cancel(&timers[11]);
	timer_cancel(&timers[11]);
	fake_burn(60 * FAKE_MS);
	EXPECT(rings == 49);
	for (unsigned i = 0; i < 50; i++) {
		uint64_t at = begin + (i == 10 ? 7 : ring_ms(i)) * FAKE_MS;

		if (i == 11)
			EXPECT(!rang_at[i]);
		else
			EXPECT(rang_at[i] >= at && rang_at[i] < at + FAKE_MS / 10);
	}
}

static void test_timer_order(void)
{
	CHECK(fake_child(timer_order));
}

static unsigned periods;

static void again(void *arg)
{
	if (++periods < 10)
		timer_set(arg, machine_cycles() + FAKE_MS);
}

static void timer_periodic(void)
{
	fake_cpus_start(1);
	timer_init(&timers[0], again, &timers[0]);
	timer_set(&timers[0], 0); /* at once */
	fake_burn(FAKE_MS / 2);
	EXPECT(periods == 1);
	fake_burn(20 * FAKE_MS);
	EXPECT(periods == 10);
}

static void test_timer_periodic(void)
{
	CHECK(fake_child(timer_periodic));
}

static bool is_set;

static void set_there(void *arg)
{
	timer_set(&timers[0], machine_cycles() + 5 * FAKE_MS);
	timer_set(&timers[1], machine_cycles() + 5 * FAKE_MS);
	is_set = true;
}

/* Set on one CPU, cancelled and set again on another. */
static void timer_elsewhere(void)
{
	struct cpu_set there = { { 2 } };
	struct thread *t;
	uint64_t begin;

	fake_cpus_start(2);
	begin = machine_cycles();
	for (unsigned i = 0; i < 2; i++)
		timer_init(&timers[i], ring, &rang_at[i]);
	t = thread_create("there", set_there, NULL, &there);
	thread_start(t);
	thread_join(t);
	EXPECT(is_set);
	timer_cancel(&timers[0]);
	timer_set(&timers[1], begin + 10 * FAKE_MS);
	fake_burn(9 * FAKE_MS);
	EXPECT(rings == 0);
	fake_burn(2 * FAKE_MS);
	EXPECT(rings == 1 && rang_at[1] >= begin + 10 * FAKE_MS);
}

static void test_timer_elsewhere(void)
{
	CHECK(fake_child(timer_elsewhere));
}

static const struct ktap_test tests[] = {
	KTAP(test_timer_order),
	KTAP(test_timer_periodic),
	KTAP(test_timer_elsewhere),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
