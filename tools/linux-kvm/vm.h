/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One VM of Linux's KVM, made so that the kernels tests/guest/bench_*.c run in it as they are: it is entered
 * as multiboot1 says, prints on port 0xe9, and makes its hypercalls by IN (tests/guest/lib/call_port.h), which
 * calls.c turns into what KVM and Linux have for them.
 *
 * One VM at a time.  Whatever fails ends the machine with a sentence.
 */
#pragma once

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VM_VCPUS 8
#define VM_SLOTS 8
#define PAGE_SIZE 4096ul

struct vm_config {
	const char *kernel; /* file; its name up to the dot is the VM's */
	const char *words;  /* the kernel's command line */
	uint64_t mem;
	unsigned vcpus;
	bool small_pages;   /* no huge pages behind the guest's memory */
	bool realtime;      /* vCPUs but the first go before everything else: see run.c */
};

struct vm_slot {
	bool used;
	uint64_t gpa, bytes;
	uint8_t *memory;
	uint32_t flags;
	int protection; /* of memory, as a whole */
};

struct vm;
struct vm_vcpu {
	struct vm *vm;
	unsigned id;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
};

struct vm {
	struct vm_config config;
	char name[32];
	int kvm, fd;
	size_t run_size;
	struct vm_slot slot[VM_SLOTS];
	struct vm_vcpu vcpu[VM_VCPUS];
	_Atomic bool over;
	int exit_code;
	char line[512]; /* of its console, unfinished */
	unsigned line_length;
};

/* The machine ends, as a failure. */
__attribute__((format(printf, 1, 2))) _Noreturn void die(const char *fmt, ...);

/* ---- vm.c -------------------------------------------------------------------------- */

void vm_create(struct vm *vm, const struct vm_config *config);
/* Ticks that it took; the guest's memory stays. */
uint64_t vm_destroy(struct vm *vm);
void vm_free_memory(struct vm *vm);

/* Memory of the slot's size is made for it if it has none.  bytes 0: the slot goes, the memory stays. */
void vm_set_slot(struct vm *vm, unsigned id, uint64_t gpa, uint64_t bytes, uint32_t flags);
/* The slot that the whole range lies in, and where it lies here; NULL: not within one slot. */
struct vm_slot *vm_slot_of(struct vm *vm, uint64_t gpa, uint64_t bytes);
void *vm_memory(struct vm *vm, uint64_t gpa, uint64_t bytes);

static inline uint64_t ticks(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

/* ---- load.c, run.c, calls.c, stats.c -------------------------------------------------- */

/* The kernel and what multiboot1 tells it; vCPU 0 stands at its entry. */
void vm_load(struct vm *vm);
/* Until the guest ends itself. */
void vm_run(struct vm *vm);
/* One hypercall: number and arguments in the registers. */
int32_t vm_call(struct vm_vcpu *vcpu, const struct kvm_regs *regs);
/* KVM's statistics under the names that the kernels ask for.  -> how many there are. */
unsigned stats_read(void *to, uint64_t bytes);
bool kvm_uses_npt(void);
