/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypervisor's threads on CPUs in virtual time (fake_cpus.h): life, sleep, fairness,
 * affinity.  What happens between two instructions is the explorer's business.
 */
#include "host/thread.h"

#include <string.h>

#include "host/machine.h"
#include "host/object.h"
#include "host/sched.h"
#include "mm/errno.h"
#include "tests/host/fake_context.h"
#include "tests/host/fake_cpus.h"
#include "tests/host/fake_machine.h"
#include "tests/host/ktap.h"

static struct cpu_set one_cpu(unsigned cpu)
{
	struct cpu_set set = { { 0 } };

	set.bits[cpu / 64] = 1ul << cpu % 64;
	return set;
}

static struct thread *spawn(const char *name, void (*fn)(void *), void *arg)
{
	struct thread *t = thread_create(name, fn, arg, NULL);

	if (!t)
		panic("no memory for thread %s", name);
	thread_start(t);
	return t;
}

/* ---- life --------------------------------------------------------------------------- */

static void set_flag(void *arg)
{
	EXPECT(machine_irqs_enabled());
	*(bool *)arg = true;
}

static void life(void)
{
	bool ran = false;

	fake_cpus_start(1);
	struct thread *me = thread_current(), *t = thread_create("child", set_flag, &ran, NULL);

	EXPECT(!strcmp(thread_name(me), "main"));
	EXPECT(!strcmp(thread_name(t), "child"));
	thread_yield();
	EXPECT(!ran); /* it is not started */
	thread_start(t);
	EXPECT(!ran);
	thread_join(t);
	EXPECT(ran);
	EXPECT(thread_current() == me);
}

static void test_life(void)
{
	CHECK(fake_child(life));
}

/* Created and joined, each way round, memory is as it was. */
static void balance(void)
{
	struct object_stats before, after;
	unsigned count;

	fake_cpus_start(2);
	object_stats(&before);
	count = threads_list(NULL, 0, 0);
	for (unsigned i = 0; i < 10000; i++) {
		bool ran = false;
		struct thread *t = spawn("child", set_flag, &ran);

		if (i % 2)
			fake_sleep_ms(1); /* it has ended before it is joined */
		thread_join(t);
		EXPECT(ran);
	}
	object_stats(&after);
	EXPECT(before.live_objects == after.live_objects);
	EXPECT(before.live_bytes == after.live_bytes);
	EXPECT(before.pages == after.pages);
	EXPECT(fake_stacks_used() == 1); /* of CPU 0's idle thread */
	EXPECT(threads_list(NULL, 0, 0) == count);
}

static void test_balance(void)
{
	CHECK(fake_child(balance));
}

static void no_memory(void)
{
	struct object_stats before, after;
	struct cpu_set set = one_cpu(5);

	fake_cpus_start(2);
	object_stats(&before);
	fake_stacks_limit(0);
	EXPECT(!thread_create("child", set_flag, NULL, NULL));
	fake_stacks_limit(1);
	EXPECT(!thread_create("child", set_flag, NULL, &set)); /* there is no CPU 5 */
	object_stats(&after);
	EXPECT(before.live_objects == after.live_objects);
	EXPECT(fake_stacks_used() == 1);
}

static void test_no_memory(void)
{
	CHECK(fake_child(no_memory));
}

static void nothing(void *arg)
{
}

static void list(void)
{
	struct thread_info info[8];
	struct thread *t;

	fake_cpus_start(2);
	t = thread_create("a name that is much longer than what there is room for", nothing, NULL, NULL);
	EXPECT(threads_list(info, 0, 8) == 4); /* main, two idle ones, and this */
	EXPECT(!strcmp(info[0].name, "main") && !strcmp(info[0].state, "runs"));
	EXPECT(!strcmp(info[1].name, "idle") && !strcmp(info[1].state, "idle"));
	EXPECT(strlen(info[3].name) == THREAD_NAME_MAX - 1);
	EXPECT(threads_list(info, 3, 1) == 4);
	EXPECT(strlen(info[0].name) == THREAD_NAME_MAX - 1);
	thread_start(t);
	thread_join(t);
	t = spawn("other", nothing, NULL);
	EXPECT(threads_list(info, 3, 1) == 4);
	EXPECT(!strcmp(info[0].name, "other") && !strcmp(info[0].state, "ready"));
	thread_join(t);
	EXPECT(threads_list(info, 0, 8) == 3);
}

static void test_list(void)
{
	CHECK(fake_child(list));
}

/* ---- sleep ----------------------------------------------------------------------------- */

