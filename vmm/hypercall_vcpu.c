/* SPDX-License-Identifier: GPL-2.0-only */
/* Hypercalls about vCPUs; see hypercall_impl.h. */
#include "vmm/hypercall_impl.h"

#include "vmm/intr.h"

int64_t hc_vcpu_start(struct vcpu *vcpu, const struct hc_args *a)
{
	if (a->rcx >> 32 || a->rdx >> 32)
		return PHYLLO_EINVAL;
	if (a->rbx >= vcpu->vm->vcpu_count)
		return PHYLLO_ENOENT;
	return intr_post_start(vcpu->vm->vcpus[a->rbx], (uint32_t)a->rcx, (uint32_t)a->rdx);
}

int64_t hc_vcpu_id(struct vcpu *vcpu, const struct hc_args *a)
{
	if (a->rbx > PHYLLO_VCPU_COUNT)
		return PHYLLO_EINVAL;
	return a->rbx ? vcpu->vm->vcpu_count : vcpu->id;
}

int64_t hc_yield(struct vcpu *vcpu, const struct hc_args *a)
{
	thread_yield();
	return 0;
}
