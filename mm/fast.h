/* SPDX-License-Identifier: GPL-2.0-only */
/* Faults that only need a permission back; see fast.c. */
#pragma once

#include "mm/vm.h"

/*
 * Without a lock: give back what a leaf lost to write-protection or ageing.  FIXED or
 * SPURIOUS; RETRY when the fault needs more than that, which is for the slow path to find out.
 */
enum mmu_pf_result fast_fault(struct mmu_vcpu *vcpu, struct page_fault *pf)
	EXCLUDES(vcpu->vm->mmu_lock);
