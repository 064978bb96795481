/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Never ends: loops with interrupts off, for the hypervisor's time limit to stop.  With
 * how=hlt it halts instead, which nothing can wake; with how=sleep it
 * halts with a timer running whose interrupt its TPR holds back; with how=debug it has each delivery
 * of a #DB raise the next one, and never runs an instruction again.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/x86.h"

static void sleep_for_ever(void)
{
	irq_init();
	apic_begin();
	apic_write(APIC_TPR, 0xf0);
	apic_timer(0x41 | APIC_PERIODIC, APIC_DIVIDE_BY_1, 1000000);
	for (;;)
		sti_hlt();
}

/* The breakpoint is on what the delivery pushes first, in a stack that starts anew each time. */
static void debug_for_ever(void)
{
	static uint64_t stack[64] __attribute__((aligned(16)));

	trap_init();
	trap_tss.ist[0] = (uint64_t)(stack + ARRAY_SIZE(stack));
	trap_idt[VEC_DB].ist = 1;
	write_dr0((uint64_t)(stack + ARRAY_SIZE(stack) - 1));
	write_dr7(DR7_WRITE0);
	*(volatile uint64_t *)(stack + ARRAY_SIZE(stack) - 1) = 0;
}

int guest_main(void)
{
	printf("KTAP version 1\n1..1\n# staying here for ever\n");
	if (info_option_is("how", "sleep"))
		sleep_for_ever();
	if (info_option_is("how", "debug"))
		debug_for_ever();
	if (info_option_is("how", "hlt"))
		for (;;)
			__asm__ volatile("cli; hlt");
	for (;;)
		__asm__ volatile("cli");
}
