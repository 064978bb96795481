/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The processor refuses a guest state without saying why: it checks some eighty
 * rules (SDM vol. 3C, 27.3.1) and reports "invalid guest state".  This says which one.
 * Runs only for a report.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "host/machine.h"
#include "lib/util.h"

#define ATTR_TYPE(attr) ((attr) & 0xf)
#define ATTR_S (1u << 4)
#define ATTR_P (1u << 7)
#define ATTR_RESERVED 0xfffe0f00u
#define ATTR_G (1u << 15)

static uint32_t attr(unsigned seg)
{
	return (uint32_t)vmcs_read(VMCS_GUEST_ATTR(seg));
}

static bool usable(unsigned seg)
{
	return !(attr(seg) & SEG_ATTR_UNUSABLE);
}

static bool in_ia32e(void)
{
	return vmcs_read(VMCS_ENTRY) & VMENTRY_IA32E;
}

/* Without unrestricted guests protection and paging are always on, and selectors matter. */
static bool is_restricted(void)
{
	return !vmx_has_field(VMCS_PROC2) || !(vmcs_read(VMCS_PROC2) & PROC2_UNRESTRICTED);
}

static bool has_ept(void)
{
	return vmx_has_field(VMCS_PROC2) && vmcs_read(VMCS_PROC2) & PROC2_EPT;
}

static bool in_vm86(void)
{
	return vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_VM;
}

static uint16_t selector(unsigned seg)
{
	return (uint16_t)vmcs_read(VMCS_GUEST_SELECTOR(seg));
}

static bool is_pae(void)
{
	return vmcs_read(VMCS_GUEST_CR0) & CR0_PG && vmcs_read(VMCS_GUEST_CR4) & CR4_PAE &&
	       !in_ia32e();
}

/* ---- registers ----------------------------------------------------------------------- */

static bool cr0_fixed(void)
{
	uint64_t cr0 = vmcs_read(VMCS_GUEST_CR0);
	uint64_t fixed0 = vmx_cap.cr0_fixed0 & (is_restricted() ? ~0ul : ~(CR0_PE | CR0_PG));

	return (fixed0 & ~cr0) || (cr0 & ~vmx_cap.cr0_fixed1);
}

static bool paging_without_pe(void)
{
	return (vmcs_read(VMCS_GUEST_CR0) & (CR0_PG | CR0_PE)) == CR0_PG;
}

static bool cr4_fixed(void)
{
	uint64_t cr4 = vmcs_read(VMCS_GUEST_CR4);

	return (vmx_cap.cr4_fixed0 & ~cr4) || (cr4 & ~vmx_cap.cr4_fixed1);
}

static bool ia32e_without_paging(void)
{
	return in_ia32e() && (!(vmcs_read(VMCS_GUEST_CR0) & CR0_PG) ||
			      !(vmcs_read(VMCS_GUEST_CR4) & CR4_PAE));
}

static bool pcide_outside_ia32e(void)
{
	return !in_ia32e() && vmcs_read(VMCS_GUEST_CR4) & CR4_PCIDE;
}

static bool cr3_high(void)
{
	return vmcs_read(VMCS_GUEST_CR3) >> 52;
}

static bool lma_wrong(void)
{
	if (!vmx_has_field(VMCS_GUEST_EFER))
		return false;
	uint64_t efer = vmcs_read(VMCS_GUEST_EFER);
	bool lma = efer & EFER_LMA;

	return lma != in_ia32e() ||
	       (vmcs_read(VMCS_GUEST_CR0) & CR0_PG && lma != !!(efer & EFER_LME));
}

static bool dr7_high(void)
{
	return vmcs_read(VMCS_GUEST_DR7) >> 32;
}

static bool sysenter_not_canonical(void)
{
	return !vmx_canonical(vmcs_read(VMCS_GUEST_SYSENTER_ESP)) ||
	       !vmx_canonical(vmcs_read(VMCS_GUEST_SYSENTER_EIP));
}

static bool pat_undefined(void)
{
	return vmx_has_field(VMCS_GUEST_PAT) && !vmx_pat_valid(vmcs_read(VMCS_GUEST_PAT));
}

static bool table_not_canonical(void)
{
	return !vmx_canonical(vmcs_read(VMCS_GUEST_GDT_BASE)) ||
	       !vmx_canonical(vmcs_read(VMCS_GUEST_IDT_BASE));
}

static bool rip_high(void)
{
	return vmcs_read(VMCS_GUEST_RIP) >> 32 && !(in_ia32e() && attr(SEG_CS) & SEG_ATTR_L);
}

static bool rflags_reserved(void)
{
	return (vmcs_read(VMCS_GUEST_RFLAGS) & (~0x3ffffful | 0x802a)) != RFLAGS_FIXED;
}

static bool v86_outside_protected_mode(void)
{
	return in_vm86() &&
	       (in_ia32e() || !(vmcs_read(VMCS_GUEST_CR0) & CR0_PE));
}

