/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The instruction decoder compared with libzydis, over random and generated instructions in
 * 16-, 32- and 64-bit code, both ways: what one knows the other must know as well (as far as
 * ours goes), and then length and operands are the same.
 *
 * PHYLLO_DECODE_CASES=1000000 runs longer; PHYLLO_DECODE_SEED=n runs others.
 */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/ktap.h"
#include "vmm/decode.h"
#include "vmm/decode_table.h"
#include "vmm/virt_ops.h"

#define CASES 40000

static uint64_t random_state;

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1d;
}

static unsigned below(unsigned n)
{
	return (unsigned)(random64() >> 32) % n;
}

/* ---- what zydis says, in our words ---------------------------------------------- */

struct oracle {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	const ZydisDecodedOperand *mem; /* the visible one */
	const ZydisDecodedOperand *reg, *imm;
};

static const struct {
	ZydisMnemonic mnemonic;
	enum insn_kind kind;
} kinds[] = {
	{ ZYDIS_MNEMONIC_CPUID, INSN_CPUID },	  { ZYDIS_MNEMONIC_HLT, INSN_HLT },
	{ ZYDIS_MNEMONIC_RDMSR, INSN_RDMSR },	  { ZYDIS_MNEMONIC_WRMSR, INSN_WRMSR },
	{ ZYDIS_MNEMONIC_XSETBV, INSN_XSETBV },	  { ZYDIS_MNEMONIC_VMCALL, INSN_HYPERCALL },
	{ ZYDIS_MNEMONIC_VMMCALL, INSN_HYPERCALL }, { ZYDIS_MNEMONIC_INVD, INSN_CACHE },
	{ ZYDIS_MNEMONIC_WBINVD, INSN_CACHE },	  { ZYDIS_MNEMONIC_CLTS, INSN_CLTS },
	{ ZYDIS_MNEMONIC_LMSW, INSN_LMSW },
	{ ZYDIS_MNEMONIC_SMSW, INSN_SMSW },	  { ZYDIS_MNEMONIC_INVLPG, INSN_INVLPG },
	{ ZYDIS_MNEMONIC_IN, INSN_IN },
	{ ZYDIS_MNEMONIC_OUT, INSN_OUT },	  { ZYDIS_MNEMONIC_INSB, INSN_INS },
	{ ZYDIS_MNEMONIC_INSW, INSN_INS },	  { ZYDIS_MNEMONIC_INSD, INSN_INS },
	{ ZYDIS_MNEMONIC_OUTSB, INSN_OUTS },	  { ZYDIS_MNEMONIC_OUTSW, INSN_OUTS },
	{ ZYDIS_MNEMONIC_OUTSD, INSN_OUTS },	  { ZYDIS_MNEMONIC_MOV, INSN_MOV },
	{ ZYDIS_MNEMONIC_MOVNTI, INSN_MOV },	  { ZYDIS_MNEMONIC_MOVZX, INSN_MOVZX },
	{ ZYDIS_MNEMONIC_MOVSX, INSN_MOVSX },	  { ZYDIS_MNEMONIC_MOVSXD, INSN_MOVSX },
	{ ZYDIS_MNEMONIC_ADD, INSN_ADD },	  { ZYDIS_MNEMONIC_OR, INSN_OR },
	{ ZYDIS_MNEMONIC_ADC, INSN_ADC },	  { ZYDIS_MNEMONIC_SBB, INSN_SBB },
	{ ZYDIS_MNEMONIC_AND, INSN_AND },	  { ZYDIS_MNEMONIC_SUB, INSN_SUB },
	{ ZYDIS_MNEMONIC_XOR, INSN_XOR },	  { ZYDIS_MNEMONIC_CMP, INSN_CMP },
	{ ZYDIS_MNEMONIC_TEST, INSN_TEST },	  { ZYDIS_MNEMONIC_INC, INSN_INC },
	{ ZYDIS_MNEMONIC_DEC, INSN_DEC },	  { ZYDIS_MNEMONIC_NOT, INSN_NOT },
	{ ZYDIS_MNEMONIC_NEG, INSN_NEG },	  { ZYDIS_MNEMONIC_BT, INSN_BT },
	{ ZYDIS_MNEMONIC_BTS, INSN_BTS },	  { ZYDIS_MNEMONIC_BTR, INSN_BTR },
	{ ZYDIS_MNEMONIC_BTC, INSN_BTC },	  { ZYDIS_MNEMONIC_XCHG, INSN_XCHG },
	{ ZYDIS_MNEMONIC_XADD, INSN_XADD },	  { ZYDIS_MNEMONIC_CMPXCHG, INSN_CMPXCHG },
	{ ZYDIS_MNEMONIC_SETO, INSN_SETCC },	  { ZYDIS_MNEMONIC_SETNO, INSN_SETCC },
	{ ZYDIS_MNEMONIC_SETB, INSN_SETCC },	  { ZYDIS_MNEMONIC_SETNB, INSN_SETCC },
	{ ZYDIS_MNEMONIC_SETZ, INSN_SETCC },	  { ZYDIS_MNEMONIC_SETNZ, INSN_SETCC },
	{ ZYDIS_MNEMONIC_SETBE, INSN_SETCC },	  { ZYDIS_MNEMONIC_SETNBE, INSN_SETCC },
	{ ZYDIS_MNEMONIC_SETS, INSN_SETCC },	  { ZYDIS_MNEMONIC_SETNS, INSN_SETCC },
	{ ZYDIS_MNEMONIC_SETP, INSN_SETCC },	  { ZYDIS_MNEMONIC_SETNP, INSN_SETCC },
	{ ZYDIS_MNEMONIC_SETL, INSN_SETCC },	  { ZYDIS_MNEMONIC_SETNL, INSN_SETCC },
	{ ZYDIS_MNEMONIC_SETLE, INSN_SETCC },	  { ZYDIS_MNEMONIC_SETNLE, INSN_SETCC },
	{ ZYDIS_MNEMONIC_CMPXCHG8B, INSN_CMPXCHG8B },
	{ ZYDIS_MNEMONIC_STOSB, INSN_STOS },	  { ZYDIS_MNEMONIC_STOSW, INSN_STOS },
	{ ZYDIS_MNEMONIC_STOSD, INSN_STOS },	  { ZYDIS_MNEMONIC_STOSQ, INSN_STOS },
	{ ZYDIS_MNEMONIC_LODSB, INSN_LODS },	  { ZYDIS_MNEMONIC_LODSW, INSN_LODS },
	{ ZYDIS_MNEMONIC_LODSD, INSN_LODS },	  { ZYDIS_MNEMONIC_LODSQ, INSN_LODS },
	{ ZYDIS_MNEMONIC_MOVSB, INSN_MOVS },	  { ZYDIS_MNEMONIC_MOVSW, INSN_MOVS },
	{ ZYDIS_MNEMONIC_MOVSD, INSN_MOVS },	  { ZYDIS_MNEMONIC_MOVSQ, INSN_MOVS },
	{ ZYDIS_MNEMONIC_CLI, INSN_CLI },	  { ZYDIS_MNEMONIC_STI, INSN_STI },
	{ ZYDIS_MNEMONIC_PUSHF, INSN_PUSHF },	  { ZYDIS_MNEMONIC_PUSHFD, INSN_PUSHF },
	{ ZYDIS_MNEMONIC_PUSHFQ, INSN_PUSHF },	  { ZYDIS_MNEMONIC_POPF, INSN_POPF },
	{ ZYDIS_MNEMONIC_POPFD, INSN_POPF },	  { ZYDIS_MNEMONIC_POPFQ, INSN_POPF },
	{ ZYDIS_MNEMONIC_IRET, INSN_IRET },	  { ZYDIS_MNEMONIC_IRETD, INSN_IRET },
	{ ZYDIS_MNEMONIC_IRETQ, INSN_IRET },	  { ZYDIS_MNEMONIC_INT, INSN_INT },
	{ ZYDIS_MNEMONIC_LGDT, INSN_LGDT },	  { ZYDIS_MNEMONIC_LIDT, INSN_LIDT },
	{ ZYDIS_MNEMONIC_SYSENTER, INSN_SYSENTER }, { ZYDIS_MNEMONIC_SYSEXIT, INSN_SYSENTER },
	{ ZYDIS_MNEMONIC_RDPMC, INSN_RDPMC },
};