static unsigned turns[2], stage;
static struct thread *players[2];

static void player(void *arg)
{
	unsigned me = *(unsigned *)arg;

	for (unsigned i = 0; i < 1000; i++) {
		while (turns[me] <= i)
			thread_park();
		fake_burn(100 * (1 + (i + me) % 7));
		turns[!me]++;
		thread_unpark(players[!me]);
	}
}

static void ping_pong(unsigned cpus)
{
	static unsigned number[2] = { 0, 1 };

	fake_cpus_start(cpus);
	for (unsigned i = 0; i < 2; i++)
		players[i] = thread_create("player", player, &number[i], NULL);
	turns[0] = 1;
	thread_start(players[0]);
	thread_start(players[1]);
	for (unsigned i = 0; i < 2; i++)
		thread_join(players[i]);
	EXPECT(turns[0] == 1001 && turns[1] == 1000);
	/* 2000 turns of 100 to 700 cycles, and no tick that somebody waited for. */
	EXPECT(machine_cycles() < 20 * FAKE_MS);
}

static void ping_pong_1(void)
{
	ping_pong(1);
}

static void ping_pong_2(void)
{
	ping_pong(2);
}

static void test_ping_pong(void)
{
	CHECK(fake_child(ping_pong_1));
	CHECK(fake_child(ping_pong_2));
}

static void permits(void)
{
	uint64_t begin;

	fake_cpus_start(1);
	begin = machine_cycles();
	/* Two that came before count as one. */
	thread_unpark(thread_current());
	thread_unpark(thread_current());
	EXPECT(thread_park_until(begin + FAKE_MS));
	EXPECT(machine_cycles() == begin);
	EXPECT(!thread_park_until(begin + FAKE_MS));
	EXPECT(machine_cycles() == begin + FAKE_MS);
	/* A time that has passed, and nothing of it is left behind. */
	EXPECT(!thread_park_until(begin));
	EXPECT(!thread_park_until(begin + 2 * FAKE_MS));
	EXPECT(machine_cycles() == begin + 2 * FAKE_MS);
	thread_unpark(thread_current());
	thread_park();
	EXPECT(machine_cycles() == begin + 2 * FAKE_MS);
}

static void test_permits(void)
{
	CHECK(fake_child(permits));
}

static void parked_child(void *arg)
{
	stage = 1;
	thread_park();
	stage = 2;
	EXPECT(thread_park_until(machine_cycles() + 1000 * FAKE_MS));
	stage = 3;
}

static void unpark_before_start(void)
{
	struct thread *t;

	fake_cpus_start(1);
	t = thread_create("child", parked_child, NULL, NULL);
	thread_unpark(t); /* does not start it, and is not forgotten */
	fake_sleep_ms(20);
	EXPECT(stage == 0);
	thread_start(t);
	fake_sleep_ms(20);
	EXPECT(stage == 2);
	thread_unpark(t);
	thread_join(t);
	EXPECT(stage == 3);
	EXPECT(machine_cycles() < 100 * FAKE_MS);
}

static void test_unpark_before_start(void)
{
	CHECK(fake_child(unpark_before_start));
}

/* ---- the CPUs' time --------------------------------------------------------------------------- */

#define HOGS_MAX 12
static bool stop;
static struct thread *hogs[HOGS_MAX];

static void hog(void *arg)
{
	while (!stop)
		fake_work(FAKE_MS / 10);
}

static void start_hogs(unsigned n)
{
	stop = false;
	for (unsigned i = 0; i < n; i++)
		hogs[i] = spawn("hog", hog, NULL);
}

static void end_hogs(unsigned n)
{
	stop = true;
	for (unsigned i = 0; i < n; i++)
		thread_join(hogs[i]);
}

static unsigned hog_count, cpu_count;

/* Over 100 ms to a slice and a half, over 3 s to 3 %. */
static void fair(void)
{
	uint64_t ran[HOGS_MAX], early[HOGS_MAX], share;

	fake_cpus_start(cpu_count);
	start_hogs(hog_count);
	share = hog_count <= cpu_count ? 100 * FAKE_MS : 100 * FAKE_MS * cpu_count / hog_count;
	fake_sleep_ms(100);
	for (unsigned i = 0; i < hog_count; i++)
		early[i] = thread_run_cycles(hogs[i]);
	fake_sleep_ms(2900);
	for (unsigned i = 0; i < hog_count; i++)
		ran[i] = thread_run_cycles(hogs[i]);
	for (unsigned i = 0; i < hog_count; i++) {
		EXPECT(early[i] + 15 * FAKE_MS > share && early[i] < share + 15 * FAKE_MS);
		EXPECT(ran[i] > 30 * share * 97 / 100 && ran[i] < 30 * share * 103 / 100);
	}
	end_hogs(hog_count);
}

