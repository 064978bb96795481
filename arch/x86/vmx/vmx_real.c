/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Real mode where the processor must page and so must be in protected mode: it runs as
 * virtual-8086 mode, which is the same but for what it may not do at its level 3, and for events.
 * All of that comes to vmm/realmode.c as exceptions: IOPL is 0, so that INT, IRET, PUSHF, POPF,
 * CLI and STI fault; the TSS has limit 0, so that IN and OUT do and nothing ever reads it; and every
 * exception exits.  RFLAGS.IF is then the guest's own, since only we change it.
 *
 * VM entry wants each segment's base to be its selector times 16, and 64K limits (SDM
 * vol. 3C, 27.3.1.2).  Behind a switch of modes it may not be so; in between the VMCS has what VM entry
 * takes, and here is what the guest believes.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/cpu.h"
#include "arch/x86/vmx/vmx_insn.h"

#define ATTR_VM86 0xf3u /* data, accessed, DPL 3 */
#define ATTR_TSS_BUSY 0x8bu
#define ATTR_TYPE 0xfu
#define ATTR_CODE 0x8u
#define ATTR_DPL (3u << 5)
#define TYPE_CODE 0xbu /* readable, accessed */
#define TYPE_DATA 0x3u /* writable, accessed */
#define SELECTOR_RPL 3u

#define VM86_BASE_MAX 0xffff0ul

#define RFLAGS_IOPL (3ul << 12)

/*
 * #UD: the other vendor's hypercall.  #MC: the host's to handle.  #PF: of shadow paging.  #DB, #AC: a
 * guest whose stack or IDT raises them again would be in their delivery for ever, and no
 * interrupt, NMI or timer gets in between.
 */
uint32_t vmx_real_exceptions(const struct vmx_vcpu *v)
{
	if (v->real.on)
		return ~0u;
	return 1u << VEC_UD | 1u << VEC_MC | 1u << VEC_DB | 1u << VEC_AC | (v->shadow ? 1u << VEC_PF : 0);
}

/* ---- segments ------------------------------------------------------------------------ */

/*
 * An instruction that loads a segment in real mode sets selector and base, and the rest stays.  So
 * the selector that a segment of protected mode gets for its base is true as soon as it is loaded again; before
 * that hardly any guest looks at it.
 */
void vmx_real_see(const struct vmx_vcpu *v, enum vm_seg which, struct vm_segment *seg)
{
	const struct vm_segment *kept = &v->real.seg[which];

	if (which == SEG_LDTR || (which == SEG_TR && !v->real.on))
		return;
	if (which == SEG_TR) {
		*seg = *kept;
		return;
	}
	if (v->real.on) {
		seg->limit = kept->limit;
		seg->attr = kept->attr;
	} else if (seg->selector == v->real.given[which] && seg->base == kept->base) {
		seg->selector = kept->selector;
	}
}

static bool fits_vm86(const struct vm_segment *seg)
{
	return !(seg->base & 0xf) && seg->base <= VM86_BASE_MAX;
}

static void write_vm86(struct vmx_vcpu *v, enum vm_seg which, const struct vm_segment *seg)
{
	struct vmx_real *real = &v->real;
	uint16_t selector = (uint16_t)(seg->base >> 4);

	real->seg[which] = *seg;
	/* Null in protected mode: what it is now cannot be used before it is loaded. */
	if (seg->attr & SEG_ATTR_UNUSABLE)
		real->seg[which] = (struct vm_segment){ seg->selector, 0x93, 0xffff, 0 };
	else if (!fits_vm86(seg))
		real->obstacle = "a segment whose base is no multiple of 16 below 1M";
	else if (which == SEG_CS && seg->attr & SEG_ATTR_DB)
		real->obstacle = "a 32-bit code segment";
	if (seg->attr & SEG_ATTR_UNUSABLE)
		selector = 0;
	vmx_write_segment(which, (struct vm_segment){ .selector = selector, .attr = ATTR_VM86,
						      .limit = 0xffff,
						      .base = (uint64_t)selector << 4 });
}

/* Real mode's segments as protected mode's: level 0, in selectors as well. */
static void write_protected(struct vmx_vcpu *v, enum vm_seg which, struct vm_segment seg)
{
	v->real.seg[which] = seg;
	seg.selector &= (uint16_t)~SELECTOR_RPL;
	v->real.given[which] = seg.selector;
	seg.attr &= ~ATTR_DPL;
	if (which == SEG_CS && !(seg.attr & ATTR_CODE))
		seg.attr = (seg.attr & ~ATTR_TYPE) | TYPE_CODE;
	if (which == SEG_SS)
		seg.attr = (seg.attr & ~ATTR_TYPE) | TYPE_DATA;
	vmx_write_segment(which, seg);
}

/* ---- the switch ---------------------------------------------------------------------- */

static void go_in(struct vmx_vcpu *v, const struct vm_segment seg[SEG_COUNT])
{
	v->real.obstacle = NULL;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		write_vm86(v, i, &seg[i]);
	v->real.seg[SEG_TR] = seg[SEG_TR];
	vmx_write_segment(SEG_TR, (struct vm_segment){ .attr = ATTR_TSS_BUSY });
}