static const ZydisDecodedOperand *visible(const struct oracle *o, ZydisOperandType type)
{
	for (unsigned i = 0; i < o->insn.operand_count_visible; i++)
		if (o->ops[i].type == type)
			return &o->ops[i];
	return NULL;
}

/* moffs has the accumulator as a hidden operand, and so have others that are not for us. */
static const ZydisDecodedOperand *accumulator(const struct oracle *o)
{
	for (unsigned i = 0; i < o->insn.operand_count; i++)
		if (o->ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
			return &o->ops[i];
	return NULL;
}

static enum insn_kind named_kind(const struct oracle *o)
{
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].mnemonic == o->insn.mnemonic)
			return kinds[i].kind;
	return INSN_UNKNOWN;
}

static bool is_class(const ZydisDecodedOperand *op, ZydisRegisterClass class)
{
	return op && ZydisRegisterGetClass(op->reg.value) == class;
}

/* What ours must call it; INSN_UNKNOWN for what it does not take. */
static enum insn_kind oracle_kind(const struct oracle *o)
{
	enum insn_kind kind = named_kind(o);

	if (kind == INSN_MOV && is_class(o->reg, ZYDIS_REGCLASS_CONTROL))
		return o->reg == &o->ops[0] ? INSN_MOV_TO_CR : INSN_MOV_FROM_CR;
	if (kind == INSN_MOV && is_class(o->reg, ZYDIS_REGCLASS_DEBUG))
		return o->reg == &o->ops[0] ? INSN_MOV_TO_DR : INSN_MOV_FROM_DR;
	if (kind == INSN_MOVS && o->insn.meta.category != ZYDIS_CATEGORY_STRINGOP)
		return INSN_UNKNOWN;
	if (!insn_has_mem(kind))
		return kind;
	if (!o->mem || is_class(o->reg, ZYDIS_REGCLASS_SEGMENT))
		return INSN_UNKNOWN;
	return kind;
}

