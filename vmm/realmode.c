/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Real mode in software; see realmode.h.  Rules: SDM vol. 3A, 21.1 (real mode), and vol. 2 for each
 * instruction.  What the processor would have left by an exit in real mode is made that exit.
 *
 * Segments that kept a limit beyond 64K from protected mode ("unreal mode") work for the
 * instructions that the emulator knows: each access beyond 64K faults and is done in software.
 */
#include "vmm/realmode.h"

#include "arch/x86/cpu.h"
#include "vmm/emulate.h"
#include "vmm/exit.h"
#include "vmm/inject.h"
#include "vmm/insn.h"
#include "vmm/intr.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

#define RFLAGS_ID (1ul << 21)
/* What POPF and IRET change in real mode: all but VM, RF, VIF and VIP. */
#define FLAGS_16 0x7fd5ul
#define FLAGS_32 (FLAGS_16 | RFLAGS_AC | RFLAGS_ID)

#define IP_MAX 0xffffu

/* ---- the stack ----------------------------------------------------------------------- */

/* SP wraps at 64K; a word that does is the stack fault for which real mode shuts down. */
static bool stack_at(struct vcpu *vcpu, uint16_t sp, gpa_t *gpa)
{
	struct vm_segment ss;

	virt->get_segment(vcpu, SEG_SS, &ss);
	*gpa = ss.base + sp;
	if (sp != IP_MAX)
		return true;
	vm_stop_report(vcpu, "real mode: the stack wraps within a word");
	return false;
}

static bool stack_access(struct vcpu *vcpu, uint16_t sp, uint16_t *word, bool write)
{
	struct mmu_vm *mmu = vcpu->mmu.vm;
	gpa_t gpa;

	if (!stack_at(vcpu, sp, &gpa))
		return false;
	if (!(write ? mmu_write_guest(mmu, gpa, word, sizeof(*word))
		    : mmu_read_guest(mmu, gpa, word, sizeof(*word))))
		return true;
	vm_stop_report(vcpu, "real mode: the stack is at 0x%lx, where there is no memory", gpa);
	return false;
}

static void set_sp(struct vcpu *vcpu, uint64_t sp)
{
	vcpu->regs.gpr[GPR_RSP] = insn_merge(vcpu->regs.gpr[GPR_RSP], sp, 2);
}

static bool push(struct vcpu *vcpu, uint32_t value, unsigned size)
{
	for (unsigned done = 0; done < size; done += 2) {
		uint16_t word = (uint16_t)(value >> 8 * (size - 2 - done));
		uint16_t sp = (uint16_t)(vcpu->regs.gpr[GPR_RSP] - 2);

		if (!stack_access(vcpu, sp, &word, true))
			return false;
		set_sp(vcpu, sp);
	}
	return true;
}

static bool pop(struct vcpu *vcpu, uint32_t *value, unsigned size)
{
	*value = 0;
	for (unsigned done = 0; done < size; done += 2) {
		uint16_t sp = (uint16_t)vcpu->regs.gpr[GPR_RSP], word;

		if (!stack_access(vcpu, sp, &word, false))
			return false;
		*value |= (uint32_t)word << 8 * done;
		set_sp(vcpu, sp + 2u);
	}
	return true;
}

/* ---- events -------------------------------------------------------------------------- */

struct vector {
	uint16_t ip, cs;
};

static bool read_vector(struct vcpu *vcpu, uint8_t number, struct vector *out)
{
	struct vm_table table;

	virt->real->get_table(vcpu, true, &table);
	if (number * sizeof(*out) + sizeof(*out) - 1 > table.limit) {
		vm_stop_report(vcpu, "triple fault (event %u in real mode, whose vector table ends "
			       "before it)", number);
		return false;
	}
	gpa_t gpa = table.base + number * sizeof(*out);

	if (!mmu_read_guest(vcpu->mmu.vm, gpa, out, sizeof(*out)))
		return true;
	vm_stop_report(vcpu, "real mode: the vector table is at 0x%lx, where there is no memory",
		       table.base);
	return false;
}

static bool returns_behind(const struct vm_event *event)
{
	return event->type == EVENT_SOFT_INT || event->type == EVENT_SOFT_TRAP ||
	       event->type == EVENT_PRIV_TRAP;
}

