/* SPDX-License-Identifier: GPL-2.0-only */
/* The instruction decoder, case by case from the manual's tables. */
#include <string.h>

#include "tests/host/ktap.h"
#include "vmm/decode.h"
#include "vmm/virt_ops.h"

static struct insn decode(unsigned code_size, unsigned n, const uint8_t *bytes)
{
	struct insn insn;

	memset(&insn, 0xaa, sizeof(insn));
	memset(insn.bytes, 0x90, sizeof(insn.bytes));
	memcpy(insn.bytes, bytes, n);
	insn.count = (uint8_t)n;
	if (!decode_insn(&insn, code_size))
		insn.kind = INSN_UNKNOWN;
	return insn;
}

#define DECODE(size, ...) \
	decode(size, sizeof((const uint8_t[]){ __VA_ARGS__ }), (const uint8_t[]){ __VA_ARGS__ })

static void test_decode_lengths(void)
{
	static const struct {
		uint8_t bytes[4], n;
		enum insn_kind kind;
	} plain[] = {
		{ { 0x0f, 0xa2 }, 2, INSN_CPUID },
		{ { 0xf4 }, 1, INSN_HLT },
		{ { 0x0f, 0x30 }, 2, INSN_WRMSR },
		{ { 0x0f, 0x32 }, 2, INSN_RDMSR },
		{ { 0x0f, 0x01, 0xd1 }, 3, INSN_XSETBV },
		{ { 0x0f, 0x01, 0xc1 }, 3, INSN_HYPERCALL },
		{ { 0x0f, 0x01, 0xd9 }, 3, INSN_HYPERCALL },
		{ { 0x0f, 0x08 }, 2, INSN_CACHE },
		{ { 0x0f, 0x09 }, 2, INSN_CACHE },
		{ { 0x0f, 0x06 }, 2, INSN_CLTS },
		{ { 0xe4, 0x60 }, 2, INSN_IN },
		{ { 0xe7, 0x80 }, 2, INSN_OUT },
		{ { 0xed }, 1, INSN_IN },
		{ { 0xee }, 1, INSN_OUT },
		{ { 0x6c }, 1, INSN_INS },
		{ { 0x6f }, 1, INSN_OUTS },
	};

	for (unsigned i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		for (unsigned size = 2; size <= 8; size *= 2) {
			struct insn insn = decode(size, plain[i].n, plain[i].bytes);

			CHECK_EQ(insn.kind, plain[i].kind);
			CHECK_EQ(insn.len, plain[i].n);
			CHECK_EQ(insn.address_size, size);
			/* Cut short, it is not an instruction. */
			CHECK_EQ(decode(size, plain[i].n - 1u, plain[i].bytes).kind, INSN_UNKNOWN);
		}
	}
}

static void test_decode_prefixes(void)
{
	struct insn insn = DECODE(8, 0x66, 0xf3, 0x48, 0x0f, 0xa2);

	CHECK_EQ(insn.kind, INSN_CPUID);
	CHECK_EQ(insn.len, 5);
	/* In 32-bit code 0x48 is DEC EAX. */
	CHECK_EQ(DECODE(4, 0x48, 0x0f, 0xa2).kind, INSN_UNKNOWN);
	/* A REX that does not come last does not count. */
	insn = DECODE(8, 0x49, 0x66, 0x8b, 0x00);
	CHECK_EQ(insn.kind, INSN_MOV);
	CHECK_EQ(insn.operand_size, 2);
	CHECK_EQ(insn.mem.base, GPR_RAX);
	insn = DECODE(8, 0x48, 0x41, 0x8b, 0x00);
	CHECK_EQ(insn.operand_size, 4);
	CHECK_EQ(insn.mem.base, 8);
	/* Fifteen prefixes leave no room. */
	CHECK_EQ(DECODE(8, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
			0x66, 0x66, 0x66).kind, INSN_UNKNOWN);
}

