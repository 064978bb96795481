/* SPDX-License-Identifier: GPL-2.0-only */
/* See vms.h. */
#include "tests/guest/lib/vms.h"

unsigned vms_each_other(void (*fn)(const struct phyllo_vm_info *vm))
{
	struct phyllo_vm_info me, vm;
	unsigned live = 0;

	CHECK_EQ(vm_info(0, &me), 0);
	for (uint64_t id = 1; id; id = vm.next) {
		if (vm_info(id, &vm))
			guest_die("this kernel wants the privilege");
		if (id == me.id)
			continue;
		live += vm.state != PHYLLO_VM_OFF;
		fn(&vm);
	}
	return live;
}