static bool ask_oracle(struct oracle *o, const uint8_t *bytes, unsigned n, unsigned code_size)
{
	static const ZydisMachineMode modes[] = { ZYDIS_MACHINE_MODE_LEGACY_16,
						  ZYDIS_MACHINE_MODE_LEGACY_32,
						  ZYDIS_MACHINE_MODE_LONG_64 };
	static const ZydisStackWidth widths[] = { ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32,
						  ZYDIS_STACK_WIDTH_64 };
	static ZydisDecoder decoders[3];
	unsigned which = code_size / 4;

	if (!decoders[which].machine_mode && !decoders[which].stack_width)
		ZydisDecoderInit(&decoders[which], modes[which], widths[which]);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoders[which], bytes, n, &o->insn, o->ops)))
		return false;
	o->mem = visible(o, ZYDIS_OPERAND_TYPE_MEMORY);
	o->reg = visible(o, ZYDIS_OPERAND_TYPE_REGISTER);
	o->imm = visible(o, ZYDIS_OPERAND_TYPE_IMMEDIATE);
	/* Of the two registers of a MOV to or from CRn or DRn, that one. */
	if (o->insn.mnemonic == ZYDIS_MNEMONIC_MOV &&
	    o->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    (is_class(&o->ops[1], ZYDIS_REGCLASS_CONTROL) || is_class(&o->ops[1], ZYDIS_REGCLASS_DEBUG)))
		o->reg = &o->ops[1];
	return true;
}

/* ---- comparison --------------------------------------------------------------------- */

static const char *failure;
static unsigned long failures;

#define SAME(a, b)                                                          \
	do {                                                                \
		if ((uint64_t)(a) != (uint64_t)(b))                         \
			failure = "zydis differs: " #a " and " #b;          \
	} while (0)

static unsigned register_number(ZydisRegister reg)
{
	if (reg == ZYDIS_REGISTER_NONE)
		return INSN_REG_NONE;
	if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return INSN_REG_RIP;
	return (unsigned)ZydisRegisterGetId(
		ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg));
}

static unsigned segment_number(ZydisRegister reg)
{
	static const ZydisRegister order[] = { ZYDIS_REGISTER_ES, ZYDIS_REGISTER_CS,
					       ZYDIS_REGISTER_SS, ZYDIS_REGISTER_DS,
					       ZYDIS_REGISTER_FS, ZYDIS_REGISTER_GS };

	for (unsigned i = 0; i < 6; i++)
		if (order[i] == reg)
			return i;
	return SEG_COUNT;
}

static void compare_register(const struct insn *insn, const ZydisDecodedOperand *op)
{
	bool high = op->reg.value >= ZYDIS_REGISTER_AH && op->reg.value <= ZYDIS_REGISTER_BH;

	SAME(insn->gpr_high, high);
	SAME(insn->reg_size, op->size / 8);
	SAME(insn->gpr, high ? op->reg.value - ZYDIS_REGISTER_AH : register_number(op->reg.value));
}

