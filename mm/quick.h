/* SPDX-License-Identifier: GPL-2.0-only */
/* The most frequent fault: everything is in place but the leaf. */
#pragma once

#include "mm/mmu.h"
#include "mm/memslot.h"

/*
 * Map the page if it has a plain word (backing_plain()), and its neighbours, if the table for the leaf is there
 * and nothing in its place.  False: it is not so.  The slot is not stale, the root is valid.
 */
bool quick_map(struct mmu_vcpu *vcpu, struct page_fault *pf, const struct memslot *slot)
	REQUIRES_SHARED(vcpu->vm->mmu_lock);
