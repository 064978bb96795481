/* SPDX-License-Identifier: GPL-2.0-only */
/* From the exit fields of the VMCB to the vendor-neutral struct vm_exit. */
#include "arch/x86/svm/svm.h"

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

/* Exits that are their code and nothing else. */
static enum exit_reason plain_reason(uint64_t code)
{
	switch (code) {
	case VMEXIT_CPUID:
		return EXIT_CPUID;
	case VMEXIT_VMMCALL:
		return EXIT_HYPERCALL;
	case VMEXIT_INTR:
	case VMEXIT_INIT: /* held until STGI, which resets this CPU unless VM_CR says otherwise */
		return EXIT_INTR;
	case VMEXIT_HLT:
		return EXIT_HLT;
	case VMEXIT_VINTR:
		return EXIT_INTR_WINDOW;
	case VMEXIT_NMI:
		return EXIT_NMI;
	case VMEXIT_IRET:
		return EXIT_NMI_WINDOW;
	case VMEXIT_EXCP_UD:
		return EXIT_UD;
	case VMEXIT_XSETBV:
		return EXIT_XSETBV;
	case VMEXIT_INVD:
	case VMEXIT_WBINVD:
		return EXIT_INVD;
	case VMEXIT_SHUTDOWN:
		return EXIT_TRIPLE_FAULT;
	case VMEXIT_TASK_SWITCH:
		return EXIT_TASK_SWITCH;
	case VMEXIT_VMRUN:
	case VMEXIT_VMLOAD:
	case VMEXIT_VMSAVE:
	case VMEXIT_STGI:
	case VMEXIT_CLGI:
	case VMEXIT_SKINIT:
	case VMEXIT_INVLPGA:
	case VMEXIT_RSM:
	/*
	 * CPUID hides the rest from the guest.  RDPMC of a counter that is not there should
	 * be #GP; the caller makes it #UD, which a guest that did not ask CPUID has earned.
	 */
	case VMEXIT_MONITOR:
	case VMEXIT_MWAIT:
	case VMEXIT_MWAIT_ARMED:
	case VMEXIT_RDPRU:
	case VMEXIT_RDPMC:
		return EXIT_VIRT_INSN;
	default:
		return EXIT_UNKNOWN;
	}
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

static void decode_reason(const struct svm_vcpu *svm, uint64_t code, struct vm_exit *exit)
{
	const struct vmcb *vmcb = svm->vmcb;

	switch (code) {
	case VMEXIT_IOIO:
		exit->reason = EXIT_IO;
		decode_io(vmcb, exit);
		break;
	case VMEXIT_MSR:
		exit->reason = exit->hw_info[0] & 1 ? EXIT_WRMSR : EXIT_RDMSR;
		break;
	case VMEXIT_EXCP_PF:
		exit->reason = EXIT_PF;
		exit->pf = (struct exit_pf){ .error = (uint32_t)exit->hw_info[0] };
		exit->gva = exit->hw_info[1];
		exit->gva_valid = true;
		break;
	case VMEXIT_INVLPG:
		exit->reason = EXIT_INVLPG;
		exit->gva = exit->hw_info[0];
		exit->gva_valid = svm->features & SVM_FEATURE_DECODE_ASSISTS;
		break;
	case VMEXIT_CR0_READ:
	case VMEXIT_CR3_READ:
	case VMEXIT_CR4_READ:
		exit->reason = EXIT_CR_READ;
		decode_cr(svm, code - VMEXIT_CR0_READ, exit);
		break;
	case VMEXIT_CR0_WRITE:
	case VMEXIT_CR3_WRITE:
	case VMEXIT_CR4_WRITE:
	case VMEXIT_CR8_WRITE:
		exit->reason = EXIT_CR_WRITE;
		decode_cr(svm, code - VMEXIT_CR0_WRITE, exit);
		break;
	case VMEXIT_EXCP_DB: /* DR6 and DR7 are as its handler will see them */
	case VMEXIT_EXCP_AC:
		exit->reason = EXIT_EXCEPTION;
		exit->exception = (struct exit_exception){
			.vector = (uint8_t)(code - VMEXIT_EXCP_BASE), .type = EVENT_EXCEPTION,
		};
		break;
	case VMEXIT_EXCP_MC:
		/* As if it had arrived by itself, the way an NMI does. */
		svm_host_machine_check();
		exit->reason = EXIT_NMI;
		break;
	default:
		exit->reason = plain_reason(code);
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
	decode_reason(svm, code, exit);
	if ((svm->features & SVM_FEATURE_NRIPS) && is_instruction(exit->reason))
		exit->insn_len = vmcb->control.next_rip - vmcb->save.rip;
}
