/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Small programs that run in another processor mode: modes.asm leaves long mode, sets
 * the registers of the job, executes its operations one by one, and comes back.
 */
#pragma once

#include <stdint.h>

enum mode_op_kind {
	OP_READ,      /* value = [addr] */
	OP_WRITE,     /* [addr] = value */
	OP_CALL,      /* value = what the code at addr returns in eax */
	OP_INVLPG,    /* of addr */
	OP_CR3,       /* value */
	OP_CR4,       /* value */
	OP_CPUID,     /* leaf addr: value = eax */
	OP_HYPERCALL, /* number addr, no arguments: value = eax */
	OP_CR0,       /* value */
	OP_USER,      /* the code at user, in ring 3, with edi = addr and eax = value: value = eax */
};

#define OP_NO_VECTOR 0xffffffffu

/* modes.asm knows the offsets. */
struct mode_op {
	uint32_t kind, addr, value;
	/* results: the exception, if there was one */
	uint32_t vector, error, cr2, eip;
	uint32_t user;
};

struct mode_job {
	uint32_t cr0, cr3, cr4, efer; /* as they are while the operations run */
	uint32_t op_count, ops;
	uint32_t seen_cr0, seen_cr4, seen_efer; /* read back there */
};

/* job and its operations lie below 4 GiB and are mapped one to one in both modes. */
void mode_run(struct mode_job *job);

/* Once: the IDT of those modes. */
void mode_init(void);
/* Before programs with OP_USER, when anything else was in ring 3. */
void mode_set_user_stack(void);