static void go_out(struct vmx_vcpu *v, const struct vm_segment seg[SEG_COUNT])
{
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		write_protected(v, i, seg[i]);
	vmx_write_segment(SEG_TR, seg[SEG_TR]);
}

/* SYSENTER is refused when its CS is 0, and in real mode. */
static void switch_sysenter(struct vmx_vcpu *v, bool on)
{
	if (on)
		v->real.sysenter_cs = vmcs_read(VMCS_GUEST_SYSENTER_CS);
	vmcs_write(VMCS_GUEST_SYSENTER_CS, on ? 0 : v->real.sysenter_cs);
}

/* The IRET that ends an NMI's handler is the processor's in protected mode, and ours in real mode. */
static void switch_nmis(struct vmx_vcpu *v, bool on)
{
	uint64_t state = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

	if (on)
		v->real.nmi_blocked = state & INTERRUPTIBILITY_NMI;
	else if (v->real.nmi_blocked)
		state |= INTERRUPTIBILITY_NMI;
	if (on)
		state &= ~(uint64_t)INTERRUPTIBILITY_NMI;
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, state);
}

static void switch_mode(struct vmx_vcpu *v, bool on)
{
	if (v->real.on == on)
		return;
	v->real.on = on;
	switch_sysenter(v, on);
	switch_nmis(v, on);
	v->real.nmi_blocked &= on;
	vmcs_write(VMCS_EXCEPTIONS, vmx_real_exceptions(v));
}

void vmx_real_switch(struct vcpu *vcpu, bool on)
{
	struct vmx_vcpu *v = vmx_of(vcpu);
	struct vm_segment seg[SEG_COUNT];

	for (unsigned i = 0; i < SEG_COUNT; i++)
		vmx_get_segment(vcpu, i, &seg[i]);
	switch_mode(v, on);
	if (on)
		go_in(v, seg);
	else
		go_out(v, seg);
}

void vmx_real_reset(struct vcpu *vcpu, bool on, const struct vm_segment seg[SEG_COUNT])
{
	struct vmx_vcpu *v = vmx_of(vcpu);

	switch_mode(v, on);
	v->real.nmi_blocked = false;
	vmcs_write(VMCS_EXCEPTIONS, vmx_real_exceptions(v));
	if (on)
		go_in(v, seg);
	for (unsigned i = SEG_ES; i <= SEG_GS && !on; i++) {
		v->real.seg[i] = seg[i];
		v->real.given[i] = seg[i].selector;
	}
}

uint64_t vmx_real_flags_in(const struct vmx_vcpu *v, uint64_t flags)
{
	return v->real.on ? (flags & ~RFLAGS_IOPL) | RFLAGS_VM : flags;
}

uint64_t vmx_real_flags_out(const struct vmx_vcpu *v, uint64_t hw, uint64_t flags)
{
	return v->real.on ? (hw & ~(RFLAGS_VM | RFLAGS_IOPL)) | (flags & RFLAGS_IOPL) : hw;
}

/* ---- for vmm/realmode.c -------------------------------------------------------------- */

static bool real_active(struct vcpu *vcpu)
{
	return vmx_of(vcpu)->real.on;
}

static const char *real_obstacle(struct vcpu *vcpu)
{
	return vmx_of(vcpu)->real.obstacle;
}

/* As a far jump of real mode: limit and attributes stay. */
static void real_load_cs(struct vcpu *vcpu, uint16_t selector)
{
	struct vmx_vcpu *v = vmx_of(vcpu);
	struct vm_segment cs = v->real.seg[SEG_CS];

	cs.selector = selector;
	cs.base = (uint64_t)selector << 4;
	write_vm86(v, SEG_CS, &cs);
}

static void real_get_table(struct vcpu *vcpu, bool idt, struct vm_table *out)
{
	out->base = vmcs_read(idt ? VMCS_GUEST_IDT_BASE : VMCS_GUEST_GDT_BASE);
	out->limit = (uint16_t)vmcs_read(idt ? VMCS_GUEST_IDT_LIMIT : VMCS_GUEST_GDT_LIMIT);
}

static void real_set_table(struct vcpu *vcpu, bool idt, const struct vm_table *table)
{
	vmcs_write(idt ? VMCS_GUEST_IDT_BASE : VMCS_GUEST_GDT_BASE, table->base);
	vmcs_write(idt ? VMCS_GUEST_IDT_LIMIT : VMCS_GUEST_GDT_LIMIT, table->limit);
}

static void real_block_nmis(struct vcpu *vcpu, bool on)
{
	vmx_of(vcpu)->real.nmi_blocked = on;
}

static void real_shadow_sti(struct vcpu *vcpu)
{
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
		   vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) | INTERRUPTIBILITY_STI);
}

const struct virt_real_ops vmx_real_ops = {
	.active = real_active,
	.obstacle = real_obstacle,
	.load_cs = real_load_cs,
	.get_table = real_get_table,
	.set_table = real_set_table,
	.block_nmis = real_block_nmis,
	.shadow_sti = real_shadow_sti,
};
