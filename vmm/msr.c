/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * RDMSR and WRMSR that exit.  FS/GS base, SYSENTER and SYSCALL registers are
 * passed through by the backends' bitmaps; what is not known here gets #GP.
 */
#include "arch/x86/cpu.h"
#include "vmm/apic_page.h"
#include "vmm/exit.h"
#include "vmm/inject.h"
#include "vmm/insn.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

#define MSR_PLATFORM_ID 0x17
#define MSR_BIOS_SIGN_ID 0x8b
#define MSR_HWCR 0xc0010015

static int read_msr(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_TSC:
		*value = rdtsc();
		return 0;
	case MSR_APIC_BASE:
		*value = vcpu->lapic.base;
		return 0;
	case MSR_EFER:
		*value = virt->get_efer(vcpu);
		return 0;
	case MSR_PLATFORM_ID:
	case MSR_BIOS_SIGN_ID:
	case MSR_HWCR:
		*value = 0;
		return 0;
	case MSR_MISC_ENABLE:
		*value = 1; /* fast strings */
		return 0;
	default:
		return virt->get_msr(vcpu, msr, value);
	}
}

static bool is_canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

/* Memory types of PAT: 2 and 3 are reserved, 8 and up too (SDM vol. 3A, 12.12.2). */
static bool is_pat_valid(uint64_t pat)
{
	for (unsigned i = 0; i < 8; i++, pat >>= 8)
		if ((pat & 0xff) > 7 || (pat & 0xff) == 2 || (pat & 0xff) == 3)
			return false;
	return true;
}

/* false: the value is one that the processor would refuse. */
static bool is_value_valid(uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_PAT:
		return is_pat_valid(value);
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_SYSENTER_ESP:
	case MSR_SYSENTER_EIP:
		return is_canonical(value);
	default:
		return true;
	}
}

static int write_msr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_EFER:
		return guest_efer_write(vcpu, value) ? 0 : -EINVAL;
	case MSR_BIOS_SIGN_ID: /* the way to read a microcode revision */
		return value ? -EINVAL : 0;
	case MSR_APIC_BASE:
		return apic_page_set_base(vcpu, value);
	default:
		if (!is_value_valid(msr, value))
			return -EINVAL;
		return virt->set_msr(vcpu, msr, value);
	}
}

void exit_rdmsr(struct vcpu *vcpu)
{
	uint64_t *gpr = vcpu->regs.gpr;
	uint64_t value;

	if (read_msr(vcpu, (uint32_t)gpr[GPR_RCX], &value)) {
		inject_gp(vcpu);
		return;
	}
	gpr[GPR_RAX] = (uint32_t)value;
	gpr[GPR_RDX] = value >> 32;
	insn_skip(vcpu);
}

void exit_wrmsr(struct vcpu *vcpu)
{
	uint64_t *gpr = vcpu->regs.gpr;
	uint64_t value = (uint32_t)gpr[GPR_RAX] | gpr[GPR_RDX] << 32;

	if (write_msr(vcpu, (uint32_t)gpr[GPR_RCX], value))
		inject_gp(vcpu);
	else
		insn_skip(vcpu);
}
