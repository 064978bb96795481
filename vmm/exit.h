/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What to do when a guest has exited: one handler per enum exit_reason.  All
 * of them run on the CPU that has the vCPU loaded, with interrupts off, and return with
 * interrupts off; those that may take long open them in between.
 */
#pragma once

#include "vmm/vcpu.h"

void exit_handle(struct vcpu *vcpu);
/* What mm said of the access in vcpu->exit.fault: run on, emulate it, tell the guest, or stop. */
void exit_fault_done(struct vcpu *vcpu, enum mmu_pf_result result);

/* ---- the handlers' own files ---- */

void exit_cpuid(struct vcpu *vcpu);     /* cpuid.c */
void exit_rdmsr(struct vcpu *vcpu);     /* msr.c */
void exit_wrmsr(struct vcpu *vcpu);
void exit_page_fault(struct vcpu *vcpu); /* paging.c */
void exit_invlpg(struct vcpu *vcpu);
void exit_cr_write(struct vcpu *vcpu);  /* control_regs.c */
void exit_cr_read(struct vcpu *vcpu);
void exit_xsetbv(struct vcpu *vcpu);
void exit_io(struct vcpu *vcpu);        /* io.c */
void exit_hypercall(struct vcpu *vcpu); /* hypercall.c */

/* Control-register bits that this guest may set, from its CPUID (cpuid.c). */
uint64_t cpuid_guest_cr4_bits(void);
uint64_t cpuid_guest_efer_bits(void);

/* Write EFER as WRMSR would, LMA kept consistent; false: #GP (control_regs.c). */
bool guest_efer_write(struct vcpu *vcpu, uint64_t value);
