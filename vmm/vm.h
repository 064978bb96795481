/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual machine: guest memory, vCPUs, devices, and how it ended.
 */
#pragma once

#include <stdatomic.h>

#include "boot/boot_info.h"
#include "vmm/guest_console.h"
#include "vmm/pic.h"
#include "vmm/vcpu.h"
#include "vmm/vm_config.h"

#define VM_VCPUS_MAX 64

/*
 * Guest RAM is [0, 3G) and, for what is larger, [4G, …): the hole is where PCs
 * have their devices.
 */
#define VM_LOW_RAM_END (3ul << 30)
#define VM_HIGH_RAM_BASE (4ul << 30)

enum vm_end {
	VM_RUNNING,
	VM_END_EXIT,     /* said so itself: hypercall, port 0xf4, "Shutdown" */
	VM_END_HALTED,   /* HLT that nothing can end */
	VM_END_STOPPED,  /* by us: it did something that cannot go on; why says what */
	VM_END_TIMEOUT,
	VM_END_USER,     /* Ctrl-C at the console */
};

struct vm {
	struct vm_config config;
	unsigned id; /* 1 …; 0 in a hypercall means "the caller's" */
	struct mmu_vm *mmu;
	unsigned vcpu_count;
	struct vcpu *vcpus[VM_VCPUS_MAX];
	struct guest_console console;
	struct pic_pair pics;
	unsigned shutdown_match; /* characters of "Shutdown" seen on port 0x8900 */
	uint64_t start_us, end_us;

	_Atomic unsigned end;  /* enum vm_end: once not VM_RUNNING, every vCPU leaves its loop */
	uint64_t exit_code;    /* VM_END_EXIT: 0 is success */
	char why[256];         /* one sentence, for VM_END_STOPPED */
};

/*
 * Create a VM from its image (and its modules), loaded and ready to run.  0, or
 * an error with one sentence in why; nothing is left behind then.
 */
int vm_create(const struct vm_config *config, const struct boot_module *image,
	      const struct boot_info *bi, unsigned id, struct vm **out, char *why,
	      size_t why_size);
/* All vCPUs out of their loops. Every page comes back. */
void vm_destroy(struct vm *vm);

/* The first end counts; later ones are ignored. */
void vm_exit_with(struct vm *vm, uint64_t code);
void vm_stop(struct vm *vm, enum vm_end end);
/* Stop with a sentence, and a report of this vCPU's state on the console. */
__attribute__((format(printf, 2, 3)))
void vm_stop_report(struct vcpu *vcpu, const char *fmt, ...);

/*
 * Deferred work of mm/ (mmu_work_step()): kicked by port_work_kick(), done by the vCPUs' run
 * loops, a bounded piece between two exits, and by vm_destroy().
 */
void vm_work_kick(void);
uint64_t vm_work_kicks(void); /* changes with every kick */

static inline bool vm_is_running(struct vm *vm)
{
	return atomic_load_explicit(&vm->end, memory_order_relaxed) == VM_RUNNING;
}

/* The verdict: did the guest end as a guest should? */
bool vm_succeeded(const struct vm *vm);
