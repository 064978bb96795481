/* SPDX-License-Identifier: GPL-2.0-only */
/* From the exit fields of the VMCB to the vendor-neutral struct vm_exit. */
#include "arch/x86/svm/svm.h"

#include "lib/util.h"

/* The access that the guest wanted, out of the error code (APM vol. 2, 15.25.6). */
static void decode_fault(const struct vmcb_control *c, struct page_fault *pf)
{
	uint64_t info = c->exit_info[0];

	*pf = (struct page_fault){
		.gpa = c->exit_info[1],
		.access = ACC_R,
		.present = info & NPF_PRESENT,
		.gpt_walk = info & NPF_GPT_WALK,
		.reserved = info & NPF_RESERVED,
	};
	/* The fetch bit says what the walk was for; the walk itself reads and writes. */
	if (info & NPF_WRITE)
		pf->access = ACC_W;
	else if ((info & NPF_FETCH) && !pf->gpt_walk)
		pf->access = ACC_X;
}

static void decode_io(const struct vmcb *vmcb, struct vm_exit *exit)
{
	uint32_t info = vmcb->control.exit_info[0];

	exit->io = (struct exit_io){
		.port = info >> IOIO_PORT_SHIFT,
		.size = info >> IOIO_SIZE_SHIFT & IOIO_SIZE_MASK,
		.in = info & IOIO_IN,
		.string = info & IOIO_STRING,
		.rep = info & IOIO_REP,
	};
	/* The only exit that names the next instruction on every processor. */
	exit->insn_len = vmcb->control.exit_info[1] - vmcb->save.rip;
}

static void decode_cr(const struct svm_vcpu *svm, uint8_t cr, struct vm_exit *exit)
{
	uint64_t info = exit->hw_info[0];

	/* CLTS, LMSW and SMSW look like accesses to CR0 without CR_INFO_MOV, and carry no operand. */
	exit->cr = (struct exit_cr){
		.cr = cr,
		.decoded = (svm->features & SVM_FEATURE_DECODE_ASSISTS) && (info & CR_INFO_MOV),
		.gpr = info & CR_INFO_GPR_MASK,
	};
}

/* What is not here is 0, and unknown: nested page faults have a code far from the others. */
static const uint8_t reasons[] = {
	[VMEXIT_CR0_READ] = EXIT_CR_READ,
	[VMEXIT_CR3_READ] = EXIT_CR_READ,
	[VMEXIT_CR4_READ] = EXIT_CR_READ,
	[VMEXIT_CR0_WRITE] = EXIT_CR_WRITE,
	[VMEXIT_CR3_WRITE] = EXIT_CR_WRITE,
	[VMEXIT_CR4_WRITE] = EXIT_CR_WRITE,
	[VMEXIT_CR8_WRITE] = EXIT_CR_WRITE,
	[VMEXIT_EXCP_DB] = EXIT_EXCEPTION,
	[VMEXIT_EXCP_UD] = EXIT_UD,
	[VMEXIT_EXCP_PF] = EXIT_PF,
	[VMEXIT_EXCP_AC] = EXIT_EXCEPTION,
	[VMEXIT_EXCP_MC] = EXIT_NMI, /* as if it had arrived by itself, the way an NMI does */
	[VMEXIT_INTR] = EXIT_INTR,
	[VMEXIT_NMI] = EXIT_NMI,
	[VMEXIT_INIT] = EXIT_INTR, /* held until STGI, which resets this CPU unless VM_CR says otherwise */
	[VMEXIT_VINTR] = EXIT_INTR_WINDOW,
	[VMEXIT_CPUID] = EXIT_CPUID,
	[VMEXIT_IRET] = EXIT_NMI_WINDOW,
	[VMEXIT_INVD] = EXIT_INVD,
	[VMEXIT_HLT] = EXIT_HLT,
	[VMEXIT_INVLPG] = EXIT_INVLPG,
	[VMEXIT_IOIO] = EXIT_IO,
	[VMEXIT_MSR] = EXIT_RDMSR,
	[VMEXIT_TASK_SWITCH] = EXIT_TASK_SWITCH,
	[VMEXIT_SHUTDOWN] = EXIT_TRIPLE_FAULT,
	[VMEXIT_VMMCALL] = EXIT_HYPERCALL,
	[VMEXIT_WBINVD] = EXIT_INVD,
	[VMEXIT_XSETBV] = EXIT_XSETBV,

	[VMEXIT_RSM] = EXIT_VIRT_INSN,
	[VMEXIT_INVLPGA] = EXIT_VIRT_INSN,
	[VMEXIT_VMRUN] = EXIT_VIRT_INSN,
	[VMEXIT_VMLOAD] = EXIT_VIRT_INSN,
	[VMEXIT_VMSAVE] = EXIT_VIRT_INSN,
	[VMEXIT_STGI] = EXIT_VIRT_INSN,
	[VMEXIT_CLGI] = EXIT_VIRT_INSN,
	[VMEXIT_SKINIT] = EXIT_VIRT_INSN,
	/*
	 * CPUID hides the rest from the guest.  RDPMC of a counter that is not there should
	 * be #GP; the caller makes it #UD, which a guest that did not ask CPUID has earned.
	 */
	[VMEXIT_RDPMC] = EXIT_VIRT_INSN,
	[VMEXIT_MONITOR] = EXIT_VIRT_INSN,
	[VMEXIT_MWAIT] = EXIT_VIRT_INSN,
	[VMEXIT_MWAIT_ARMED] = EXIT_VIRT_INSN,
	[VMEXIT_RDPRU] = EXIT_VIRT_INSN,
};
_Static_assert(EXIT_FAULT == 0, "the reason of the code that is not in the table");

