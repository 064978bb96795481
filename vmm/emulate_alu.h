/* SPDX-License-Identifier: GPL-2.0-only */
/* What the emulated integer instructions compute.  Pure, tested hosted. */
#pragma once

#include "vmm/decode.h"

#define FLAG_CF (1ul << 0)
#define FLAG_PF (1ul << 2)
#define FLAG_AF (1ul << 4)
#define FLAG_ZF (1ul << 6)
#define FLAG_SF (1ul << 7)
#define FLAG_DF (1ul << 10)
#define FLAG_OF (1ul << 11)

/*
 * The result of kind (INSN_ADD … INSN_BTC) on operands of size bytes, of which bits above the
 * size are ignored and come out 0.  Sets the arithmetic flags in *rflags as the instruction
 * does; undefined ones are left alone or cleared.  For CMP, TEST and BT the result is dst.
 */
uint64_t emulate_alu(enum insn_kind kind, unsigned size, uint64_t dst, uint64_t src,
		     uint64_t *rflags);

/* Does a condition hold, as Jcc and SETcc encode it (SDM vol. 1, appendix B)? */
bool emulate_condition(unsigned condition, uint64_t rflags);
