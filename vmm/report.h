/* SPDX-License-Identifier: GPL-2.0-only */
/* What a person reads when a guest was stopped, and when it has ended. */
#pragma once

#include "vmm/vm.h"

/* Registers, last exits, and the processor's own structure, on the CPU that has it loaded. */
void report_vcpu(struct vcpu *vcpu);
/* How it ended, pages by size, faults, exits by reason, hypercalls, audit.  Returns audit errors. */
uint64_t report_summary(struct vm *vm);
/* The newest exits of the vCPU that this CPU runs, for a panic. */
void report_panic(void);
/* Names the vCPU that this CPU runs; NULL when it leaves. */
void report_set_current(struct vcpu *vcpu);
