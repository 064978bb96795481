/* SPDX-License-Identifier: GPL-2.0-only */
/* Instructions that touch devices in guest-physical memory, done in software. */
#pragma once

#include "vmm/vcpu.h"

/*
 * The guest's instruction at RIP made this access, to a device: do the instruction, or a
 * bounded part of a repeated one, in its place.  Exceptions that it meets are injected;
 * what cannot be emulated stops the VM with a report.  As an exit handler: with interrupts off,
 * on the CPU that has the vCPU loaded.
 */
void emulate_mmio(struct vcpu *vcpu, const struct page_fault *pf);
