/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest virtual memory as an instruction sees it: fetching, operands, and stepping over
 * what was emulated.
 */
#pragma once

#include "vmm/decode.h"
#include "vmm/vcpu.h"

struct insn_fault {
	gva_t gva;
	uint32_t error; /* the #PF error code */
};

/*
 * Fetch and decode at CS:RIP.  0; -EFAULT when the bytes cannot be read; -ENOEXEC when
 * they are not known to the decoder (insn->bytes holds them).
 */
int insn_fetch(struct vcpu *vcpu, struct insn *insn);
/* Tells more: -EFAULT is a #PF for the guest, as in f; other errors as in insn_read(). */
int insn_fetch_fault(struct vcpu *vcpu, struct insn *insn, struct insn_fault *f);

/* It was fetched and decoded before, and is what is there now; NULL: insn_fetch() it. */
const struct insn *insn_remembered(struct vcpu *vcpu);

/* The one or the other, which then lies in room; NULL: neither, as insn_stop() can tell of room. */
const struct insn *insn_get(struct vcpu *vcpu, struct insn *room);

/* Stop the VM because of these bytes: reason, RIP, and the bytes themselves. */
void insn_stop(struct vcpu *vcpu, const struct insn *insn, const char *reason);

/*
 * Step over the exiting instruction: by the length the processor gave, else by decoding it.
 * Stops the VM with a report when that fails.
 */
void insn_skip(struct vcpu *vcpu);
/* The same for who has called get_code() already. */
void insn_skip_in(struct vcpu *vcpu, const struct vm_code *code);

/*
 * Where one byte of guest virtual memory lies, for an access (ACC_R, ACC_W or ACC_X) with the
 * rights of the vCPU's privilege level.  -EFAULT: the guest is owed the #PF in f;
 * -EINVAL: not a canonical address; other errors: no memory for the guest's tables.
 */
int insn_translate(struct vcpu *vcpu, gva_t gva, unsigned access, gpa_t *gpa,
		   struct insn_fault *f);

/* Copy to or from guest virtual memory.  Errors as above, and -EIO: no memory there. */
int insn_read(struct vcpu *vcpu, gva_t gva, void *buf, unsigned size, struct insn_fault *f);
int insn_write(struct vcpu *vcpu, gva_t gva, const void *buf, unsigned size,
	       struct insn_fault *f);

/* 2, 4 or 8: the code segment's default operand and address size. */
unsigned insn_code_size(struct vcpu *vcpu);
/* The linear address of an offset in a segment (enum vm_seg); with the size of the code, or looking it up. */
gva_t insn_linear_in(struct vcpu *vcpu, unsigned code_size, unsigned seg, uint64_t offset);
gva_t insn_linear(struct vcpu *vcpu, unsigned seg, uint64_t offset);