static bool pdpte_reserved(void)
{
	unsigned maxphyaddr = cpuid(0x80000008, 0).eax & 0xff;
	const uint64_t *table = NULL;

	if (!is_pae())
		return false;
	if (!has_ept())
		table = machine_phys_to_virt(vmcs_read(VMCS_GUEST_CR3) & 0xffffffe0);
	for (unsigned i = 0; i < 4; i++)
		if (!vmx_pdpte_valid(table ? table[i] : vmcs_read(VMCS_PDPTE(i)), maxphyaddr))
			return true;
	return false;
}

/* ---- segments ------------------------------------------------------------------------ */

static bool granularity_wrong(unsigned seg)
{
	uint32_t limit = (uint32_t)vmcs_read(VMCS_GUEST_LIMIT(seg));

	return attr(seg) & ATTR_G ? (limit & 0xfff) != 0xfff : limit >> 20;
}

static bool segment_shape(void)
{
	for (unsigned seg = SEG_ES; seg <= SEG_GS; seg++)
		if (usable(seg) &&
		    (!(attr(seg) & ATTR_S) || !(attr(seg) & ATTR_P) || !(attr(seg) & 1) ||
		     attr(seg) & ATTR_RESERVED))
			return true;
	return false;
}

static bool segment_limit(void)
{
	for (unsigned seg = 0; seg <= VMCS_SEG_TR; seg++)
		if (usable(seg) && granularity_wrong(seg))
			return true;
	return false;
}

static bool segment_base(void)
{
	for (unsigned seg = SEG_ES; seg <= SEG_DS; seg++)
		if (usable(seg) && vmcs_read(VMCS_GUEST_BASE(seg)) >> 32)
			return true;
	return !vmx_canonical(vmcs_read(VMCS_GUEST_BASE(SEG_FS))) ||
	       !vmx_canonical(vmcs_read(VMCS_GUEST_BASE(SEG_GS))) ||
	       !vmx_canonical(vmcs_read(VMCS_GUEST_BASE(VMCS_SEG_TR))) ||
	       (usable(VMCS_SEG_LDTR) && !vmx_canonical(vmcs_read(VMCS_GUEST_BASE(VMCS_SEG_LDTR))));
}

static bool vm86_shape(void)
{
	for (unsigned seg = SEG_ES; seg <= SEG_GS && in_vm86(); seg++)
		if (vmcs_read(VMCS_GUEST_BASE(seg)) != (uint64_t)selector(seg) << 4 ||
		    vmcs_read(VMCS_GUEST_LIMIT(seg)) != 0xffff || attr(seg) != 0xf3)
			return true;
	return false;
}

/* In selectors as in descriptors; what is conforming, types 12 to 15, may be of any level. */
static bool selector_rpl(void)
{
	if (in_vm86() || !is_restricted())
		return false;
	if ((selector(SEG_SS) ^ selector(SEG_CS)) & 3 ||
	    (selector(SEG_SS) & 3) != SEG_ATTR_DPL(attr(SEG_SS)))
		return true;
	for (unsigned seg = SEG_ES; seg <= SEG_GS; seg++)
		if (seg != SEG_CS && seg != SEG_SS && usable(seg) && ATTR_TYPE(attr(seg)) < 12 &&
		    SEG_ATTR_DPL(attr(seg)) < (selector(seg) & 3u))
			return true;
	return false;
}

static bool cs_type(void)
{
	if (in_vm86())
		return false;
	unsigned type = ATTR_TYPE(attr(SEG_CS));

	return !usable(SEG_CS) || ((type != 3 || is_restricted()) && (type & 9) != 9);
}

static bool cs_dpl(void)
{
	if (in_vm86())
		return false;
	unsigned dpl = SEG_ATTR_DPL(attr(SEG_CS)), ss_dpl = SEG_ATTR_DPL(attr(SEG_SS));

	switch (ATTR_TYPE(attr(SEG_CS))) {
	case 3:
		return dpl || ss_dpl;
	case 9:
	case 11:
		return dpl != ss_dpl;
	}
	return dpl > ss_dpl;
}

static bool cs_l_and_d(void)
{
	const uint32_t both = SEG_ATTR_L | SEG_ATTR_DB;

	return in_ia32e() && (attr(SEG_CS) & both) == both;
}

static bool ss_type(void)
{
	unsigned type = ATTR_TYPE(attr(SEG_SS));

	return usable(SEG_SS) && type != 3 && type != 7;
}

static bool ss_dpl_in_real_mode(void)
{
	return !(vmcs_read(VMCS_GUEST_CR0) & CR0_PE) && SEG_ATTR_DPL(attr(SEG_SS));
}

