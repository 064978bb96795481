/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The instruction decoder: from bytes to what an exit handler needs to know.
 * Pure, tested hosted.  It knows the instructions whose exits do not carry
 * their length or operand (AMD-V without NRIP save and decode assists).
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
	INSN_CLTS,
	INSN_LMSW,         /* gpr (register form only) */
	INSN_IN,
	INSN_OUT,
	INSN_INS,          /* string: rep, address_size, */
	INSN_OUTS,         /*   and for OUTS segment */
};

struct insn {
	enum insn_kind kind;
	uint8_t len;
	uint8_t cr;
	uint8_t gpr;
	uint8_t address_size; /* 2, 4 or 8 bytes */
	uint8_t segment;      /* enum vm_seg of the source, overrides applied */
	bool rep;
	uint8_t bytes[INSN_MAX];
	uint8_t count;        /* how many of bytes were there to decode */
};

/*
 * Decode insn->bytes[0 … count): fills the rest.  code_size is 2, 4 or 8: the default
 * of the code segment.  false when it is none of the above or is cut short.
 */
bool decode_insn(struct insn *insn, unsigned code_size);
