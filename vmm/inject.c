/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions for the guest; see inject.h. */
#include "vmm/inject.h"

#include "vmm/intr.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

static bool is_contributory(uint8_t vector)
{
	return vector == VEC_DE || (vector >= VEC_TS && vector <= VEC_GP);
}

/* SDM vol. 3A, 6.15, table 6-5. */
static bool makes_double_fault(uint8_t first, uint8_t second)
{
	if (first == VEC_PF)
		return second == VEC_PF || is_contributory(second);
	return is_contributory(first) && is_contributory(second);
}

/*
 * With shadow paging the guest's page faults are ours to raise, also those of the delivery of an event.
 * What was being delivered comes again: a fault when its instruction does, an interrupt from where
 * it waited.  Of a trap that is not true, and no processor remembers it, either.
 */
static void give_way(struct vcpu *vcpu)
{
	struct vm_event *ev = &vcpu->inject;

	if (ev->type == EVENT_INTR) {
		lapic_take_back(&vcpu->lapic, ev->vector);
		intr_raise(vcpu, INTR_CHECK);
	} else if (ev->type == EVENT_NMI) {
		intr_raise(vcpu, INTR_NMI);
	}
	ev->valid = false;
}

static void inject(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error)
{
	const struct vm_event *first = &vcpu->inject;

	if (first->valid && first->type == EVENT_EXCEPTION && first->vector == VEC_DF) {
		vm_stop_report(vcpu, "triple fault (exception %u while delivering a double fault)",
			       vector);
		return;
	}
	if (first->valid && first->type == EVENT_EXCEPTION &&
	    makes_double_fault(first->vector, vector)) {
		vector = VEC_DF;
		has_error = true;
		error = 0;
	}
	if (first->valid)
		give_way(vcpu);
	vcpu->inject = (struct vm_event){
		.valid = true,
		.type = EVENT_EXCEPTION,
		.vector = vector,
		.has_error = has_error,
		.error = error,
	};
	/* Fault-class exceptions push RF = 1 (SDM vol. 3A, 17.3.1.1). */
	vcpu->regs.rflags |= vector == VEC_DB ? 0 : RFLAGS_RF;
	vcpu->injected++;
}

void inject_exception(struct vcpu *vcpu, uint8_t vector)
{
	inject(vcpu, vector, false, 0);
}

/* Real mode pushes no error codes (SDM vol. 3A, 20.1.4). */
void inject_exception_error(struct vcpu *vcpu, uint8_t vector, uint32_t error)
{
	inject(vcpu, vector, virt->get_cr(vcpu, 0) & CR0_PE, error);
}

void inject_page_fault(struct vcpu *vcpu, gva_t gva, uint32_t error)
{
	vcpu->regs.cr2 = gva;
	inject(vcpu, VEC_PF, true, error);
}
