/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual machine: guest memory, vCPUs, devices, and how it ended.  Its keeper makes and
 * frees it (keeper.h); who else lives is the business of the list (vms.h).
 */
#pragma once

#include <stdatomic.h>

#include "boot/boot_info.h"
#include "vmm/guest_console.h"
#include "vmm/pic.h"
#include "vmm/vcpu.h"
#include "vmm/vm_config.h"

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
	VM_END_DESTROYED, /* by the prompt or a privileged VM, perhaps to be started again */
};

struct vm {
	struct vm_config config;
	unsigned id; /* of its entry in the list: 1 …; 0 in a hypercall means "the caller's" */
	struct thread *keeper; /* does its deferred work, and sees to its end */
	struct mmu_vm *mmu;
	bool shadow; /* no nested paging: config.mmu and the processor have decided */
	unsigned vcpu_count;
	struct vcpu *vcpus[VM_VCPUS_MAX];
	struct vcpu_group group;
	spinlock_t devices; /* the next three */
	struct guest_console console;
	struct pic_pair pics;
	unsigned shutdown_match; /* characters of "Shutdown" seen on port 0x8900 */
	uint64_t start_us, end_us;

	/* What vCPUs look at in vm_checkpoint(); whoever changes it pokes them. */
	_Atomic unsigned end;  /* enum vm_end: once not VM_RUNNING, every vCPU leaves its loop */
	_Atomic bool paused;
	_Atomic bool ending;   /* somebody has the right to say how it ends */
	_Atomic unsigned waiting; /* vCPUs that wait for the end of the pause */
	_Atomic unsigned started; /* vCPUs that have a thread */
	uint64_t cpu_us;       /* that they had a CPU; from vm_join() on */
	uint64_t exit_code;    /* VM_END_EXIT: 0 is success */
	char why[256];         /* one sentence, for VM_END_STOPPED and _TIMEOUT */
};

/* What the boot options say of guests that do not say their own. */
struct vm_defaults vm_defaults(void);

/*
 * Create a VM from its image (and its modules), loaded and ready to run.  0, or
 * an error with one sentence in why; nothing is left behind then.  Its keeper calls it.
 */
int vm_create(const struct vm_config *config, const struct boot_module *image,
	      const struct boot_info *bi, unsigned id, struct vm **out, char *why,
	      size_t why_size);
/*
 * Why it gets no more memory, as the beginning of a sentence: the host has none, or its cap is
 * reached.
 */
const char *vm_memory_excuse(struct vm *vm);
/* Its vCPUs get their threads, and run unless it is paused or has ended. */
void vm_start(struct vm *vm);
/* It has ended: wait until all vCPUs are out of their loops. */
void vm_join(struct vm *vm);
/* Joined, or never started. Every page comes back. */
void vm_destroy(struct vm *vm);

/* Any thread.  The vCPUs leave the guest and wait, or go on. */
void vm_pause(struct vm *vm, bool paused);
/* No vCPU runs. */
bool vm_is_still(struct vm *vm);
/* CPU time of its vCPUs so far; not beside vm_join(). */
uint64_t vm_cpu_us(struct vm *vm);

/*
 * Called by a vCPU that was poked, and before it runs for the first time; interrupts off, it is
 * loaded, and holds nothing.  Waits while the VM is paused.  false: it has ended, and the vCPU
 * leaves its loop.
 */
bool vm_checkpoint(struct vcpu *vcpu);

/* The first end counts; later ones are ignored.  Any context. */
void vm_exit_with(struct vm *vm, uint64_t code);
void vm_stop(struct vm *vm, enum vm_end end);
__attribute__((format(printf, 3, 4)))
void vm_stop_why(struct vm *vm, enum vm_end end, const char *fmt, ...);
/* Stop with a sentence, and a report of this vCPU's state on the console. */
__attribute__((format(printf, 2, 3)))
void vm_stop_report(struct vcpu *vcpu, const char *fmt, ...);

/* Deferred work of mm/ (mmu_work_step()) is there: the keeper does it.  Any context. */
void vm_work_kick(struct vm *vm);

/* Acquire: pairs with the release in vm.c, for exit_code and why. */
static inline enum vm_end vm_end(const struct vm *vm)
{
	return (enum vm_end)atomic_load_explicit(&vm->end, memory_order_acquire);
}

static inline bool vm_is_running(const struct vm *vm)
{
	return vm_end(vm) == VM_RUNNING;
}

/* The verdict: did the guest end as a guest should? */
bool vm_succeeded(const struct vm *vm);