static void test_fair(void)
{
	static const unsigned cases[][2] = { { 2, 1 }, { 3, 1 }, { 1, 2 }, { 2, 2 }, { 3, 2 }, { 4, 2 },
					     { 5, 2 }, { 5, 4 }, { 7, 4 }, { 9, 8 }, { 12, 8 } };

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		hog_count = cases[i][0];
		cpu_count = cases[i][1];
		if (!fake_child(fair))
			ktap_fail(__FILE__, __LINE__, "%u threads on %u CPUs", hog_count, cpu_count);
	}
}

static void background_hog(void *arg)
{
	thread_set_background(2);
	while (!stop)
		fake_work(FAKE_MS / 10);
	thread_set_background(0);
}

/* One CPU: one part against four. */
static void background(void)
{
	struct thread *behind;
	uint64_t ran, front;

	fake_cpus_start(1);
	start_hogs(1);
	behind = spawn("behind", background_hog, NULL);
	fake_sleep_ms(3000);
	ran = thread_run_cycles(behind);
	front = thread_run_cycles(hogs[0]);
	EXPECT(ran > 600 * FAKE_MS * 93 / 100 && ran < 600 * FAKE_MS * 107 / 100);
	EXPECT(front > 2400 * FAKE_MS * 97 / 100 && front < 2400 * FAKE_MS * 103 / 100);
	end_hogs(1);
	thread_join(behind);
}

static void test_background(void)
{
	if (!fake_child(background))
		ktap_fail(__FILE__, __LINE__, "a thread in the background has not its part");
}

static uint64_t late, naps;

/* Sleeps a little, works a little: it must not wait for the hogs' slices. */
static void napper(void *arg)
{
	for (unsigned i = 0; i < 200; i++) {
		uint64_t at = machine_cycles() + 2 * FAKE_MS;

		while (thread_park_until(at))
			;
		late += machine_cycles() - at;
		naps++;
		fake_work(FAKE_MS / 5);
	}
}

static void wake_latency(void)
{
	struct thread *t;

	fake_cpus_start(2);
	start_hogs(4);
	t = spawn("napper", napper, NULL);
	thread_join(t);
	EXPECT(naps == 200);
	/* A hog looks every 20 us whether it should yield; its slice is 10 ms. */
	EXPECT(late / naps < FAKE_MS / 5);
	end_hogs(4);
}

static void test_wake_latency(void)
{
	CHECK(fake_child(wake_latency));
}

static unsigned yields;

static void yielder(void *arg)
{
	while (!stop) {
		thread_yield();
		yields++;
		fake_burn(100);
	}
}

/* Who yields of its own accord waits for whoever is there, though it has run less. */
static void yield_lets_others(void)
{
	struct thread *t;
	bool ran = false;

	fake_cpus_start(1);
	fake_burn(500 * FAKE_MS);
	t = spawn("other", set_flag, &ran);
	thread_yield();
	EXPECT(ran);
	thread_join(t);
	stop = false;
	t = spawn("yielder", yielder, NULL);
	for (unsigned i = 0; i < 100; i++)
		thread_yield();
	EXPECT(yields >= 99 && yields <= 101);
	stop = true;
	thread_join(t);
}

static void test_yield_lets_others(void)
{
	CHECK(fake_child(yield_lets_others));
}

/* ---- affinity ---------------------------------------------------------------------------------- */

static unsigned wrong_cpu, want_cpu;

static void pinned(void *arg)
{
	while (!stop) {
		thread_yield();
		wrong_cpu += machine_cpu_id() != want_cpu;
		fake_work(FAKE_MS / 10);
	}
}

static void affinity(void)
{
	struct cpu_set set = one_cpu(1), none = one_cpu(7);
	struct thread *t;

	fake_cpus_start(3);
	start_hogs(4);
	want_cpu = 1;
	t = thread_create("pinned", pinned, NULL, &set);
	thread_start(t);
	fake_sleep_ms(300);
	EXPECT(wrong_cpu == 0);
	EXPECT(thread_run_cycles(t) > 50 * FAKE_MS);
	for (unsigned i = 0; i < 50; i++) {
		want_cpu = 1 + i % 2;
		set = one_cpu(want_cpu);
		EXPECT(!thread_set_cpus(t, &set));
		wrong_cpu = 0;
		fake_sleep_ms(50);
		/* The stretch that it was in when it was told. */
		EXPECT(wrong_cpu <= 1);
	}
	EXPECT(thread_set_cpus(t, &none) == -EINVAL);
	EXPECT(thread_run_cycles(t) > 500 * FAKE_MS);
	end_hogs(4);
	thread_join(t);
}

