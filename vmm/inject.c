/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions for the guest; see inject.h. */
#include "vmm/inject.h"

#include "vmm/virt.h"
#include "vmm/vm.h"

/*
 * Exceptions are raised only for instructions that we emulate, and an
 * instruction that runs has no event in delivery: two at once cannot meet here.
 */
static void inject(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error)
{
	if (vcpu->inject.valid) {
		vm_stop_report(vcpu, "exception %u while delivering event %u", vector,
			       vcpu->inject.vector);
		return;
	}
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
