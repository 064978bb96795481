/* SPDX-License-Identifier: GPL-2.0-only */
/* The opcode maps (SDM vol. 2D, tables ), as far as the decoder goes. */
#include "vmm/decode_table.h"

#define MEM_REG (OP_MODRM | OP_LOCK)
#define REG_MEM (OP_MODRM | OP_TO_REG)

/* op r/m8, r8; op r/m, r; op r8, r/m8; op r, r/m */
#define ALU(base, kind, lock)                                                        \
	[(base)] = { kind, OP_MODRM | OP_BYTE | (lock) },                            \
	[(base) + 1] = { kind, OP_MODRM | (lock) },                                  \
	[(base) + 2] = { kind, REG_MEM | OP_BYTE },                                  \
	[(base) + 3] = { kind, REG_MEM }

const struct opcode decode_one_byte[256] = {
	ALU(0x00, INSN_ADD, OP_LOCK),
	ALU(0x08, INSN_OR, OP_LOCK),
	ALU(0x10, INSN_ADC, OP_LOCK),
	ALU(0x18, INSN_SBB, OP_LOCK),
	ALU(0x20, INSN_AND, OP_LOCK),
	ALU(0x28, INSN_SUB, OP_LOCK),
	ALU(0x30, INSN_XOR, OP_LOCK),
	ALU(0x38, INSN_CMP, 0),
	[0x63] = { INSN_MOVSX, REG_MEM | OP_MEM32 | OP_LONG },
	[0x6c] = { INSN_INS, OP_BYTE },
	[0x6d] = { INSN_INS, 0 },
	[0x6e] = { INSN_OUTS, OP_BYTE },
	[0x6f] = { INSN_OUTS, 0 },
	[0x80] = { GROUP_ALU, OP_GROUP | OP_MODRM | OP_BYTE | OP_IMM8 },
	[0x81] = { GROUP_ALU, OP_GROUP | OP_MODRM | OP_IMM },
	[0x82] = { GROUP_ALU, OP_GROUP | OP_MODRM | OP_BYTE | OP_IMM8 | OP_NOT_LONG },
	[0x83] = { GROUP_ALU, OP_GROUP | OP_MODRM | OP_IMM8 },
	[0x84] = { INSN_TEST, OP_MODRM | OP_BYTE },
	[0x85] = { INSN_TEST, OP_MODRM },
	[0x86] = { INSN_XCHG, MEM_REG | OP_BYTE },
	[0x87] = { INSN_XCHG, MEM_REG },
	[0x88] = { INSN_MOV, OP_MODRM | OP_BYTE },
	[0x89] = { INSN_MOV, OP_MODRM },
	[0x8a] = { INSN_MOV, REG_MEM | OP_BYTE },
	[0x8b] = { INSN_MOV, REG_MEM },
	[0x9c] = { INSN_PUSHF, 0 },
	[0x9d] = { INSN_POPF, 0 },
	[0xa0] = { INSN_MOV, OP_MOFFS | OP_TO_REG | OP_BYTE },
	[0xa1] = { INSN_MOV, OP_MOFFS | OP_TO_REG },
	[0xa2] = { INSN_MOV, OP_MOFFS | OP_BYTE },
	[0xa3] = { INSN_MOV, OP_MOFFS },
	[0xa4] = { INSN_MOVS, OP_STRING | OP_BYTE },
	[0xa5] = { INSN_MOVS, OP_STRING },
	[0xaa] = { INSN_STOS, OP_STRING | OP_BYTE },
	[0xab] = { INSN_STOS, OP_STRING },
	[0xac] = { INSN_LODS, OP_STRING | OP_BYTE },
	[0xad] = { INSN_LODS, OP_STRING },
	[0xc6] = { GROUP_MOV, OP_GROUP | OP_MODRM | OP_BYTE | OP_IMM8 },
	[0xc7] = { GROUP_MOV, OP_GROUP | OP_MODRM | OP_IMM },
	[0xcd] = { INSN_INT, OP_IMM8 },
	[0xcf] = { INSN_IRET, 0 },
	[0xe4] = { INSN_IN, OP_BYTE | OP_IMM8 },
	[0xe5] = { INSN_IN, OP_IMM8 },
	[0xe6] = { INSN_OUT, OP_BYTE | OP_IMM8 },
	[0xe7] = { INSN_OUT, OP_IMM8 },
	[0xec] = { INSN_IN, OP_BYTE },
	[0xed] = { INSN_IN, 0 },
	[0xee] = { INSN_OUT, OP_BYTE },
	[0xef] = { INSN_OUT, 0 },
	[0xf4] = { INSN_HLT, 0 },
	[0xf6] = { GROUP_TEST, OP_GROUP | OP_MODRM | OP_BYTE },
	[0xf7] = { GROUP_TEST, OP_GROUP | OP_MODRM },
	[0xfa] = { INSN_CLI, 0 },
	[0xfb] = { INSN_STI, 0 },
	[0xfe] = { GROUP_INC, OP_GROUP | OP_MODRM | OP_BYTE },
	[0xff] = { GROUP_INC, OP_GROUP | OP_MODRM },
};

