/* SPDX-License-Identifier: GPL-2.0-only */
/* What a person reads when a guest was stopped, and when it has ended. */
#pragma once

#include "vmm/vm.h"

/* Registers, last exits, and the processor's own structure, on the CPU that has it loaded. */
void report_vcpu(struct vcpu *vcpu);
/* How it ended, pages by size, faults, exits by reason, hypercalls, what the audit found.  Joined. */
void report_summary(struct vm *vm, const struct mmu_audit_report *audit);
/* The statistics of one that runs. */
void report_stats_now(struct vm *vm);
/* Histograms of how long things took, and the worst of each kind. */
void report_latency(struct vm *vm);
/* What was done last to its tables. */
void report_events(struct vm *vm);
/* For a panic: the newest exits of the vCPU that this CPU runs, the events of all VMs. */
void report_panic(void);
/* Changes with each exit of it, for the watchdog: between two exits no lock is held. */
uint64_t report_progress(void);
/* Names the vCPU that this CPU runs; NULL when it leaves. */
void report_set_current(struct vcpu *vcpu);
