/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the hypercalls share.  Each call checks all of its arguments, every one of
 * them hostile, before it changes anything; what it needs of kernel memory does not depend on them.
 *
 *   hypercall.c         dispatch; console, exit, statistics, #VE
 *   hypercall_range.c   operations on ranges, ageing
 *   hypercall_slot.c    memory slots
 *   hypercall_dirty.c   dirty log
 *   hypercall_mmu.c     mode, zap, audit, dump
 *   hypercall_vcpu.c    vCPUs
 *   hypercall_vms.c     other VMs: naming one, and their life
 *   hypercall_stats.c   latencies
 */
#pragma once

#include "phyllo/hypercall.h"
#include "vmm/vm.h"

/*
 * Buffers and structures lie in the caller's memory (vcpu->vm), whatever the target is; ranges,
 * slots and statistics are the target's.
 */
struct hc_args {
	uint64_t rbx, rcx, rdx, rsi;
	struct vm *target; /* the VM that rsi names, in calls that have one: it stays meanwhile */
};

/* A range in pages; false: malformed (an empty or overflowing one is, too). */
static inline bool hc_range_parse(uint64_t gpa, uint64_t size, gfn_t *gfn, uint64_t *npages)
{
	uint64_t end;

	if ((gpa | size) & (PAGE_SIZE - 1) || !size || __builtin_add_overflow(gpa, size, &end))
		return false;
	*gfn = gpa >> PAGE_SHIFT;
	*npages = size >> PAGE_SHIFT;
	return true;
}

/* The structure of a call that takes one in rbx and rcx, rdx = 0.  0 or error. */
int64_t hc_read_struct(struct vcpu *vcpu, const struct hc_args *a, void *buf, uint64_t size);

/*
 * Bitmaps travel in pieces of this many pages: the buffer for one lies on the stack.
 */
#define HC_BITMAP_PAGES 4096ul
#define HC_BITMAP_WORDS (HC_BITMAP_PAGES / 64)

static inline uint64_t hc_bitmap_bytes(uint64_t npages)
{
	return (npages + 63) / 64 * 8;
}

/* Is [gpa, gpa + its size) an address range at all? */
static inline bool hc_bitmap_valid(uint64_t gpa, uint64_t npages)
{
	return !(gpa & 7) && gpa + hc_bitmap_bytes(npages) > gpa;
}

/* Could there be such a slot?  A guest's number has 64 bits. */
static inline bool hc_slot_valid(uint64_t id)
{
	return id < MMU_SLOTS_MAX;
}

/* hypercall_vcpu.c */
int64_t hc_vcpu_start(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_vcpu_id(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_yield(struct vcpu *vcpu, const struct hc_args *a);

/* hypercall_vms.c */
/*
 * Fill in a->target: the caller's VM, or, for a privileged one, any that runs, with a reference. 0,
 * PHYLLO_EPERM or PHYLLO_ENOENT.
 */
int64_t hc_target_get(struct vcpu *vcpu, struct hc_args *a);
void hc_target_put(struct vcpu *vcpu, struct hc_args *a);
int64_t hc_vm_info(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_vm_control(struct vcpu *vcpu, const struct hc_args *a);

/* hypercall_range.c */
int64_t hc_balloon_out(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_balloon_in(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_unmap(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_protect(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_migrate(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_age(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_test_age(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_age_bitmap(struct vcpu *vcpu, const struct hc_args *a);

/* hypercall_slot.c */
int64_t hc_slot_create(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_slot_delete(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_slot_move(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_slot_flags(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_slot_info(struct vcpu *vcpu, const struct hc_args *a);

/* hypercall_dirty.c */
int64_t hc_dirty_start(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_dirty_get(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_dirty_clear(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_dirty_stop(struct vcpu *vcpu, const struct hc_args *a);
/* PHYLLO_DIRTY_STYLE_*: what this machine can do, one bit per style, and what the default is. */
uint32_t hc_dirty_styles(const struct vm *vm);
unsigned hc_dirty_default(const struct vm *vm);

/* hypercall_mmu.c */
int64_t hc_audit(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_mmu_mode(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_zap_all(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_nx_recover(struct vcpu *vcpu, const struct hc_args *a);
int64_t hc_dump(struct vcpu *vcpu, const struct hc_args *a);

/* hypercall_stats.c */
int64_t hc_latency(struct vcpu *vcpu, const struct hc_args *a);