/* The sum itself, with random registers. */
static void compare_offset(const struct insn *insn, const struct oracle *o)
{
	static ZydisRegisterContext context;
	uint64_t gpr[16], rip = random64(), offset = 0;

	if (insn->address_size < 8)
		rip = (uint32_t)rip;
	for (unsigned i = 0; i < 16; i++) {
		gpr[i] = random64();
		context.values[ZYDIS_REGISTER_RAX + i] = gpr[i];
		context.values[ZYDIS_REGISTER_EAX + i] = (uint32_t)gpr[i];
		context.values[ZYDIS_REGISTER_AX + i] = (uint16_t)gpr[i];
	}
	ZyanStatus status = ZydisCalcAbsoluteAddressEx(&o->insn, o->mem, rip, &context, &offset);

	if (!ZYAN_SUCCESS(status))
		failure = "zydis computes no address";
	struct insn plain = *insn;

	/* Where the bit lies is not in zydis' sum: test_emulate asks the processor. */
	plain.has_imm = true;
	SAME(decode_offset(&plain, gpr, rip), offset & insn_mask(insn->address_size));
}

static void compare_immediate(const struct insn *insn, const ZydisDecodedOperand *op)
{
	bool bit = insn->kind >= INSN_BT && insn->kind <= INSN_BTC; /* a number below 64 */
	uint64_t mask = bit ? 63 : insn_mask(insn->operand_size);

	SAME(insn->has_imm, !!op);
	if (op)
		SAME((uint64_t)insn->imm & mask, op->imm.value.u & mask);
}

static void compare_address(const struct insn *insn, const struct oracle *o)
{
	const ZydisDecodedOperandMem *mem = &o->mem->mem;
	unsigned index = register_number(mem->index);

	SAME(insn->segment, segment_number(mem->segment));
	SAME(insn->mem.base, register_number(mem->base));
	SAME(insn->mem.index, index);
	if (index != INSN_REG_NONE)
		SAME(1u << insn->mem.shift, mem->scale);
	if (insn->address_size == 8 || insn->mem.base != INSN_REG_NONE)
		SAME(insn->mem.disp, mem->disp.value);
	compare_offset(insn, o);
}

static void compare_mem(const struct insn *insn, const struct oracle *o)
{
	SAME(insn->operand_size, o->mem->size / 8);
	SAME(insn->to_reg, o->reg == &o->ops[0]);
	compare_address(insn, o);
	if (o->reg)
		compare_register(insn, o->reg);
	else if (!o->imm && !insn->mem.disp && insn->kind == INSN_MOV)
		compare_register(insn, accumulator(o));
	compare_immediate(insn, o->imm);
}

/* LMSW, SMSW and INVLPG. */
static void compare_system(const struct insn *insn, const struct oracle *o)
{
	SAME(insn->in_memory, !!o->mem);
	if (o->mem)
		compare_address(insn, o);
	else
		SAME(insn->gpr, register_number(o->reg->reg.value));
	if (insn->kind == INSN_SMSW)
		SAME(insn->operand_size, o->ops[0].size / 8);
}

static void compare_string(const struct insn *insn, const struct oracle *o)
{
	const ZydisDecodedOperand *source = NULL;

	for (unsigned i = 0; i < o->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &o->ops[i];

		if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		if (insn->kind == INSN_STOS || insn->kind == INSN_LODS || insn->kind == INSN_MOVS)
			SAME(insn->operand_size, op->size / 8);
		if (register_number(op->mem.base) == GPR_RSI)
			source = op;
	}
	if (source)
		SAME(insn->segment, segment_number(source->mem.segment));
	SAME(insn->rep, !!(o->insn.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
						 ZYDIS_ATTRIB_HAS_REPNE)) ||
				insn->rep);
}

/* INT, IN and OUT: the immediate, and the accumulator's size. */
static void compare_plain(const struct insn *insn, const struct oracle *o)
{
	const ZydisDecodedOperand *acc = accumulator(o);

	SAME(insn->has_imm, !!o->imm);
	if (o->imm)
		SAME((uint8_t)insn->imm, (uint8_t)o->imm->imm.value.u);
	if (insn->kind == INSN_IN)
		acc = &o->ops[0];
	else if (insn->kind == INSN_OUT)
		acc = &o->ops[1];
	/* REX.W makes no 64-bit port. */
	if (insn->kind != INSN_INT && insn->operand_size != 8)
		SAME(insn->operand_size, acc->size / 8);
}