static void test_decode_control_registers(void)
{
	struct insn insn = DECODE(8, 0x0f, 0x22, 0xe3); /* mov cr4, rbx */

	CHECK_EQ(insn.kind, INSN_MOV_TO_CR);
	CHECK_EQ(insn.cr, 4);
	CHECK_EQ(insn.gpr, GPR_RBX);
	insn = DECODE(8, 0x41, 0x0f, 0x22, 0xc4); /* mov cr0, r12 */
	CHECK_EQ(insn.cr, 0);
	CHECK_EQ(insn.gpr, 12);
	CHECK_EQ(insn.len, 4);
	insn = DECODE(4, 0x0f, 0x01, 0xf1); /* lmsw cx */
	CHECK_EQ(insn.kind, INSN_LMSW);
	CHECK_EQ(insn.gpr, GPR_RCX);
	CHECK(!insn.in_memory);
	insn = DECODE(4, 0x0f, 0x01, 0x30); /* lmsw [eax] */
	CHECK_EQ(insn.kind, INSN_LMSW);
	CHECK(insn.in_memory);
	CHECK_EQ(insn.mem.base, GPR_RAX);
	insn = DECODE(8, 0x44, 0x0f, 0x20, 0xdb); /* mov rbx, cr11: as the exit says, whatever it is */
	CHECK_EQ(insn.kind, INSN_MOV_FROM_CR);
	CHECK_EQ(insn.cr, 11);
	CHECK_EQ(insn.gpr, GPR_RBX);
	insn = DECODE(8, 0x49, 0x0f, 0x01, 0xe7); /* smsw r15 */
	CHECK_EQ(insn.kind, INSN_SMSW);
	CHECK_EQ(insn.gpr, 15);
	CHECK_EQ(insn.operand_size, 8);
	insn = DECODE(8, 0x41, 0x0f, 0x01, 0x3c, 0x24); /* invlpg [r12] */
	CHECK_EQ(insn.kind, INSN_INVLPG);
	CHECK_EQ(insn.mem.base, 12);
	CHECK_EQ(insn.len, 5);
	CHECK_EQ(DECODE(8, 0x0f, 0x01, 0xf8).kind, INSN_UNKNOWN); /* swapgs */
}

static void test_decode_string_io(void)
{
	struct insn insn = DECODE(4, 0xf3, 0x2e, 0x67, 0x6e); /* rep outs dx, cs:[si] */

	CHECK_EQ(insn.kind, INSN_OUTS);
	CHECK(insn.rep);
	CHECK_EQ(insn.segment, SEG_CS);
	CHECK_EQ(insn.address_size, 2);
	CHECK_EQ(DECODE(2, 0x67, 0x6e).address_size, 4);
	CHECK_EQ(DECODE(8, 0x67, 0x6e).address_size, 4);
	CHECK(!DECODE(8, 0x6e).rep);
	CHECK_EQ(DECODE(8, 0x6e).segment, SEG_DS);
}

/* ---- operands in memory ------------------------------------------------------ */

static void check_mem(struct insn insn, unsigned base, unsigned index, unsigned shift,
		      int64_t disp, unsigned segment)
{
	CHECK_EQ(insn.mem.base, base);
	CHECK_EQ(insn.mem.index, index);
	CHECK_EQ(insn.mem.shift, shift);
	CHECK_EQ(insn.mem.disp, disp);
	CHECK_EQ(insn.segment, segment);
}

#define NONE INSN_REG_NONE

static void test_decode_modrm16(void)
{
	check_mem(DECODE(2, 0x8b, 0x00), GPR_RBX, GPR_RSI, 0, 0, SEG_DS);
	check_mem(DECODE(2, 0x8b, 0x43, 0x80), GPR_RBP, GPR_RDI, 0, -128, SEG_SS);
	check_mem(DECODE(2, 0x8b, 0x06, 0x34, 0x12), NONE, NONE, 0, 0x1234, SEG_DS);
	check_mem(DECODE(2, 0x8b, 0x46, 0x01), GPR_RBP, NONE, 0, 1, SEG_SS);
	check_mem(DECODE(2, 0x26, 0x8b, 0x46, 0x01), GPR_RBP, NONE, 0, 1, SEG_ES);
	check_mem(DECODE(4, 0x67, 0x8b, 0x87, 0xff, 0xff), GPR_RBX, NONE, 0, -1, SEG_DS);
	CHECK_EQ(DECODE(2, 0x8b, 0x00).operand_size, 2);
	CHECK_EQ(DECODE(2, 0x66, 0x8b, 0x00).operand_size, 4);
}

static void test_decode_modrm32(void)
{
	check_mem(DECODE(4, 0x8b, 0x05, 0, 0, 0xe0, 0xfe), NONE, NONE, 0, (int32_t)0xfee00000,
		  SEG_DS);
	check_mem(DECODE(4, 0x8b, 0x45, 0x08), GPR_RBP, NONE, 0, 8, SEG_SS);
	check_mem(DECODE(4, 0x8b, 0x04, 0x24), GPR_RSP, NONE, 0, 0, SEG_SS);
	check_mem(DECODE(4, 0x8b, 0x44, 0x98, 0x10), GPR_RAX, GPR_RBX, 2, 0x10, SEG_DS);
	check_mem(DECODE(4, 0x8b, 0x04, 0xed, 1, 0, 0, 0), NONE, GPR_RBP, 3, 1, SEG_DS);
	check_mem(DECODE(2, 0x67, 0x8b, 0x04, 0xc5, 1, 0, 0, 0), NONE, GPR_RAX, 3, 1, SEG_DS);
}

