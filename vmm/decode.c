/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The instruction decoder; see decode.h.  An instruction is
 *
 *   prefixes  REX  opcode  ModRM  SIB  displacement  immediate
 *
 * and every byte of it passes through next(), which never goes beyond what is there
 * (SDM vol. 2A, 2.1 and 2.2).
 */
#include "vmm/decode.h"

#include "vmm/decode_table.h"
#include "vmm/virt_ops.h"

enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 };

struct cursor {
	struct insn *insn;
	unsigned pos;
	unsigned code_size;
	uint8_t rex;
	uint8_t modrm;
	bool cut_short;
	bool operand_override;
	bool address_override;
	bool segment_override;
};

/* The next byte; 0 behind the last, which is remembered. */
static uint8_t next(struct cursor *c)
{
	if (c->pos < c->insn->count)
		return c->insn->bytes[c->pos++];
	c->cut_short = true;
	return 0;
}

/* A little-endian number of 1, 2, 4 or 8 bytes, sign-extended. */
static int64_t next_signed(struct cursor *c, unsigned bytes)
{
	uint64_t value = 0;
	unsigned unused = 64 - 8 * bytes;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)next(c) << 8 * i;
	return (int64_t)(value << unused) >> unused;
}

/* ---- prefixes --------------------------------------------------------------- */

/* The last one counts.  In 64-bit code only FS and GS do, and the others do not undo them. */
static void override_segment(struct cursor *c, enum vm_seg seg)
{
	if (c->code_size == 8 && seg != SEG_FS && seg != SEG_GS)
		return;
	c->insn->segment = (uint8_t)seg;
	c->segment_override = true;
}

static bool take_prefix(struct cursor *c, uint8_t b)
{
	switch (b) {
	case 0x26: override_segment(c, SEG_ES); return true;
	case 0x2e: override_segment(c, SEG_CS); return true;
	case 0x36: override_segment(c, SEG_SS); return true;
	case 0x3e: override_segment(c, SEG_DS); return true;
	case 0x64: override_segment(c, SEG_FS); return true;
	case 0x65: override_segment(c, SEG_GS); return true;
	case 0x66: c->operand_override = true; return true;
	case 0x67: c->address_override = true; return true;
	case 0xf0: c->insn->lock = true; return true;
	case 0xf2: case 0xf3: c->insn->rep = true; return true;
	default: return false;
	}
}

/* Prefixes in any order; a REX counts only right before the opcode.  Returns the opcode. */
static uint8_t take_prefixes(struct cursor *c)
{
	for (;;) {
		uint8_t b = next(c);

		if (c->code_size == 8 && (b & 0xf0) == 0x40)
			c->rex = b;
		else if (take_prefix(c, b))
			c->rex = 0;
		else
			return b;
	}
}

static unsigned address_size(const struct cursor *c)
{
	if (!c->address_override)
		return c->code_size;
	return c->code_size == 4 ? 2 : 4;
}

static unsigned operand_size(const struct cursor *c)
{
	if (c->rex & REX_W)
		return 8;
	return (c->code_size == 2) != c->operand_override ? 2 : 4;
}

/* ---- operands ----------------------------------------------------------------- */

static uint8_t modrm_reg(const struct cursor *c)
{
	return (uint8_t)((c->modrm >> 3 & 7) | (c->rex & REX_R) << 1);
}

static uint8_t modrm_rm(const struct cursor *c)
{
	return (uint8_t)((c->modrm & 7) | (c->rex & REX_B) << 3);
}

/* SDM vol. 2A, table 2-1. */
static void decode_mem16(struct cursor *c)
{
	static const struct {
		uint8_t base, index;
	} forms[8] = {
		{ GPR_RBX, GPR_RSI }, { GPR_RBX, GPR_RDI },
		{ GPR_RBP, GPR_RSI }, { GPR_RBP, GPR_RDI },
		{ GPR_RSI, INSN_REG_NONE }, { GPR_RDI, INSN_REG_NONE },
		{ GPR_RBP, INSN_REG_NONE }, { GPR_RBX, INSN_REG_NONE },
	};
	struct insn_mem *mem = &c->insn->mem;
	unsigned mod = c->modrm >> 6, rm = c->modrm & 7;

	if (mod == 0 && rm == 6) {
		mem->disp = next_signed(c, 2);
		return;
	}
	mem->base = forms[rm].base;
	mem->index = forms[rm].index;
	if (mod)
		mem->disp = next_signed(c, mod);
}

