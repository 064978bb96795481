/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Touches an address outside its memory, where no device is: the hypervisor stops this
 * guest with a report.  how=write, how=exec: other kinds of access.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/x86.h"

/* Between the highest RAM and 1 TiB no firmware puts anything. */
#define NOWHERE 0x5000000000ul

int guest_main(void)
{
	volatile uint32_t *p = (volatile uint32_t *)NOWHERE;

	paging_map(boot_pml4, NOWHERE, NOWHERE, 2, PTE_W);
	printf("KTAP version 1\n1..1\n# touching 0x%lx\n", NOWHERE);
	if (info_option_is("how", "write"))
		*p = 1;
	else if (info_option_is("how", "exec"))
		((void (*)(void))NOWHERE)();
	else
		(void)*p;
	printf("not ok 1 the guest outlived it\n");
	return 1;
}
