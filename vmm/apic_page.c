/* SPDX-License-Identifier: GPL-2.0-only */
/* See apic_page.h. */
#include "vmm/apic_page.h"

#include "host/machine.h"
#include "vmm/intr.h"
#include "vmm/ipi.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

/* ---- the page ------------------------------------------------------------------------ */

static void page_begin(struct vcpu *vcpu)
{
	intr_sync_tpr(vcpu);
	/* What has been taken from there is in the APIC already. */
	if (signal_is_set(&vcpu->signal))
		intr_fold(vcpu);
}

/* Any access may have brought the timer on, and an interrupt with it. */
static void page_accessed(struct vcpu *vcpu)
{
	intr_raise(vcpu, INTR_CHECK);
	intr_apic_changed(vcpu);
}

/* Registers are 4 bytes wide and 16 apart; what lies between them reads 0. */
static bool page_read(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	unsigned byte = offset & 3;

	if (byte + size > 4)
		return false;
	page_begin(vcpu);
	*value = 0;
	if ((offset & 0xf) < 4)
		*value = lapic_read(&vcpu->lapic, (unsigned)offset & ~0xfu, machine_cycles()) >>
			 8 * byte;
	if (size < 4)
		*value &= (1ul << 8 * size) - 1;
	page_accessed(vcpu);
	return true;
}

/* Writes are 32 bits wide and aligned (SDM vol. 3A, 11.4.1.2). */
static bool page_write(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	if (size != 4 || offset & 0xf)
		return false;
	page_begin(vcpu);
	if (lapic_write(&vcpu->lapic, (unsigned)offset, (uint32_t)value, machine_cycles()))
		ipi_send(vcpu);
	if (offset == LAPIC_TPR)
		virt->set_cr8(vcpu, vcpu->lapic.tpr >> 4);
	page_accessed(vcpu);
	return true;
}

void apic_page_init(struct vcpu *vcpu)
{
	vcpu->lapic_page = (struct mmio_device){
		.base = vcpu->lapic.base & LAPIC_BASE_ADDRESS,
		.size = LAPIC_PAGE_SIZE,
		.read = page_read,
		.write = page_write,
	};
}

/* ---- the base MSR ---------------------------------------------------------------------- */

/* Over RAM the page would have to hide it: the APIC stays in the hole below 4 GiB. */
static bool is_base_valid(uint64_t value)
{
	uint64_t address = value & LAPIC_BASE_ADDRESS;

	return !(value & ~(LAPIC_BASE_ADDRESS | LAPIC_BASE_ENABLE | LAPIC_BASE_BSP)) &&
	       address >= VM_LOW_RAM_END && address < VM_HIGH_RAM_BASE;
}

int apic_page_set_base(struct vcpu *vcpu, uint64_t value)
{
	struct lapic *lapic = &vcpu->lapic;
	bool was_enabled = lapic_is_enabled(lapic);

	if (!is_base_valid(value))
		return -EINVAL;
	/* Whether this is the boot processor was settled at RESET. */
	lapic->base = (value & ~LAPIC_BASE_BSP) | (lapic->base & LAPIC_BASE_BSP);
	vcpu->lapic_page.base = value & LAPIC_BASE_ADDRESS;
	/* Disabled, it loses all it knew (SDM vol. 3A, 11.4.3). */
	if (was_enabled && !lapic_is_enabled(lapic)) {
		lapic_reset(lapic);
		virt->set_cr8(vcpu, 0);
	}
	page_accessed(vcpu);
	return 0;
}
