/* SPDX-License-Identifier: GPL-2.0-only */
/* Instructions that touch devices in guest-physical memory or shadowed page tables, done in software. */
#pragma once

#include "vmm/vcpu.h"

/*
 * The guest's instruction at RIP made this access, to a device: do the instruction, or a
 * bounded part of a repeated one, in its place.  Exceptions that it meets are injected;
 * what cannot be emulated stops the VM with a report.  As an exit handler: with interrupts off,
 * on the CPU that has the vCPU loaded.
 */
void emulate_mmio(struct vcpu *vcpu, const struct page_fault *pf);

/*
 * The same for a write to memory that the processor cannot be let do (struct shadow_fault).  What is
 * locked is atomic for other processors, too.  false: nothing was done, for it is not an instruction
 * that we know, or none at all but the delivery of an event.
 */
bool emulate_memory_write(struct vcpu *vcpu, const struct page_fault *pf);

/*
 * The same for an access that a segment's limit stopped, though the guest's segment may reach farther:
 * real mode (realmode.c).
 */
void emulate_access(struct vcpu *vcpu);