static void compare(const struct insn *insn, const struct oracle *o)
{
	SAME(insn->kind, oracle_kind(o));
	if (failure || insn->kind == INSN_UNKNOWN)
		return;
	SAME(insn->len, o->insn.length);
	SAME(insn->address_size, o->insn.address_width / 8);
	SAME(insn->lock, !!(o->insn.attributes & ZYDIS_ATTRIB_HAS_LOCK));
	if (insn_has_mem(insn->kind))
		compare_mem(insn, o);
	else if (o->insn.meta.category == ZYDIS_CATEGORY_STRINGOP ||
		 o->insn.meta.category == ZYDIS_CATEGORY_IOSTRINGOP)
		compare_string(insn, o);
	else if (insn->kind == INSN_INT || insn->kind == INSN_IN || insn->kind == INSN_OUT)
		compare_plain(insn, o);
	else if (insn->kind == INSN_MOV_TO_CR || insn->kind == INSN_MOV_FROM_CR)
		SAME(insn->cr, o->reg->reg.value - ZYDIS_REGISTER_CR0);
	else if (insn->kind == INSN_MOV_TO_DR || insn->kind == INSN_MOV_FROM_DR)
		SAME(insn->cr, o->reg->reg.value - ZYDIS_REGISTER_DR0);
	else if (insn->kind == INSN_LMSW || insn->kind == INSN_SMSW || insn->kind == INSN_INVLPG)
		compare_system(insn, o);
}

/* Cut short it is nothing; what lies behind does not matter. */
static void check_bounds(const struct insn *insn, unsigned code_size)
{
	struct insn other = *insn;

	for (unsigned n = 0; n < insn->len; n++) {
		other.count = (uint8_t)n;
		if (decode_insn(&other, code_size))
			failure = "decodes although it is cut short";
	}
	other.count = insn->len;
	if (!decode_insn(&other, code_size) || other.len != insn->len)
		failure = "needs bytes behind its end";
}

static void report(const struct insn *insn, const struct oracle *o, unsigned code_size)
{
	char text[128] = "nothing", hex[64] = "";
	ZydisFormatter formatter;

	for (unsigned i = 0; i < INSN_MAX; i++)
		sprintf(hex + 3 * i, "%02x ", insn->bytes[i]);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	if (o)
		ZydisFormatterFormatInstruction(&formatter, &o->insn, o->ops,
						o->insn.operand_count_visible, text,
						sizeof(text), 0, NULL);
	if (failures++ < 20)
		ktap_fail(__FILE__, __LINE__,
			  "%s: %u-bit code %s: ours has kind %u len %u, zydis %s", failure, code_size * 8, hex, insn->kind, insn->len, text);
}

/*
 * Where the two have a right to differ: zydis judges what the processor refuses for other
 * reasons (registers that do not exist), which can never be the instruction of an exit.
 */
static bool ours_is_wider(const struct insn *insn)
{
	return insn->kind == INSN_MOV_TO_DR || insn->kind == INSN_MOV_FROM_DR ||
	       insn->kind == INSN_MOV_TO_CR || insn->kind == INSN_MOV_FROM_CR || insn->kind == INSN_HYPERCALL ||
	       insn->kind == INSN_XSETBV;
}

/*
 * zydis 4.0 with 32-bit addresses in 64-bit code: it takes SIB base 101b for r13 when REX.B is
 * set, even where mod 00 makes it a displacement.  test_emulate asks the processor.
 */
static bool zydis_is_wrong(const struct insn *insn, const struct oracle *o)
{
	return insn->kind && insn->address_size == 4 && o->mem &&
	       o->mem->mem.base == ZYDIS_REGISTER_R13D && o->insn.raw.modrm.mod == 0 &&
	       o->insn.raw.modrm.rm == 4 && o->insn.raw.sib.base == 5 && insn->mem.base == INSN_REG_NONE;
}

static enum insn_kind run_case(struct insn *insn, unsigned code_size)
{
	static struct oracle o;
	bool ours, theirs;

	insn->count = INSN_MAX;
	ours = decode_insn(insn, code_size);
	theirs = ask_oracle(&o, insn->bytes, INSN_MAX, code_size);
	failure = NULL;
	if (theirs && zydis_is_wrong(insn, &o))
		SAME(insn->len, o.insn.length);
	else if (theirs)
		compare(insn, &o);
	else if (ours && !ours_is_wider(insn))
		failure = "zydis refuses it";
	if (ours && !failure)
		check_bounds(insn, code_size);
	if (failure)
		report(insn, theirs ? &o : NULL, code_size);
	return insn->kind;
}