static bool deliver(struct vcpu *vcpu, const struct vm_event *event)
{
	struct vcpu_regs *regs = &vcpu->regs;
	uint64_t ip = regs->rip + (returns_behind(event) ? event->insn_len : 0);
	struct vm_segment cs;
	struct vector vector;

	if (!read_vector(vcpu, event->vector, &vector))
		return false;
	virt->get_segment(vcpu, SEG_CS, &cs);
	if (!push(vcpu, (uint16_t)regs->rflags, 2) || !push(vcpu, cs.selector, 2) ||
	    !push(vcpu, (uint16_t)ip, 2))
		return false;
	if (event->type == EVENT_NMI)
		virt->real->block_nmis(vcpu, true);
	regs->rflags &= ~(RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
	virt->real->load_cs(vcpu, vector.cs);
	regs->rip = vector.ip;
	virt->clear_intr_shadow(vcpu);
	return true;
}

bool realmode_prepare_emulated(struct vcpu *vcpu)
{
	const struct virt_real_ops *real = virt->real;

	if (!real->active(vcpu))
		return true;
	const char *obstacle = real->obstacle(vcpu);

	if (obstacle) {
		vm_stop_report(vcpu, "real mode with %s: this processor cannot do that", obstacle);
		return false;
	}
	if (!vcpu->inject.valid)
		return true;
	vcpu->inject.valid = false;
	return deliver(vcpu, &vcpu->inject);
}

/* ---- instructions that are done here ------------------------------------------------- */

static void do_cli(struct vcpu *vcpu, const struct insn *insn)
{
	vcpu_skip(vcpu, insn->len);
	vcpu->regs.rflags &= ~RFLAGS_IF;
}

static void do_sti(struct vcpu *vcpu, const struct insn *insn)
{
	bool was = vcpu->regs.rflags & RFLAGS_IF;

	vcpu_skip(vcpu, insn->len);
	vcpu->regs.rflags |= RFLAGS_IF;
	if (!was)
		virt->real->shadow_sti(vcpu);
}

static void do_pushf(struct vcpu *vcpu, const struct insn *insn)
{
	if (push(vcpu, (uint32_t)(vcpu->regs.rflags & ~(RFLAGS_RF | RFLAGS_VM)), insn->operand_size))
		vcpu_skip(vcpu, insn->len);
}

/* Behind vcpu_skip(): whether the instruction is single-stepped was decided before it. */
static void set_flags(struct vcpu *vcpu, uint32_t value, unsigned size)
{
	uint64_t mask = size == 2 ? FLAGS_16 : FLAGS_32;

	vcpu->regs.rflags = (vcpu->regs.rflags & ~mask) | (value & mask) | RFLAGS_FIXED;
}

static void do_popf(struct vcpu *vcpu, const struct insn *insn)
{
	uint32_t value;

	if (!pop(vcpu, &value, insn->operand_size))
		return;
	vcpu_skip(vcpu, insn->len);
	set_flags(vcpu, value, insn->operand_size);
}

static void do_int(struct vcpu *vcpu, const struct insn *insn)
{
	vcpu->inject = (struct vm_event){ .valid = true, .type = EVENT_SOFT_INT,
					  .vector = (uint8_t)insn->imm, .insn_len = insn->len };
}

static void do_iret(struct vcpu *vcpu, const struct insn *insn)
{
	uint64_t sp = vcpu->regs.gpr[GPR_RSP];
	uint32_t ip, cs, flags;

	if (!pop(vcpu, &ip, insn->operand_size) || !pop(vcpu, &cs, insn->operand_size) ||
	    !pop(vcpu, &flags, insn->operand_size))
		return;
	if (ip > IP_MAX) {
		vcpu->regs.gpr[GPR_RSP] = sp;
		inject_gp(vcpu);
		return;
	}
	vcpu_skip(vcpu, insn->len);
	set_flags(vcpu, flags, insn->operand_size);
	virt->real->load_cs(vcpu, (uint16_t)cs);
	vcpu->regs.rip = ip;
	virt->real->block_nmis(vcpu, false);
}

/* A base of 24 bits with 16-bit operands, as the 80286 had it. */
static void do_load_table(struct vcpu *vcpu, const struct insn *insn)
{
	uint64_t offset = decode_offset(insn, vcpu->regs.gpr, vcpu->regs.rip);
	struct insn_fault f;
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) image;

	if (insn_read(vcpu, insn_linear(vcpu, insn->segment, offset), &image, sizeof(image), &f)) {
		insn_stop(vcpu, insn, "real mode: the new descriptor table is described where there "
				      "is no memory");
		return;
	}
	struct vm_table table = { .limit = image.limit, .base = image.base };

	if (insn->operand_size == 2)
		table.base &= 0xffffff;
	virt->real->set_table(vcpu, insn->kind == INSN_LIDT, &table);
	vcpu_skip(vcpu, insn->len);
}

/* CR2 never makes an exit of its own. */
static void do_cr2(struct vcpu *vcpu, const struct insn *insn)
{
	uint64_t *gpr = &vcpu->regs.gpr[insn->gpr];

	if (insn->kind == INSN_MOV_TO_CR)
		vcpu->regs.cr2 = (uint32_t)*gpr;
	else
		*gpr = (uint32_t)vcpu->regs.cr2;
	vcpu_skip(vcpu, insn->len);
}

