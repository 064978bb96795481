/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's registers in the VMCS.
 *
 * Every bit of CR0 and CR4 is ours: a MOV exits, the guest reads the shadow, and
 * the real field is the guest's value with what VT-x needs in it (vmx_paging.c).
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/cpu.h"
#include "arch/x86/extable.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/util.h"

/* ---- segments ------------------------------------------------------------------------ */

/* VT-x numbers LDTR before TR. */
static unsigned vmcs_segment(enum vm_seg seg)
{
	return seg == SEG_TR ? VMCS_SEG_TR : seg == SEG_LDTR ? VMCS_SEG_LDTR : (unsigned)seg;
}

void vmx_get_segment(struct vcpu *vcpu, enum vm_seg seg, struct vm_segment *out)
{
	unsigned n = vmcs_segment(seg);

	*out = (struct vm_segment){
		.selector = (uint16_t)vmcs_read(VMCS_GUEST_SELECTOR(n)),
		.attr = (uint32_t)vmcs_read(VMCS_GUEST_ATTR(n)),
		.limit = (uint32_t)vmcs_read(VMCS_GUEST_LIMIT(n)),
		.base = vmcs_read(VMCS_GUEST_BASE(n)),
	};
	if (vmx_of(vcpu)->shadow)
		vmx_real_see(vmx_of(vcpu), seg, out);
}

void vmx_write_segment(enum vm_seg seg, struct vm_segment s)
{
	unsigned n = vmcs_segment(seg);

	vmx_segment_fix(seg, &s);
	vmcs_write(VMCS_GUEST_SELECTOR(n), s.selector);
	vmcs_write(VMCS_GUEST_ATTR(n), s.attr);
	vmcs_write(VMCS_GUEST_LIMIT(n), s.limit);
	vmcs_write(VMCS_GUEST_BASE(n), s.base);
}

/* The processor itself takes SS.DPL for it, in every mode; real mode has no levels. */
unsigned vmx_get_cpl(struct vcpu *vcpu)
{
	return vmx_of(vcpu)->real.on ? 0 : SEG_ATTR_DPL((uint32_t)vmcs_read(VMCS_GUEST_ATTR(SEG_SS)));
}

/* ---- control registers --------------------------------------------------------------- */

/*
 * With PAE paging the processor keeps four entries of the top table, read when
 * CR3 is loaded: by itself for a MOV CR3, by us for what we emulate.  One that
 * a real processor would have refused counts as not present, since VM entry would fail.
 */
static void load_pdptes(struct vcpu *vcpu)
{
	uint64_t pdpte[4];
	uint64_t table = vmcs_read(VMCS_GUEST_CR3) & 0xffffffe0;
	unsigned maxphyaddr = cpuid(0x80000008, 0).eax & 0xff;

	if (!(vmcs_read(VMCS_CR0_SHADOW) & CR0_PG) || !(vmcs_read(VMCS_CR4_SHADOW) & CR4_PAE) ||
	    vmx_of(vcpu)->efer & EFER_LMA)
		return;
	bool readable = !mmu_read_guest(vcpu->mmu.vm, table, pdpte, sizeof(pdpte));

	for (unsigned i = 0; i < ARRAY_SIZE(pdpte); i++) {
		bool valid = readable && vmx_pdpte_valid(pdpte[i], maxphyaddr);

		vmcs_write(VMCS_PDPTE(i), valid ? pdpte[i] : 0);
	}
}

uint64_t vmx_get_cr(struct vcpu *vcpu, unsigned cr)
{
	const struct vmx_vcpu *v = vmx_of(vcpu);

	if (cr == 3)
		return v->shadow ? v->cr3 : vmcs_read(VMCS_GUEST_CR3);
	return vmcs_read(cr == 0 ? VMCS_CR0_SHADOW : VMCS_CR4_SHADOW);
}

static void set_cr0(struct vcpu *vcpu, uint64_t value)
{
	struct vmx_vcpu *v = vmx_of(vcpu);
	bool real = v->shadow && !(value & CR0_PE);

	vmcs_write(VMCS_CR0_SHADOW, value);
	if (real != v->real.on)
		vmx_real_switch(vcpu, real);
}

/* Any of these may change what a linear address means: its translations go. */
static void paging_changed(struct vcpu *vcpu)
{
	vmx_paging_update(vcpu);
	if (!vmx_of(vcpu)->shadow)
		load_pdptes(vcpu);
	vmx_of(vcpu)->flush_vpid = true;
}

/* With shadow paging only the guest sees it: what the processor walks comes with vmx_set_root(). */
static void set_cr3(struct vcpu *vcpu, uint64_t value)
{
	vmx_of(vcpu)->cr3 = value;
	if (vmx_of(vcpu)->shadow)
		return;
	vmcs_write(VMCS_GUEST_CR3, value);
	paging_changed(vcpu);
}

