/* SPDX-License-Identifier: GPL-2.0-only */
/* See fake_vmcs.h. */
#include "tests/host/fake_vmcs.h"

#include <string.h>

#include "arch/x86/cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "vmm/virt.h"

uint64_t fake_vmcs[0x7000];
struct vmx_vcpu fake_vmx;
struct vcpu fake_vmx_vcpu;
uint64_t fake_debug_registers[8];
struct virt_caps virt_caps = { .hw_ad = true };

uint64_t vmcs_read(uint32_t field)
{
	return fake_vmcs[field];
}

void vmcs_write(uint32_t field, uint64_t value)
{
	fake_vmcs[field] = value;
}

uint64_t vmx_get_dr(struct vcpu *v, unsigned n)
{
	return fake_debug_registers[n];
}

void vmx_set_dr(struct vcpu *v, unsigned n, uint64_t value)
{
	fake_debug_registers[n] = value;
}

struct vmx_cap fake_vmx_able(void)
{
	const uint64_t all = 0xfffffffful << 32;

	return (struct vmx_cap){
		.basic = VMX_BASIC_TRUE_CONTROLS,
		.ept_vpid = ~0ul,
		.pin = all | 0x16,
		.proc = all | 0x4006172,
		.proc2 = all,
		.exit = all | 0x36dfb,
		.entry = all | 0x11fb,
		.cr0_fixed0 = CR0_PE | CR0_NE | CR0_PG,
		.cr0_fixed1 = 0xffffffff,
		.cr4_fixed0 = CR4_VMXE,
		.cr4_fixed1 = 0x3fffff,
	};
}

void fake_vmx_reset(void)
{
	memset(fake_vmcs, 0, sizeof(fake_vmcs));
	memset(&fake_vmx, 0, sizeof(fake_vmx));
	memset(&fake_vmx_vcpu, 0, sizeof(fake_vmx_vcpu));
	fake_vmx_vcpu.arch = &fake_vmx;
	vmx_cap = fake_vmx_able();
	fake_vmcs[VMCS_PROC2] = PROC2_EPT | PROC2_UNRESTRICTED;
}
