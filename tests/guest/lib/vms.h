/* SPDX-License-Identifier: GPL-2.0-only */
/* What a VM may ask about others, with names.  All give what the hypercall gives. */
#pragma once

#include "tests/guest/lib/guest.h"

static inline long vm_info(uint64_t id, struct phyllo_vm_info *out)
{
	return hypercall(PHYLLO_HC_VM_INFO, (uintptr_t)out, sizeof(*out), 0, id);
}

static inline long vm_control(uint64_t id, unsigned op)
{
	return hypercall(PHYLLO_HC_VM_CONTROL, op, 0, 0, id);
}

static inline long vm_slot_info(uint64_t vm, uint64_t id, struct phyllo_slot *out)
{
	*out = (struct phyllo_slot){ .id = id };
	return hypercall(PHYLLO_HC_SLOT_INFO, (uintptr_t)out, sizeof(*out), 0, vm);
}

/* Calls fn for each VM of the list but the caller; by privileged ones only.  -> how many of them live. */
unsigned vms_each_other(void (*fn)(const struct phyllo_vm_info *vm));
