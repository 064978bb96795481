/* SPDX-License-Identifier: GPL-2.0-only */
/* Interprocessor interrupts between the vCPUs of a VM: what becomes of the ICR. */
#pragma once

#include "vmm/vcpu.h"

/* The ICR of the vCPU's APIC was written. On its own thread, while it is loaded. */
void ipi_send(struct vcpu *vcpu);
