/* SPDX-License-Identifier: GPL-2.0-only */
/* The decoder's opcode maps: what follows an opcode, and what it means. */
#pragma once

#include "vmm/decode.h"

enum {
	OP_MODRM   = 1 << 0,  /* an operand in memory; the register form is not for us */
	OP_BYTE    = 1 << 1,  /* operands of one byte */
	OP_TO_REG  = 1 << 2,  /* memory is the source */
	OP_IMM8    = 1 << 3,  /* an immediate byte, sign-extended */
	OP_IMM     = 1 << 4,  /* an immediate of the operand's size, but of 4 bytes at most */
	OP_GROUP   = 1 << 5,  /* ModRM.reg chooses from decode_groups[kind] */
	OP_MOFFS   = 1 << 6,  /* accumulator, and memory at an address of the address size */
	OP_STRING  = 1 << 7,
	OP_NO_REG  = 1 << 8,  /* memory, and perhaps an immediate, is all there is */
	OP_MEM8    = 1 << 9,  /* extending: memory is one byte, … */
	OP_MEM16   = 1 << 10, /* two, … */
	OP_MEM32   = 1 << 11, /* or four, and the register of the operand size */
	OP_LOCK    = 1 << 12, /* LOCK is allowed */
	OP_LONG    = 1 << 13, /* in 64-bit code only */
	OP_NOT_LONG = 1 << 14, /* not there */
	OP_NOT_16  = 1 << 15, /* never 16 bits, not even in 16-bit code; with 66, F2 or F3 none */
	OP_SYSTEM_GROUP = 1 << 16, /* 0f 01 */
	OP_MEM64   = 1 << 18, /* eight bytes of memory, no REX.W */
	OP_CR      = 1 << 17, /* ModRM of a MOV to or from a control or debug register */
};

struct opcode {
	uint8_t kind; /* enum insn_kind, or enum opcode_group with OP_GROUP; 0: not known */
	uint32_t flags;
};

enum opcode_group { GROUP_ALU, GROUP_TEST, GROUP_INC, GROUP_MOV, GROUP_BT, GROUP_CMPXCHG8B, GROUPS };

extern const struct opcode decode_one_byte[256];
extern const struct opcode decode_two_byte[256]; /* behind 0f */
extern const struct opcode decode_groups[GROUPS][8]; /* their flags are added to the opcode's */
