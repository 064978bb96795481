/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Emulation of instructions with a device, or one of the guest's page tables, as an operand; see
 * emulate.h.
 *
 * Each goes the same way: locate every operand (which may raise exceptions), see that
 * one of them is the address that faulted, and only then read, compute, write, and change
 * registers last.  A device's read is never repeated.
 */
#include "vmm/emulate.h"

#include "arch/x86/cpu.h"
#include "vmm/emulate_alu.h"
#include "vmm/emulate_operand.h"
#include "vmm/inject.h"
#include "vmm/insn.h"
#include "vmm/ve.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

/*
 * Another vCPU may change the code or the page tables between the access and our look at
 * them: then the guest simply runs again.  That often in a row it is we who are wrong.
 */
#define RACES_MAX 64

/* Elements of a repeated string instruction for one exit: interrupts and limits get their turn. */
#define STRING_BATCH 256
/* Of one that writes to memory: a table that is overwritten is none for long, and the rest needs nobody. */
#define TABLE_BATCH 16

/* What brought us here. */
struct access {
	gpa_t gpa;
	uint8_t access; /* ACC_R or ACC_W … */
	bool guessed;   /* … which VT-x does not say of an entry that is malformed */
	bool memory; /* a write to memory that no mapping permits; else a device */
	bool any;    /* or a segment's limit that is not the guest's: gpa is not known */
};

enum outcome {
	DONE,    /* step over it */
	AGAIN,   /* run the guest where it is: exception, more elements, VM stopped */
	RACED,   /* this is not the instruction that faulted */
};

/* ---- registers ------------------------------------------------------------------ */

static uint64_t read_register(const struct vcpu *vcpu, const struct insn *insn)
{
	return vcpu->regs.gpr[insn->gpr] >> (insn->gpr_high ? 8 : 0);
}

static void write_register(struct vcpu *vcpu, const struct insn *insn, uint64_t value)
{
	uint64_t *gpr = &vcpu->regs.gpr[insn->gpr];

	if (insn->gpr_high)
		*gpr = (*gpr & ~0xff00ul) | (value & 0xff) << 8;
	else
		*gpr = insn_merge(*gpr, value, insn->reg_size);
}

static uint64_t sign_extend(uint64_t value, unsigned bytes)
{
	unsigned unused = 64 - 8 * bytes;

	return (uint64_t)((int64_t)(value << unused) >> unused);
}

/* ---- one operand in memory --------------------------------------------------------- */

static bool reads_memory(const struct insn *insn)
{
	return insn->to_reg || insn->kind != INSN_SETCC;
}

static bool writes_memory(const struct insn *insn)
{
	switch (insn->kind) {
	case INSN_CMP: case INSN_TEST: case INSN_BT: case INSN_MOVZX: case INSN_MOVSX:
		return false;
	default:
		return !insn->to_reg;
	}
}

/* The destination is written whatever the comparison says, as the processor does. */
static uint64_t compare_exchange(struct vcpu *vcpu, const struct insn *insn, uint64_t memory)
{
	uint64_t *rax = &vcpu->regs.gpr[GPR_RAX];

	emulate_alu(INSN_CMP, insn->operand_size, *rax, memory, &vcpu->regs.rflags);
	if (vcpu->regs.rflags & FLAG_ZF)
		return read_register(vcpu, insn);
	*rax = insn_merge(*rax, memory, insn->operand_size);
	return memory;
}

/* The same with EDX:EAX and ECX:EBX; no flag changes but ZF. */
static uint64_t compare_exchange_8b(struct vcpu *vcpu, uint64_t memory)
{
	uint64_t *gpr = vcpu->regs.gpr;

	if (memory == ((uint32_t)gpr[GPR_RAX] | gpr[GPR_RDX] << 32)) {
		vcpu->regs.rflags |= FLAG_ZF;
		return (uint32_t)gpr[GPR_RBX] | gpr[GPR_RCX] << 32;
	}
	vcpu->regs.rflags &= ~(uint64_t)FLAG_ZF;
	gpr[GPR_RAX] = (uint32_t)memory;
	gpr[GPR_RDX] = memory >> 32;
	return memory;
}

