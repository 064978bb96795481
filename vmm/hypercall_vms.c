/* SPDX-License-Identifier: GPL-2.0-only */
/* Hypercalls on VMs: naming another one as the target of a call, asking about it, ending it. */
#include "vmm/hypercall_impl.h"

#include "lib/text.h"
#include "vmm/vms.h"

_Static_assert((unsigned)PHYLLO_VM_OFF == LIFE_OFF && (unsigned)PHYLLO_VM_RUNNING == LIFE_RUNNING &&
	       (unsigned)PHYLLO_VM_PAUSED == LIFE_PAUSED && (unsigned)PHYLLO_VM_ENDING == LIFE_ENDING,
	       "one order of states");

static bool is_own(const struct vcpu *vcpu, uint64_t id)
{
	return !id || id == vcpu->vm->id;
}

int64_t hc_target_get(struct vcpu *vcpu, struct hc_args *a)
{
	a->target = vcpu->vm;
	if (is_own(vcpu, a->rsi))
		return 0;
	if (!vcpu->vm->config.privileged)
		return PHYLLO_EPERM;
	a->target = vms_get(a->rsi);
	return a->target ? 0 : PHYLLO_ENOENT;
}

void hc_target_put(struct vcpu *vcpu, struct hc_args *a)
{
	if (a->target != vcpu->vm)
		vms_put(a->target);
}

/* The entry that rsi names, which outlives its VM. */
static int64_t find_guest(const struct vcpu *vcpu, const struct hc_args *a, struct guest **out)
{
	if (!is_own(vcpu, a->rsi) && !vcpu->vm->config.privileged)
		return PHYLLO_EPERM;
	*out = vms_find(a->rsi ? a->rsi : vcpu->vm->id);
	return *out ? 0 : PHYLLO_ENOENT;
}

int64_t hc_vm_info(struct vcpu *vcpu, const struct hc_args *a)
{
	struct phyllo_vm_info out = { 0 };
	struct vms_info info;
	struct guest *g;
	int64_t err = find_guest(vcpu, a, &g);

	if (err)
		return err;
	if (a->rcx != sizeof(out) || a->rdx)
		return PHYLLO_EINVAL;
	vms_info(g, &info);
	out.id = g->id;
	if (vcpu->vm->config.privileged && vms_next(g))
		out.next = vms_next(g)->id;
	text_copy(out.name, sizeof(out.name), g->config.name);
	out.state = info.state;
	out.flags = g->config.privileged ? PHYLLO_VM_PRIVILEGED : 0;
	out.vcpus = g->config.vcpus;
	out.starts = info.starts;
	out.memory = g->config.mem;
	out.used_pages = info.used_pages;
	out.exit_code = info.exit_code;
	return mmu_write_guest(vcpu->vm->mmu, a->rbx, &out, sizeof(out));
}

int64_t hc_vm_control(struct vcpu *vcpu, const struct hc_args *a)
{
	static const enum life_op ops[] = {
		[PHYLLO_VM_PAUSE] = LIFE_PAUSE,
		[PHYLLO_VM_RESUME] = LIFE_RESUME,
		[PHYLLO_VM_DESTROY] = LIFE_DESTROY,
		[PHYLLO_VM_RESTART] = LIFE_RESTART,
	};
	struct guest *g;
	int64_t err = vcpu->vm->config.privileged ? find_guest(vcpu, a, &g) : PHYLLO_EPERM;

	if (err)
		return err;
	if (a->rbx < PHYLLO_VM_PAUSE || a->rbx > PHYLLO_VM_RESTART)
		return PHYLLO_EINVAL;
	return vms_ask(g, ops[a->rbx]);
}
