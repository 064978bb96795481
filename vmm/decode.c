/* SPDX-License-Identifier: GPL-2.0-only */
/* Instruction decoder; see decode.h.  Opcodes: SDM vol. 2D, appendix A. */
#include "vmm/decode.h"

#include "vmm/virt_ops.h"

struct cursor {
	struct insn *insn;
	unsigned pos;
	unsigned code_size;
	uint8_t rex;
	bool address_override;
	bool rep;
};

/* The next byte, or -1 behind the last. */
static int next(struct cursor *c)
{
	return c->pos < c->insn->count ? c->insn->bytes[c->pos++] : -1;
}

/* Legacy prefixes in any order, then at most one REX, which must come last. */
static int skip_prefixes(struct cursor *c)
{
	for (;;) {
		int b = next(c);

		switch (b) {
		case 0x26: c->insn->segment = SEG_ES; break;
		case 0x2e: c->insn->segment = SEG_CS; break;
		case 0x36: c->insn->segment = SEG_SS; break;
		case 0x3e: c->insn->segment = SEG_DS; break;
		case 0x64: c->insn->segment = SEG_FS; break;
		case 0x65: c->insn->segment = SEG_GS; break;
		case 0x66: case 0xf0: break;
		case 0x67: c->address_override = true; break;
		case 0xf2: case 0xf3: c->rep = true; break;
		default:
			if (c->code_size == 8 && b >= 0x40 && b <= 0x4f) {
				c->rex = (uint8_t)b;
				b = next(c);
			}
			return b;
		}
	}
}

/* 0f 01 /r: the register forms that exit. */
static enum insn_kind decode_group7(struct cursor *c)
{
	int modrm = next(c);

	switch (modrm) {
	case 0xc1: case 0xd9:
		return INSN_HYPERCALL;
	case 0xd1:
		return INSN_XSETBV;
	}
	if (modrm >= 0xf0 && modrm <= 0xf7) {
		c->insn->gpr = (uint8_t)((modrm & 7) | (c->rex & 1) << 3);
		return INSN_LMSW;
	}
	return INSN_UNKNOWN;
}

/* MOV to CRn ignores mod: the operand is always a register (SDM vol. 2B, MOV—Control Registers). */
static enum insn_kind decode_mov_cr(struct cursor *c)
{
	int modrm = next(c);

	if (modrm < 0)
		return INSN_UNKNOWN;
	c->insn->cr = (uint8_t)(((modrm >> 3) & 7) | (c->rex & 4) << 1);
	c->insn->gpr = (uint8_t)((modrm & 7) | (c->rex & 1) << 3);
	return INSN_MOV_TO_CR;
}

static enum insn_kind decode_two_byte(struct cursor *c)
{
	switch (next(c)) {
	case 0x01: return decode_group7(c);
	case 0x06: return INSN_CLTS;
	case 0x08: case 0x09: return INSN_CACHE;
	case 0x22: return decode_mov_cr(c);
	case 0x30: return INSN_WRMSR;
	case 0x32: return INSN_RDMSR;
	case 0xa2: return INSN_CPUID;
	default: return INSN_UNKNOWN;
	}
}

static enum insn_kind decode_opcode(struct cursor *c, int opcode)
{
	switch (opcode) {
	case 0x0f: return decode_two_byte(c);
	case 0x6c: case 0x6d: return INSN_INS;
	case 0x6e: case 0x6f: return INSN_OUTS;
	case 0xe4: case 0xe5: return next(c) < 0 ? INSN_UNKNOWN : INSN_IN;
	case 0xe6: case 0xe7: return next(c) < 0 ? INSN_UNKNOWN : INSN_OUT;
	case 0xec: case 0xed: return INSN_IN;
	case 0xee: case 0xef: return INSN_OUT;
	case 0xf4: return INSN_HLT;
	default: return INSN_UNKNOWN;
	}
}

static unsigned address_size(const struct cursor *c)
{
	if (!c->address_override)
		return c->code_size;
	return c->code_size == 4 ? 2 : 4;
}

bool decode_insn(struct insn *insn, unsigned code_size)
{
	struct cursor c = { .insn = insn, .code_size = code_size };

	insn->segment = SEG_DS;
	insn->cr = insn->gpr = 0;
	int opcode = skip_prefixes(&c);
	insn->kind = decode_opcode(&c, opcode);
	insn->rep = c.rep;
	insn->address_size = (uint8_t)address_size(&c);
	insn->len = (uint8_t)c.pos;
	return insn->kind != INSN_UNKNOWN;
}