static void test_affinity(void)
{
	CHECK(fake_child(affinity));
}

/* It moves itself, with nobody else there. */
static void move_self(void *arg)
{
	for (unsigned i = 0; i < 100; i++) {
		struct cpu_set set = one_cpu(i % 4);

		EXPECT(!thread_set_cpus(thread_current(), &set));
		thread_yield();
		EXPECT(machine_cpu_id() == i % 4);
	}
	stage = 9;
}

static void affinity_alone(void)
{
	fake_cpus_start(4);
	thread_join(spawn("mover", move_self, NULL));
	EXPECT(stage == 9);
}

static void test_affinity_alone(void)
{
	CHECK(fake_child(affinity_alone));
}

/* ---- hooks ----------------------------------------------------------------------------------------- */

static unsigned ins, outs, loaded_on = ~0u, hook_errors;

static void hook_in(void *arg)
{
	hook_errors += machine_irqs_enabled() || loaded_on != ~0u || arg != &ins;
	loaded_on = machine_cpu_id();
	ins++;
}

static void hook_out(void *arg)
{
	hook_errors += machine_irqs_enabled() || loaded_on != machine_cpu_id() || arg != &ins;
	loaded_on = ~0u;
	outs++;
}

static const struct thread_hooks hooks = { hook_in, hook_out, &ins };

static void hooked(void *arg)
{
	uint64_t flags = machine_irq_save();

	loaded_on = machine_cpu_id();
	thread_set_hooks(&hooks);
	machine_irq_restore(flags);
	while (!stop) {
		fake_work(FAKE_MS / 10);
		hook_errors += loaded_on != machine_cpu_id();
	}
	flags = machine_irq_save();
	thread_set_hooks(NULL);
	machine_irq_restore(flags);
}

static void hooks_around(void)
{
	struct thread *t;

	fake_cpus_start(2);
	stop = false;
	t = spawn("hooked", hooked, NULL);
	fake_burn(FAKE_MS); /* CPU 1 takes it */
	fake_sleep_ms(50);
	/* Alone on its CPU: it yields at no tick. */
	EXPECT(ins == 0 && outs == 0);
	start_hogs(4);
	fake_sleep_ms(500);
	EXPECT(hook_errors == 0);
	EXPECT(outs > 10 && (ins == outs || ins + 1 == outs));
	end_hogs(4);
	thread_join(t);
	EXPECT(hook_errors == 0 && ins == outs);
}

static void test_hooks(void)
{
	CHECK(fake_child(hooks_around));
}

/* ---- figures ------------------------------------------------------------------------------------------ */

static void figures(void)
{
	struct sched_stats s[2];
	uint64_t busy = 0;

	fake_cpus_start(2);
	start_hogs(1);
	fake_sleep_ms(1000);
	for (unsigned i = 0; i < 2; i++) {
		sched_stats(i, &s[i]);
		busy += 1000 * FAKE_MS - s[i].idle_cycles;
	}
	EXPECT(busy > 980 * FAKE_MS && busy < 1020 * FAKE_MS);
	end_hogs(1);
	EXPECT(s[0].wakeups + s[1].wakeups >= 2);
	EXPECT(s[0].switches + s[1].switches >= 2);
}

static void test_figures(void)
{
	CHECK(fake_child(figures));
}

/* Before there are threads: what early code and a panic may call. */
static void early(void)
{
	EXPECT(!thread_current());
	EXPECT(!thread_should_yield());
	sched_tick();
}

static void test_early(void)
{
	CHECK(fake_child(early));
}

static const struct ktap_test tests[] = {
	KTAP(test_life),
	KTAP(test_balance),
	KTAP(test_no_memory),
	KTAP(test_list),
	KTAP(test_ping_pong),
	KTAP(test_permits),
	KTAP(test_unpark_before_start),
	KTAP(test_fair), KTAP(test_background),
	KTAP(test_wake_latency),
	KTAP(test_yield_lets_others),
	KTAP(test_affinity),
	KTAP(test_affinity_alone),
	KTAP(test_hooks),
	KTAP(test_figures),
	KTAP(test_early),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
