/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's registers in the VMCB.  Every write tells the processor which part of
 * its cached copy is stale (clean bits), and flushes where a MOV by the guest would have.
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/cpu.h"
#include "lib/util.h"

#define ATTR_TSS_BUSY (1u << 1)

/* ---- segments ------------------------------------------------------------------- */

/* SVM has no "unusable": a segment that is not present is. */
uint16_t svm_attr_pack(uint32_t attr)
{
	if (attr & SEG_ATTR_UNUSABLE)
		return 0;
	return (attr & 0xff) | (attr >> 4 & 0xf00);
}

uint32_t svm_attr_unpack(uint16_t attr)
{
	uint32_t a = (attr & 0xffu) | (attr & 0xf00u) << 4;

	return attr & VMCB_SEG_PRESENT ? a : a | SEG_ATTR_UNUSABLE;
}

static struct vmcb_seg *segment(struct vmcb *vmcb, enum vm_seg seg)
{
	struct vmcb_save *s = &vmcb->save;
	struct vmcb_seg *const segs[SEG_COUNT] = {
		[SEG_ES] = &s->es, [SEG_CS] = &s->cs, [SEG_SS] = &s->ss, [SEG_DS] = &s->ds,
		[SEG_FS] = &s->fs, [SEG_GS] = &s->gs, [SEG_TR] = &s->tr, [SEG_LDTR] = &s->ldtr,
	};

	return segs[seg];
}

void svm_get_segment(struct vcpu *vcpu, enum vm_seg seg, struct vm_segment *out)
{
	struct vmcb *vmcb = svm_of(vcpu)->vmcb;
	const struct vmcb_seg *s = segment(vmcb, seg);

	*out = (struct vm_segment){
		.selector = s->selector,
		.attr = svm_attr_unpack(s->attr),
		.limit = s->limit,
		.base = s->base,
	};
	/* The processor keeps the privilege level in VMCB.CPL and lets SS.DPL go stale. */
	if (seg == SEG_SS)
		out->attr = (out->attr & ~(3u << 5)) | vmcb->save.cpl << 5;
	/* A loaded task is busy; not every processor says so. */
	if (seg == SEG_TR)
		out->attr |= ATTR_TSS_BUSY;
}

static void set_segment(struct vmcb *vmcb, enum vm_seg seg, const struct vm_segment *in)
{
	*segment(vmcb, seg) = (struct vmcb_seg){
		.selector = in->selector,
		.attr = svm_attr_pack(in->attr),
		.limit = in->limit,
		.base = in->base,
	};
}

unsigned svm_get_cpl(struct vcpu *vcpu)
{
	return svm_of(vcpu)->vmcb->save.cpl;
}

/* ---- everything at once ---------------------------------------------------------- */

void svm_get_state(struct vcpu *vcpu, struct vcpu_state *st)
{
	const struct vmcb_save *s = &svm_of(vcpu)->vmcb->save;

	for (unsigned i = 0; i < SEG_COUNT; i++)
		svm_get_segment(vcpu, i, &st->seg[i]);
	st->gdt = (struct vm_table){ .base = s->gdtr.base, .limit = s->gdtr.limit };
	st->idt = (struct vm_table){ .base = s->idtr.base, .limit = s->idtr.limit };
	st->cr0 = svm_get_cr(vcpu, 0);
	st->cr3 = svm_get_cr(vcpu, 3);
	st->cr4 = svm_get_cr(vcpu, 4);
	st->efer = svm_get_efer(vcpu);
	st->dr7 = s->dr7;
}

void svm_set_state(struct vcpu *vcpu, const struct vcpu_state *st)
{
	struct vmcb *vmcb = svm_of(vcpu)->vmcb;
	struct vmcb_save *s = &vmcb->save;

	for (unsigned i = 0; i < SEG_COUNT; i++)
		set_segment(vmcb, i, &st->seg[i]);
	s->gdtr = (struct vmcb_seg){ .base = st->gdt.base, .limit = st->gdt.limit };
	s->idtr = (struct vmcb_seg){ .base = st->idt.base, .limit = st->idt.limit };
	s->cpl = st->cr0 & CR0_PE ? SEG_ATTR_DPL(st->seg[SEG_SS].attr) : 0;
	s->dr7 = st->dr7;
	svm_paging_load(svm_of(vcpu), st);
	svm_event_reset(svm_of(vcpu));
	vmcb->control.clean = 0;
	svm_flush_tlb(vcpu);
}

/* No detours: this is on the way of most exits that have no instruction length. */
void svm_get_code(struct vcpu *vcpu, struct vm_code *out)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	const struct vmcb_save *s = &svm->vmcb->save;

	out->cr0 = svm->paging.cr0;
	out->cr3 = *svm_guest_cr3(svm);
	out->cr4 = svm->paging.cr4;
	out->efer = svm->paging.efer;
	out->cpl = s->cpl;
	if ((s->cs.attr & VMCB_SEG_L) && (s->efer & EFER_LMA)) {
		out->gva = vcpu->regs.rip;
		out->size = 8;
	} else {
		out->gva = (uint32_t)(s->cs.base + vcpu->regs.rip);
		out->size = s->cs.attr & VMCB_SEG_DB ? 4 : 2;
	}
}

/* ---- MSRs --------------------------------------------------------------------------- */

/* The MSRs that are fields of the VMCB. */
static uint64_t *msr_field(struct vmcb_save *s, uint32_t msr)
{
	switch (msr) {
	case MSR_FS_BASE:
		return &s->fs.base;
	case MSR_GS_BASE:
		return &s->gs.base;
	case MSR_KERNEL_GS_BASE:
		return &s->kernel_gs_base;
	case MSR_STAR:
		return &s->star;
	case MSR_LSTAR:
		return &s->lstar;
	case MSR_CSTAR:
		return &s->cstar;
	case MSR_SFMASK:
		return &s->sfmask;
	case MSR_SYSENTER_CS:
		return &s->sysenter_cs;
	case MSR_SYSENTER_ESP:
		return &s->sysenter_esp;
	case MSR_SYSENTER_EIP:
		return &s->sysenter_eip;
	case MSR_PAT:
		return &s->pat;
	default:
		return NULL;
	}
}

int svm_get_msr(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	const uint64_t *field = msr_field(&svm->vmcb->save, msr);

	if (msr == MSR_TSC_AUX && svm->has_tsc_aux)
		field = &svm->tsc_aux;
	if (!field)
		return -ENOENT;
	*value = *field;
	return 0;
}

/* Eight types, each UC, WC, WT, WP, WB or UC-: VMRUN refuses any other. */
bool svm_pat_valid(uint64_t pat)
{
	for (unsigned i = 0; i < 8; i++) {
		unsigned type = pat >> (8 * i) & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

/* -EINVAL: a value for which the processor would raise #GP. */
int svm_set_msr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	uint64_t *field = msr_field(&svm->vmcb->save, msr);

	if (msr == MSR_TSC_AUX && svm->has_tsc_aux) {
		if (value >> 32)
			return -EINVAL;
		svm->tsc_aux = value;
		wrmsr(MSR_TSC_AUX, value);
		return 0;
	}
	if (!field)
		return -ENOENT;
	if (msr == MSR_PAT && !svm_pat_valid(value))
		return -EINVAL;
	*field = value;
	if (msr == MSR_PAT) {
		svm->vmcb->control.clean &= ~VMCB_CLEAN_NP;
		svm_flush_tlb(vcpu);
	}
	return 0;
}