void vmx_set_cr(struct vcpu *vcpu, unsigned cr, uint64_t value)
{
	if (cr == 3) {
		set_cr3(vcpu, value);
		return;
	}
	if (cr == 0)
		set_cr0(vcpu, value);
	else
		vmcs_write(VMCS_CR4_SHADOW, value);
	paging_changed(vcpu);
}

uint64_t vmx_get_efer(struct vcpu *vcpu)
{
	return vmx_of(vcpu)->efer;
}

void vmx_set_efer(struct vcpu *vcpu, uint64_t efer)
{
	vmx_of(vcpu)->efer = efer;
	paging_changed(vcpu);
}

void vmx_get_code(struct vcpu *vcpu, struct vm_code *out)
{
	uint64_t efer = vmx_get_efer(vcpu);
	struct vm_segment cs;

	vmx_get_segment(vcpu, SEG_CS, &cs);
	bool long_mode = (cs.attr & SEG_ATTR_L) && (efer & EFER_LMA);
	uint64_t base = long_mode ? 0 : cs.base;

	*out = (struct vm_code){
		.cr0 = vmx_get_cr(vcpu, 0),
		.cr3 = vmx_get_cr(vcpu, 3),
		.cr4 = vmx_get_cr(vcpu, 4),
		.efer = efer,
		.gva = long_mode ? vcpu->regs.rip : (uint32_t)(base + vcpu->regs.rip),
		.size = long_mode ? 8 : cs.attr & SEG_ATTR_DB ? 4 : 2,
		.cpl = vmx_get_cpl(vcpu),
	};
}

/* ---- all of it ----------------------------------------------------------------------- */

void vmx_get_state(struct vcpu *vcpu, struct vcpu_state *st)
{
	for (unsigned i = 0; i < SEG_COUNT; i++)
		vmx_get_segment(vcpu, i, &st->seg[i]);
	st->gdt.base = vmcs_read(VMCS_GUEST_GDT_BASE);
	st->gdt.limit = (uint16_t)vmcs_read(VMCS_GUEST_GDT_LIMIT);
	st->idt.base = vmcs_read(VMCS_GUEST_IDT_BASE);
	st->idt.limit = (uint16_t)vmcs_read(VMCS_GUEST_IDT_LIMIT);
	st->cr0 = vmx_get_cr(vcpu, 0);
	st->cr3 = vmx_get_cr(vcpu, 3);
	st->cr4 = vmx_get_cr(vcpu, 4);
	st->efer = vmx_get_efer(vcpu);
	st->dr7 = vmcs_read(VMCS_GUEST_DR7);
}

void vmx_set_state(struct vcpu *vcpu, const struct vcpu_state *st)
{
	vmcs_write(VMCS_CR0_SHADOW, st->cr0);
	vmcs_write(VMCS_CR4_SHADOW, st->cr4);
	set_cr3(vcpu, st->cr3);
	vmx_of(vcpu)->efer = st->efer;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		vmx_write_segment(i, st->seg[i]);
	if (vmx_of(vcpu)->shadow)
		vmx_real_reset(vcpu, !(st->cr0 & CR0_PE), st->seg);
	vmcs_write(VMCS_GUEST_GDT_BASE, st->gdt.base);
	vmcs_write(VMCS_GUEST_GDT_LIMIT, st->gdt.limit);
	vmcs_write(VMCS_GUEST_IDT_BASE, st->idt.base);
	vmcs_write(VMCS_GUEST_IDT_LIMIT, st->idt.limit);
	vmcs_write(VMCS_GUEST_DR7, st->dr7);
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
	vmcs_write(VMCS_ENTRY_EVENT, 0); /* a refused entry leaves its event behind */
	paging_changed(vcpu);
}

/* ---- MSRs ---------------------------------------------------------------------------- */

static const uint32_t switched_msrs[VMX_SWITCHED_MSRS] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE,
};

static const struct {
	uint32_t msr, field;
} vmcs_msrs[] = {
	{ MSR_FS_BASE, VMCS_GUEST_BASE(SEG_FS) },
	{ MSR_GS_BASE, VMCS_GUEST_BASE(SEG_GS) },
	{ MSR_SYSENTER_CS, VMCS_GUEST_SYSENTER_CS },
	{ MSR_SYSENTER_ESP, VMCS_GUEST_SYSENTER_ESP },
	{ MSR_SYSENTER_EIP, VMCS_GUEST_SYSENTER_EIP },
};

/* Its own of each guest; with shadow paging the processor's is not that one (vmx_paging.c). */
static int set_pat(struct vmx_vcpu *v, uint64_t value)
{
	if (!vmx_pat_valid(value))
		return -EINVAL;
	v->pat = value;
	if (!v->shadow)
		vmcs_write(VMCS_GUEST_PAT, value);
	return 0;
}

