/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entries that remember "there is no memory here": present for the processor but malformed
 * (EPT: misconfigured; NPT: a reserved bit), so that an access comes back as a fault that
 * needs no search to be answered.  Each carries some bits of the generation of the
 * slot table that it was made of; with any other generation it means nothing.
 *
 * No processor caches one, so putting one in or taking one out owes no flush.  They are not
 * SPTE_PRESENT: walks take them for neither leaf nor table.
 */
#pragma once

#include "mm/format.h"
#include "mm/vm.h"

/*
 * Bits of the generation in an entry.  Every 2^MMIO_GEN_BITS changes the numbers repeat:
 * then all of them are dropped at once.
 */
#define MMIO_GEN_BITS 12
#define MMIO_GEN_MASK ((1ul << MMIO_GEN_BITS) - 1)

/* Tables for gfns without memory are the guest's to ask for: so many entries and no more. */
#define MMIO_ENTRIES_MAX 512

static inline bool mmio_is_entry(const struct mmu_format *fmt, spte_t spte)
{
	return !(spte.raw & SPTE_PRESENT) && (spte.raw & fmt->present);
}

/* Take one out, if it is still what the caller saw.  mmu_lock is held. */
void mmio_remove(struct mmu_vm *vm, spte_cell_t *cell, spte_t seen);

/* A new slot table was published: what if its number looks like an old one? */
void mmio_new_generation(struct mmu_vm *vm, uint64_t generation) REQUIRES(vm->mmu_lock);

/* There is no slot at the fault's address: remember that, if there is room and memory. */
void mmio_remember(struct mmu_vcpu *vcpu, gfn_t gfn) EXCLUDES(vcpu->vm->mmu_lock);

enum mmio_answer {
	MMIO_CURRENT, /* an entry of ours that holds: emulate */
	MMIO_STALE,   /* there was none that holds; there is none any more */
	MMIO_FOREIGN, /* something else that a processor should not find malformed */
};
/* A fault with reserved bits: what of ours is there? */
enum mmio_answer mmio_lookup(struct mmu_vcpu *vcpu, gfn_t gfn) EXCLUDES(vcpu->vm->mmu_lock);
