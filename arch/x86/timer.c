/* SPDX-License-Identifier: GPL-2.0-only */
/* See timer.h.  Also the time functions of host/machine.h. */
#include "arch/x86/timer.h"

#include <stdatomic.h>

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "host/log.h"
#include "host/machine.h"
#include "mm/errno.h"

#define PIT_HZ 1193182ul
#define PIT_CHANNEL2 0x42
#define PIT_COMMAND 0x43
#define PORT_B 0x61
#define PORT_B_GATE2 (1u << 0)
#define PORT_B_SPEAKER (1u << 1)
#define PORT_B_OUT2 (1u << 5)

#define MEASURE_COUNT (PIT_HZ / 100) /* 10 ms */
#define MEASURE_ROUNDS 5
/* Reads of port 0x61 in 10 ms are far fewer than this, on any machine. */
#define PIT_READS_MAX 20000000u

/* Between Bochs at a slow setting and what nobody has built; in kHz. */
#define TSC_KHZ_MIN 500ul
#define TSC_KHZ_MAX 20000000ul

static _Atomic uint64_t tsc_khz; /* 0: not known yet */
static uint64_t tsc_base;
static uint64_t us_scale; /* microseconds per cycle, 32.32 */
static uint32_t apic_counts_per_tick;

void timer_mark_boot(void)
{
	tsc_base = rdtsc();
}

/* TSC cycles in MEASURE_COUNT PIT clocks; 0: the PIT does not count. */
static uint64_t pit_measure(void)
{
	uint8_t port_b = inb(PORT_B);
	unsigned reads = 0;

	outb(PORT_B, (uint8_t)((port_b & ~PORT_B_SPEAKER) | PORT_B_GATE2));
	outb(PIT_COMMAND, 0xb0); /* channel 2, both bytes, mode 0: OUT rises at the end */
	outb(PIT_CHANNEL2, MEASURE_COUNT & 0xff);
	outb(PIT_CHANNEL2, MEASURE_COUNT >> 8);
	uint64_t start = rdtsc();

	/* Up at once, or never: nobody is there. */
	if (!(inb(PORT_B) & PORT_B_OUT2))
		while (!(inb(PORT_B) & PORT_B_OUT2) && ++reads < PIT_READS_MAX)
			;
	uint64_t cycles = rdtsc() - start;

	outb(PORT_B, port_b);
	return reads && reads < PIT_READS_MAX ? cycles : 0;
}

/*
 * An interruption of the emulator or by SMM makes a round longer, never shorter; so the
 * shortest is the truest, and it is believed when a second one agrees within 1/64.
 */
static uint64_t tsc_khz_from_pit(void)
{
	uint64_t best = 0, second = 0;

	for (unsigned i = 0; i < MEASURE_ROUNDS; i++) {
		uint64_t cycles = pit_measure();

		if (!cycles)
			return 0;
		if (!best || cycles < best) {
			second = best;
			best = cycles;
		} else if (!second || cycles < second) {
			second = cycles;
		}
		if (second && second - best <= best / 64)
			return best * PIT_HZ / MEASURE_COUNT / 1000;
	}
	log_warn("clock: no two measurements of the TSC agree (%lu and %lu cycles in 10 ms)", best,
		 second);
	return best * PIT_HZ / MEASURE_COUNT / 1000;
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

/* APIC timer counts in 10 ms by the TSC. */
static uint64_t apic_measure(void)
{
	uint64_t cycles = tsc_khz * 10;
	uint64_t start = rdtsc(), now;

	apic_timer_count();
	do {
		cpu_pause();
		now = rdtsc();
	} while (now - start < cycles);
	/* As long as it really was: an emulator may have been away. */
	return apic_timer_elapsed() * cycles / (now - start);
}

int timer_calibrate(void)
{
	const char *by = "PIT";
	uint64_t khz = tsc_khz_from_pit();

	if (!tsc_khz_is_plausible(khz)) {
		log_warn("clock: the PIT gives %lu kHz for the TSC, which cannot be", khz);
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

	apic_counts_per_tick = (uint32_t)(apic_measure() * 100 / TIMER_HZ);
	if (apic_counts_per_tick < 100) {
		log_error("clock: the local APIC's timer does not count");
		return -ENODEV;
	}
	log_info("clock: TSC %lu.%03lu MHz by %s, APIC timer %u counts per tick", khz / 1000,
		 khz % 1000, by, apic_counts_per_tick);
	return 0;
}

void timer_start(void)
{
	apic_timer_start(apic_counts_per_tick);
}

uint64_t machine_cycles(void)
{
	return rdtsc();
}

uint64_t machine_cycles_per_us(void)
{
	uint64_t khz = atomic_load_explicit(&tsc_khz, memory_order_relaxed);

	return khz && khz < 1000 ? 1 : khz / 1000;
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