/* Fills base, index and shift; returns whether the base is replaced by a displacement. */
static bool decode_sib(struct cursor *c)
{
	struct insn_mem *mem = &c->insn->mem;
	uint8_t sib = next(c);
	uint8_t index = (uint8_t)((sib >> 3 & 7) | (c->rex & REX_X) << 2);

	if (index != GPR_RSP) {
		mem->index = index;
		mem->shift = sib >> 6;
	}
	if ((sib & 7) == 5 && c->modrm >> 6 == 0)
		return true;
	mem->base = (uint8_t)((sib & 7) | (c->rex & REX_B) << 3);
	return false;
}

/* SDM vol. 2A, tables 2-2, 2-3 and 2-7 (RIP-relative). */
static void decode_mem32(struct cursor *c)
{
	struct insn_mem *mem = &c->insn->mem;
	unsigned mod = c->modrm >> 6, rm = c->modrm & 7;
	bool disp_only = false;

	if (rm == 4) {
		disp_only = decode_sib(c);
	} else if (rm == 5 && mod == 0) {
		disp_only = true;
		mem->base = c->code_size == 8 ? INSN_REG_RIP : INSN_REG_NONE;
	} else {
		mem->base = modrm_rm(c);
	}
	if (mod == 1)
		mem->disp = next_signed(c, 1);
	else if (mod == 2 || disp_only)
		mem->disp = next_signed(c, 4);
}

static void decode_mem(struct cursor *c)
{
	struct insn *insn = c->insn;

	if (insn->address_size == 2)
		decode_mem16(c);
	else
		decode_mem32(c);
	/* Addresses built on the stack's registers are in its segment. */
	if (!c->segment_override && (insn->mem.base == GPR_RSP || insn->mem.base == GPR_RBP))
		insn->segment = SEG_SS;
}

/* Without REX the byte registers 4 … 7 are AH … BH. */
static void set_register(struct cursor *c, uint8_t reg, uint32_t flags)
{
	c->insn->gpr = reg;
	if ((flags & OP_BYTE) && !c->rex && reg >= 4) {
		c->insn->gpr = reg & 3;
		c->insn->gpr_high = true;
	}
}

static void set_sizes(struct cursor *c, uint32_t flags)
{
	struct insn *insn = c->insn;
	unsigned size = flags & OP_BYTE ? 1 : operand_size(c);

	if ((flags & OP_NOT_16) && size == 2)
		size = 4;
	insn->reg_size = insn->operand_size = (uint8_t)size;
	if (flags & OP_MEM8)
		insn->operand_size = 1;
	else if (flags & OP_MEM16)
		insn->operand_size = 2;
	else if (flags & OP_MEM64)
		insn->operand_size = 8;
	else if (flags & OP_MEM32)
		insn->operand_size = 4; /* with 66 too, as AMD has it: registers are 32 bits wide */
}

/* What follows the opcode of an instruction with a memory operand. */
static bool decode_operands(struct cursor *c, uint32_t flags)
{
	struct insn *insn = c->insn;

	set_sizes(c, flags);
	insn->to_reg = flags & OP_TO_REG;
	if (flags & OP_MODRM) {
		if (c->modrm >> 6 == 3)
			return false;
		decode_mem(c);
		if (!(flags & (OP_NO_REG | OP_IMM | OP_IMM8)))
			set_register(c, modrm_reg(c), flags);
	} else if (flags & OP_MOFFS) {
		insn->mem.disp = next_signed(c, insn->address_size);
	}
	insn->has_imm = flags & (OP_IMM | OP_IMM8);
	if (flags & OP_IMM8)
		insn->imm = next_signed(c, 1);
	else if (flags & OP_IMM)
		insn->imm = next_signed(c, insn->operand_size > 4 ? 4 : insn->operand_size);
	return true;
}

/* ---- opcodes -------------------------------------------------------------------- */

/* LGDT, LIDT, SMSW, LMSW, INVLPG: the members of 0f 01 that the guest may use with an operand. */
static enum insn_kind decode_system_operand(struct cursor *c)
{
	static const uint8_t kinds[8] = { [2] = INSN_LGDT, [3] = INSN_LIDT, [4] = INSN_SMSW,
					  [6] = INSN_LMSW, [7] = INSN_INVLPG };
	enum insn_kind kind = kinds[c->modrm >> 3 & 7];
	bool memory = c->modrm >> 6 != 3;

	bool msw = kind == INSN_SMSW || kind == INSN_LMSW;

