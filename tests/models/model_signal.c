/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a vCPU learns that it is wanted (vmm/signal.c), in every interleaving: the functions
 * themselves, with mmu_vcpu_enter(); a processor that stays in guest mode until it is kicked, and a
 * thread that sleeps until it is unparked.  A kick or a wake-up that is lost is a deadlock.
 */
#include <string.h>

#include "mm/flush.h"
#include "tests/host/explore/scenarios.h"
#include "vmm/signal.h"

#define CPUS 2
#define VECTOR 0x41
#define EVENT_VECTOR 1u
#define EVENT_OTHER 2u
#define EVENT_END 4u
#define ROUNDS 3

/* Nothing here changes. */
static struct mmu_vm vm;
static struct mmu_root root;

static struct {
	struct mmu_vcpu mmu[CPUS];
	struct vcpu_signal signal[CPUS];
	struct signal_group group;
	_Atomic bool kicked[CPUS]; /* the interrupt is pending on its processor */
	_Atomic bool permit[CPUS]; /* the thread was unparked and has not parked since */
	uint32_t got;
	unsigned sent, taken, rounds; /* of the ball: only who has it changes them */
	bool over;
} m;

static void setup(void)
{
	memset(&m, 0, sizeof(m));
	for (unsigned i = 0; i < CPUS; i++) {
		m.mmu[i] = (struct mmu_vcpu){ .vm = &vm, .id = i, .loaded = &root };
		signal_init(&m.group, &m.signal[i], false);
	}
	explore_track(&m, sizeof(m));
	explore_name(&m.signal[0], sizeof(m.signal[0]), "signal0");
	explore_name(&m.signal[1], sizeof(m.signal[1]), "signal1");
	explore_name(&m.mmu[0], sizeof(m.mmu[0]), "vcpu0");
	explore_name(m.kicked, sizeof(m.kicked), "kicked");
	explore_name(m.permit, sizeof(m.permit), "permit");
	explore_name(&m.group, sizeof(m.group), "group");
}

static void carry_out(unsigned cpu, enum signal_action action)
{
	if (action == SIGNAL_KICK)
		atomic_store(&m.kicked[cpu], true);
	else if (action == SIGNAL_WAKE)
		atomic_store(&m.permit[cpu], true);
}

/* Until the kick: the guest does nothing that would end it. */
static void run_guest(unsigned cpu)
{
	EXPLORE_CHECK(mmu_vcpu_enter(&m.mmu[cpu]) == MMU_ENTER_GO);
	if (!signal_may_run(&m.signal[cpu], &m.mmu[cpu]))
		return;
	while (!atomic_load(&m.kicked[cpu]))
		explore_relax();
	atomic_store(&m.kicked[cpu], false);
	mmu_vcpu_exit(&m.mmu[cpu]);
}

static void sleep_on(unsigned cpu)
{
	struct vcpu_signal *s = &m.signal[cpu];

	for (signal_sleep(s); !signal_is_set(s);) {
		while (!atomic_load(&m.permit[cpu]))
			explore_relax();
		atomic_store(&m.permit[cpu], false);
	}
	signal_wake(&m.group, s);
}

/* ---- two senders, one vCPU that is in guest mode or asleep ----------------------------------- */

static void receive(void (*wait)(unsigned cpu), uint32_t want)
{
	while (m.got != want) {
		if (!signal_is_set(&m.signal[0])) {
			wait(0);
			continue;
		}
		uint32_t events = signal_take(&m.signal[0]);

		m.got |= events;
		if (events & EVENT_VECTOR)
			EXPLORE_CHECK(signal_take_irr(&m.signal[0], VECTOR / 32) ==
				      1u << VECTOR % 32);
	}
}

static void in_and_out(unsigned cpu)
{
	run_guest(cpu);
	if (!signal_is_set(&m.signal[cpu]))
		sleep_on(cpu);
}

static void vcpu_in_guest(void)
{
	receive(run_guest, EVENT_VECTOR | EVENT_OTHER);
}

