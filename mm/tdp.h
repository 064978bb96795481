/* SPDX-License-Identifier: GPL-2.0-only */
/* Mapping pages in a root, and the books of the entries. */
#pragma once

#include "mm/backing.h"
#include "mm/vm.h"

/*
 * Map page where the fault wants it, with access.  FIXED (pf->goal_level says at
 * which level), SPURIOUS, RETRY, or NOMEM when the cache has no page for a table.
 */
enum mmu_pf_result tdp_map(struct mmu_vcpu *vcpu, struct page_fault *pf,
			   const struct backing_page *page, unsigned access)
	REQUIRES_SHARED(vcpu->vm->mmu_lock);

/*
 * Every change of an entry of a root, from whatever to whatever, is booked here,
 * by the one whose atomic operation made it.
 */
void tdp_account(struct mmu_vm *vm, const struct mmu_format *fmt, unsigned level, spte_t old,
		 spte_t new);
