/* SPDX-License-Identifier: GPL-2.0-only */
/* Fault-around: one fault maps what lies beside its page. */
#pragma once

#include "mm/backing.h"
#include "mm/iter.h"
#include "mm/vm.h"

/*
 * The fault has mapped page in a 4K leaf, where it stands.  Map the neighbours in the aligned
 * window of vm->fault_around pages that the backing already holds: same slot, same
 * protection, 4K leaves in the table that is there.
 */
void around_map(struct mmu_vcpu *vcpu, const struct memslot *slot, const struct backing_page *page,
		const struct tdp_iter *it)
	REQUIRES_SHARED(vcpu->vm->mmu_lock);