static uint64_t source_of(const struct vcpu *vcpu, const struct insn *insn)
{
	return insn->has_imm ? (uint64_t)insn->imm : read_register(vcpu, insn);
}

/* The new value of memory; registers and flags change. */
static uint64_t compute(struct vcpu *vcpu, const struct insn *insn, uint64_t memory)
{
	uint64_t source = source_of(vcpu, insn);
	uint64_t *rflags = &vcpu->regs.rflags, result;

	switch (insn->kind) {
	case INSN_MOVZX:
		write_register(vcpu, insn, memory);
		return memory;
	case INSN_MOVSX:
		write_register(vcpu, insn, sign_extend(memory, insn->operand_size));
		return memory;
	case INSN_XCHG:
		write_register(vcpu, insn, memory);
		return source;
	case INSN_XADD:
		result = emulate_alu(INSN_XADD, insn->operand_size, memory, source, rflags);
		write_register(vcpu, insn, memory);
		return result;
	case INSN_SETCC:
		return emulate_condition(insn->condition, *rflags);
	case INSN_CMPXCHG8B:
		return compare_exchange_8b(vcpu, memory);
	case INSN_CMPXCHG:
		return compare_exchange(vcpu, insn, memory);
	default:
		break;
	}
	if (!insn->to_reg)
		return emulate_alu(insn->kind, insn->operand_size, memory, source, rflags);
	result = emulate_alu(insn->kind, insn->operand_size, source, memory, rflags);
	if (insn->kind != INSN_CMP)
		write_register(vcpu, insn, result);
	return memory;
}

/* Other processors see nothing in between. */
static bool is_locked(const struct insn *insn)
{
	return insn->lock || insn->kind == INSN_XCHG;
}

/* What drivers do, nearly always. */
static enum outcome execute_mov(struct vcpu *vcpu, const struct insn *insn, const struct operand *op)
{
	uint64_t value = 0;

	if (!insn->to_reg)
		return operand_write(vcpu, op, source_of(vcpu, insn)) ? DONE : AGAIN;
	if (!operand_read(vcpu, op, &value))
		return AGAIN;
	write_register(vcpu, insn, value);
	return DONE;
}

/* Read, compute, write; registers are as before where it did not come to its end. */
static enum outcome execute(struct vcpu *vcpu, const struct insn *insn, const struct operand *op)
{
	struct vcpu_regs before = vcpu->regs;
	uint64_t old = 0;

	if (reads_memory(insn) && !operand_read(vcpu, op, &old))
		return AGAIN;
	uint64_t value = compute(vcpu, insn, old);

	if (!writes_memory(insn))
		return DONE;
	int err = is_locked(insn) && operand_is_atomic(op) ? operand_exchange(vcpu, op, old, value)
							   : -EFAULT;

	if (!err || (err != -EAGAIN && operand_write(vcpu, op, value)))
		return DONE;
	vcpu->regs = before;
	return AGAIN;
}

/* Memory that the guest itself may not touch: it is told, or stopped, as if it had tried. */
static bool is_permitted(struct vcpu *vcpu, const struct operand *op, unsigned access)
{
	for (unsigned i = 0; i < op->pieces; i++) {
		const struct operand_piece *p = &op->piece[i];
		int allowed = mmu_protection(vcpu->mmu.vm, p->gpa >> PAGE_SHIFT);

		if (p->device || allowed < 0 || (unsigned)allowed & access)
			continue;
		vcpu->exit.fault = (struct page_fault){ .gpa = p->gpa, .access = (uint8_t)access };
		ve_deliver(vcpu);
		return false;
	}
	return true;
}

/* The processor has translated and checked the operand already, unless it was about to do less with it. */
static bool is_known(struct vcpu *vcpu, const struct insn *insn, const struct access *a,
		     uint64_t offset, unsigned access, struct operand *op)
{
	return !a->any && (a->access == access || (a->guessed && insn->kind == INSN_MOV)) &&
	       operand_at(vcpu, insn_linear_in(vcpu, insn->code_size, insn->segment, offset),
			  insn->operand_size, a->gpa, op);
}

