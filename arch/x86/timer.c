/* SPDX-License-Identifier: GPL-2.0-only */
/* See timer.h.  Also the time functions of host/machine.h. */
#include "arch/x86/timer.h"

#include <stdatomic.h>

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/idt.h"
#include "arch/x86/percpu.h"
#include "arch/x86/stack.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/sched.h"
#include "mm/errno.h"

#define PIT_HZ 1193182ul
#define PIT_CHANNEL2 0x42
#define PIT_COMMAND 0x43
#define PORT_B 0x61
#define PORT_B_GATE2 (1u << 0)
#define PORT_B_SPEAKER (1u << 1)
#define PORT_B_OUT2 (1u << 5)

#define MEASURE_COUNT (PIT_HZ / 500) /* 2 ms of the 55 that the PIT can count: to a 2000th */
/* On a loaded host an emulated CPU may be away for longer than that, often. */
#define MEASURE_ROUNDS 100
#define SAMPLE_TRIES 8
/* The PIT counts once in 838 ns: reads without a change, and nobody is there. */
#define PIT_STILL_MAX 100000u

/* Between Bochs at a slow setting and what nobody has built; in kHz. */
#define TSC_KHZ_MIN 500ul
#define TSC_KHZ_MAX 20000000ul

#define ALARM_NONE (~0ul)

static _Atomic uint64_t tsc_khz; /* 0: not known yet */
static uint64_t tsc_base;
static uint64_t us_scale; /* microseconds per cycle, 32.32 */
static uint32_t apic_counts_per_tick;

void timer_mark_boot(void)
{
	tsc_base = rdtsc();
}

/* ---- measuring ------------------------------------------------------------------- */

/*
 * What a counter showed, and when.  An emulator's host, or SMM, may take the CPU away at any
 * point; so of several readings the one counts that took the shortest, and how
 * long it is from one sample to the next does not matter.
 */
struct sample {
	uint64_t tsc;
	uint64_t count;
};

static struct sample sample_take(uint32_t (*read_counter)(void))
{
	struct sample best = { 0 };
	uint64_t best_width = ~0ul;

	for (unsigned i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t before = rdtsc();
		uint32_t count = read_counter();
		uint64_t width = rdtsc() - before;

		if (width < best_width) {
			best_width = width;
			best = (struct sample){ before + width / 2, count };
		}
	}
	return best;
}

static uint32_t pit_read(void)
{
	outb(PIT_COMMAND, 0x80); /* latch channel 2 */
	uint32_t low = inb(PIT_CHANNEL2);

	return low | (uint32_t)inb(PIT_CHANNEL2) << 8;
}

/* Until it has counted down from start by so many; false: it stands still. */
static bool pit_wait(uint32_t start, uint32_t counts)
{
	uint32_t last = start;
	unsigned still = 0;

	while (start - last < counts) {
		uint32_t now = pit_read();

		still = now == last ? still + 1 : 0;
		if (still > PIT_STILL_MAX)
			return false;
		if (now > start)
			break; /* beyond zero: the caller sees OUT */
		last = now;
	}
	return true;
}

/* false: nobody counts.  *khz is 0 when the CPU was away for longer than the PIT can count. */
static bool pit_measure(uint64_t *khz)
{
	uint8_t port_b = inb(PORT_B);
	struct sample start, end;
	bool counts, whole;

	outb(PORT_B, (uint8_t)((port_b & ~PORT_B_SPEAKER) | PORT_B_GATE2));
	outb(PIT_COMMAND, 0xb0); /* channel 2, both bytes, mode 0: OUT rises at zero */
	outb(PIT_CHANNEL2, 0xff);
	outb(PIT_CHANNEL2, 0xff);
	start = sample_take(pit_read);
	counts = pit_wait((uint32_t)start.count, MEASURE_COUNT);
	end = sample_take(pit_read);
	whole = !(inb(PORT_B) & PORT_B_OUT2);
	outb(PORT_B, port_b);
	*khz = whole && end.count < start.count ?
		       (end.tsc - start.tsc) * PIT_HZ / (start.count - end.count) / 1000 : 0;
	return counts;
}

/* Believed when two measurements agree within 1/256; 0: none at all. */
static uint64_t tsc_khz_from_pit(void)
{
	uint64_t last = 0, khz;

	for (unsigned i = 0; i < MEASURE_ROUNDS && pit_measure(&khz); i++) {
		uint64_t differ = khz > last ? khz - last : last - khz;

		if (khz && last && differ <= khz / 256)
			return khz;
		if (khz)
			last = khz;
	}
	if (last)
		log_warn("clock: no two measurements of the TSC agree; the last is %lu kHz", last);
	return last;
}

/* What the CPU says itself: the crystal and its ratio, or the nominal frequency in MHz. */
static uint64_t tsc_khz_from_cpuid(void)
{
	uint32_t max = cpuid(0, 0).eax;

	if (max >= 0x15) {
		struct cpuid_regs r = cpuid(0x15, 0);

		if (r.eax && r.ebx && r.ecx)
			return (uint64_t)r.ecx * r.ebx / r.eax / 1000;
	}
	if (max >= 0x16)
		return (cpuid(0x16, 0).eax & 0xffff) * 1000ul;
	return 0;
}

static bool tsc_khz_is_plausible(uint64_t khz)
{
	return khz >= TSC_KHZ_MIN && khz <= TSC_KHZ_MAX;
}

