/* SPDX-License-Identifier: GPL-2.0-only */
/* See mmio.h. */
#include "vmm/mmio.h"

#include "vmm/vcpu.h"

const struct mmio_device *mmio_find(struct vcpu *vcpu, gpa_t gpa)
{
	/* Each vCPU sees its own local APIC, where and while its base MSR says so. */
	const struct mmio_device *apic = &vcpu->lapic_page;

	return lapic_is_enabled(&vcpu->lapic) && gpa - apic->base < apic->size ? apic : NULL;
}