static void test_decode_modrm64(void)
{
	check_mem(DECODE(8, 0x8b, 0x05, 0xfe, 0xff, 0xff, 0xff), INSN_REG_RIP, NONE, 0, -2, SEG_DS);
	check_mem(DECODE(8, 0x43, 0x8b, 0x04, 0x64), 12, 12, 1, 0, SEG_DS);
	check_mem(DECODE(8, 0x41, 0x8b, 0x45, 0x00), 13, NONE, 0, 0, SEG_DS);
	check_mem(DECODE(8, 0x8b, 0x04, 0x25, 0, 0, 0, 0x80), NONE, NONE, 0, INT32_MIN, SEG_DS);
	/* Old overrides do nothing, not even to FS. */
	check_mem(DECODE(8, 0x64, 0x3e, 0x8b, 0x00), GPR_RAX, NONE, 0, 0, SEG_FS);
	CHECK_EQ(DECODE(8, 0x66, 0x48, 0x8b, 0x00).operand_size, 8);
	struct insn insn = DECODE(8, 0x48, 0xa1, 1, 2, 3, 4, 5, 6, 7, 8);

	check_mem(insn, NONE, NONE, 0, 0x0807060504030201, SEG_DS);
	CHECK_EQ(insn.len, 10);
	insn = DECODE(8, 0x67, 0xa3, 1, 2, 3, 0x84);
	CHECK_EQ(insn.len, 6);
	CHECK_EQ(decode_offset(&insn, (uint64_t[16]){ 0 }, 0), 0x84030201);
}

static void test_decode_registers(void)
{
	struct insn insn = DECODE(8, 0x88, 0x20); /* mov [rax], ah */

	CHECK_EQ(insn.gpr, GPR_RAX);
	CHECK(insn.gpr_high);
	insn = DECODE(8, 0x40, 0x88, 0x20); /* mov [rax], spl */
	CHECK_EQ(insn.gpr, GPR_RSP);
	CHECK(!insn.gpr_high);
	insn = DECODE(8, 0x4c, 0x0f, 0xbe, 0x30); /* movsx r14, byte [rax] */
	CHECK_EQ(insn.kind, INSN_MOVSX);
	CHECK_EQ(insn.gpr, 14);
	CHECK_EQ(insn.operand_size, 1);
	CHECK_EQ(insn.reg_size, 8);
	CHECK(insn.to_reg);
	insn = DECODE(8, 0x0f, 0xb6, 0x20); /* movzx esp, byte [rax]: never AH */
	CHECK_EQ(insn.gpr, GPR_RSP);
}

static void test_decode_immediates(void)
{
	struct insn insn = DECODE(8, 0x48, 0xc7, 0x00, 0xff, 0xff, 0xff, 0xff);

	CHECK(insn.has_imm);
	CHECK_EQ(insn.imm, -1);
	CHECK_EQ(insn.operand_size, 8);
	insn = DECODE(4, 0x66, 0x81, 0x08, 0x34, 0x12); /* or word [eax], 0x1234 */
	CHECK_EQ(insn.kind, INSN_OR);
	CHECK_EQ(insn.len, 5);
	CHECK_EQ(insn.imm, 0x1234);
	insn = DECODE(4, 0x83, 0x38, 0x80);
	CHECK_EQ(insn.kind, INSN_CMP);
	CHECK_EQ(insn.imm, -128);
	CHECK_EQ(DECODE(4, 0xf7, 0x00, 1, 0, 0, 0).len, 6);
	insn = DECODE(4, 0xf7, 0x10);
	CHECK_EQ(insn.kind, INSN_NOT);
	CHECK_EQ(insn.len, 2);
	CHECK_EQ(DECODE(8, 0x82, 0x00, 0).kind, INSN_UNKNOWN);
	CHECK_EQ(DECODE(4, 0x82, 0x00, 0).kind, INSN_ADD);
}

static void test_decode_lock(void)
{
	CHECK(DECODE(8, 0xf0, 0x83, 0x08, 1).lock);
	CHECK_EQ(DECODE(8, 0xf0, 0x83, 0x38, 1).kind, INSN_UNKNOWN); /* cmp */
	CHECK_EQ(DECODE(8, 0xf0, 0x89, 0x00).kind, INSN_UNKNOWN);
	CHECK_EQ(DECODE(8, 0xf0, 0x03, 0x00).kind, INSN_UNKNOWN); /* to a register */
	CHECK_EQ(DECODE(8, 0xf0, 0x0f, 0xba, 0x20, 1).kind, INSN_UNKNOWN); /* bt */
	CHECK_EQ(DECODE(8, 0xf0, 0x0f, 0xa2).kind, INSN_UNKNOWN);
}

static void test_decode_register_forms(void)
{
	for (unsigned opcode = 0x88; opcode <= 0x8b; opcode++)
		CHECK_EQ(DECODE(8, (uint8_t)opcode, 0xc0).kind, INSN_UNKNOWN);
}

static const struct ktap_test tests[] = {
	KTAP(test_decode_lengths),    KTAP(test_decode_prefixes),
	KTAP(test_decode_control_registers), KTAP(test_decode_string_io),
	KTAP(test_decode_modrm16),    KTAP(test_decode_modrm32),
	KTAP(test_decode_modrm64),    KTAP(test_decode_registers),
	KTAP(test_decode_immediates), KTAP(test_decode_lock),
	KTAP(test_decode_register_forms),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
