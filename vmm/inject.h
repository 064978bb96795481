/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions for the guest, delivered at the next entry. */
#pragma once

#include "arch/x86/cpu.h"
#include "vmm/vcpu.h"

void inject_exception(struct vcpu *vcpu, uint8_t vector);
void inject_exception_error(struct vcpu *vcpu, uint8_t vector, uint32_t error);
/* #PF sets CR2 as well. */
void inject_page_fault(struct vcpu *vcpu, gva_t gva, uint32_t error);

static inline void inject_gp(struct vcpu *vcpu)
{
	inject_exception_error(vcpu, VEC_GP, 0);
}
