/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions for the guest, delivered at the next entry. */
#pragma once

#include "arch/x86/cpu.h"
#include "vmm/vcpu.h"

#define DR6_BD (1ul << 13) /* MOV of a debug register, */
#define DR7_GD (1ul << 13) /* while they are guarded */

void inject_exception(struct vcpu *vcpu, uint8_t vector);
void inject_exception_error(struct vcpu *vcpu, uint8_t vector, uint32_t error);
/* The one of an EXIT_EXCEPTION, which the guest is to have after all. */
void inject_exit(struct vcpu *vcpu);
/* #DB on a backend with get_dr(): sets DR6 and DR7 as the processor would (SDM vol. 3B, 18.2.3). */
void inject_debug(struct vcpu *vcpu, uint64_t dr6);
/* #PF sets CR2 as well. */
void inject_page_fault(struct vcpu *vcpu, gva_t gva, uint32_t error);

static inline void inject_gp(struct vcpu *vcpu)
{
	inject_exception_error(vcpu, VEC_GP, 0);
}
