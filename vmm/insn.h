/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest virtual memory as an instruction sees it: fetching, operands, and stepping over
 * what was emulated.
 */
#pragma once

#include "vmm/decode.h"
#include "vmm/vcpu.h"

/*
 * Fetch and decode at CS:RIP.  0; -EFAULT when the bytes cannot be read; -ENOEXEC when
 * they are not known to the decoder (insn->bytes holds them).
 */
int insn_fetch(struct vcpu *vcpu, struct insn *insn);

/*
 * Step over the exiting instruction: by the length the processor gave, else by decoding it.
 * Stops the VM with a report when that fails.
 */
void insn_skip(struct vcpu *vcpu);

/*
 * Copy to or from guest virtual memory with the rights of the vCPU's privilege level.
 * On -EFAULT *fault is the address and *error the #PF error code; other errors:
 * no memory there.
 */
struct insn_fault {
	gva_t gva;
	uint32_t error;
};
int insn_read(struct vcpu *vcpu, gva_t gva, void *buf, unsigned size, struct insn_fault *f);
int insn_write(struct vcpu *vcpu, gva_t gva, const void *buf, unsigned size,
	       struct insn_fault *f);

/* 2, 4 or 8: the code segment's default operand and address size. */
unsigned insn_code_size(struct vcpu *vcpu);
