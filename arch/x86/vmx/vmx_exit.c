/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the processor's exit information to struct vm_exit (SDM vol. 3C, 28.2 and
 * appendix C).  No VMREAD here: the caller reads what vmx_exit_needs() names.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/cpu.h"

#define INSN EXIT_NEEDS_INSN_LEN
#define QUAL EXIT_NEEDS_QUALIFICATION

/*
 * Reasons that are not listed cannot come with our controls, or end the VM:
 * EXIT_UNKNOWN.  Stored + 1, so that an empty entry is one of those.
 */
#define ROW(hw, exit, what) [REASON_##hw] = { (exit) + 1, what }
static const struct {
	uint8_t reason_plus_1, needs;
} reasons[REASON_COUNT] = {
	ROW(EXCEPTION_NMI, EXIT_EXCEPTION, QUAL | INSN | EXIT_NEEDS_EVENT | EXIT_NEEDS_ERROR),
	ROW(EXTERNAL_INTERRUPT, EXIT_INTR, 0),
	ROW(TRIPLE_FAULT, EXIT_TRIPLE_FAULT, 0),
	ROW(INTR_WINDOW, EXIT_INTR_WINDOW, 0),
	ROW(NMI_WINDOW, EXIT_NMI_WINDOW, 0),
	ROW(TASK_SWITCH, EXIT_TASK_SWITCH, QUAL | INSN),
	ROW(CPUID, EXIT_CPUID, INSN),
	ROW(GETSEC, EXIT_VIRT_INSN, INSN),
	ROW(HLT, EXIT_HLT, INSN),
	ROW(INVD, EXIT_INVD, INSN),
	ROW(INVLPG, EXIT_INVLPG, QUAL | INSN),
	ROW(RDPMC, EXIT_VIRT_INSN, INSN),
	ROW(VMCALL, EXIT_HYPERCALL, INSN),
	ROW(VMCLEAR, EXIT_VIRT_INSN, INSN),
	ROW(VMLAUNCH, EXIT_VIRT_INSN, INSN),
	ROW(VMPTRLD, EXIT_VIRT_INSN, INSN),
	ROW(VMPTRST, EXIT_VIRT_INSN, INSN),
	ROW(VMREAD, EXIT_VIRT_INSN, INSN),
	ROW(VMRESUME, EXIT_VIRT_INSN, INSN),
	ROW(VMWRITE, EXIT_VIRT_INSN, INSN),
	ROW(VMXOFF, EXIT_VIRT_INSN, INSN),
	ROW(VMXON, EXIT_VIRT_INSN, INSN),
	ROW(CR_ACCESS, EXIT_CR_WRITE, QUAL | INSN | EXIT_NEEDS_CR0),
	ROW(IO, EXIT_IO, QUAL | INSN),
	ROW(RDMSR, EXIT_RDMSR, INSN),
	ROW(WRMSR, EXIT_WRMSR, INSN),
	ROW(INVALID_STATE, EXIT_ENTRY_FAILED, QUAL),
	ROW(MSR_LOADING, EXIT_ENTRY_FAILED, QUAL),
	ROW(MWAIT, EXIT_VIRT_INSN, INSN),
	ROW(MONITOR, EXIT_VIRT_INSN, INSN),
	ROW(ENTRY_MACHINE_CHECK, EXIT_ENTRY_FAILED, 0),
	ROW(EPT_VIOLATION, EXIT_FAULT, QUAL | EXIT_NEEDS_GPA | EXIT_NEEDS_GVA),
	ROW(EPT_MISCONFIG, EXIT_FAULT, EXIT_NEEDS_GPA),
	ROW(INVEPT, EXIT_VIRT_INSN, INSN),
	ROW(PREEMPT_TIMER, EXIT_TIMER, 0),
	ROW(INVVPID, EXIT_VIRT_INSN, INSN),
	ROW(WBINVD, EXIT_INVD, INSN),
	ROW(XSETBV, EXIT_XSETBV, INSN),
	ROW(PML_FULL, EXIT_LOG_FULL, QUAL),
};

static unsigned basic_reason(uint32_t reason)
{
	return reason & 0xffff;
}

unsigned vmx_exit_needs(uint32_t reason)
{
	unsigned basic = basic_reason(reason);

	/* Unknown ones go into a report: whatever the qualification says may help. */
	return basic < REASON_COUNT && reasons[basic].reason_plus_1 ? reasons[basic].needs : QUAL;
}

/*
 * Only the exceptions of our exception bitmap come here, and NMIs.  A machine check that the
 * host survived needs nothing more, like an NMI.
 */
static void decode_exception(const struct vmx_exit_info *info, struct vm_exit *exit)
{
	uint8_t vector = info->event & EVENT_INFO_VECTOR;
	uint8_t type = EVENT_INFO_TYPE(info->event);

	exit->hw_info[0] = info->event;
	exit->hw_info[1] = info->qualification;
	if (type == EVENT_NMI || vector == VEC_MC) {
		exit->reason = EXIT_NMI;
	} else if (vector == VEC_UD) {
		exit->reason = EXIT_UD;
	} else if (vector == VEC_PF) {
		exit->reason = EXIT_PF;
		exit->gva_valid = true;
		exit->gva = info->qualification;
		exit->pf.error = info->error;
	} else {
		exit->exception = (struct exit_exception){
			.vector = vector, .type = type,
			.dr6 = vector == VEC_DB ? info->qualification : 0,
		};
	}
	/* Faults have no instruction length: the field holds what it held before. */
	if (type != EVENT_SOFT_TRAP && type != EVENT_PRIV_TRAP)
		exit->insn_len = 0;
}