/* Real mode has it 0 for the processor, so that SYSENTER is refused as there. */
static bool is_kept(const struct vmx_vcpu *v, uint32_t msr)
{
	return msr == MSR_SYSENTER_CS && v->real.on;
}

void vmx_msrs_load(struct vmx_vcpu *v)
{
	for (unsigned i = 0; i < VMX_SWITCHED_MSRS; i++) {
		v->host_msr[i] = rdmsr(switched_msrs[i]);
		wrmsr(switched_msrs[i], v->msr[i]);
	}
}

void vmx_msrs_put(struct vmx_vcpu *v)
{
	for (unsigned i = 0; i < VMX_SWITCHED_MSRS; i++) {
		v->msr[i] = rdmsr(switched_msrs[i]);
		wrmsr(switched_msrs[i], v->host_msr[i]);
	}
}

int vmx_get_msr(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	const struct vmx_vcpu *v = vmx_of(vcpu);

	if (msr == MSR_PAT || is_kept(v, msr)) {
		*value = msr == MSR_PAT ? v->pat : v->real.sysenter_cs;
		return 0;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(vmcs_msrs); i++)
		if (vmcs_msrs[i].msr == msr) {
			*value = vmcs_read(vmcs_msrs[i].field);
			return 0;
		}
	for (unsigned i = 0; i < VMX_SWITCHED_MSRS; i++)
		if (switched_msrs[i] == msr) {
			*value = rdmsr(msr);
			return 0;
		}
	return -ENOENT;
}

/* Memory types 2, 3 and above 7 do not exist (SDM vol. 3A, 12.12.2). */
bool vmx_pat_valid(uint64_t pat)
{
	for (unsigned i = 0; i < 8; i++, pat >>= 8)
		if ((pat & 0xff) > 7 || (pat & 0xfe) == 2)
			return false;
	return true;
}

/* A value that would make VM entry fail is refused; -EINVAL is #GP to the guest. */
int vmx_set_msr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	struct vmx_vcpu *v = vmx_of(vcpu);

	if (msr == MSR_PAT)
		return set_pat(v, value);
	if (is_kept(v, msr)) {
		v->real.sysenter_cs = value;
		return 0;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(vmcs_msrs); i++) {
		if (vmcs_msrs[i].msr != msr)
			continue;
		if (!vmx_canonical(value))
			return -EINVAL;
		vmcs_write(vmcs_msrs[i].field, value);
		return 0;
	}
	for (unsigned i = 0; i < VMX_SWITCHED_MSRS; i++)
		if (switched_msrs[i] == msr)
			return wrmsr_safe(msr, value) ? -EINVAL : 0;
	return -ENOENT;
}

/* 1: exit.  Reads of low and high MSRs, then writes (SDM vol. 3C, 25.6.9). */
static void bitmap_pass(uint8_t *bitmap, uint32_t msr)
{
	unsigned bit = (msr & 0x1fff) + (msr >> 31 ? 0x400 * 8 : 0);

	bitmap[bit / 8] &= (uint8_t)~(1 << bit % 8);
	bitmap[0x800 + bit / 8] &= (uint8_t)~(1 << bit % 8);
}

void vmx_msr_bitmap_init(uint8_t *bitmap)
{
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		bitmap[i] = 0xff;
	for (unsigned i = 0; i < ARRAY_SIZE(vmcs_msrs); i++)
		bitmap_pass(bitmap, vmcs_msrs[i].msr);
	for (unsigned i = 0; i < VMX_SWITCHED_MSRS; i++)
		bitmap_pass(bitmap, switched_msrs[i]);
}

/* What set_state does not cover, as after RESET. */
void vmx_state_init(struct vcpu *vcpu)
{
	vmcs_write(VMCS_CR0_MASK, ~0ul);
	vmcs_write(VMCS_CR4_MASK, ~0ul);
	vmcs_write(VMCS_LINK, ~0ul);
	vmcs_write(VMCS_GUEST_DEBUGCTL, 0);
	vmx_of(vcpu)->pat = PAT_RESET;
	if (vmx_has_field(VMCS_GUEST_PAT))
		vmcs_write(VMCS_GUEST_PAT, PAT_RESET);
	vmcs_write(VMCS_GUEST_ACTIVITY, 0);
	vmcs_write(VMCS_GUEST_SYSENTER_CS, 0);
	vmcs_write(VMCS_GUEST_SYSENTER_ESP, 0);
	vmcs_write(VMCS_GUEST_SYSENTER_EIP, 0);
	for (unsigned i = 0; i < 4 && vmx_has_field(VMCS_PDPTE(0)); i++)
		vmcs_write(VMCS_PDPTE(i), 0);
	vmx_of(vcpu)->dr6 = DR6_RESET;
}
