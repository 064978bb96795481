/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hypercalls on memory slots.  A guest makes RAM slots only: a device slot would hand
 * it a piece of the machine.
 */
#include "vmm/hypercall_impl.h"

#include "vmm/vm.h"

_Static_assert(PHYLLO_SLOT_IDS == MMU_SLOTS_MAX, "one limit");
_Static_assert((unsigned)PHYLLO_SLOT_READONLY == (unsigned)MMU_SLOT_READONLY, "one flag");

int64_t hc_slot_create(struct vcpu *vcpu, const struct hc_args *a)
{
	struct phyllo_slot args;
	struct mmu_slot_desc desc;
	int64_t err = hc_read_struct(vcpu, a, &args, sizeof(args));

	if (err)
		return err;
	if (args.id >= PHYLLO_SLOT_IDS || args.flags & ~(uint64_t)PHYLLO_SLOT_READONLY)
		return PHYLLO_EINVAL;
	desc = (struct mmu_slot_desc){ .id = (unsigned)args.id, .flags = (uint32_t)args.flags };
	if (!hc_range_parse(args.gpa, args.bytes, &desc.base_gfn, &desc.npages))
		return PHYLLO_EINVAL;
	/* What mm/ keeps per page of a slot must not be a lever. */
	if (args.bytes > a->target->config.mem)
		return PHYLLO_EINVAL;
	return mmu_slot_create(a->target->mmu, &desc);
}

int64_t hc_slot_delete(struct vcpu *vcpu, const struct hc_args *a)
{
	return hc_slot_valid(a->rbx) ? mmu_slot_delete(a->target->mmu, (unsigned)a->rbx)
				     : PHYLLO_ENOENT;
}

int64_t hc_slot_move(struct vcpu *vcpu, const struct hc_args *a)
{
	if (a->rcx & (PAGE_SIZE - 1))
		return PHYLLO_EINVAL;
	if (!hc_slot_valid(a->rbx))
		return PHYLLO_ENOENT;
	return mmu_slot_move(a->target->mmu, (unsigned)a->rbx, a->rcx >> PAGE_SHIFT);
}

int64_t hc_slot_flags(struct vcpu *vcpu, const struct hc_args *a)
{
	if (a->rcx & ~(uint64_t)PHYLLO_SLOT_READONLY)
		return PHYLLO_EINVAL;
	if (!hc_slot_valid(a->rbx))
		return PHYLLO_ENOENT;
	return mmu_slot_set_flags(a->target->mmu, (unsigned)a->rbx, (uint32_t)a->rcx);
}

int64_t hc_slot_info(struct vcpu *vcpu, const struct hc_args *a)
{
	struct phyllo_slot args;
	struct mmu_slot_desc desc;
	int64_t err = hc_read_struct(vcpu, a, &args, sizeof(args));

	if (err)
		return err;
	if (!hc_slot_valid(args.id))
		return PHYLLO_ENOENT;
	err = mmu_slot_info(a->target->mmu, (unsigned)args.id, &desc);
	if (err)
		return err;
	args.gpa = desc.base_gfn << PAGE_SHIFT;
	args.bytes = desc.npages << PAGE_SHIFT;
	args.flags = desc.flags & MMU_SLOT_READONLY;
	return mmu_write_guest(vcpu->vm->mmu, a->rbx, &args, sizeof(args));
}
