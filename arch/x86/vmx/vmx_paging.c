/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the processor has in CR0, CR3, CR4 and EFER where the guest believes something else, and
 * the tables that it walks.  With nested paging that is little.  Without EPT it always pages,
 * through the tables of mm/ (struct mmu_paging_regs says with which bits), and in PAE mode VM entry
 * itself reads the four entries that CR3 points to (SDM vol. 3C, 27.3.2.4).
 *
 * The guest's PAT stays with us then: tables of ours use no entry of it but the first, write-back.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "host/machine.h"
#include "host/pages.h"
#include "vmm/virt.h"

/*
 * CD and NW stay the host's: a guest that boots with its caches off would be slow for no
 * reason.  Alignment is never checked in real mode, but it is at virtual-8086 mode's level 3.
 */
static uint64_t hw_cr0(const struct vmx_vcpu *v, uint64_t cr0)
{
	uint64_t fixed0 = vmx_cap.cr0_fixed0;

	cr0 &= ~(CR0_CD | CR0_NW);
	if (v->shadow)
		cr0 |= CR0_PG | CR0_PE | CR0_WP;
	else
		fixed0 &= ~(CR0_PE | CR0_PG);
	if (v->real.on)
		cr0 &= ~CR0_AM;
	return (cr0 | fixed0) & vmx_cap.cr0_fixed1;
}

/* In real mode these do nothing, but they would at virtual-8086 mode's level 3. */
#define CR4_NOT_IN_REAL (CR4_VME | CR4_PVI | CR4_TSD | CR4_UMIP)

/* MCE is the host's: without it a machine check would be a shutdown, not an exit. */
static uint64_t hw_cr4(const struct vmx_vcpu *v, uint64_t cr0, uint64_t cr4)
{
	if (v->shadow) {
		cr4 &= ~(CR4_PGE | CR4_PCIDE | CR4_PKE);
		if (!(cr0 & CR0_PG))
			cr4 &= ~(CR4_SMEP | CR4_SMAP);
		cr4 |= CR4_PAE;
	}
	if (v->real.on)
		cr4 &= ~CR4_NOT_IN_REAL;
	return (cr4 | (vmcs_read(VMCS_HOST_CR4) & CR4_MCE) | vmx_cap.cr4_fixed0) &
	       vmx_cap.cr4_fixed1;
}

/* Since the processor pages, LME without LMA is not for it (27.3.1.1). */
static uint64_t hw_efer(const struct vmx_vcpu *v, uint64_t efer)
{
	if (!v->shadow)
		return efer;
	if (!(efer & EFER_LMA))
		efer &= ~EFER_LME;
	return efer | EFER_NXE;
}

/* ---- EFER without a control that loads it ------------------------------------------------ */

/* An entry of a list of MSRs (table 25-13); the lists of entry and exit have one each. */
struct msr_entry {
	uint32_t msr, reserved;
	uint64_t value;
};

enum { LIST_ENTRY, LIST_EXIT };

static void write_efer(struct vmx_vcpu *v, uint64_t efer)
{
	struct msr_entry *list;

	if (vmx_has_field(VMCS_GUEST_EFER)) {
		vmcs_write(VMCS_GUEST_EFER, efer);
		return;
	}
	list = machine_phys_to_virt(v->msr_lists_pa);
	list[LIST_ENTRY].value = efer;
}

void vmx_msr_lists_init(struct vmx_vcpu *v, uint64_t host_efer)
{
	struct msr_entry *list = machine_phys_to_virt(v->msr_lists_pa);

	list[LIST_ENTRY] = (struct msr_entry){ .msr = MSR_EFER };
	list[LIST_EXIT] = (struct msr_entry){ .msr = MSR_EFER, .value = host_efer };
	vmcs_write(VMCS_ENTRY_MSR_LOAD_ADDR, v->msr_lists_pa + LIST_ENTRY * sizeof(*list));
	vmcs_write(VMCS_EXIT_MSR_LOAD_ADDR, v->msr_lists_pa + LIST_EXIT * sizeof(*list));
	vmcs_write(VMCS_ENTRY_MSR_LOADS, 1);
	vmcs_write(VMCS_EXIT_MSR_LOADS, 1);
}

/* ---- all of it ----------------------------------------------------------------------- */

/* In IA-32e mode the TSS is a 64-bit one, type 11; software that came from 16-bit code had 3. */
static void update_entry(struct vmx_vcpu *v)
{
	uint32_t entry = v->efer & EFER_LMA ? v->entry | VMENTRY_IA32E : v->entry & ~VMENTRY_IA32E;

	if (entry == v->entry)
		return;
	v->entry = entry;
	vmcs_write(VMCS_ENTRY, entry);
	if (v->efer & EFER_LMA)
		vmcs_write(VMCS_GUEST_ATTR(VMCS_SEG_TR),
			   vmcs_read(VMCS_GUEST_ATTR(VMCS_SEG_TR)) | 11);
}

void vmx_paging_update(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = vmx_of(vcpu);
	uint64_t cr0 = vmcs_read(VMCS_CR0_SHADOW);

	vmcs_write(VMCS_GUEST_CR0, hw_cr0(v, cr0));
	vmcs_write(VMCS_GUEST_CR4, hw_cr4(v, cr0, vmcs_read(VMCS_CR4_SHADOW)));
	write_efer(v, hw_efer(v, v->efer));
	update_entry(v);
}

/* ---- roots --------------------------------------------------------------------------- */

/* Entries of an earlier life of the root's page may linger under the same EPTP, or VPID. */
void vmx_set_root(struct vcpu *vcpu, hpa_t root)
{
	struct vmx_vcpu *v = vmx_of(vcpu);

	if (v->shadow) {
		vmcs_write(VMCS_GUEST_CR3, root);
	} else {
		v->eptp = root | vmx_controls.eptp_bits;
		if (!virt_caps.hw_ad) /* ad=off */
			v->eptp &= ~(uint64_t)EPTP_AD;
		vmcs_write(VMCS_EPTP, v->eptp);
	}
	vmx_flush_tlb(vcpu);
}

void vmx_flush_tlb(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = vmx_of(vcpu);

	if (v->shadow)
		v->flush_vpid = true;
	else
		v->flush_ept = true;
}
