/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions for the guest; see inject.h. */
#include "vmm/inject.h"

#include "vmm/intr.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

/* ---- one event in the way of another -------------------------------------------------- */

/* SDM vol. 3A, table 6-4. */
enum severity { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum severity severity(uint8_t vector)
{
	switch (vector) {
	case VEC_DE:
	case VEC_TS:
	case VEC_NP:
	case VEC_SS:
	case VEC_GP:
	case VEC_CP:
		return CONTRIBUTORY;
	case VEC_PF:
	case VEC_VE:
		return PAGE_FAULT;
	case VEC_DF:
		return DOUBLE_FAULT;
	default:
		return BENIGN;
	}
}

/* Table 6-5: does second, met while first was delivered, make things worse? */
static bool escalates(uint8_t first, uint8_t second)
{
	if (severity(second) == BENIGN)
		return false;
	return severity(first) == DOUBLE_FAULT || severity(first) == PAGE_FAULT ||
	       (severity(first) == CONTRIBUTORY && severity(second) == CONTRIBUTORY);
}

/*
 * The event in vcpu->inject met exception *vector on its way in.  Interrupts and NMIs come again
 * later.  INT n, INT3, INTO and faults do so by themselves: RIP is where it was.  A trap (#DB) is over
 * and lost, as it is on a processor whose handler's stack is not there.  false: the VM is stopped.
 */
static bool make_way(struct vcpu *vcpu, uint8_t *vector)
{
	const struct vm_event old = vcpu->inject;

	vcpu->inject.valid = false;
	if (old.type == EVENT_INTR) {
		lapic_put_back(&vcpu->lapic, old.vector);
		intr_raise(vcpu, INTR_CHECK);
	} else if (old.type == EVENT_NMI) {
		intr_raise(vcpu, INTR_NMI);
	}
	if (old.type != EVENT_EXCEPTION || !escalates(old.vector, *vector))
		return true;
	if (severity(old.vector) == DOUBLE_FAULT) {
		vm_stop_report(vcpu, "triple fault (exception %u while delivering a double fault)",
			       *vector);
		return false;
	}
	*vector = VEC_DF;
	return true;
}

#define DR6_TRAPS 0xful /* B0 … B3: of the trap before, and not of this one */

/* ---- exceptions ------------------------------------------------------------------------ */

static void inject(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error)
{
	if (vcpu->inject.valid) {
		if (!make_way(vcpu, &vector))
			return;
		if (vector == VEC_DF) {
			has_error = virt->get_cr(vcpu, 0) & CR0_PE;
			error = 0;
		}
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

void inject_debug(struct vcpu *vcpu, uint64_t dr6)
{
	virt->set_dr(vcpu, 6, (virt->get_dr(vcpu, 6) & ~DR6_TRAPS) | dr6);
	virt->set_dr(vcpu, 7, virt->get_dr(vcpu, 7) & ~DR7_GD);
	inject_exception(vcpu, VEC_DB);
}

void inject_exit(struct vcpu *vcpu)
{
	const struct exit_exception e = vcpu->exit.exception;

	virt->clear_intr_shadow(vcpu);
	if (e.vector == VEC_DB && e.dr6)
		inject_debug(vcpu, e.dr6);
	else if (e.vector == VEC_AC)
		inject_exception_error(vcpu, e.vector, 0);
	else
		inject_exception(vcpu, e.vector);
	if (!vcpu->inject.valid || vcpu->inject.vector != e.vector)
		return; /* it has become another one */
	vcpu->inject.type = e.type;
	vcpu->inject.insn_len = vcpu->exit.insn_len;
}

void inject_page_fault(struct vcpu *vcpu, gva_t gva, uint32_t error)
{
	vcpu->regs.cr2 = gva;
	inject(vcpu, VEC_PF, true, error);
}