static bool tr_bad(void)
{
	unsigned type = ATTR_TYPE(attr(VMCS_SEG_TR));

	return !usable(VMCS_SEG_TR) || attr(VMCS_SEG_TR) & (ATTR_S | ATTR_RESERVED) ||
	       !(attr(VMCS_SEG_TR) & ATTR_P) || (type != 11 && (in_ia32e() || type != 3)) ||
	       vmcs_read(VMCS_GUEST_SELECTOR(VMCS_SEG_TR)) & 4;
}

static bool ldtr_bad(void)
{
	return usable(VMCS_SEG_LDTR) &&
	       ((attr(VMCS_SEG_LDTR) & (ATTR_RESERVED | ATTR_P | ATTR_S | 0xf)) != (ATTR_P | 2) ||
		vmcs_read(VMCS_GUEST_SELECTOR(VMCS_SEG_LDTR)) & 4);
}

/* ---- events -------------------------------------------------------------------------- */

static bool event_type(unsigned type)
{
	uint32_t info = (uint32_t)vmcs_read(VMCS_ENTRY_EVENT);

	return info & EVENT_INFO_VALID && EVENT_INFO_TYPE(info) == type;
}

static bool interrupt_while_masked(void)
{
	return event_type(EVENT_INTR) && !(vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_IF);
}

static bool interrupt_in_shadow(void)
{
	const uint64_t both = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;

	return event_type(EVENT_INTR) && vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & both;
}

static bool nmi_while_blocked(void)
{
	const uint64_t bits = INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_MOV_SS;

	return event_type(EVENT_NMI) && vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & bits;
}

static bool shadow_impossible(void)
{
	uint64_t state = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

	return (state & INTERRUPTIBILITY_STI && state & INTERRUPTIBILITY_MOV_SS) ||
	       (state & INTERRUPTIBILITY_STI && !(vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_IF));
}

/* In a shadow the pending single step and TF have to agree. */
static bool single_step_lost(void)
{
	const uint64_t shadow = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;
	bool tf = vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_TF;
	bool bs = vmcs_read(VMCS_GUEST_PENDING_DEBUG) & PENDING_DEBUG_SINGLE_STEP;

	return vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & shadow && tf != bs;
}

static const struct rule {
	bool (*broken)(void);
	const char *text;
} rules[] = {
	{ cr0_fixed, "CR0 has bits that VT-x needs set or clear" },
	{ paging_without_pe, "CR0.PG without CR0.PE" },
	{ cr4_fixed, "CR4 has bits that VT-x needs set or clear" },
	{ ia32e_without_paging, "IA-32e mode without CR0.PG or CR4.PAE" },
	{ pcide_outside_ia32e, "CR4.PCIDE outside IA-32e mode" },
	{ cr3_high, "CR3 has bits above 51" },
	{ lma_wrong, "EFER.LMA does not follow EFER.LME and CR0.PG" },
	{ dr7_high, "DR7 has bits above 31" },
	{ sysenter_not_canonical, "SYSENTER_ESP or SYSENTER_EIP is not canonical" },
	{ pat_undefined, "the PAT holds an undefined memory type" },
	{ table_not_canonical, "the GDT's or IDT's base is not canonical" },
	{ rip_high, "RIP has bits above 31 outside 64-bit code" },
	{ rflags_reserved, "RFLAGS has reserved bits set, or bit 1 clear" },
	{ v86_outside_protected_mode, "RFLAGS.VM in real mode or IA-32e mode" },
	{ pdpte_reserved, "a PDPTE has reserved bits set" },
	{ segment_shape, "a usable segment is not present, not accessed, or has reserved bits" },
	{ segment_limit, "a segment's granularity bit does not fit its limit" },
	{ segment_base, "a segment's base is too high or not canonical" },
	{ vm86_shape, "a segment of virtual-8086 mode is not 64K at its selector times 16, level 3" },
	{ selector_rpl, "a selector's RPL does not fit CS or the segment's DPL" },
	{ cs_type, "CS is no code segment" },
	{ cs_dpl, "CS.DPL does not fit SS.DPL" },
	{ cs_l_and_d, "CS.L and CS.D both set in IA-32e mode" },
	{ ss_type, "SS is no writable data segment" },
	{ ss_dpl_in_real_mode, "SS.DPL is not 0 in real mode" },
	{ tr_bad, "TR is no busy TSS of this mode" },
	{ ldtr_bad, "LDTR is no local descriptor table" },
	{ interrupt_while_masked, "an interrupt is injected while RFLAGS.IF is 0" },
	{ interrupt_in_shadow, "an interrupt is injected in the shadow of STI or MOV SS" },
	{ nmi_while_blocked, "an NMI is injected while NMIs are blocked" },
	{ shadow_impossible, "the shadows of STI and MOV SS, or of STI with RFLAGS.IF 0" },
	{ single_step_lost, "a single step in an interrupt shadow is not pending" },
};

const char *vmx_broken_rule(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].broken())
			return rules[i].text;
	return NULL;
}
