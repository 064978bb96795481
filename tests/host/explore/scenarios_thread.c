/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypervisor's threads: the handshakes of park and unpark, of leaving a stack, of timers, of the
 * end.  The threads of these scenarios are CPUs; what runs on them is host/sched.c itself.
 *
 * A lost wake-up is a deadlock: all CPUs halt.  A stack with two CPUs on it is noticed by fake_context.c, a
 * thread used after its end by the explorer's objects.
 */
#include <string.h>

#include "host/object.h"
#include "host/thread_impl.h"
#include "tests/host/explore/port_machine.h"
#include "tests/host/explore/scenarios.h"
#include "tests/host/fake_context.h"

#define ACTORS 4

static struct {
	unsigned cpus;
	struct thread *actor[ACTORS];
	unsigned actors;
	_Atomic unsigned ended;
	_Atomic unsigned flag;
	_Atomic unsigned turn[2];
	_Atomic bool inside[ACTORS];
	struct timer *timer;
	_Atomic unsigned rings;
} s;

/* ---- the scene ----------------------------------------------------------------------- */

static void setup(unsigned cpus)
{
	static const struct stack no_stack;

	memset(&s, 0, sizeof(s));
	memset(&sched_state, 0, sizeof(sched_state));
	fake_stacks_reset();
	s.cpus = cpus;
	explore_machine_reset(cpus);
	for (unsigned i = 0; i < cpus; i++)
		if (sched_cpu_prepare(i, &no_stack))
			explore_fail("no memory for CPU %u", i);
	for (unsigned i = 0; i < cpus; i++)
		explore_name(sched_state.cpu[i], sizeof(struct sched_cpu), i ? "cpu1" : "cpu0");
}

static void cpu_main(void)
{
	while (!explore_machine_stopped())
		sched_idle();
}

/* The last line of an actor. */
static void actor_ends(void)
{
	if (atomic_fetch_add(&s.ended, 1) + 1 == s.actors)
		explore_machine_stop();
}

static void actor_add_on(void (*fn)(void *), unsigned cpu)
{
	struct thread *t = thread_create("actor", fn, (void *)(uintptr_t)s.actors, NULL);

	if (!t)
		explore_fail("no memory for a thread");
	explore_name(t, sizeof(*t), "actor");
	atomic_store(&t->cpu, cpu);
	s.actor[s.actors++] = t;
}

static void actor_add(void (*fn)(void *))
{
	actor_add_on(fn, s.actors % s.cpus);
}

static void start_all(void)
{
	for (unsigned i = 0; i < s.actors; i++)
		thread_start(s.actor[i]);
}

/* Its end may be under way still when the CPUs stop: they look at their queues once more first. */
static void finish(void)
{
	for (unsigned i = 0; i < s.actors; i++) {
		EXPLORE_CHECK(atomic_load(&s.actor[i]->finished));
		thread_join(s.actor[i]);
	}
	EXPLORE_CHECK(fake_stacks_used() == 0);
	for (unsigned i = 0; i < s.cpus; i++) {
		struct sched_cpu *c = sched_state.cpu[i];

		EXPLORE_CHECK(!c->rq.waiting && atomic_load(&c->current) == c->idle);
		object_free(c->idle, sizeof(*c->idle));
		object_free(c, sizeof(*c));
	}
	memset(&sched_state, 0, sizeof(sched_state));
}

/* ---- park and unpark ------------------------------------------------------------------- */

#define ROUNDS 3

static void passes_on(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		while (atomic_load(&s.turn[me]) <= i)
			thread_park();
		atomic_fetch_add(&s.turn[!me], 1);
		thread_unpark(s.actor[!me]);
	}
	actor_ends();
}

static void setup_park(void)
{
	setup(2);
	actor_add(passes_on);
	actor_add(passes_on);
	atomic_store(&s.turn[0], 1);
	start_all();
}

const struct explore_scenario scenario_thread_park = {
	.name = "thread-park",
	.about = "two threads wake each other up in turns, on two CPUs",
	.setup = setup_park,
	.thread = { { "cpu0", cpu_main }, { "cpu1", cpu_main } },
	.finish = finish,
};

/* ---- yield, steal, unpark ----------------------------------------------------------------- */

/* On one CPU at a time. */
static void step(unsigned me)
{
	EXPLORE_CHECK(!atomic_exchange(&s.inside[me], true));
	atomic_store(&s.inside[me], false);
}

static void yields(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		step(me);
		thread_yield();
	}
	atomic_fetch_add(&s.flag, 1);
	thread_unpark(s.actor[0]);
	actor_ends();
}

static void waits_for_two(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	while (atomic_load(&s.flag) < 2) {
		step(me);
		thread_park();
	}
	actor_ends();
}

static void setup_steal(void)
{
	setup(2);
	actor_add_on(waits_for_two, 0);
	actor_add_on(yields, 0);
	actor_add_on(yields, 0);
	start_all();
}

const struct explore_scenario scenario_thread_steal = {
	.name = "thread-steal",
	.about = "threads that yield and one that parks, taken over by the other CPU",
	.setup = setup_steal,
	.thread = { { "cpu0", cpu_main }, { "cpu1", cpu_main } },
	.finish = finish,
};

/* Ticks, too: they take threads over while those run. */
static void ticks(void)
{
	while (!explore_machine_stopped()) {
		uint64_t flags = machine_irq_save();

		if (explore_choose(2))
			sched_tick();
		machine_irq_restore(flags);
		sched_idle();
	}
}