/*
 * The manual has a write of the processor's own page walk (Accessed and Dirty) reported
 * with the read bit as well; Bochs leaves that out.  The write bit decides.
 */
static void decode_ept_violation(const struct vmx_exit_info *info, struct vm_exit *exit)
{
	const uint64_t data = EPT_QUAL_LINEAR | EPT_QUAL_TRANSLATED;
	uint64_t q = info->qualification;

	exit->fault = (struct page_fault){
		.gpa = info->gpa,
		.access = q & EPT_QUAL_WRITE ? ACC_W : q & EPT_QUAL_FETCH ? ACC_X : ACC_R,
		.present = q & EPT_QUAL_PRESENT,
		/* Without a linear address it was the load of the PDPTEs by MOV CR3. */
		.gpt_walk = (q & data) != data,
	};
	exit->gva_valid = q & EPT_QUAL_LINEAR;
	exit->gva = info->gva;
}

static void decode_io(uint64_t q, struct vm_exit *exit)
{
	exit->io = (struct exit_io){
		.port = (uint16_t)(q >> 16),
		.size = (uint8_t)((q & 7) + 1),
		.in = q & 1 << 3,
		.string = q & 1 << 4,
		.rep = q & 1 << 5,
	};
}

/* Table 28-3. */
enum { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };

static void decode_cr(const struct vmx_exit_info *info, struct vm_exit *exit)
{
	uint64_t q = info->qualification;
	uint64_t msw = q >> 16 & 0xf;

	exit->cr = (struct exit_cr){ .cr = q & 0xf, .decoded = true };
	switch (q >> 4 & 3) {
	case CR_MOV_TO:
		exit->cr.gpr = q >> 8 & 0xf;
		break;
	case CR_CLTS:
		exit->cr.has_value = true;
		exit->cr.value = info->cr0 & ~CR0_TS;
		break;
	case CR_LMSW: /* writes PE, MP, EM, TS, but cannot clear PE */
		exit->cr.has_value = true;
		exit->cr.value = (info->cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | msw;
		break;
	default: /* CR3's, of shadow paging; CR8's exit for nobody */
		exit->reason = exit->cr.cr == 3 ? EXIT_CR_READ : EXIT_UNKNOWN;
		exit->cr.gpr = q >> 8 & 0xf;
	}
}

void vmx_exit_decode(const struct vmx_exit_info *info, struct vm_exit *exit)
{
	unsigned basic = basic_reason(info->reason);
	unsigned plus_1 = basic < REASON_COUNT ? reasons[basic].reason_plus_1 : 0;

	*exit = (struct vm_exit){
		.reason = plus_1 ? plus_1 - 1 : EXIT_UNKNOWN,
		.insn_len = (uint8_t)info->insn_len,
		.hw_reason = info->reason,
		.hw_info = { info->qualification, info->gpa },
	};
	if (basic == REASON_VMFAIL || info->reason & REASON_ENTRY_FAILED) {
		exit->reason = EXIT_ENTRY_FAILED;
		return;
	}
	switch (basic) {
	case REASON_EXCEPTION_NMI:
		decode_exception(info, exit);
		break;
	case REASON_INVLPG:
		exit->gva_valid = true;
		exit->gva = info->qualification;
		break;
	case REASON_EPT_VIOLATION:
		decode_ept_violation(info, exit);
		break;
	case REASON_EPT_MISCONFIG:
		exit->fault = (struct page_fault){
			.gpa = info->gpa, .access = ACC_R, .present = true, .reserved = true,
		};
		break;
	case REASON_IO:
		decode_io(info->qualification, exit);
		break;
	case REASON_CR_ACCESS:
		decode_cr(info, exit);
		break;
	}
}

/* SDM vol. 3C, 28.2.3: not for a double fault. */
bool vmx_exit_nmi_unblocked(const struct vmx_exit_info *info)
{
	switch (basic_reason(info->reason)) {
	case REASON_EXCEPTION_NMI:
		return info->event & EVENT_INFO_NMI_UNBLOCKED &&
		       (info->event & EVENT_INFO_VECTOR) != VEC_DF;
	case REASON_EPT_VIOLATION:
	case REASON_PML_FULL:
		return info->qualification & EPT_QUAL_NMI_UNBLOCKED;
	}
	return false;
}

bool vmx_exit_between_insns(const struct vmx_exit_info *info)
{
	switch (basic_reason(info->reason)) {
	case REASON_EXTERNAL_INTERRUPT:
	case REASON_INTR_WINDOW:
	case REASON_NMI_WINDOW:
	case REASON_PREEMPT_TIMER:
		return true;
	case REASON_EXCEPTION_NMI:
		return EVENT_INFO_TYPE(info->event) == EVENT_NMI;
	}
	return false;
}