/* DR4 and DR5 are other names of DR6 and DR7, or with CR4.DE none. */
static void do_dr(struct vcpu *vcpu, const struct insn *insn)
{
	uint64_t *gpr = &vcpu->regs.gpr[insn->gpr];
	unsigned n = insn->cr == 4 || insn->cr == 5 ? insn->cr + 2u : insn->cr;

	if (n != insn->cr && virt->get_cr(vcpu, 4) & CR4_DE) {
		inject_exception(vcpu, VEC_UD);
		return;
	}
	if (virt->get_dr(vcpu, 7) & DR7_GD) {
		inject_debug(vcpu, DR6_BD);
		return;
	}
	if (insn->kind == INSN_MOV_TO_DR)
		virt->set_dr(vcpu, n, *gpr);
	else
		*gpr = (uint32_t)virt->get_dr(vcpu, n);
	vcpu_skip(vcpu, insn->len);
}

/* ---- the rest ------------------------------------------------------------------------ */

static void as_exit(struct vcpu *vcpu, const struct insn *insn, enum exit_reason reason)
{
	vcpu->exit.reason = reason;
	vcpu->exit.insn_len = insn->len;
	exit_handle(vcpu);
}

static void as_cr_exit(struct vcpu *vcpu, const struct insn *insn, enum exit_reason reason)
{
	if ((insn->kind == INSN_MOV_TO_CR || insn->kind == INSN_MOV_FROM_CR) && insn->cr == 2) {
		do_cr2(vcpu, insn);
		return;
	}
	vcpu->exit.cr = (struct exit_cr){ .cr = insn->cr };
	as_exit(vcpu, insn, reason);
}

static void as_io_exit(struct vcpu *vcpu, const struct insn *insn)
{
	vcpu->exit.io = (struct exit_io){
		.port = (uint16_t)(insn->has_imm ? (uint8_t)insn->imm : vcpu->regs.gpr[GPR_RDX]),
		.size = insn->operand_size,
		.in = insn->kind == INSN_IN || insn->kind == INSN_INS,
		.string = insn->kind == INSN_INS || insn->kind == INSN_OUTS,
		.rep = insn->rep,
	};
	as_exit(vcpu, insn, EXIT_IO);
}

/* What virtual-8086 mode refuses.  false: nothing of that. */
static bool do_refused(struct vcpu *vcpu, const struct insn *insn)
{
	switch (insn->kind) {
	case INSN_CLI: do_cli(vcpu, insn); return true;
	case INSN_STI: do_sti(vcpu, insn); return true;
	case INSN_PUSHF: do_pushf(vcpu, insn); return true;
	case INSN_POPF: do_popf(vcpu, insn); return true;
	case INSN_INT: do_int(vcpu, insn); return true;
	case INSN_IRET: do_iret(vcpu, insn); return true;
	case INSN_MOV_TO_DR: case INSN_MOV_FROM_DR: do_dr(vcpu, insn); return true;
	case INSN_LGDT: case INSN_LIDT: do_load_table(vcpu, insn); return true;
	case INSN_HLT: as_exit(vcpu, insn, EXIT_HLT); return true;
	case INSN_RDMSR: as_exit(vcpu, insn, EXIT_RDMSR); return true;
	case INSN_WRMSR: as_exit(vcpu, insn, EXIT_WRMSR); return true;
	case INSN_RDPMC: as_exit(vcpu, insn, EXIT_VIRT_INSN); return true;
	case INSN_XSETBV: as_exit(vcpu, insn, EXIT_XSETBV); return true;
	case INSN_CACHE: as_exit(vcpu, insn, EXIT_INVD); return true;
	case INSN_INVLPG: as_exit(vcpu, insn, EXIT_INVLPG); return true;
	case INSN_MOV_FROM_CR: as_cr_exit(vcpu, insn, EXIT_CR_READ); return true;
	case INSN_MOV_TO_CR: case INSN_CLTS: case INSN_LMSW:
		as_cr_exit(vcpu, insn, EXIT_CR_WRITE);
		return true;
	case INSN_IN: case INSN_OUT: case INSN_INS: case INSN_OUTS:
		as_io_exit(vcpu, insn);
		return true;
	default:
		return false;
	}
}

/* #GP and #SS: real mode's own, or virtual-8086 mode's.  insn: what was to be done. */
static void protection_fault(struct vcpu *vcpu, uint8_t vector)
{
	uint64_t ip = vcpu->regs.rip;
	struct insn insn;

	if (ip > IP_MAX) {
		inject_exception(vcpu, vector);
		return;
	}
	if (insn_fetch(vcpu, &insn)) {
		insn_stop(vcpu, &insn, "cannot decode the instruction that faulted in real mode");
		return;
	}
	if (ip + insn.len - 1 > IP_MAX || insn.kind == INSN_SYSENTER)
		inject_exception(vcpu, vector);
	else if (!do_refused(vcpu, &insn))
		emulate_access(vcpu);
}

void exit_real_mode(struct vcpu *vcpu)
{
	uint8_t vector = vcpu->exit.exception.vector;

	vcpu->exit.gva_valid = false;
	if (vector == VEC_GP || vector == VEC_SS)
		protection_fault(vcpu, vector);
	else
		inject_exit(vcpu);
}
