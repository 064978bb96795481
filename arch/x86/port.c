/* SPDX-License-Identifier: GPL-2.0-only */
/* The hypervisor's side of mm/port.h. */
#include "mm/port.h"

#include <stdarg.h>

#include "arch/x86/percpu.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/pages.h"
#include "host/thread.h"
#include "lib/string.h"
#include "lib/util.h"
#include "vmm/vm.h"

_Static_assert(HPA_INVALID == PAGES_NONE, "the two mean the same");
_Static_assert((unsigned)PORT_ZERO == (unsigned)PAGES_ZERO, "the two mean the same");
_Static_assert((unsigned)PORT_BELOW_4G == (unsigned)PAGES_BELOW_4G, "the two mean the same");

/* A page of 1G takes as long as a time slice. */
static void zero_in_steps(hpa_t hpa, unsigned order)
{
	const uint64_t step = 1ul << 21;

	for (uint64_t at = 0; at < 4096ul << order; at += step) {
		memset(machine_phys_to_virt(hpa + at), 0, step);
		port_resched();
	}
}

hpa_t port_pages_alloc(unsigned order, unsigned flags)
{
	bool large = order > 9 && flags & PORT_ZERO;
	hpa_t hpa = pages_alloc(order, large ? flags & ~(unsigned)PAGES_ZERO : flags);

	if (large && hpa != HPA_INVALID)
		zero_in_steps(hpa, order);
	return hpa;
}

void port_pages_free(hpa_t hpa, unsigned order)
{
	pages_free(hpa, order);
}

void port_pages_free_run(hpa_t hpa, uint64_t n)
{
	pages_free_run(hpa, n);
}

void port_pages_split(hpa_t hpa, unsigned order)
{
	pages_split(hpa, order);
}

_Static_assert(PORT_DIRECT_MAP == DIRECT_MAP_BASE, "mm/ has the direct map where it is");

hpa_t port_va_to_hpa(const void *va)
{
	return machine_virt_to_phys(va);
}

void *port_obj_alloc(size_t size)
{
	return object_alloc(size);
}

void port_obj_free(void *obj, size_t size)
{
	object_free(obj, size);
}

void port_cpu_relax(void)
{
	machine_relax();
}

/*
 * Nothing preempts the hypervisor but interrupt handlers, and those take no lock of
 * mm/: the depth is kept to catch a yield where none is allowed.
 */
void port_preempt_disable(void)
{
	percpu_this()->preempt_depth++;
	atomic_signal_fence(memory_order_seq_cst);
}

void port_preempt_enable(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	BUG_ON(!percpu_this()->preempt_depth);
	percpu_this()->preempt_depth--;
}

bool port_need_resched(void)
{
	return thread_should_yield();
}

/* Lets interrupts in as well, whatever the caller had. */
void port_resched(void)
{
	uint64_t flags = machine_irq_save();

	BUG_ON(percpu_this()->preempt_depth);
	machine_irq_enable();
	machine_relax();
	thread_yield();
	machine_irq_save();
	machine_irq_restore(flags);
}

uint64_t port_clock(void)
{
	return machine_cycles();
}

void port_vcpu_kick(struct mmu_vcpu *vcpu)
{
	vcpu_kick(container_of(vcpu, struct vcpu, mmu));
}

void port_work_kick(struct mmu_vm *vm)
{
	vm_work_kick(mmu_vm_owner(vm));
}

_Noreturn void port_bug(const char *file, int line, const char *what)
{
	panic("%s:%d: %s", file, line, what);
}

void port_log(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vprintf(LOG_INFO, fmt, ap);
	va_end(ap);
}
