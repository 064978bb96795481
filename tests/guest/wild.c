/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Touches an address outside its memory, where no device is: the hypervisor stops this
 * guest with a report.  how=write, how=exec: other kinds of access.  how=decode: to the local
 * APIC, which is there, but by an instruction that is not emulated.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/x86.h"

/* Between the highest RAM and 1 TiB no firmware puts anything. */
#define NOWHERE 0x5000000000ul
#define APIC 0xfee00000ul

/* movups xmm0, [rdi] */
static void load_vector(uintptr_t at)
{
	write_cr4(read_cr4() | CR4_OSFXSR);
	__asm__ volatile(".byte 0x0f, 0x10, 0x07" : : "D"(at) : "memory");
}

int guest_main(void)
{
	volatile uint32_t *p = (volatile uint32_t *)NOWHERE;

	paging_map(boot_pml4, NOWHERE, NOWHERE, 2, PTE_W);
	printf("KTAP version 1\n1..1\n# touching 0x%lx\n", NOWHERE);
	if (info_option_is("how", "write"))
		*p = 1;
	else if (info_option_is("how", "exec"))
		((void (*)(void))NOWHERE)();
	else if (info_option_is("how", "decode"))
		load_vector(APIC);
	else
		(void)*p;
	printf("not ok 1 the guest outlived it\n");
	return 1;
}
