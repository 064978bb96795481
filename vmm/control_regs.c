/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writes to CR0, CR3, CR4, EFER and XCR0: what the architecture refuses gets #GP,
 * what changes the paging mode is carried through (LMA, PAE's four entries).  And reads, where
 * the processor has other values than the guest may see.
 * Rules: SDM vol. 3A, 2.5, 4.1, 4.4.1 and 9.8.5; APM vol. 2, 3.1 and 14.
 */
#include "arch/x86/cpu.h"
#include "lib/string.h"
#include "lib/util.h"
#include "vmm/emulate_operand.h"
#include "vmm/exit.h"
#include "vmm/inject.h"
#include "vmm/insn.h"
#include "vmm/intr.h"
#include "vmm/paging.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

#define CR0_DEFINED \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

/* What a check and an update need to see together. */
struct paging_mode {
	uint64_t cr0, cr4, efer;
};

static bool in_64bit_code(struct vcpu *vcpu)
{
	return insn_code_size(vcpu) == 8;
}

static bool is_pae_without_lma(const struct paging_mode *m)
{
	return (m->cr0 & CR0_PG) && (m->cr4 & CR4_PAE) && !(m->efer & EFER_LMA);
}

/*
 * The four PDPTEs are read when PAE paging begins, and with CR3; reserved bits in a present
 * one refuse the write (all but bit 5, which QEMU's TCG sets by itself).
 */
static bool load_pdptes(struct vcpu *vcpu, uint64_t cr3)
{
	uint64_t reserved = ~((1ul << MIN(virt_caps.maxphyaddr, 48)) - 1) | 0x1c6;
	uint64_t pdpte[4];

	if (mmu_read_guest(vcpu->mmu.vm, cr3 & 0xffffffe0, pdpte, sizeof(pdpte)))
		return false;
	for (unsigned i = 0; i < 4; i++)
		if ((pdpte[i] & 1) && (pdpte[i] & reserved))
			return false;
	memcpy(vcpu->pdpte, pdpte, sizeof(pdpte));
	return true;
}

static bool needs_pdptes(const struct paging_mode *old, const struct paging_mode *new)
{
	const uint64_t cr0_bits = CR0_PG | CR0_CD | CR0_NW;
	const uint64_t cr4_bits = CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP;

	return is_pae_without_lma(new) &&
	       (((old->cr0 ^ new->cr0) & cr0_bits) || ((old->cr4 ^ new->cr4) & cr4_bits));
}

static struct paging_mode mode_get(struct vcpu *vcpu)
{
	return (struct paging_mode){
		.cr0 = virt->get_cr(vcpu, 0),
		.cr4 = virt->get_cr(vcpu, 4),
		.efer = virt->get_efer(vcpu),
	};
}

/* Do translations mean something else now? (SDM vol. 3A, 4.10.4.1) */
static bool changes_paging(const struct paging_mode *old, const struct paging_mode *new)
{
	const uint64_t cr0_bits = CR0_PG | CR0_WP;
	const uint64_t cr4_bits = CR4_PSE | CR4_PAE | CR4_PGE | CR4_LA57 | CR4_SMEP | CR4_SMAP;

	return ((old->cr0 ^ new->cr0) & cr0_bits) || ((old->cr4 ^ new->cr4) & cr4_bits) ||
	       ((old->efer ^ new->efer) & (EFER_NXE | EFER_LMA));
}

/* EFER first: the backends derive the entry mode from it. */
static void mode_set(struct vcpu *vcpu, const struct paging_mode *old,
		     const struct paging_mode *new)
{
	if (new->efer != old->efer)
		virt->set_efer(vcpu, new->efer);
	if (new->cr4 != old->cr4)
		virt->set_cr(vcpu, 4, new->cr4);
	if (new->cr0 != old->cr0)
		virt->set_cr(vcpu, 0, new->cr0);
	/* The processor flushes on these; nested translations of its old mode may linger. */
	virt->flush_tlb(vcpu);
	if (changes_paging(old, new))
		paging_loaded(vcpu);
}

static bool cr0_write(struct vcpu *vcpu, uint64_t value)
{
	struct paging_mode old = mode_get(vcpu), new = old;

	if (value >> 32)
		return false;
	new.cr0 = (value & CR0_DEFINED) | CR0_ET;
	if ((new.cr0 & CR0_PG) && !(new.cr0 & CR0_PE))
		return false;
	if ((new.cr0 & CR0_NW) && !(new.cr0 & CR0_CD))
		return false;
	if ((new.cr0 & CR0_PG) && !(old.cr0 & CR0_PG) && (old.efer & EFER_LME)) {
		struct vm_segment cs;

		virt->get_segment(vcpu, SEG_CS, &cs);
		if (!(old.cr4 & CR4_PAE) || (cs.attr & SEG_ATTR_L))
			return false;
		new.efer |= EFER_LMA;
	}
	if (!(new.cr0 & CR0_PG) && (old.cr0 & CR0_PG)) {
		if (in_64bit_code(vcpu))
			return false;
		new.efer &= ~EFER_LMA;
	}
	if (needs_pdptes(&old, &new) && !load_pdptes(vcpu, virt->get_cr(vcpu, 3)))
		return false;
	mode_set(vcpu, &old, &new);
	return true;
}

/* Only with shadow paging does this exit. */
static bool cr3_write(struct vcpu *vcpu, uint64_t value)
{
	if (virt->get_efer(vcpu) & EFER_LMA) {
		if (value >> MIN(virt_caps.maxphyaddr, 48))
			return false;
	} else {
		struct paging_mode mode = mode_get(vcpu);

		if (is_pae_without_lma(&mode) && !load_pdptes(vcpu, value))
			return false;
	}
	virt->set_cr(vcpu, 3, value);
	paging_cr3_loaded(vcpu, value);
	return true;
}

static bool cr4_write(struct vcpu *vcpu, uint64_t value)
{
	struct paging_mode old = mode_get(vcpu), new = old;

	if (value & ~cpuid_guest_cr4_bits())
		return false;
	if (!(value & CR4_PAE) && (old.efer & EFER_LMA))
		return false;
	new.cr4 = value;
	if (needs_pdptes(&old, &new) && !load_pdptes(vcpu, virt->get_cr(vcpu, 3)))
		return false;
	mode_set(vcpu, &old, &new);
	return true;
}

bool guest_efer_write(struct vcpu *vcpu, uint64_t value)
{
	struct paging_mode old = mode_get(vcpu), new = old;

	if (value & ~cpuid_guest_efer_bits())
		return false;
	if (((value ^ old.efer) & EFER_LME) && (old.cr0 & CR0_PG))
		return false;
	/* LMA is the processor's: a write to it is ignored. */
	new.efer = (value & ~EFER_LMA) | (old.efer & EFER_LMA);
	mode_set(vcpu, &old, &new);
	return true;
}

static bool cr8_write(struct vcpu *vcpu, uint64_t value)
{
	if (value >> 4)
		return false;
	virt->set_cr8(vcpu, (unsigned)value);
	intr_raise(vcpu, INTR_CHECK);
	return true;
}

/* ---- the instructions ------------------------------------------------------------------- */

/* NULL: stopped. */
static const struct insn *fetch_cr_insn(struct vcpu *vcpu, struct insn *room)
{
	const struct insn *insn = insn_get(vcpu, room);

	if (insn && (insn->kind == INSN_MOV_TO_CR || insn->kind == INSN_MOV_FROM_CR ||
		     insn->kind == INSN_CLTS || insn->kind == INSN_LMSW || insn->kind == INSN_SMSW)) {
		vcpu->exit.insn_len = insn->len;
		return insn;
	}
	insn_stop(vcpu, insn ? insn : room,
		  "cannot decode the instruction that accessed a control register");
	return NULL;
}

/* The 16 bits of LMSW. */
static bool lmsw_source(struct vcpu *vcpu, const struct insn *insn, uint64_t *value)
{
	struct operand op;

	*value = vcpu->regs.gpr[insn->gpr];
	if (!insn->in_memory)
		return true;
	return operand_locate(vcpu, insn->segment,
			      decode_offset(insn, vcpu->regs.gpr, vcpu->regs.rip), 2, ACC_R, &op) &&
	       operand_read(vcpu, &op, value);
}

static bool insn_cr_operand(struct vcpu *vcpu, const struct insn *insn, uint8_t *cr,
			    uint64_t *value)
{
	switch (insn->kind) {
	case INSN_CLTS:
		*value = virt->get_cr(vcpu, 0) & ~CR0_TS;
		return true;
	case INSN_LMSW:
		/* Bits 3:0; PE can be set but not cleared (SDM vol. 2A, LMSW). */
		if (!lmsw_source(vcpu, insn, value))
			return false;
		*value = (virt->get_cr(vcpu, 0) & ~0xeul) | (*value & 0xf);
		return true;
	default:
		/* AMD's LOCK MOV CR0 is MOV CR8 for code without REX; the exit knows. */
		if (vcpu->exit.cr.cr != 8)
			*cr = insn->cr;
		*value = vcpu->regs.gpr[insn->gpr];
		return true;
	}
}

/*
 * The new value and, where the processor did not say it, the length.  false: stopped, or what the memory
 * operand deserves is on its way.
 */
static bool cr_operand(struct vcpu *vcpu, uint8_t *cr, uint64_t *value)
{
	const struct exit_cr *e = &vcpu->exit.cr;
	const struct insn *insn = NULL;
	struct insn room;

	*cr = e->cr;
	if (e->decoded) {
		*value = e->has_value ? e->value : vcpu->regs.gpr[e->gpr];
	} else {
		insn = fetch_cr_insn(vcpu, &room);
		if (!insn || !insn_cr_operand(vcpu, insn, cr, value))
			return false;
	}
	/* Outside 64-bit mode the operand is 32 bits wide. */
	if ((insn ? insn->code_size : insn_code_size(vcpu)) != 8)
		*value = (uint32_t)*value;
	return true;
}

static bool cr_write(struct vcpu *vcpu, uint8_t cr, uint64_t value)
{
	switch (cr) {
	case 0: return cr0_write(vcpu, value);
	case 3: return cr3_write(vcpu, value);
	case 8: return cr8_write(vcpu, value);
	default: return cr4_write(vcpu, value);
	}
}

void exit_cr_write(struct vcpu *vcpu)
{
	uint64_t value;
	uint8_t cr;

	if (!cr_operand(vcpu, &cr, &value))
		return;
	if (cr_write(vcpu, cr, value))
		insn_skip(vcpu);
	else
		inject_gp(vcpu);
}

/* To memory always 16 bits, to a register as many as it has (SDM vol. 2B, SMSW). */
static bool smsw(struct vcpu *vcpu, const struct insn *insn, uint64_t value)
{
	uint64_t *gpr = &vcpu->regs.gpr[insn->gpr];
	struct operand op;

	if (!insn->in_memory) {
		*gpr = insn_merge(*gpr, value, insn->operand_size);
		return true;
	}
	return operand_locate(vcpu, insn->segment,
			      decode_offset(insn, vcpu->regs.gpr, vcpu->regs.rip), 2, ACC_W, &op) &&
	       operand_write(vcpu, &op, value);
}

void exit_cr_read(struct vcpu *vcpu)
{
	const struct exit_cr *e = &vcpu->exit.cr;
	struct insn room = { .kind = INSN_MOV_FROM_CR, .cr = e->cr, .gpr = e->gpr };
	const struct insn *insn = e->decoded ? &room : fetch_cr_insn(vcpu, &room);

	if (!insn)
		return;
	uint64_t value = virt->get_cr(vcpu, insn->kind == INSN_SMSW ? 0 : insn->cr);

	if (insn->kind == INSN_SMSW && !smsw(vcpu, insn, value))
		return;
	if (insn->kind == INSN_MOV_FROM_CR)
		vcpu->regs.gpr[insn->gpr] = in_64bit_code(vcpu) ? value : (uint32_t)value;
	insn_skip(vcpu);
}

/* SDM vol. 1, 13.3: x87 cannot be switched off, AVX needs SSE. */
static bool is_xcr0_valid(uint64_t value)
{
	if (value & ~(fpu_xcr0_supported() & 7))
		return false;
	return (value & 1) && (!(value & 4) || (value & 2));
}

void exit_xsetbv(struct vcpu *vcpu)
{
	const uint64_t *gpr = vcpu->regs.gpr;
	uint64_t value = (uint32_t)gpr[GPR_RAX] | gpr[GPR_RDX] << 32;

	if (!(virt->get_cr(vcpu, 4) & CR4_OSXSAVE)) {
		inject_exception(vcpu, VEC_UD);
		return;
	}
	if (virt->get_cpl(vcpu) || (uint32_t)gpr[GPR_RCX] || !is_xcr0_valid(value)) {
		inject_gp(vcpu);
		return;
	}
	vcpu->xcr0 = value;
	xsetbv(0, value); /* the guest's, while it is loaded: fpu_guest_save() restores ours */
	insn_skip(vcpu);
}