static enum outcome emulate_plain(struct vcpu *vcpu, const struct insn *insn, const struct access *a)
{
	uint64_t offset = decode_offset(insn, vcpu->regs.gpr, vcpu->regs.rip);
	unsigned access = writes_memory(insn) ? ACC_W : ACC_R;
	struct operand op;

	if (!is_known(vcpu, insn, a, offset, access, &op)) {
		if (!operand_locate(vcpu, insn->segment, offset, insn->operand_size, access, &op))
			return AGAIN;
		if (!a->any && !operand_contains(&op, a->gpa))
			return RACED;
	}
	if ((a->any || a->memory) && !is_permitted(vcpu, &op, access))
		return AGAIN;
	return insn->kind == INSN_MOV ? execute_mov(vcpu, insn, &op) : execute(vcpu, insn, &op);
}

/* ---- strings -------------------------------------------------------------------------- */

struct string {
	struct operand from, to;
	bool reads, writes;
};

static uint64_t index_offset(const struct vcpu *vcpu, const struct insn *insn, unsigned reg)
{
	return vcpu->regs.gpr[reg] & insn_mask(insn->address_size);
}

static bool string_locate(struct vcpu *vcpu, const struct insn *insn, struct string *s)
{
	if (s->reads && !operand_locate(vcpu, insn->segment, index_offset(vcpu, insn, GPR_RSI),
					insn->operand_size, ACC_R, &s->from))
		return false;
	return !s->writes || operand_locate(vcpu, SEG_ES, index_offset(vcpu, insn, GPR_RDI),
					    insn->operand_size, ACC_W, &s->to);
}

static bool string_element(struct vcpu *vcpu, const struct insn *insn, const struct string *s)
{
	uint64_t *gpr = vcpu->regs.gpr;
	uint64_t value = gpr[GPR_RAX];
	int64_t step = vcpu->regs.rflags & FLAG_DF ? -(int64_t)insn->operand_size
						   : insn->operand_size;

	if (s->reads && !operand_read(vcpu, &s->from, &value))
		return false;
	if (s->writes && !operand_write(vcpu, &s->to, value))
		return false;
	if (insn->kind == INSN_LODS)
		gpr[GPR_RAX] = insn_merge(gpr[GPR_RAX], value, insn->operand_size);
	if (s->reads)
		insn_advance(&gpr[GPR_RSI], insn->address_size, step);
	if (s->writes)
		insn_advance(&gpr[GPR_RDI], insn->address_size, step);
	return true;
}

static bool string_touches(const struct string *s, gpa_t gpa)
{
	return (s->reads && operand_contains(&s->from, gpa)) ||
	       (s->writes && operand_contains(&s->to, gpa));
}

static bool string_in_device(const struct string *s)
{
	return (s->reads && operand_in_device(&s->from)) ||
	       (s->writes && operand_in_device(&s->to));
}

static bool string_is_permitted(struct vcpu *vcpu, const struct string *s)
{
	return (!s->reads || is_permitted(vcpu, &s->from, ACC_R)) &&
	       (!s->writes || is_permitted(vcpu, &s->to, ACC_W));
}

static bool string_in_memory(const struct string *s, const struct access *a)
{
	return a->memory && s->writes && !((s->to.piece[0].gpa ^ a->gpa) & PAGE_MASK);
}

/* Elements outside of what brought us here are the processor's own business again. */
static enum outcome emulate_string(struct vcpu *vcpu, const struct insn *insn, const struct access *a)
{
	struct string s = { .reads = insn->kind != INSN_STOS, .writes = insn->kind != INSN_LODS };
	uint64_t *rcx = &vcpu->regs.gpr[GPR_RCX];
	/* Single-stepping traps after every element. */
	bool stepping = vcpu->regs.rflags & RFLAGS_TF;

	for (unsigned n = 0; n < (stepping ? 1 : a->memory ? TABLE_BATCH : STRING_BATCH); n++) {
		if (insn->rep && !index_offset(vcpu, insn, GPR_RCX))
			return RACED;
		if (!string_locate(vcpu, insn, &s))
			return AGAIN;
		if ((a->memory || (!n && a->any)) && !string_is_permitted(vcpu, &s))
			return AGAIN;
		if (!n && !a->any && !string_touches(&s, a->gpa))
			return RACED;
		if ((n || !(a->memory || a->any)) && !string_in_device(&s) && !string_in_memory(&s, a))
			return AGAIN;
		if (!string_element(vcpu, insn, &s))
			return AGAIN;
		if (!insn->rep)
			return DONE;
		insn_advance(rcx, insn->address_size, -1);
		if (!index_offset(vcpu, insn, GPR_RCX))
			return DONE;
	}
	if (stepping)
		virt->pend_single_step(vcpu);
	return AGAIN;
}