static enum exit_reason reason_of(uint64_t code)
{
	unsigned reason = code < ARRAY_SIZE(reasons) ? reasons[code] : 0;

	return reason ? reason : EXIT_UNKNOWN;
}

/* Does RIP of the exit lie on an instruction that the caller may want to step over? */
static bool is_instruction(enum exit_reason reason)
{
	switch (reason) {
	case EXIT_CPUID:
	case EXIT_HYPERCALL:
	case EXIT_RDMSR:
	case EXIT_WRMSR:
	case EXIT_CR_WRITE:
	case EXIT_CR_READ:
	case EXIT_INVLPG:
	case EXIT_XSETBV:
	case EXIT_HLT:
	case EXIT_INVD:
	case EXIT_VIRT_INSN:
		return true;
	default:
		return false;
	}
}

static void decode_details(const struct svm_vcpu *svm, uint64_t code, struct vm_exit *exit)
{
	switch (exit->reason) {
	case EXIT_IO:
		decode_io(svm->vmcb, exit);
		break;
	case EXIT_RDMSR:
		exit->reason = exit->hw_info[0] & 1 ? EXIT_WRMSR : EXIT_RDMSR;
		break;
	case EXIT_PF:
		exit->pf = (struct exit_pf){ .error = (uint32_t)exit->hw_info[0] };
		exit->gva = exit->hw_info[1];
		exit->gva_valid = true;
		break;
	case EXIT_INVLPG:
		exit->gva = exit->hw_info[0];
		exit->gva_valid = svm->features & SVM_FEATURE_DECODE_ASSISTS;
		break;
	case EXIT_CR_READ:
	case EXIT_CR_WRITE:
		/* Reads and writes are 16 apart. */
		decode_cr(svm, code % 16, exit);
		break;
	case EXIT_EXCEPTION: /* DR6 and DR7 are as its handler will see them */
		exit->exception = (struct exit_exception){
			.vector = (uint8_t)(code - VMEXIT_EXCP_BASE), .type = EVENT_EXCEPTION,
		};
		break;
	case EXIT_NMI:
		if (code == VMEXIT_EXCP_MC)
			svm_host_machine_check();
		break;
	default:
		break;
	}
}

void svm_exit_decode(const struct svm_vcpu *svm, struct vm_exit *exit)
{
	const struct vmcb *vmcb = svm->vmcb;
	uint64_t code = vmcb->control.exit_code;

	exit->insn_len = 0;
	exit->gva_valid = false; /* nested page faults do not tell */
	exit->hw_reason = code;
	exit->hw_info[0] = vmcb->control.exit_info[0];
	exit->hw_info[1] = vmcb->control.exit_info[1];
	/* Before all others: the most frequent by far. */
	if (code == VMEXIT_NPF) {
		exit->reason = EXIT_FAULT;
		decode_fault(&vmcb->control, &exit->fault);
		return;
	}
	if ((uint32_t)code == VMEXIT_INVALID) {
		exit->reason = EXIT_ENTRY_FAILED;
		return;
	}
	exit->reason = reason_of(code);
	decode_details(svm, code, exit);
	if ((svm->features & SVM_FEATURE_NRIPS) && is_instruction(exit->reason))
		exit->insn_len = vmcb->control.next_rip - vmcb->save.rip;
}