static void vcpu_asleep(void)
{
	receive(sleep_on, EVENT_VECTOR | EVENT_OTHER);
}

static void vcpu_both(void)
{
	receive(in_and_out, EVENT_VECTOR | EVENT_OTHER | EVENT_END);
}

static void send_vector(void)
{
	carry_out(0, signal_post_irr(&m.signal[0], &m.mmu[0], VECTOR, EVENT_VECTOR));
}

static void send_other(void)
{
	carry_out(0, signal_post(&m.signal[0], &m.mmu[0], EVENT_OTHER));
}

/* What came before it and was not taken is void; then it comes again. */
static void send_replacing(void)
{
	uint32_t taken;

	carry_out(0, signal_post(&m.signal[0], &m.mmu[0], EVENT_OTHER));
	carry_out(0, signal_replace(&m.signal[0], &m.mmu[0], EVENT_OTHER, EVENT_END, &taken));
	EXPLORE_CHECK(!(taken & ~EVENT_OTHER));
	carry_out(0, signal_post(&m.signal[0], &m.mmu[0], EVENT_OTHER));
}

static void finish(void)
{
	EXPLORE_CHECK(!atomic_load(&m.mmu[0].in_guest) && !atomic_load(&m.signal[0].asleep));
}

const struct explore_scenario model_signal_guest = {
	.name = "model-signal-guest",
	.about = "two that send to a vCPU in guest mode",
	.setup = setup,
	.thread = { { "vcpu0", vcpu_in_guest }, { "vector", send_vector }, { "other", send_other } },
	.finish = finish,
	.exhaustive = true,
};

const struct explore_scenario model_signal_asleep = {
	.name = "model-signal-asleep",
	.about = "two that send to a vCPU that sleeps",
	.setup = setup,
	.thread = { { "vcpu0", vcpu_asleep }, { "vector", send_vector }, { "other", send_other } },
	.finish = finish,
	.exhaustive = true,
};

const struct explore_scenario model_signal_replace = {
	.name = "model-signal-replace",
	.about = "events that take others back, to a vCPU that runs and sleeps in turns",
	.setup = setup,
	.thread = { { "vcpu0", vcpu_both }, { "vector", send_vector },
		    { "replace", send_replacing } },
	.finish = finish,
	.exhaustive = true,
};

/* ---- vCPUs that wake each other: when will none of them go on? --------------------------------- */

static void send_to(unsigned cpu, uint32_t event)
{
	carry_out(cpu, signal_post(&m.signal[cpu], &m.mmu[cpu], event));
}

static void setup_ball(void)
{
	setup();
	m.sent = 1;
	atomic_store(&m.signal[0].events, EVENT_OTHER);
}

/* With the ball: throw it to the other; without: rest. */
static void play(unsigned me)
{
	struct vcpu_signal *s = &m.signal[me];

	for (;;) {
		if (signal_is_set(s)) {
			if (signal_take(s) & EVENT_END)
				return;
			m.taken++;
			if (m.rounds++ < ROUNDS) {
				m.sent++;
				send_to(!me, EVENT_OTHER);
			}
			continue;
		}
		if (signal_rest(&m.group, s)) {
			if (m.sent != m.taken)
				explore_fail("none goes on, with a ball in the air");
			m.over = true;
			send_to(!me, EVENT_END);
			return;
		}
		sleep_on(me);
	}
}

static void play0(void)
{
	play(0);
}

static void play1(void)
{
	play(1);
}

static void finish_ball(void)
{
	EXPLORE_CHECK(m.over && m.rounds == ROUNDS + 1);
}

const struct explore_scenario model_signal_rest = {
	.name = "model-signal-rest",
	.about = "two vCPUs that wake each other some times, and then none goes on",
	.setup = setup_ball,
	.thread = { { "vcpu0", play0 }, { "vcpu1", play1 } },
	.finish = finish_ball,
	.exhaustive = true,
};