static void setup_balance(void)
{
	setup(3);
	actor_add_on(waits_for_two, 0);
	actor_add_on(yields, 0);
	actor_add_on(yields, 1);
	start_all();
}

const struct explore_scenario scenario_thread_balance = {
	.name = "thread-balance",
	.about = "the same with three CPUs that tick",
	.setup = setup_balance,
	.thread = { { "cpu0", ticks }, { "cpu1", ticks }, { "cpu2", ticks } },
	.finish = finish,
};

/* ---- a wake-up and a time limit --------------------------------------------------------------- */

/* However it is woken up, the one unpark counts once and is not lost. */
static void waits_a_while(void *arg)
{
	unsigned limits = 0;

	while (limits < 2 && !atomic_load(&s.flag))
		if (!thread_park_until(machine_cycles() + 10))
			limits++;
	while (!atomic_load(&s.flag))
		thread_park();
	actor_ends();
}

static void wakes(void *arg)
{
	thread_yield();
	atomic_store(&s.flag, 1);
	thread_unpark(s.actor[0]);
	actor_ends();
}

static void setup_limit(void)
{
	setup(2);
	actor_add(waits_a_while);
	actor_add(wakes);
	start_all();
}

const struct explore_scenario scenario_thread_limit = {
	.name = "thread-limit",
	.about = "a sleep with a time limit, and a wake-up at the same time",
	.setup = setup_limit,
	.thread = { { "cpu0", cpu_main }, { "cpu1", cpu_main } },
	.finish = finish,
};

/* ---- a timer, cancelled on another CPU ----------------------------------------------------------- */

static void rings(void *arg)
{
	struct timer *t = arg;

	/* It is freed when cancel returns. */
	EXPLORE_CHECK(t->fn == rings);
	atomic_fetch_add(&s.rings, 1);
	EXPLORE_CHECK(t->fn == rings);
}

static void sets(void *arg)
{
	timer_set(s.timer, machine_cycles() + 5);
	atomic_store(&s.flag, 1);
	thread_unpark(s.actor[1]);
	thread_yield();
	actor_ends();
}

static void cancels(void *arg)
{
	unsigned rang;

	while (!atomic_load(&s.flag))
		thread_park();
	/* From here on it is this CPU's, whoever may still be calling it. */
	timer_set(s.timer, machine_cycles() + 100000);
	timer_cancel(s.timer);
	rang = atomic_load(&s.rings);
	EXPLORE_CHECK(!s.timer->armed);
	object_free(s.timer, sizeof(*s.timer));
	thread_yield();
	EXPLORE_CHECK(atomic_load(&s.rings) == rang);
	actor_ends();
}

static void setup_timer(void)
{
	setup(2);
	s.timer = object_alloc(sizeof(*s.timer));
	timer_init(s.timer, rings, s.timer);
	actor_add(sets);
	actor_add(cancels);
	start_all();
}

const struct explore_scenario scenario_thread_timer = {
	.name = "thread-timer",
	.about = "a timer that rings while it is cancelled and freed",
	.setup = setup_timer,
	.thread = { { "cpu0", cpu_main }, { "cpu1", cpu_main } },
	.finish = finish,
};

/* ---- the end ------------------------------------------------------------------------------------- */

static void short_life(void *arg)
{
	thread_unpark(s.actor[0]);
	atomic_fetch_add(&s.flag, 1);
}

static void joins(void *arg)
{
	for (unsigned i = 0; i < 2; i++) {
		struct thread *t = thread_create("child", short_life, NULL, NULL);

		EXPLORE_CHECK(t);
		thread_start(t);
		thread_join(t);
		EXPLORE_CHECK(atomic_load(&s.flag) == i + 1);
	}
	actor_ends();
}

static void setup_join(void)
{
	setup(2);
	actor_add(joins);
	start_all();
}

const struct explore_scenario scenario_thread_join = {
	.name = "thread-join",
	.about = "threads end while they are joined",
	.setup = setup_join,
	.thread = { { "cpu0", cpu_main }, { "cpu1", cpu_main } },
	.finish = finish,
};

/* ---- affinity ---------------------------------------------------------------------------------------- */

/* Told while it is picked, runs, waits, parks: behind its next switch it is where it was told. */
static void obeys(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned told = atomic_load(&s.flag);

		thread_yield();
		if (told)
			EXPLORE_CHECK(machine_cpu_id() == 1);
	}
	while (!atomic_load(&s.flag))
		thread_park();
	thread_yield();
	EXPLORE_CHECK(machine_cpu_id() == 1);
	actor_ends();
}

static void tells(void *arg)
{
	struct cpu_set only = { { 2 } };

	thread_yield();
	EXPLORE_CHECK(!thread_set_cpus(s.actor[0], &only));
	atomic_store(&s.flag, 1);
	thread_unpark(s.actor[0]);
	actor_ends();
}

static void setup_affinity(void)
{
	setup(2);
	actor_add_on(obeys, 0);
	actor_add_on(tells, 0);
	start_all();
}

const struct explore_scenario scenario_thread_affinity = {
	.name = "thread-affinity",
	.about = "a thread is sent to another CPU while CPUs pick it",
	.setup = setup_affinity,
	.thread = { { "cpu0", cpu_main }, { "cpu1", cpu_main } },
	.finish = finish,
};
