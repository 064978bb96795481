/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest memory under a lock that is already held: what shadow paging reads of guest tables. */
#pragma once

#include "mm/vm.h"

/* The host's view of a page of guest RAM that is there; NULL: it is not. */
void *guest_page_va(struct mmu_vm *vm, gfn_t gfn) REQUIRES_SHARED(vm->mmu_lock);

/*
 * What a processor does that sets Accessed or Dirty: size (4 or 8) aligned bytes at gpa become
 * new, if they are old.  -EAGAIN: they are not; -EFAULT: read-only, or no memory; -ENOMEM.
 */
int guest_cmpxchg(struct mmu_vm *vm, gpa_t gpa, unsigned size, uint64_t old, uint64_t new)
	EXCLUDES(vm->mmu_lock);

/* One entry of a guest table of which guest_page_va() gave the beginning. */
static inline uint64_t guest_entry(const void *table, unsigned index, unsigned size)
{
	if (size == 4)
		return __atomic_load_n((const uint32_t *)table + index, __ATOMIC_RELAXED);
	return __atomic_load_n((const uint64_t *)table + index, __ATOMIC_RELAXED);
}
