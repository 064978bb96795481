/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Never ends: loops with interrupts off, for the hypervisor's time limit to stop.  With
 * how=hlt it halts instead, which nothing can wake.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/x86.h"

int guest_main(void)
{
	printf("KTAP version 1\n1..1\n# staying here for ever, interrupts off\n");
	if (info_option_is("how", "hlt"))
		for (;;)
			__asm__ volatile("cli; hlt");
	for (;;)
		__asm__ volatile("cli");
}