/* APIC timer counts in a tick, by the TSC; 0: it stands still. */
static uint32_t apic_measure(void)
{
	uint64_t cycles = tsc_khz * 2; /* the counter is a hundred times finer than the PIT's */

	apic_timer_count();
	struct sample start = sample_take(apic_timer_elapsed), end;

	do
		end = sample_take(apic_timer_elapsed);
	while (end.tsc - start.tsc < cycles);
	return (uint32_t)((end.count - start.count) * (tsc_khz * 1000 / TIMER_HZ) /
			  (end.tsc - start.tsc));
}

/* ---- clock and tick ---------------------------------------------------------------- */

int timer_calibrate(void)
{
	const char *by = "PIT";
	uint64_t khz = tsc_khz_from_pit();

	if (!tsc_khz_is_plausible(khz)) {
		log_warn("clock: the PIT does not tell the rate of the TSC (%lu kHz)", khz);
		by = "CPUID";
		khz = tsc_khz_from_cpuid();
	}
	if (!tsc_khz_is_plausible(khz)) {
		log_error("clock: neither the PIT nor CPUID tells the rate of the TSC");
		return -ENODEV;
	}
	us_scale = (1000ul << 32) / khz;
	/* pairs with the acquire in machine_us() */
	atomic_store_explicit(&tsc_khz, khz, memory_order_release);

	apic_counts_per_tick = apic_measure();
	if (apic_counts_per_tick < 100) {
		log_error("clock: the local APIC's timer does not count");
		return -ENODEV;
	}
	log_info("clock: TSC %lu.%03lu MHz by %s, APIC timer %u counts per tick", khz / 1000,
		 khz % 1000, by, apic_counts_per_tick);
	return 0;
}

static uint64_t cycles_per_tick(void)
{
	return atomic_load_explicit(&tsc_khz, memory_order_relaxed) * 1000 / TIMER_HZ;
}

/* One-shot, for whatever comes first.  A count more than asked for: never early. */
static void timer_arm(struct percpu *p)
{
	uint64_t at = p->alarm_at < p->tick_at ? p->alarm_at : p->tick_at;
	int64_t cycles = (int64_t)(at - rdtsc());

	if (cycles < 0)
		cycles = 0;
	/* At most a tick, whose counts fit in 32 bits. */
	uint64_t counts = (uint64_t)cycles * apic_counts_per_tick / cycles_per_tick();

	apic_timer_once((uint32_t)counts + 1);
	atomic_store_explicit(&p->timer_due, at, memory_order_relaxed);
}

/*
 * QEMU's TCG can forget that an interrupt is pending which came in the middle of a #VMEXIT
 * (docs/platforms.md).  Its APIC has it all the same, and delivers it with the next interrupt; but
 * a CPU whose timer interrupt was forgotten sets no other.  So whoever finds one overdue sends it a kick.
 */
static bool timer_is_overdue(const struct percpu *p, uint64_t slack)
{
	uint64_t due = atomic_load_explicit(&p->timer_due, memory_order_relaxed);

	return due && (int64_t)(rdtsc() - due) > (int64_t)slack;
}

static void wake_neighbour(const struct percpu *self)
{
	struct percpu *p = percpu_get((self->id + 1) % percpu_count());

	if (p != self && timer_is_overdue(p, 2 * cycles_per_tick()))
		apic_send(p->apic_id, VECTOR_KICK);
}

void timer_before_idle(void)
{
	struct percpu *p = percpu_this();

	if (timer_is_overdue(p, 0))
		apic_send(p->apic_id, VECTOR_KICK);
}

void timer_start(void)
{
	struct percpu *p = percpu_this();

	p->alarm_at = ALARM_NONE;
	p->tick_at = rdtsc() + cycles_per_tick();
	watchdog_start();
	apic_timer_init();
	timer_arm(p);
}

void timer_interrupt(const struct trap_frame *frame)
{
	struct percpu *p = percpu_this();
	uint64_t now = rdtsc();

	if ((int64_t)(now - p->tick_at) >= 0) {
		uint64_t tick = cycles_per_tick();

		watchdog_tick(frame);
		atomic_fetch_add_explicit(&p->ticks, 1, memory_order_relaxed);
		/* Ticks that an emulator's host slept through are not made up for. */
		p->tick_at += tick;
		if ((int64_t)(now - p->tick_at) >= 0)
			p->tick_at = now + tick;
		wake_neighbour(p);
		stack_tick();
		sched_tick();
	}
	if (now >= p->alarm_at) {
		p->alarm_at = ALARM_NONE;
		p->alarm(p->alarm_arg);
	}
	timer_arm(p);
}

void machine_alarm_set(uint64_t cycles, void (*fn)(void *arg), void *arg)
{
	struct percpu *p = percpu_this();
	bool earlier = cycles < p->tick_at && cycles < p->alarm_at;

	p->alarm_at = cycles;
	p->alarm = fn;
	p->alarm_arg = arg;
	/* Otherwise the interrupt that is armed already comes first, and arms the next one. */
	if (earlier)
		timer_arm(p);
}

void machine_alarm_cancel(void)
{
	percpu_this()->alarm_at = ALARM_NONE;
}

uint64_t machine_cycles(void)
{
	return rdtsc();
}

uint64_t machine_cycles_per_us(void)
{
	uint64_t khz = atomic_load_explicit(&tsc_khz, memory_order_relaxed);

	return khz && khz < 1000 ? 1 : (khz + 500) / 1000;
}

uint64_t machine_us(void)
{
	if (!atomic_load_explicit(&tsc_khz, memory_order_acquire))
		return 0;
	int64_t cycles = (int64_t)(rdtsc() - tsc_base);

	/* Another CPU's TSC may be a little behind. */
	if (cycles < 0)
		return 0;
	return (uint64_t)((unsigned __int128)cycles * us_scale >> 32);
}
