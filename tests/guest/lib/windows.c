/* SPDX-License-Identifier: GPL-2.0-only */
/* See windows.h. */
#include "tests/guest/lib/windows.h"

#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/x86.h"

#define VEC 0x51
#define SLEEP_MAX 0x40000000u

uint64_t window_cycles(void)
{
	static uint64_t cycles;

	if (!cycles)
		cycles = info_number_or("mcycles", 100) * 1000000ull;
	return cycles;
}

uint64_t window_now(void)
{
	return rdtsc() / window_cycles();
}

void window_sleep(uint64_t n)
{
	uint64_t until = n * window_cycles(), now;

	cpu_apic_begin();
	while ((now = rdtsc()) < until) {
		uint64_t left = until - now;

		apic_timer(VEC, APIC_DIVIDE_BY_1, left < SLEEP_MAX ? left : SLEEP_MAX);
		sti_hlt();
	}
	apic_write(APIC_TIMER_INITIAL, 0);
}
