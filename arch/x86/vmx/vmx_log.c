/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page-modification logging (SDM vol. 3C, 29.3.6): whenever the processor sets a Dirty bit of
 * EPT, it writes the page's guest-physical address to the vCPU's log page, from its last entry
 * down, and exits when there is no room left for the next one.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/vmx/vmx_insn.h"
#include "host/machine.h"

#define LOG_ENTRIES 512u

void vmx_log_prepare(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = vmx_of(vcpu);
	bool on = v->proc2 & PROC2_PML;

	if (mmu_dirty_pml_wanted(vcpu->mmu.vm) == on)
		return;
	v->proc2 ^= PROC2_PML;
	if (!on)
		vmcs_write(VMCS_PML_INDEX, LOG_ENTRIES - 1);
	vmcs_write(VMCS_PROC2, v->proc2);
}

/* The index is that of the entry to be written next; 0xffff when the page is full. */
void vmx_log_drain(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = vmx_of(vcpu);

	if (!(v->proc2 & PROC2_PML))
		return;
	unsigned next = (vmcs_read(VMCS_PML_INDEX) + 1) & 0xffff;

	if (next == LOG_ENTRIES)
		return;
	const uint64_t *log = machine_phys_to_virt(v->log_pa);

	for (unsigned i = next; i < LOG_ENTRIES; i++)
		mmu_dirty_logged(&vcpu->mmu, log[i]);
	vmcs_write(VMCS_PML_INDEX, LOG_ENTRIES - 1);
}
