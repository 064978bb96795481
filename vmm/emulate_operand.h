/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where an emulated instruction's operand lies, in guest memory or in a device, and
 * access to it.  Locating comes first and has no effect on memory: only when every operand
 * is there may anything be read, since reading a device cannot be taken back.
 */
#pragma once

#include "vmm/decode.h"
#include "vmm/mmio.h"
#include "vmm/vcpu.h"

/* The part of an operand that lies in one page, and in one device or in memory. */
struct operand_piece {
	gpa_t gpa;
	uint8_t size;
	const struct mmio_device *device; /* NULL: memory */
};

struct operand {
	struct operand_piece piece[2];
	unsigned pieces;
};

/*
 * Translate size bytes at an offset in a segment, for reading or (access ACC_W) writing, too.
 * false: the guest has an exception coming, or its VM was stopped.
 */
bool operand_locate(struct vcpu *vcpu, unsigned seg, uint64_t offset, unsigned size,
		    unsigned access, struct operand *op);
/*
 * The same for one that the processor translated itself, and of which it said that it lies, whole or in
 * part, at gpa.  false: it cannot be all there, locate it.
 */
bool operand_at(struct vcpu *vcpu, gva_t gva, unsigned size, gpa_t gpa, struct operand *op);
bool operand_in_device(const struct operand *op);
bool operand_contains(const struct operand *op, gpa_t gpa);

/* false: the VM was stopped; a device does not take such an access, or memory has gone. */
bool operand_read(struct vcpu *vcpu, const struct operand *op, uint64_t *value);
/* Can it be written by operand_exchange()?  What a processor locks across pages or words is not in one piece here. */
bool operand_is_atomic(const struct operand *op);
/* Write it if it still is what was read.  0; -EAGAIN: it is not; another error: it cannot be done in this way. */
int operand_exchange(struct vcpu *vcpu, const struct operand *op, uint64_t old, uint64_t value);
bool operand_write(struct vcpu *vcpu, const struct operand *op, uint64_t value);
