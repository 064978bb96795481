/* SPDX-License-Identifier: GPL-2.0-only */
/* The exit table and its smaller handlers; see exit.h. */
#include "vmm/exit.h"

#include "host/machine.h"
#include "vmm/emulate.h"
#include "vmm/inject.h"
#include "vmm/insn.h"
#include "vmm/intr.h"
#include "vmm/mmio.h"
#include "vmm/realmode.h"
#include "vmm/ve.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

void exit_fault_done(struct vcpu *vcpu, enum mmu_pf_result result)
{
	struct page_fault *pf = &vcpu->exit.fault;

	switch (result) {
	case MMU_PF_FIXED:
	case MMU_PF_SPURIOUS:
	case MMU_PF_RETRY:
	case MMU_PF_INJECT: /* done by exit_page_fault() */
		return;
	case MMU_PF_PROTECTED:
		ve_deliver(vcpu);
		return;
	case MMU_PF_EMULATE:
		if (mmio_find(vcpu, pf->gpa)) {
			emulate_mmio(vcpu, pf);
			return;
		}
		vm_stop_report(vcpu,
			       "%s of guest-physical 0x%lx, where it has no memory (outside its "
			       "slots, read-only, or given to the balloon)",
			       pf->access & ACC_W ? "write" : pf->access & ACC_X ? "fetch" : "read",
			       pf->gpa);
		return;
	case MMU_PF_NOMEM:
		vm_stop_report(vcpu, "%s for guest-physical 0x%lx", vm_memory_excuse(vcpu->vm),
			       pf->gpa);
		return;
	}
}

/*
 * The story of an EPT violation goes on in mm/fault.c.  Interrupts are opened
 * meanwhile: the fault may allocate, zero and wait.
 */
static void exit_fault(struct vcpu *vcpu)
{
	machine_irq_enable();
	enum mmu_pf_result result = mmu_page_fault(&vcpu->mmu, &vcpu->exit.fault);
	machine_irq_save();
	if (result > MMU_PF_RETRY)
		exit_fault_done(vcpu, result);
}

/* The interrupt is still pending.  Whether the time slice is over is for the run loop to see. */
static void exit_interrupt(struct vcpu *vcpu)
{
	vcpu_open_interrupts();
}

static void exit_nothing_to_do(struct vcpu *vcpu)
{
}

static void exit_hlt(struct vcpu *vcpu)
{
	insn_skip(vcpu);
	intr_halt(vcpu);
}

static void exit_triple_fault(struct vcpu *vcpu)
{
	vm_stop_report(vcpu, "triple fault (an exception while delivering a double fault)");
}

static void exit_task_switch(struct vcpu *vcpu)
{
	vm_stop_report(vcpu, "hardware task switch, which is not emulated");
}

static void exit_entry_failed(struct vcpu *vcpu)
{
	vm_stop_report(vcpu, "the processor refused to enter the guest (0x%lx, 0x%lx)",
		       vcpu->exit.hw_info[0], vcpu->exit.hw_info[1]);
}

static void exit_unknown(struct vcpu *vcpu)
{
	vm_stop_report(vcpu, "unexpected exit %lu (0x%lx, 0x%lx)", vcpu->exit.hw_reason,
		       vcpu->exit.hw_info[0], vcpu->exit.hw_info[1]);
}

/* The other vendor's hypercall instruction is an undefined one; everything else really is. */
static void exit_undefined(struct vcpu *vcpu)
{
	struct insn insn;

	if (!insn_fetch(vcpu, &insn) && insn.kind == INSN_HYPERCALL) {
		vcpu->exit.insn_len = insn.len;
		vcpu->exits[EXIT_HYPERCALL]++;
		exit_hypercall(vcpu);
		return;
	}
	inject_exception(vcpu, VEC_UD);
}

/*
 * Its delivery goes on at the next entry, and may end in the same exit before a pending interrupt
 * could cause one: so interrupts are let in here.
 */
static void exit_exception(struct vcpu *vcpu)
{
	vcpu_open_interrupts();
	if (virt->real && virt->real->active(vcpu))
		exit_real_mode(vcpu);
	else
		inject_exit(vcpu);
}

static void exit_virt_insn(struct vcpu *vcpu)
{
	inject_exception(vcpu, VEC_UD);
}

/* Memory types are the host's business; caches stay coherent. */
static void exit_cache(struct vcpu *vcpu)
{
	insn_skip(vcpu);
}

static void exit_intr_window(struct vcpu *vcpu)
{
	virt->request_intr_window(vcpu, false);
	intr_raise(vcpu, INTR_CHECK);
}

static void (*const handlers[EXIT_REASON_COUNT])(struct vcpu *) = {
	[EXIT_FAULT] = exit_fault,
	[EXIT_PF] = exit_page_fault,
	[EXIT_INVLPG] = exit_invlpg,
	[EXIT_EXCEPTION] = exit_exception,
	[EXIT_IO] = exit_io,
	[EXIT_CPUID] = exit_cpuid,
	[EXIT_HYPERCALL] = exit_hypercall,
	[EXIT_RDMSR] = exit_rdmsr,
	[EXIT_WRMSR] = exit_wrmsr,
	[EXIT_CR_WRITE] = exit_cr_write,
	[EXIT_CR_READ] = exit_cr_read,
	[EXIT_XSETBV] = exit_xsetbv,
	[EXIT_HLT] = exit_hlt,
	[EXIT_INTR] = exit_interrupt,
	[EXIT_NMI] = exit_nothing_to_do,
	[EXIT_INTR_WINDOW] = exit_intr_window,
	[EXIT_NMI_WINDOW] = intr_nmi_window,
	[EXIT_TIMER] = exit_interrupt,
	[EXIT_UD] = exit_undefined,
	[EXIT_VIRT_INSN] = exit_virt_insn,
	[EXIT_INVD] = exit_cache,
	[EXIT_LOG_FULL] = exit_nothing_to_do,
	[EXIT_TRIPLE_FAULT] = exit_triple_fault,
	[EXIT_TASK_SWITCH] = exit_task_switch,
	[EXIT_ENTRY_FAILED] = exit_entry_failed,
	[EXIT_UNKNOWN] = exit_unknown,
};

void exit_handle(struct vcpu *vcpu)
{
	vcpu->exits[vcpu->exit.reason]++;
	handlers[vcpu->exit.reason](vcpu);
}
