/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading the counters.  They are relaxed atomics beside each other: exact when the
 * VM is quiet, a little apart from each other when it is not.
 */
#include "mm/vm.h"

void mmu_stats_read(struct mmu_vm *vm, struct mmu_stats *out)
{
#define READ(field, name, help) out->field = stat_read(vm, field);
	MMU_STATS(READ)
	MMU_GAUGES(READ)
#undef READ
	/* Every fault has one result: counting them as well would be one atomic more. */
	out->pf_taken = out->pf_fixed + out->pf_spurious + out->pf_retry + out->pf_emulate +
			out->pf_protected + out->pf_nomem + out->pf_guest;
}
