/* SPDX-License-Identifier: GPL-2.0-only */
/* What faults of both kinds share: of nested tables (fault.c) and of shadow tables (shadow_fault.c). */
#pragma once

#include "mm/vm.h"

/* Keep how long it took, from start by port_clock(). */
void fault_time(struct mmu_vcpu *vcpu, uint64_t start, gfn_t gfn);
/* Count it. */
void fault_note(struct mmu_vm *vm, enum mmu_pf_result result);
/* What backing_touch() said. */
enum mmu_pf_result fault_backing_error(int err);
