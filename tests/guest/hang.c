/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Never ends: loops with interrupts off, for the hypervisor's time limit to stop.  With
 * how=hlt it halts instead, which nothing can wake; with how=sleep it
 * halts with a timer running whose interrupt its TPR holds back.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/apic.h"
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

int guest_main(void)
{
	printf("KTAP version 1\n1..1\n# staying here for ever\n");
	if (info_option_is("how", "sleep"))
		sleep_for_ever();
	if (info_option_is("how", "hlt"))
		for (;;)
			__asm__ volatile("cli; hlt");
	for (;;)
		__asm__ volatile("cli");
}
