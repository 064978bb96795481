/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How mmu_lock is taken: everywhere in mm/ by these, so that how long it is held and waited
 * for is known, and by whom and for whom (latency.h).
 *
 * A writer says what it is about: whoever has to wait for it remembers that.  So does a reader that is no
 * vCPU; vCPUs' faults do not, because a line that all of them write would cost more than it tells: a
 * writer that had to wait, and finds nobody's name, waited for faults.
 *
 * The clock is read once when the lock is taken and once when it is let go; once more by who has to wait.
 * Of the holds of faults only some are measured, because the fault has to be quick.
 */
#pragma once

#include "mm/vm.h"

/* npages 0: it is not about a range, or not known yet. */
void mmu_write_lock(struct mmu_vm *vm, enum mmu_op op, gfn_t gfn, uint64_t npages)
	ACQUIRES(vm->mmu_lock);
void mmu_write_unlock(struct mmu_vm *vm) RELEASES(vm->mmu_lock);
/* What the holder is about has turned out. */
void mmu_lock_about(struct mmu_vm *vm, gfn_t gfn, uint64_t npages) REQUIRES(vm->mmu_lock);
/* Let go and take it again, for the same purpose; others run in between. */
void mmu_lock_yield(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);

/*
 * Does a holder that may let others in have a reason to?  The time from look to look is kept, some
 * looks together: what is kept is never shorter than it was.
 */
bool mmu_lock_look(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);

/* A stay under mmu_lock for read; lies with the reader. */
struct mmu_reading {
	enum mmu_op op;
	gfn_t gfn;
	uint64_t npages;
	uint64_t since; /* set when it begins */
};

void mmu_read_lock(struct mmu_vm *vm, struct mmu_reading *r) ACQUIRES_SHARED(vm->mmu_lock);
void mmu_read_unlock(struct mmu_vm *vm, struct mmu_reading *r) RELEASES_SHARED(vm->mmu_lock);

/* For a vCPU's fault, of which one in so many is measured; who: by who_make(). */
#define FAULT_SAMPLE 16u

void mmu_fault_wait(struct mmu_vcpu *vcpu, uint64_t who, uint32_t writer)
	REQUIRES_SHARED(vcpu->vm->mmu_lock);
void mmu_fault_held(struct mmu_vcpu *vcpu, uint64_t who, uint64_t since)
	REQUIRES_SHARED(vcpu->vm->mmu_lock);

/* Returns what the unlock wants to know. */
NO_THREAD_SAFETY_ANALYSIS
static inline uint64_t mmu_fault_lock(struct mmu_vcpu *vcpu, uint64_t who)
	ACQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	uint32_t writer = read_lock_begin(&vcpu->vm->mmu_lock);

	if (__builtin_expect(writer, 0))
		mmu_fault_wait(vcpu, who, writer);
	return vcpu->reads++ % FAULT_SAMPLE ? 0 : port_clock();
}

NO_THREAD_SAFETY_ANALYSIS
static inline void mmu_fault_unlock(struct mmu_vcpu *vcpu, uint64_t who, uint64_t since)
	RELEASES_SHARED(vcpu->vm->mmu_lock)
{
	if (__builtin_expect(since, 0))
		mmu_fault_held(vcpu, who, since);
	read_unlock(&vcpu->vm->mmu_lock);
}

/*
 * For a look of some dozens of instructions, which two readings of the clock would double: nobody is
 * told of it.
 */
void mmu_glance_lock(struct mmu_vm *vm) ACQUIRES_SHARED(vm->mmu_lock);
void mmu_glance_unlock(struct mmu_vm *vm) RELEASES_SHARED(vm->mmu_lock);

#define MMU_READING(op_, gfn_, npages_) \
	{ .op = MMU_OP_##op_, .gfn = (gfn_), .npages = (npages_) }
