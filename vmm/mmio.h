/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices of a guest that live in its physical address space: who answers at an
 * address that no memory slot covers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mm/mmu.h"

struct vcpu;

/*
 * read and write run on the CPU that has the vCPU loaded, with interrupts off.  The
 * access lies inside [base, base + size); size is 1, 2, 4 or 8, and no alignment is promised.
 * false: the device does not take an access of this shape; the guest cannot go on.
 */
struct mmio_device {
	gpa_t base;
	uint64_t size;
	bool (*read)(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value);
	bool (*write)(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value);
};

/* The device that this vCPU finds at gpa; NULL: nothing is there. */
const struct mmio_device *mmio_find(struct vcpu *vcpu, gpa_t gpa);
