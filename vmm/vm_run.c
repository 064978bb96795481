/* SPDX-License-Identifier: GPL-2.0-only */
/* A VM that runs: its threads, pauses, and its end; see vm.h. */
#include "vmm/vm.h"

#include <stdarg.h>

#include "host/machine.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/util.h"
#include "vmm/io.h"
#include "vmm/report.h"

/* vCPUs that show their state when a VM runs out of time: enough to see where it hangs. */
#define TIMEOUT_REPORTS 4

static const struct cpu_set *cpus_of(const struct vm_config *config, unsigned i,
				     struct cpu_set *one)
{
	static const struct cpu_set none;

	if (config->pin[i] != VM_PIN_ANY) {
		*one = (struct cpu_set){ 0 };
		one->bits[config->pin[i] / 64] = BIT(config->pin[i] % 64);
		return one;
	}
	return memcmp(&config->cpus, &none, sizeof(none)) ? &config->cpus : NULL;
}

static void poke_all(struct vm *vm)
{
	unsigned started = atomic_load(&vm->started);

	for (unsigned i = 0; i < started; i++)
		vcpu_poke(vm->vcpus[i]);
}

void vm_start(struct vm *vm)
{
	struct cpu_set one;

	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		if (vcpu_start_thread(vm->vcpus[i], cpus_of(&vm->config, i, &one))) {
			vm_stop_why(vm, VM_END_STOPPED, "no host memory for the thread of vcpu %u", i);
			return;
		}
		atomic_store(&vm->started, i + 1);
	}
	/* Whoever paused or ended it meanwhile may have missed the newest. */
	poke_all(vm);
}

static uint64_t cycles_to_us(uint64_t cycles)
{
	uint64_t per_us = machine_cycles_per_us();

	return per_us ? cycles / per_us : 0;
}

uint64_t vm_cpu_us(struct vm *vm)
{
	unsigned started = atomic_load(&vm->started);
	uint64_t cycles = 0;

	for (unsigned i = 0; i < started; i++)
		cycles += thread_run_cycles(vm->vcpus[i]->thread);
	return vm->cpu_us + cycles_to_us(cycles);
}

void vm_join(struct vm *vm)
{
	uint64_t us = vm_cpu_us(vm);

	vcpus_join(vm);
	atomic_store(&vm->started, 0);
	vm->cpu_us = us;
}

void vm_pause(struct vm *vm, bool paused)
{
	/* Sequentially consistent, as the poke's own look at the vCPU is. */
	if (atomic_exchange(&vm->paused, paused) != paused)
		poke_all(vm);
}

bool vm_is_still(struct vm *vm)
{
	return atomic_load_explicit(&vm->waiting, memory_order_relaxed) == vm->vcpu_count;
}

static void wait_for_resume(struct vm *vm)
{
	atomic_fetch_add_explicit(&vm->waiting, 1, memory_order_relaxed);
	while (atomic_load(&vm->paused) && vm_is_running(vm))
		thread_park();
	atomic_fetch_sub_explicit(&vm->waiting, 1, memory_order_relaxed);
}

bool vm_checkpoint(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	if (atomic_load(&vm->paused))
		wait_for_resume(vm);
	if (vm_is_running(vm))
		return true;
	/* The keeper has ended it, but only the CPU that has the vCPU loaded can read its state. */
	if (vm_end(vm) == VM_END_TIMEOUT && vcpu->id < TIMEOUT_REPORTS)
		report_vcpu(vcpu);
	return false;
}

void vm_work_kick(struct vm *vm)
{
	thread_unpark(vm->keeper);
}

/* ---- the end ------------------------------------------------------------------------- */

/* Only the first may say how it ends. */
static bool claim_end(struct vm *vm)
{
	return !atomic_exchange_explicit(&vm->ending, true, memory_order_relaxed);
}

static void publish_end(struct vm *vm, enum vm_end end)
{
	vm->end_us = machine_us();
	/* Release: pairs with the acquire in vm_end().  And before the pokes look at the vCPUs. */
	atomic_store(&vm->end, end);
	poke_all(vm);
	thread_unpark(vm->keeper);
}

void vm_stop(struct vm *vm, enum vm_end end)
{
	if (claim_end(vm))
		publish_end(vm, end);
}

void vm_exit_with(struct vm *vm, uint64_t code)
{
	if (!claim_end(vm))
		return;
	vm->exit_code = code;
	publish_end(vm, VM_END_EXIT);
}

void vm_stop_why(struct vm *vm, enum vm_end end, const char *fmt, ...)
{
	va_list ap;

	if (!claim_end(vm))
		return;
	va_start(ap, fmt);
	lib_vsnprintf(vm->why, sizeof(vm->why), fmt, ap);
	va_end(ap);
	publish_end(vm, end);
}

void vm_stop_report(struct vcpu *vcpu, const char *fmt, ...)
{
	struct vm *vm = vcpu->vm;
	va_list ap;

	if (!claim_end(vm))
		return;
	va_start(ap, fmt);
	lib_vsnprintf(vm->why, sizeof(vm->why), fmt, ap);
	va_end(ap);
	io_console_flush(vm);
	publish_end(vm, VM_END_STOPPED);
	report_vcpu(vcpu);
}

bool vm_succeeded(const struct vm *vm)
{
	switch (vm_end(vm)) {
	case VM_END_EXIT:
		return vm->exit_code == 0;
	case VM_END_HALTED:
	case VM_END_DESTROYED:
		return true;
	default:
		return false;
	}
}
