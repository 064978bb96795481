/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events for the guest: injection at VM entry (SDM vol. 3C, 27.6), events that an
 * exit cut short (28.2.4), the interrupt window.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "host/machine.h"

static bool has_insn_len(unsigned type)
{
	return type == EVENT_SOFT_INT || type == EVENT_PRIV_TRAP || type == EVENT_SOFT_TRAP;
}

/* Our event types are VT-x's.  VM entry refuses an error code in real mode. */
uint32_t vmx_event_encode(const struct vm_event *event, bool protected_mode)
{
	uint32_t info = EVENT_INFO_VALID | event->vector | (uint32_t)event->type << 8;

	if (event->has_error && protected_mode)
		info |= EVENT_INFO_ERROR;
	return info;
}

void vmx_event_inject(struct vcpu *vcpu)
{
	struct vm_event *event = &vcpu->inject;

	if (!event->valid)
		return;
	if (vmx_of(vcpu)->real.on)
		panic("event %u is to go through the IDT in real mode", event->vector);
	event->valid = false;
	vmcs_write(VMCS_ENTRY_EVENT, vmx_event_encode(event, vmcs_read(VMCS_CR0_SHADOW) & CR0_PE));
	if (event->has_error)
		vmcs_write(VMCS_ENTRY_ERROR, event->error);
	if (has_insn_len(event->type))
		vmcs_write(VMCS_ENTRY_INSN_LEN, event->insn_len);
}

/*
 * info is the IDT-vectoring information.  An NMI in delivery has already
 * blocked further ones; it is to be injected, so that must not hold it back.
 */
void vmx_event_recover(struct vcpu *vcpu, uint32_t info)
{
	if (!(info & EVENT_INFO_VALID))
		return;
	struct vm_event event = {
		.valid = true,
		.type = EVENT_INFO_TYPE(info),
		.vector = info & EVENT_INFO_VECTOR,
		.has_error = info & EVENT_INFO_ERROR,
	};

	if (event.has_error)
		event.error = (uint32_t)vmcs_read(VMCS_IDT_EVENT_ERROR);
	if (has_insn_len(event.type))
		event.insn_len = (uint8_t)vmcs_read(VMCS_EXIT_INSN_LEN);
	if (event.type == EVENT_NMI)
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) &
								~(uint64_t)INTERRUPTIBILITY_NMI);
	vcpu->inject = event;
}

bool vmx_intr_allowed(struct vcpu *vcpu)
{
	return vcpu->regs.rflags & RFLAGS_IF &&
	       !(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) &
		 (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
}

static void set_proc(struct vcpu *vcpu, uint32_t bit, bool on)
{
	struct vmx_vcpu *v = vmx_of(vcpu);
	uint32_t proc = on ? v->proc | bit : v->proc & ~bit;

	if (proc == v->proc)
		return;
	v->proc = proc;
	vmcs_write(VMCS_PROC, proc);
}

bool vmx_request_intr_window(struct vcpu *vcpu, bool on)
{
	set_proc(vcpu, PROC_INTR_WINDOW, on);
	return true;
}

/* ---- NMIs ---------------------------------------------------------------------------- */

/* Some processors refuse to inject an NMI in the shadow of STI (SDM vol. 3C, 27.3.1.5). */
bool vmx_nmi_allowed(struct vcpu *vcpu)
{
	return !vmx_of(vcpu)->real.nmi_blocked &&
	       !(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) &
		 (INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
}

/*
 * The NMI window may open inside the shadow of STI, where nothing could be injected: then
 * IF is 1 and the interrupt window, which opens behind the shadow, does as well.  While real mode's
 * software state blocks NMIs no window would stay shut: the IRET that is emulated looks again.
 */
void vmx_request_nmi_window(struct vcpu *vcpu, bool on)
{
	bool sti = on && (vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_STI);

	set_proc(vcpu, PROC_NMI_WINDOW, on && !sti && !vmx_of(vcpu)->real.nmi_blocked);
	if (sti)
		set_proc(vcpu, PROC_INTR_WINDOW, true);
}

/* ---- CR8 ----------------------------------------------------------------------------- */

/* The TPR of the virtual-APIC page, which the TPR shadow gives to MOV CR8. */
static uint8_t *virtual_tpr(struct vcpu *vcpu)
{
	return (uint8_t *)machine_phys_to_virt(vmx_of(vcpu)->virtual_apic_pa) + 0x80;
}

unsigned vmx_get_cr8(struct vcpu *vcpu)
{
	return *virtual_tpr(vcpu) >> 4;
}

void vmx_set_cr8(struct vcpu *vcpu, unsigned priority)
{
	*virtual_tpr(vcpu) = (uint8_t)(priority << 4);
}

void vmx_trap_cr8_write(struct vcpu *vcpu, bool on)
{
	set_proc(vcpu, PROC_CR8_LOAD, on);
}

/* ---- shadows and single steps --------------------------------------------------------- */

void vmx_clear_intr_shadow(struct vcpu *vcpu)
{
	const uint64_t shadow = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;
	uint64_t state = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

	if (!(state & shadow))
		return;
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, state & ~shadow);
	vmcs_write(VMCS_GUEST_PENDING_DEBUG,
		   vmcs_read(VMCS_GUEST_PENDING_DEBUG) & ~(uint64_t)PENDING_DEBUG_SINGLE_STEP);
}

void vmx_pend_single_step(struct vcpu *vcpu)
{
	vmcs_write(VMCS_GUEST_PENDING_DEBUG,
		   vmcs_read(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_SINGLE_STEP);
}
