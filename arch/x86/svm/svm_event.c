/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events on their way into the guest: EVENTINJ takes one at entry, EXITINTINFO gives
 * one back that an exit (mostly a nested page fault on the guest's IDT or stack) cut short.
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/cpu.h"

#define DR6_BS (1ul << 14) /* single step */

/*
 * INT n, INT3, INTO, INT1 as virt_ops.h has them: RIP still points at the instruction.
 * Then nothing need be injected, for executing it (again) raises the event.  EVENTINJ would
 * want the address behind the instruction, which only processors with NRIPS
 * report, and would push RIP itself on the others.
 */
static bool is_software(unsigned type)
{
	return type >= EVENT_SOFT_INT;
}

/* ---- NMIs --------------------------------------------------------------------------- */

static void intercept_iret(struct svm_vcpu *svm, bool on)
{
	struct vmcb_control *c = &svm->vmcb->control;

	c->intercept_misc1 = on ? c->intercept_misc1 | INTERCEPT_IRET
				: c->intercept_misc1 & ~INTERCEPT_IRET;
	c->clean &= ~VMCB_CLEAN_INTERCEPTS;
}

/* EVENTINJ does not block further NMIs as the arrival of a real one does. */
static void nmi_block(struct svm_vcpu *svm)
{
	svm->nmi_blocked = true;
	svm->iret_seen = false;
	intercept_iret(svm, true);
}

/*
 * The intercept comes before the IRET.  An NMI there would meet a handler that has not left
 * its stack; so it waits for an exit at another RIP.
 */
void svm_nmi_track(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	if (svm->vmcb->control.exit_code == VMEXIT_IRET) {
		svm->iret_seen = true;
		svm->iret_rip = vcpu->regs.rip;
		intercept_iret(svm, false);
	} else if (svm->iret_seen && vcpu->regs.rip != svm->iret_rip) {
		svm->nmi_blocked = false;
	}
}

void svm_event_reset(struct svm_vcpu *svm)
{
	svm->nmi_blocked = svm->iret_seen = false;
	intercept_iret(svm, false);
	svm->vmcb->control.int_state &= ~VMCB_INT_SHADOW;
	svm->shadow_exits = 0;
}

bool svm_nmi_allowed(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	return !svm->nmi_blocked && !(svm->vmcb->control.int_state & VMCB_INT_SHADOW);
}

/* The IRET intercept, which is on anyway.  A shadow ends by itself at the next exit. */
void svm_request_nmi_window(struct vcpu *vcpu, bool on)
{
}

/* ---- shadows ------------------------------------------------------------------------ */

/* Exits at one RIP after which an instruction that loops to itself has surely been executed. */
#define SHADOW_EXITS 16

/*
 * QEMU does not load int_state: a shadow at VMRUN is none, and the next exit at the same RIP says
 * so.  An interrupt before the instruction would be wrong (the HLT behind an STI would miss it), so
 * the shadow stays until RIP moves.
 */
void svm_shadow_track(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	struct vmcb_control *c = &svm->vmcb->control;

	if (c->int_state & VMCB_INT_SHADOW) {
		svm->shadow_exits = SHADOW_EXITS;
		svm->shadow_rip = vcpu->regs.rip;
	} else if (svm->shadow_exits && vcpu->regs.rip == svm->shadow_rip) {
		svm->shadow_exits--;
		c->int_state |= VMCB_INT_SHADOW;
	} else {
		svm->shadow_exits = 0;
	}
}

/* ---- injection ---------------------------------------------------------------------- */

void svm_event_inject(struct vcpu *vcpu)
{
	struct vmcb_control *c = &svm_of(vcpu)->vmcb->control;
	struct vm_event *ev = &vcpu->inject;

	ev->valid = false;
	if (is_software(ev->type))
		return;
	c->event_inj = ev->vector | (uint32_t)ev->type << VMCB_EVENT_TYPE_SHIFT | VMCB_EVENT_VALID;
	if (ev->type == EVENT_NMI)
		nmi_block(svm_of(vcpu));
	if (ev->has_error) {
		c->event_inj |= VMCB_EVENT_HAS_ERROR;
		c->event_error = ev->error;
	}
}

void svm_event_recover(struct vcpu *vcpu)
{
	const struct vmcb_control *c = &svm_of(vcpu)->vmcb->control;
	uint32_t info = c->exit_int_info;
	unsigned type = info >> VMCB_EVENT_TYPE_SHIFT & VMCB_EVENT_TYPE_MASK;
	uint8_t vector = info;

	/* SVM reports INT3 and INTO as exceptions (and INT1 as any other #DB). */
	if (type == EVENT_EXCEPTION && (vector == VEC_BP || vector == VEC_OF))
		type = EVENT_SOFT_TRAP;
	if (is_software(type))
		return;
	vcpu->inject = (struct vm_event){
		.valid = true,
		.type = type,
		.vector = vector,
		.has_error = info & VMCB_EVENT_HAS_ERROR,
		.error = c->exit_int_error,
	};
}

bool svm_intr_allowed(struct vcpu *vcpu)
{
	return (vcpu->regs.rflags & RFLAGS_IF) &&
	       !(svm_of(vcpu)->vmcb->control.int_state & VMCB_INT_SHADOW);
}

/*
 * A virtual interrupt of the highest priority that is never delivered: its intercept fires
 * in the instant in which it could be.  In a shadow that might be too early: svm_shadow_track().
 */
bool svm_request_intr_window(struct vcpu *vcpu, bool on)
{
	struct vmcb_control *c = &svm_of(vcpu)->vmcb->control;
	bool shadow = on && (c->int_state & VMCB_INT_SHADOW);

	on = on && !shadow;
	if (on == !!(c->int_ctl & VMCB_V_IRQ))
		return !shadow;
	if (on) {
		c->int_ctl |= VMCB_V_IRQ | VMCB_V_IGN_TPR | VMCB_V_PRIO_MASK;
		c->intercept_misc1 |= INTERCEPT_VINTR;
	} else {
		c->int_ctl &= ~(VMCB_V_IRQ | VMCB_V_IGN_TPR | VMCB_V_PRIO_MASK);
		c->intercept_misc1 &= ~INTERCEPT_VINTR;
	}
	c->clean &= ~(VMCB_CLEAN_INT_CTL | VMCB_CLEAN_INTERCEPTS);
	return !shadow;
}

void svm_clear_intr_shadow(struct vcpu *vcpu)
{
	svm_of(vcpu)->vmcb->control.int_state &= ~VMCB_INT_SHADOW;
	svm_of(vcpu)->shadow_exits = 0;
}

/* SVM has no pending debug exceptions: the trap is injected, with what it leaves in DR6. */
void svm_pend_single_step(struct vcpu *vcpu)
{
	struct vmcb *vmcb = svm_of(vcpu)->vmcb;

	vmcb->save.dr6 |= DR6_BS;
	vmcb->control.clean &= ~VMCB_CLEAN_DRX;
	if (vcpu->inject.valid)
		return; /* that event's handler runs first, and pushes TF */
	vcpu->inject = (struct vm_event){
		.valid = true,
		.type = EVENT_EXCEPTION,
		.vector = VEC_DB,
	};
}

/* ---- CR8 ---------------------------------------------------------------------------- */

unsigned svm_get_cr8(struct vcpu *vcpu)
{
	return svm_of(vcpu)->vmcb->control.int_ctl & VMCB_V_TPR_MASK;
}

void svm_set_cr8(struct vcpu *vcpu, unsigned priority)
{
	struct vmcb_control *c = &svm_of(vcpu)->vmcb->control;

	c->int_ctl = (c->int_ctl & ~VMCB_V_TPR_MASK) | priority;
	c->clean &= ~VMCB_CLEAN_INT_CTL;
}

void svm_trap_cr8_write(struct vcpu *vcpu, bool on)
{
	struct vmcb_control *c = &svm_of(vcpu)->vmcb->control;
	uint16_t writes = (uint16_t)(on ? c->intercept_cr_write | 1u << 8
					: c->intercept_cr_write & ~(1u << 8));

	if (writes == c->intercept_cr_write)
		return;
	c->intercept_cr_write = writes;
	c->clean &= ~VMCB_CLEAN_INTERCEPTS;
}
