/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The instruction decoder: from bytes to what an exit handler needs to know.
 * Pure, tested hosted.  It knows two families: instructions whose exits do not carry their
 * length or operand (AMD-V without NRIP save and decode assists), and integer
 * instructions with an operand in memory, for devices behind guest-physical addresses.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define INSN_MAX 15 /* SDM vol. 2A, 2.3.11 */

enum insn_kind {
	INSN_UNKNOWN,
	INSN_CPUID,
	INSN_HLT,
	INSN_RDMSR,
	INSN_WRMSR,
	INSN_XSETBV,
	INSN_HYPERCALL,    /* VMCALL or VMMCALL */
	INSN_CACHE,        /* INVD, WBINVD */
	INSN_MOV_TO_CR,    /* cr, gpr */
	INSN_MOV_FROM_CR,
	INSN_MOV_TO_DR,    /* cr is the debug register, gpr */
	INSN_MOV_FROM_DR,
	INSN_CLTS,
	INSN_LMSW,         /* gpr, or in_memory */
	INSN_SMSW,
	INSN_INVLPG,       /* in_memory: the address is all that matters */
	INSN_LGDT,         /* in_memory; operand_size */
	INSN_LIDT,
	INSN_SYSENTER,     /* SYSEXIT too */
	INSN_RDPMC,
	INSN_CLI,
	INSN_STI,
	INSN_PUSHF,        /* operand_size, of 16- and 32-bit code */
	INSN_POPF,
	INSN_IRET,
	INSN_INT,          /* imm */
	INSN_IN,           /* operand_size; imm or DX */
	INSN_OUT,
	INSN_INS,          /* string: operand_size, rep, address_size, */
	INSN_OUTS,         /*   and for OUTS segment */

	/* One operand is in memory, always: the register forms are INSN_UNKNOWN. */
	INSN_MOV,          /* MOVNTI too */
	INSN_MOVZX,
	INSN_MOVSX,        /* MOVSXD too */
	INSN_ADD, INSN_OR, INSN_ADC, INSN_SBB, INSN_AND, INSN_SUB, INSN_XOR, INSN_CMP,
	INSN_TEST,
	INSN_INC, INSN_DEC, INSN_NOT, INSN_NEG,
	INSN_BT, INSN_BTS, INSN_BTR, INSN_BTC,
	INSN_SETCC,        /* condition */
	INSN_CMPXCHG8B,
	INSN_XCHG, INSN_XADD, INSN_CMPXCHG,
	INSN_STOS, INSN_LODS, INSN_MOVS,       /* string: operand_size as well */
};

/* The kinds that always have a memory operand described by insn->mem; strings have theirs in rSI and rDI. */
static inline bool insn_has_mem(enum insn_kind kind)
{
	return kind >= INSN_MOV && kind <= INSN_CMPXCHG;
}

#define INSN_REG_RIP  16   /* the address of the next instruction */
#define INSN_REG_NONE 0xff

/* base + (index << shift) + disp, cut to the address size; the segment is in struct insn. */
struct insn_mem {
	uint8_t base;  /* register, INSN_REG_RIP or INSN_REG_NONE */
	uint8_t index; /* register or INSN_REG_NONE */
	uint8_t shift;
	int64_t disp;
};

struct insn {
	enum insn_kind kind;
	uint8_t len;
	uint8_t cr;
	uint8_t condition;    /* as Jcc and SETcc encode it */
	uint8_t gpr;          /* the register operand */
	uint8_t address_size; /* 2, 4 or 8 bytes */
	uint8_t segment;      /* enum vm_seg of the source, overrides applied */
	bool rep;             /* F2 or F3 */
	bool in_memory;       /* the operand of what need not have one there is described by mem */

	/* With a memory operand: */
	uint8_t operand_size; /* bytes that one access to memory moves */
	uint8_t reg_size;     /* bytes of the register operand; differs when extending */
	bool gpr_high;        /* AH, CH, DH, BH: bits 15:8 of gpr */
	bool to_reg;          /* memory is the source, the register the destination */
	bool has_imm;         /* the source is imm, not gpr */
	bool lock;
	int64_t imm;          /* sign-extended */
	struct insn_mem mem;

	uint8_t code_size;    /* of the segment that it was decoded for: 2, 4 or 8 */
	uint8_t bytes[INSN_MAX];
	uint8_t count;        /* how many of bytes were there to decode */
};

/*
 * Decode insn->bytes[0 … count): fills the rest.  code_size is 2, 4 or 8: the default
 * of the code segment.  false when it is none of the above or is cut short.
 */
bool decode_insn(struct insn *insn, unsigned code_size);

/*
 * The offset, within its segment, of the operand of an instruction that insn_has_mem() or whose is
 * in_memory; rip is the instruction's own address.
 */
uint64_t decode_offset(const struct insn *insn, const uint64_t gpr[16], uint64_t rip);

/* The low n bytes of a register; 1 … 8. */
static inline uint64_t insn_mask(unsigned bytes)
{
	return bytes == 8 ? ~0ul : (1ul << 8 * bytes) - 1;
}

/*
 * A register after the low bytes of it were written: a 32-bit result clears the upper
 * half, smaller ones leave the rest (SDM vol. 1, 3.4.1.1).
 */
static inline uint64_t insn_merge(uint64_t old, uint64_t value, unsigned bytes)
{
	uint64_t mask = insn_mask(bytes);

	return bytes >= 4 ? value & mask : (old & ~mask) | (value & mask);
}

/* Add to the part of a register that addresses of this size use, as string instructions do. */
static inline void insn_advance(uint64_t *gpr, unsigned address_size, int64_t delta)
{
	*gpr = insn_merge(*gpr, *gpr + (uint64_t)delta, address_size);
}
