/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Real mode on a processor that has its guests in virtual-8086 mode then (struct virt_real_ops): the
 * instructions that it refuses there, and the delivery of events, which it would do through the IDT.
 */
#pragma once

#include "vmm/vcpu.h"
#include "vmm/virt.h"

/*
 * Before each entry, outside guest mode, interrupts off: what is in vcpu->inject goes
 * through the guest's vector table.  false: its VM was stopped.
 */
bool realmode_prepare_emulated(struct vcpu *vcpu);

static inline bool realmode_prepare(struct vcpu *vcpu)
{
	return !virt->real || realmode_prepare_emulated(vcpu);
}

/* EXIT_EXCEPTION in that mode. */
void exit_real_mode(struct vcpu *vcpu);
