/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guests without nested paging: what they say of their paging goes to mm/, which keeps the
 * tables that the processor walks, and comes back as roots, faults and instructions to emulate.
 * Of a VM with nested paging nothing of this happens.
 */
#pragma once

#include "vmm/vcpu.h"

/*
 * The guest loaded CR0, CR3, CR4 or EFER, and the backend has the new values: translations from before
 * are not to be used any more.  With interrupts off, which are opened meanwhile; the vCPU is
 * loaded.
 */
void paging_loaded(struct vcpu *vcpu);
/* The same of CR3 alone; with vcpu->pdpte, where it is PAE. */
void paging_cr3_loaded(struct vcpu *vcpu, uint64_t cr3);
