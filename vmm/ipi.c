/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See ipi.h.  A sender looks at addresses that the receivers published, and posts; it never touches
 * another vCPU's APIC.  What it sends to itself needs no post.
 */
#include "vmm/ipi.h"

#include "vmm/intr.h"
#include "vmm/vm.h"

static void vector_arrives(struct vcpu *vcpu, struct vcpu *target, uint8_t vector)
{
	if (target != vcpu) {
		intr_post_vector(target, vector);
		return;
	}
	lapic_accept(&vcpu->lapic, vector);
	intr_raise(vcpu, INTR_CHECK);
}

static void arrive(struct vcpu *vcpu, struct vcpu *target, const struct lapic_ipi *ipi)
{
	switch (ipi->delivery) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		vector_arrives(vcpu, target, ipi->vector);
		break;
	case LAPIC_NMI:
		intr_post(target, INTR_NMI);
		break;
	case LAPIC_INIT:
		intr_post_init(target);
		break;
	case LAPIC_STARTUP:
		intr_post_startup(target, ipi->vector);
		break;
	default: /* SMI and what is reserved */
		break;
	}
}

static uint32_t address_of(struct vcpu *target)
{
	return atomic_load_explicit(&target->lapic_address, memory_order_acquire);
}

/*
 * One of the addressed that take interrupts at all.  Whose priority is lowest is known to the
 * receivers only, as CR8 changes without an exit; so they take turns.
 */
static void send_lowest(struct vcpu *vcpu, const struct lapic_ipi *ipi)
{
	struct vm *vm = vcpu->vm;
	unsigned first = atomic_load_explicit(&vm->group.lowest, memory_order_relaxed);

	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		unsigned id = (first + i) % vm->vcpu_count;
		struct vcpu *target = vm->vcpus[id];
		uint32_t address = address_of(target);

		if (!lapic_is_addressed(address, ipi, target == vcpu) ||
		    !lapic_address_accepts(address))
			continue;
		atomic_store_explicit(&vm->group.lowest, id + 1, memory_order_relaxed);
		arrive(vcpu, target, ipi);
		return;
	}
}

void ipi_send(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	struct lapic_ipi ipi;

	if (!lapic_get_ipi(&vcpu->lapic, &ipi))
		return;
	if (ipi.delivery == LAPIC_LOWEST) {
		send_lowest(vcpu, &ipi);
		return;
	}
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *target = vm->vcpus[i];

		if (lapic_is_addressed(address_of(target), &ipi, target == vcpu))
			arrive(vcpu, target, &ipi);
	}
}
