/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtualisation exception (#VE, vector 20): how a guest learns that it did what
 * a protection (PHYLLO_HC_PROTECT) forbids.
 */
#pragma once

#include "vmm/vcpu.h"

#define VE_NO_PAGE (~0ul) /* PHYLLO_VE_OFF: nobody wants to know */

/* Where the vCPU's struct phyllo_ve is from now on, or VE_NO_PAGE.  0 or a negative error. */
int64_t ve_setup(struct vcpu *vcpu, uint64_t gpa);
/* The access of vcpu->exit.fault is forbidden: tell the guest, or stop it with a report. */
void ve_deliver(struct vcpu *vcpu);