	if (!kind || !(msw || memory))
		return INSN_UNKNOWN;
	c->insn->in_memory = memory;
	c->insn->operand_size = (uint8_t)(memory && msw ? 2 : operand_size(c));
	if (memory)
		decode_mem(c);
	else
		c->insn->gpr = modrm_rm(c);
	return kind;
}

/* 0f 01 /r: what exits of it. */
static enum insn_kind decode_system_group(struct cursor *c)
{
	c->modrm = next(c);
	switch (c->modrm) {
	case 0xc1: case 0xd9:
		return INSN_HYPERCALL;
	case 0xd1:
		return INSN_XSETBV;
	default:
		return decode_system_operand(c);
	}
}

/* MOV to and from CRn and DRn ignores mod: the operand is always a register (SDM vol. 2B, MOV—Control Registers). */
static void decode_mov_cr(struct cursor *c)
{
	c->modrm = next(c);
	c->insn->cr = modrm_reg(c);
	c->insn->gpr = modrm_rm(c);
}

static bool flags_permit(const struct cursor *c, uint32_t flags)
{
	if (c->insn->lock && !(flags & OP_LOCK))
		return false;
	if (flags & (c->code_size == 8 ? OP_NOT_LONG : OP_LONG))
		return false;
	if ((flags & OP_MEM64) && (c->rex & REX_W)) /* CMPXCHG16B */
		return false;
	return !(flags & OP_NOT_16) || !(c->operand_override || c->insn->rep);
}

static enum insn_kind decode_opcode(struct cursor *c)
{
	uint8_t byte = take_prefixes(c);
	bool two = byte == 0x0f;

	c->insn->address_size = (uint8_t)address_size(c);
	if (two)
		byte = next(c);
	struct opcode op = two ? decode_two_byte[byte] : decode_one_byte[byte];

	c->insn->condition = byte & 0xf;

	if (op.flags & OP_MODRM)
		c->modrm = next(c);
	if (op.flags & OP_GROUP) {
		const struct opcode *member = &decode_groups[op.kind][c->modrm >> 3 & 7];

		op.kind = member->kind;
		op.flags |= member->flags;
	}
	if (!flags_permit(c, op.flags))
		return INSN_UNKNOWN;
	if (op.flags & OP_SYSTEM_GROUP)
		return decode_system_group(c);
	if (op.flags & OP_CR)
		decode_mov_cr(c);
	else if (op.kind && !decode_operands(c, op.flags))
		return INSN_UNKNOWN;
	return op.kind;
}

bool decode_insn(struct insn *insn, unsigned code_size)
{
	struct cursor c = { .insn = insn, .code_size = code_size };

	insn->kind = INSN_UNKNOWN;
	insn->code_size = (uint8_t)code_size;
	insn->segment = SEG_DS;
	insn->cr = insn->gpr = insn->operand_size = insn->reg_size = 0;
	insn->in_memory = insn->rep = insn->lock = insn->gpr_high = insn->to_reg = insn->has_imm = false;
	insn->imm = 0;
	insn->mem = (struct insn_mem){ .base = INSN_REG_NONE, .index = INSN_REG_NONE };
	enum insn_kind kind = decode_opcode(&c);
	insn->len = (uint8_t)c.pos;
	if (!c.cut_short)
		insn->kind = kind;
	return insn->kind != INSN_UNKNOWN;
}

/* The register of BT and its relatives counts bits of memory, from the operand on and backwards, too. */
static int64_t bit_string_offset(const struct insn *insn, const uint64_t gpr[16])
{
	unsigned unused = 64 - 8 * insn->reg_size, operand_bits = 8u * insn->operand_size;
	int64_t bit = (int64_t)(gpr[insn->gpr] << unused) >> unused;

	return (bit - (int64_t)(bit & (operand_bits - 1))) / 8;
}

uint64_t decode_offset(const struct insn *insn, const uint64_t gpr[16], uint64_t rip)
{
	const struct insn_mem *mem = &insn->mem;
	uint64_t offset = (uint64_t)mem->disp;

	if (mem->base == INSN_REG_RIP)
		offset += rip + insn->len;
	else if (mem->base != INSN_REG_NONE)
		offset += gpr[mem->base];
	if (mem->index != INSN_REG_NONE)
		offset += gpr[mem->index] << mem->shift;
	if (insn->kind >= INSN_BT && insn->kind <= INSN_BTC && !insn->has_imm)
		offset += (uint64_t)bit_string_offset(insn, gpr);
	return offset & insn_mask(insn->address_size);
}