const struct opcode decode_two_byte[256] = {
	[0x01] = { 0, OP_SYSTEM_GROUP },
	[0x06] = { INSN_CLTS, 0 },
	[0x08] = { INSN_CACHE, 0 },
	[0x09] = { INSN_CACHE, 0 },
	[0x20] = { INSN_MOV_FROM_CR, OP_CR },
	[0x21] = { INSN_MOV_FROM_DR, OP_CR },
	[0x22] = { INSN_MOV_TO_CR, OP_CR },
	[0x23] = { INSN_MOV_TO_DR, OP_CR },
	[0x30] = { INSN_WRMSR, 0 },
	[0x32] = { INSN_RDMSR, 0 },
	[0x33] = { INSN_RDPMC, 0 },
	[0x34] = { INSN_SYSENTER, 0 },
	[0x35] = { INSN_SYSENTER, 0 },
	[0x90 ... 0x9f] = { INSN_SETCC, OP_MODRM | OP_BYTE | OP_NO_REG },
	[0xa2] = { INSN_CPUID, 0 },
	[0xa3] = { INSN_BT, OP_MODRM },
	[0xab] = { INSN_BTS, MEM_REG },
	[0xb0] = { INSN_CMPXCHG, MEM_REG | OP_BYTE },
	[0xb1] = { INSN_CMPXCHG, MEM_REG },
	[0xb3] = { INSN_BTR, MEM_REG },
	[0xb6] = { INSN_MOVZX, REG_MEM | OP_MEM8 },
	[0xb7] = { INSN_MOVZX, REG_MEM | OP_MEM16 },
	[0xba] = { GROUP_BT, OP_GROUP | OP_MODRM | OP_IMM8 },
	[0xbb] = { INSN_BTC, MEM_REG },
	[0xbe] = { INSN_MOVSX, REG_MEM | OP_MEM8 },
	[0xbf] = { INSN_MOVSX, REG_MEM | OP_MEM16 },
	[0xc0] = { INSN_XADD, MEM_REG | OP_BYTE },
	[0xc1] = { INSN_XADD, MEM_REG },
	[0xc3] = { INSN_MOV, OP_MODRM | OP_NOT_16 },
	[0xc7] = { GROUP_CMPXCHG8B, OP_GROUP | OP_MODRM },
};

const struct opcode decode_groups[GROUPS][8] = {
	[GROUP_ALU] = {
		{ INSN_ADD, OP_LOCK }, { INSN_OR, OP_LOCK }, { INSN_ADC, OP_LOCK },
		{ INSN_SBB, OP_LOCK }, { INSN_AND, OP_LOCK }, { INSN_SUB, OP_LOCK },
		{ INSN_XOR, OP_LOCK }, { INSN_CMP, 0 },
	},
	[GROUP_TEST] = {
		{ INSN_TEST, OP_IMM }, { INSN_TEST, OP_IMM },
		{ INSN_NOT, OP_NO_REG | OP_LOCK }, { INSN_NEG, OP_NO_REG | OP_LOCK },
	},
	[GROUP_INC] = {
		{ INSN_INC, OP_NO_REG | OP_LOCK }, { INSN_DEC, OP_NO_REG | OP_LOCK },
	},
	[GROUP_MOV] = {
		{ INSN_MOV, 0 },
	},
	[GROUP_CMPXCHG8B] = {
		[1] = { INSN_CMPXCHG8B, OP_NO_REG | OP_MEM64 | OP_LOCK },
	},
	[GROUP_BT] = {
		[4] = { INSN_BT, 0 },
		[5] = { INSN_BTS, OP_LOCK },
		[6] = { INSN_BTR, OP_LOCK },
		[7] = { INSN_BTC, OP_LOCK },
	},
};
