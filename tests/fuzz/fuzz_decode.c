/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: the instruction decoder on arbitrary bytes.
 *
 * The first byte of an input chooses the code size, the rest is the instruction.  Checked: nothing
 * behind the given bytes counts (other bytes there give the same result), the length is
 * sensible, a shorter prefix is never an instruction, what is decoded depends on the input
 * alone, and operands are in range.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/decode.h"
#include "vmm/virt_ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool cond)
{
	if (!cond)
		abort();
}

/* Everything but the first count bytes is set to filler before. */
static bool decode(struct insn *insn, const uint8_t *bytes, unsigned count, unsigned code_size,
		   uint8_t filler)
{
	memset(insn, filler, sizeof(*insn));
	memcpy(insn->bytes, bytes, count);
	insn->count = (uint8_t)count;
	return decode_insn(insn, code_size);
}

static bool same(const struct insn *a, const struct insn *b)
{
	return a->kind == b->kind && a->len == b->len && a->cr == b->cr && a->gpr == b->gpr &&
	       a->address_size == b->address_size && a->segment == b->segment &&
	       a->rep == b->rep && a->operand_size == b->operand_size &&
	       a->reg_size == b->reg_size && a->gpr_high == b->gpr_high &&
	       a->to_reg == b->to_reg && a->has_imm == b->has_imm && a->lock == b->lock &&
	       a->imm == b->imm && a->mem.base == b->mem.base && a->mem.index == b->mem.index &&
	       a->mem.shift == b->mem.shift && a->mem.disp == b->mem.disp;
}

static bool is_size(unsigned n)
{
	return n == 1 || n == 2 || n == 4 || n == 8;
}

static bool is_register(unsigned n)
{
	return n < 16 || n == INSN_REG_NONE;
}

static void check_operands(const struct insn *insn, unsigned code_size)
{
	static const uint64_t gpr[16] = { 1, 2, 3 };

	require(insn->kind <= INSN_MOVS);
	require(insn->gpr < 16 && insn->segment < SEG_TR);
	require(insn->address_size >= 2 && is_size(insn->address_size));
	require(!insn->gpr_high || insn->gpr < 4);
	if (insn->kind < INSN_MOV)
		return;
	require(is_size(insn->operand_size) && is_size(insn->reg_size));
	/* CMPXCHG8B has two registers for its operand. */
	bool wide = insn->kind == INSN_CMPXCHG8B;

	require(code_size == 8 || (insn->gpr < 8 && (insn->operand_size < 8 || wide)));
	require(insn->operand_size <= insn->reg_size || insn->kind == INSN_MOVSX || wide);
	require(is_register(insn->mem.base) || insn->mem.base == INSN_REG_RIP);
	require(is_register(insn->mem.index) && insn->mem.shift < 4);
	if (insn_has_mem(insn->kind))
		require((decode_offset(insn, gpr, 0) & ~insn_mask(insn->address_size)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned sizes[] = { 2, 4, 8 };
	struct insn a, b;

	if (!size)
		return 0;
	unsigned code_size = sizes[data[0] % 3];
	unsigned count = size - 1 < INSN_MAX ? (unsigned)(size - 1) : INSN_MAX;
	bool ok = decode(&a, data + 1, count, code_size, 0x00);

	require(decode(&b, data + 1, count, code_size, 0xff) == ok);
	require(same(&a, &b));
	require(a.len <= count);
	require(ok == (a.kind != INSN_UNKNOWN));
	if (!ok)
		return 0;
	require(a.len > 0);
	check_operands(&a, code_size);
	for (unsigned n = 0; n < a.len; n++)
		require(!decode(&b, data + 1, n, code_size, 0xff));
	require(decode(&b, data + 1, a.len, code_size, 0xff) && same(&a, &b));
	return 0;
}