/* ---- streams -------------------------------------------------------------------------- */

static const uint8_t prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66,
				    0x67, 0xf0, 0xf2, 0xf3, 0x66, 0x67 };

static void random_bytes(uint8_t *bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		bytes[i] = (uint8_t)(random64() >> 40);
}

/* Prefixes now and then, an opcode that ours knows, and any operands. */
static void generate(uint8_t *bytes, unsigned code_size)
{
	unsigned at = 0;

	random_bytes(bytes, INSN_MAX);
	while (at < 6 && below(3) == 0)
		bytes[at++] = prefixes[below(sizeof(prefixes))];
	if (code_size == 8 && below(2))
		bytes[at++] = (uint8_t)(0x40 | below(16));
	if (below(3) == 0) {
		bytes[at++] = 0x0f;
		do {
			bytes[at] = (uint8_t)below(256);
		} while (!decode_two_byte[bytes[at]].kind && !decode_two_byte[bytes[at]].flags);
	} else {
		do {
			bytes[at] = (uint8_t)below(256);
		} while (!decode_one_byte[bytes[at]].kind && !decode_one_byte[bytes[at]].flags);
	}
	/* Registers as operands are not for us: few of them, but for 0f 01. */
	if (bytes[at] == 1 && bytes[at - (at > 0)] == 0x0f)
		bytes[at + 1] = below(4) ? bytes[at + 1] | (below(2) ? 0xc0 : 0) : 0xd1; /* XSETBV */
	else if (bytes[at + 1] >= 0xc0 && below(8))
		bytes[at + 1] &= 0x3f | below(3) << 6;
}

static unsigned long setting(const char *name, unsigned long otherwise)
{
	const char *value = getenv(name);

	return value ? strtoul(value, NULL, 0) : otherwise;
}

static void run_stream(unsigned code_size)
{
	unsigned long cases = setting("PHYLLO_DECODE_CASES", CASES), known = 0;
	unsigned seen[INSN_MOVS + 1] = { 0 };

	failures = 0;
	random_state = setting("PHYLLO_DECODE_SEED", 20200101) + code_size;
	for (unsigned long i = 0; i < cases; i++) {
		struct insn insn;

		memset(&insn, 0, sizeof(insn));
		if (i % 4)
			generate(insn.bytes, code_size);
		else
			random_bytes(insn.bytes, INSN_MAX);
		enum insn_kind kind = run_case(&insn, code_size);

		seen[kind]++;
		known += kind != INSN_UNKNOWN;
	}
	printf("# %lu of %lu are instructions of ours\n", known, cases);
	CHECK(known > cases / 3);
	CHECK_EQ(failures, 0);
	for (unsigned kind = 0; kind <= INSN_MOVS; kind++)
		if (!seen[kind])
			ktap_fail(__FILE__, __LINE__, "the stream has no kind %u", kind);
}

static void test_stream_16(void)
{
	run_stream(2);
}

static void test_stream_32(void)
{
	run_stream(4);
}

static void test_stream_64(void)
{
	run_stream(8);
}

/* Every opcode with every ModRM byte, and every SIB byte. */
static void run_maps(unsigned code_size)
{
	struct insn insn;

	failures = 0;
	random_state = 1;
	for (unsigned n = 0; n < 2 * 256 * 256; n++) {
		unsigned at = 0;

		memset(&insn, 0, sizeof(insn));
		random_bytes(insn.bytes, INSN_MAX);
		if (n >> 16)
			insn.bytes[at++] = 0x0f;
		insn.bytes[at++] = (uint8_t)(n >> 8);
		insn.bytes[at] = (uint8_t)n;
		run_case(&insn, code_size);
	}
	for (unsigned n = 0; n < 3 * 8 * 256; n++) { /* mov r, [sib] */
		memset(&insn, 0, sizeof(insn));
		random_bytes(insn.bytes, INSN_MAX);
		insn.bytes[0] = 0x8b;
		insn.bytes[1] = (uint8_t)((n >> 11) << 6 | (n >> 8 & 7) << 3 | 4);
		insn.bytes[2] = (uint8_t)n;
		run_case(&insn, code_size);
	}
	CHECK_EQ(failures, 0);
}

static void test_maps(void)
{
	for (unsigned code_size = 2; code_size <= 8; code_size *= 2)
		run_maps(code_size);
}

static const struct ktap_test tests[] = {
	KTAP(test_stream_16),
	KTAP(test_stream_32),
	KTAP(test_stream_64),
	KTAP(test_maps),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
