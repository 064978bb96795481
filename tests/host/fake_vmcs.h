/* SPDX-License-Identifier: GPL-2.0-only */
/* A VMCS that is an array, and a processor that can do everything: for tests of the VT-x backend. */
#pragma once

#include "arch/x86/vmx/vmx.h"

extern uint64_t fake_vmcs[0x7000];
extern struct vmx_vcpu fake_vmx;
extern struct vcpu fake_vmx_vcpu;
extern uint64_t fake_debug_registers[8];

/* Allows everything, and insists on the "default 1" bits only. */
struct vmx_cap fake_vmx_able(void);
/* All of the above anew; the vCPU has nested paging. */
void fake_vmx_reset(void);
