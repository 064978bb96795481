/* SPDX-License-Identifier: GPL-2.0-only */
/* Integer arithmetic and its flags (SDM vol. 1, appendix A); see emulate_alu.h. */
#include "vmm/emulate_alu.h"

#define FLAGS_RESULT (FLAG_PF | FLAG_ZF | FLAG_SF)
#define FLAGS_ARITH  (FLAG_CF | FLAG_AF | FLAG_OF | FLAGS_RESULT)

struct sum {
	uint64_t value;
	uint64_t flags; /* FLAGS_ARITH */
};

static uint64_t result_flags(uint64_t value, unsigned size)
{
	uint64_t flags = 0;
	uint8_t low = (uint8_t)value;

	low ^= low >> 4;
	low ^= low >> 2;
	low ^= low >> 1;
	flags |= low & 1 ? 0 : FLAG_PF;
	flags |= value ? 0 : FLAG_ZF;
	flags |= value >> (8 * size - 1) & 1 ? FLAG_SF : 0;
	return flags;
}

/* The carries into each bit are a ^ b ^ sum; out of it, the majority of the three. */
static struct sum add(uint64_t a, uint64_t b, uint64_t carry, unsigned size)
{
	uint64_t value = (a + b + carry) & insn_mask(size);
	uint64_t out = ((a & b) | ((a | b) & ~value)) >> (8 * size - 1);
	uint64_t overflow = ((a ^ value) & (b ^ value)) >> (8 * size - 1);

	return (struct sum){
		.value = value,
		.flags = result_flags(value, size) | (out & 1 ? FLAG_CF : 0) |
			 (overflow & 1 ? FLAG_OF : 0) | ((a ^ b ^ value) & FLAG_AF),
	};
}

static struct sum subtract(uint64_t a, uint64_t b, uint64_t borrow, unsigned size)
{
	uint64_t value = (a - b - borrow) & insn_mask(size);
	uint64_t out = ((~a & b) | ((~a | b) & value)) >> (8 * size - 1);
	uint64_t overflow = ((a ^ b) & (a ^ value)) >> (8 * size - 1);

	return (struct sum){
		.value = value,
		.flags = result_flags(value, size) | (out & 1 ? FLAG_CF : 0) |
			 (overflow & 1 ? FLAG_OF : 0) | ((a ^ b ^ value) & FLAG_AF),
	};
}

static struct sum logic(uint64_t value, unsigned size)
{
	return (struct sum){ .value = value, .flags = result_flags(value, size) };
}

/* Only CF changes: the bit that was there. */
static uint64_t bit_test(enum insn_kind kind, unsigned size, uint64_t dst, uint64_t src,
			 uint64_t *rflags)
{
	uint64_t bit = 1ul << (src & (8 * size - 1));

	*rflags = dst & bit ? *rflags | FLAG_CF : *rflags & ~FLAG_CF;
	switch (kind) {
	case INSN_BTS: return dst | bit;
	case INSN_BTR: return dst & ~bit;
	case INSN_BTC: return dst ^ bit;
	default: return dst;
	}
}

uint64_t emulate_alu(enum insn_kind kind, unsigned size, uint64_t dst, uint64_t src,
		     uint64_t *rflags)
{
	uint64_t carry = *rflags & FLAG_CF, changed = FLAGS_ARITH;
	struct sum sum;

	dst &= insn_mask(size);
	src &= insn_mask(size);
	switch (kind) {
	case INSN_ADD: case INSN_XADD: sum = add(dst, src, 0, size); break;
	case INSN_ADC: sum = add(dst, src, carry, size); break;
	case INSN_SUB: case INSN_CMP: sum = subtract(dst, src, 0, size); break;
	case INSN_SBB: sum = subtract(dst, src, carry, size); break;
	case INSN_NEG: sum = subtract(0, dst, 0, size); break;
	case INSN_OR: sum = logic(dst | src, size); break;
	case INSN_AND: case INSN_TEST: sum = logic(dst & src, size); break;
	case INSN_XOR: sum = logic(dst ^ src, size); break;
	case INSN_INC:
		sum = add(dst, 1, 0, size);
		changed &= ~FLAG_CF;
		break;
	case INSN_DEC:
		sum = subtract(dst, 1, 0, size);
		changed &= ~FLAG_CF;
		break;
	case INSN_NOT: return ~dst & insn_mask(size);
	case INSN_BT: case INSN_BTS: case INSN_BTR: case INSN_BTC:
		return bit_test(kind, size, dst, src, rflags);
	default: return dst;
	}
	*rflags = (*rflags & ~changed) | (sum.flags & changed);
	return kind == INSN_CMP || kind == INSN_TEST ? dst : sum.value;
}

bool emulate_condition(unsigned condition, uint64_t rflags)
{
	bool less = !(rflags & FLAG_SF) != !(rflags & FLAG_OF);
	bool holds;

	switch (condition >> 1) {
	case 0: holds = rflags & FLAG_OF; break;
	case 1: holds = rflags & FLAG_CF; break;
	case 2: holds = rflags & FLAG_ZF; break;
	case 3: holds = rflags & (FLAG_CF | FLAG_ZF); break;
	case 4: holds = rflags & FLAG_SF; break;
	case 5: holds = rflags & FLAG_PF; break;
	case 6: holds = less; break;
	default: holds = less || (rflags & FLAG_ZF); break;
	}
	return holds != (condition & 1);
}
