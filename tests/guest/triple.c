/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ends by a triple fault, on purpose: the hypervisor must stop this guest with a report.
 * The instruction and CR3 are printed before, so that the report can be compared.
 * how=init: by an INIT to the processor that started it, which has no firmware to go back to.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/x86.h"

extern char fatal_instruction[];

int guest_main(void)
{
	printf("KTAP version 1\n1..1\n");
	if (info_option_is("how", "init")) {
		apic_begin();
		apic_send_to(apic_read(APIC_ID) >> 24, APIC_INIT | APIC_ASSERT);
		irq_spend(1000000);
		printf("not ok 1 the guest outlived an INIT\n");
		return 1;
	}
	printf("# triple fault at rip 0x%lx, cr3 0x%lx\n", (uintptr_t)fatal_instruction,
	       read_cr3());
	trap_load_idt(NULL, 0);
	__asm__ volatile("fatal_instruction: ud2");
	printf("not ok 1 the guest outlived a triple fault\n");
	return 1;
}
