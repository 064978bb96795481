/* SPDX-License-Identifier: GPL-2.0-only */
/* The local APIC as a vCPU reaches it: its page, its base MSR, and where its ICR sends to. */
#pragma once

#include "vmm/vcpu.h"

void apic_page_init(struct vcpu *vcpu);
/* WRMSR of IA32_APIC_BASE.  0 or -EINVAL: #GP. */
int apic_page_set_base(struct vcpu *vcpu, uint64_t value);
