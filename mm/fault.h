/* SPDX-License-Identifier: GPL-2.0-only */
/* What faults of both kinds share: of nested tables (fault.c) and of shadow tables (shadow_fault.c). */
#pragma once

#include "mm/vm.h"

/* One of the longest. */
void fault_took_long(struct mmu_vcpu *vcpu, uint64_t start, uint64_t end, gfn_t gfn);
/* Keep how long it took, from start by port_clock(). */
static inline void fault_time(struct mmu_vcpu *vcpu, uint64_t start, gfn_t gfn)
{
	uint64_t end = port_clock();

	if (__builtin_expect(latency_count_vcpu(&vcpu->vm->latency, vcpu, MMU_LATENCY_FAULT,
						end - start), 0))
		fault_took_long(vcpu, start, end, gfn);
}

/* Count it. */
void fault_note_rare(struct mmu_vm *vm, enum mmu_pf_result result);
static inline void fault_note(struct mmu_vm *vm, enum mmu_pf_result result)
{
	if (result == MMU_PF_FIXED)
		stat_add(vm, pf_fixed, 1);
	else
		fault_note_rare(vm, result);
}

/* What backing_touch() said. */
enum mmu_pf_result fault_backing_error(int err);
