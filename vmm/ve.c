/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtualisation exception; see ve.h.  Both vendors have it from here, whether or not the
 * processor could raise it by itself.
 *
 * What if the access was part of delivering another event (a push on a protected stack, a read of
 * a protected IDT)?  The event has not happened then: RIP and all registers are as before it.  #VE
 * goes first, as if the access had come before the event; its handler returns to the same RIP.
 * What becomes of the event depends on what it was:
 *
 *   faults, INT n, INT3, INTO   come of the instruction at RIP, which raises them again: dropped.
 *                               That includes #DF, whose first fault is raised again, too.
 *   #DB                         may be the trap of the instruction before, which is over: it would
 *                               be lost, and RF in #VE's frame would hide an instruction
 *                               breakpoint.  The VM is stopped.
 *   interrupts and NMIs         come again later (inject.c).
 *   #VE                         busy is set: see below.
 *
 * A processor is stricter: it raises no #VE at all while it delivers an event (SDM vol. 3C,
 * 26.5.7.1), and the hypervisor would have to help itself.
 *
 * Between a #VE and the guest's clearing of busy the guest must not touch what is protected: a
 * handler, stack or IDT that is protected itself would recurse for ever.
 */
#include "vmm/ve.h"

#include <stddef.h>

#include "phyllo/hypercall.h"
#include "vmm/inject.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

#define VE_REASON 48 /* EPT violation */

int64_t ve_setup(struct vcpu *vcpu, uint64_t gpa)
{
	const struct phyllo_ve zero = { 0 };

	if (gpa != VE_NO_PAGE) {
		if (gpa & (PAGE_SIZE - 1))
			return PHYLLO_EINVAL;
		int err = mmu_write_guest(vcpu->vm->mmu, gpa, &zero, sizeof(zero));

		if (err)
			return err;
	}
	vcpu->ve_gpa = gpa;
	return 0;
}

static const char *access_name(const struct page_fault *pf)
{
	return pf->access & ACC_W ? "write" : pf->access & ACC_X ? "fetch" : "read";
}

static uint64_t access_bits(const struct vm_exit *exit)
{
	const struct page_fault *pf = &exit->fault;
	uint64_t bits = pf->access & ACC_W ? PHYLLO_VE_WRITE
			: pf->access & ACC_X ? PHYLLO_VE_FETCH
					     : PHYLLO_VE_READ;

	bits |= exit->gva_valid ? PHYLLO_VE_GVA : 0;
	bits |= pf->gpt_walk ? 0 : PHYLLO_VE_DATA;
	return bits;
}

/* NULL, or why the guest cannot be told. */
static const char *obstacle(struct vcpu *vcpu)
{
	struct mmu_vm *mmu = vcpu->vm->mmu;
	struct phyllo_ve ve;

	if (vcpu->ve_gpa == VE_NO_PAGE)
		return "it has no #VE information page to be told";
	if (!(virt->get_cr(vcpu, 0) & CR0_PE))
		return "it is in real mode, which has no #VE";
	if (mmu_read_guest(mmu, vcpu->ve_gpa, &ve, sizeof(ve)))
		return "its #VE information page is no memory any more";
	if (ve.busy)
		return "it has not cleared the busy word of its last #VE";
	if (vcpu->inject.valid && vcpu->inject.type == EVENT_EXCEPTION && vcpu->inject.vector == VEC_DB)
		return "a debug exception was being delivered, which would be lost";
	return NULL;
}

void ve_deliver(struct vcpu *vcpu)
{
	const struct vm_exit *exit = &vcpu->exit;
	const char *why = obstacle(vcpu);
	struct phyllo_ve ve = {
		.reason = VE_REASON,
		.busy = ~0u,
		.access = access_bits(exit),
		.gva = exit->gva_valid ? exit->gva : 0,
		.gpa = exit->fault.gpa,
		.rip = vcpu->regs.rip,
	};

	if (!why && mmu_write_guest(vcpu->vm->mmu, vcpu->ve_gpa, &ve, sizeof(ve)))
		why = "its #VE information page cannot be written";
	if (why) {
		vm_stop_report(vcpu, "%s of protected guest-physical 0x%lx: %s",
			       access_name(&exit->fault), exit->fault.gpa, why);
		return;
	}
	if (vcpu->inject.valid && vcpu->inject.type == EVENT_EXCEPTION)
		vcpu->inject.valid = false;
	inject_exception(vcpu, PHYLLO_VE_VECTOR);
}