/* ---- from the exit ------------------------------------------------------------------------ */

enum fetched {
	FETCHED,
	FETCH_UNKNOWN, /* none that we can emulate */
	FETCH_FAULT,   /* unmapped meanwhile: the guest gets the fault that it would get if it ran again */
	FETCH_STOPPED,
};

/* *out: it is in anew, or was remembered. */
static enum fetched fetch(struct vcpu *vcpu, struct insn *anew, const struct insn **out)
{
	struct insn_fault f;
	int err;

	*out = insn_remembered(vcpu);
	err = *out ? 0 : insn_fetch_fault(vcpu, anew, &f);
	*out = *out ? *out : anew;
	if (!err)
		return insn_has_mem((*out)->kind) || (*out)->kind >= INSN_STOS ? FETCHED : FETCH_UNKNOWN;
	if (err == -ENOEXEC)
		return FETCH_UNKNOWN;
	if (err == -EFAULT) {
		inject_page_fault(vcpu, f.gva, f.error);
		return FETCH_FAULT;
	}
	vm_stop_report(vcpu, "cannot read the instruction that is to be emulated");
	return FETCH_STOPPED;
}

static void raced(struct vcpu *vcpu, const struct insn *insn)
{
	if (++vcpu->emulate_races >= RACES_MAX)
		insn_stop(vcpu, insn, "the operand of the instruction is not where the access was");
}

static void emulate(struct vcpu *vcpu, const struct insn *insn, const struct access *a)
{
	enum outcome outcome = insn_has_mem(insn->kind) ? emulate_plain(vcpu, insn, a)
							: emulate_string(vcpu, insn, a);

	if (outcome == RACED) {
		raced(vcpu, insn);
		return;
	}
	vcpu->emulate_races = 0;
	if (outcome == DONE)
		vcpu_skip(vcpu, insn->len);
}

void emulate_mmio(struct vcpu *vcpu, const struct page_fault *pf)
{
	struct access a = { .gpa = pf->gpa, .access = pf->access, .guessed = pf->reserved };
	const struct insn *insn;
	struct insn anew;

	if ((pf->access & ACC_X) || pf->gpt_walk || vcpu->inject.valid) {
		vm_stop_report(vcpu, "%s in a device, at guest-physical 0x%lx",
			       pf->access & ACC_X ? "execution"
			       : pf->gpt_walk	  ? "a page table"
						  : "delivery of an event to memory",
			       pf->gpa);
		return;
	}
	switch (fetch(vcpu, &anew, &insn)) {
	case FETCHED:
		emulate(vcpu, insn, &a);
		break;
	case FETCH_UNKNOWN:
		insn_stop(vcpu, insn, "cannot emulate the instruction that accessed a device");
		break;
	default:
		break;
	}
}

bool emulate_memory_write(struct vcpu *vcpu, const struct page_fault *pf)
{
	struct access a = { .gpa = pf->gpa, .access = pf->access, .memory = true };
	const struct insn *insn;
	struct insn anew;

	if (vcpu->inject.valid)
		return false;
	switch (fetch(vcpu, &anew, &insn)) {
	case FETCHED:
		emulate(vcpu, insn, &a);
		return true;
	case FETCH_UNKNOWN:
		return false;
	default:
		return true;
	}
}

void emulate_access(struct vcpu *vcpu)
{
	struct access a = { .any = true };
	const struct insn *insn;
	struct insn anew;

	switch (fetch(vcpu, &anew, &insn)) {
	case FETCHED:
		emulate(vcpu, insn, &a);
		break;
	case FETCH_UNKNOWN:
		insn_stop(vcpu, insn, "cannot emulate the instruction that faulted in real mode");
		break;
	default:
		break;
	}
}
