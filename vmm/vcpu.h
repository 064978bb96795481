/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual CPU: its registers, what it does next, and the loop that runs it.
 */
#pragma once

#include <stdatomic.h>

#include "vmm/lapic.h"
#include "vmm/mmio.h"
#include "vmm/virt_ops.h"

struct vm;

/* Loaded before every entry, stored after every exit.  asm knows the offsets. */
struct vcpu_regs {
	uint64_t gpr[16]; /* x86 encoding order, rsp included */
	uint64_t rip;
	uint64_t rflags;
	uint64_t cr2;
};

#define VCPU_EXIT_HISTORY 16

struct exit_record {
	uint64_t rip;
	uint64_t hw_info;
	uint16_t reason;
	uint16_t hw_reason;
};

struct vcpu {
	struct vcpu_regs regs; /* first: offset 0 for the entry stubs */
	void *arch;            /* struct svm_vcpu or struct vmx_vcpu */
	struct vm *vm;
	unsigned id;
	unsigned cpu;          /* the CPU that has it loaded */
	struct mmu_vcpu mmu;
	struct vm_event inject; /* delivered at the next entry */
	struct vm_exit exit;    /* the last one */
	uint64_t ve_gpa;        /* its struct phyllo_ve, or VE_NO_PAGE (ve.h) */
	uint64_t work_seen;     /* of vm_work_kicks(): up to there nothing is left to do */
	uint64_t work_us;       /* when it was looked for last, kick or no kick */
	_Atomic unsigned events; /* enum intr_event: what to see to before the next entry */
	struct lapic lapic;
	struct mmio_device lapic_page; /* where the APIC's base MSR puts it */
	uint64_t alarm_at;       /* what the CPU's alarm is set to for it; LAPIC_NEVER: not at all */
	uint64_t xcr0;          /* the guest's */
	void *fpu;              /* XSAVE area */
	struct vcpu_state reset; /* applied when it is first loaded */
	bool reset_pending;
	unsigned emulate_races; /* in a row: exits that emulate_mmio() could not explain */

	uint64_t exits[EXIT_REASON_COUNT];
	uint64_t hypercalls;
	uint64_t injected;
	uint64_t interrupts, nmis; /* delivered */
	struct exit_record history[VCPU_EXIT_HISTORY]; /* ring, newest at history_next - 1 */
	unsigned history_next;
};

/*
 * A new vCPU of vm, in the state of vcpu_reset_protected().  0 or -ENOMEM.
 */
int vcpu_create(struct vm *vm, unsigned id, struct vcpu **out);
void vcpu_destroy(struct vcpu *vcpu);
/*
 * What multiboot promises its kernel: 32-bit protected mode, paging off, flat 4G segments,
 * interrupts off, all registers 0 but the three given.
 */
void vcpu_reset_protected(struct vcpu *vcpu, uint32_t eip, uint32_t eax, uint32_t ebx);
/* Run until its VM stops; interrupts on. */
void vcpu_run(struct vcpu *vcpu);
/* Now and then, from exits that the host caused: time limit, Ctrl-C, work that is due. */
void vcpu_check_limits(struct vcpu *vcpu);

/* The instruction is done: step over it (len bytes). */
void vcpu_skip(struct vcpu *vcpu, unsigned len);

/* Guest FPU state, arch/x86/fpu.c: moved when a vCPU gets or loses a CPU. */
void *fpu_area_alloc(void); /* in the reset state of the architecture; NULL: no memory */
void fpu_area_free(void *area);
void fpu_guest_load(void *area, uint64_t guest_xcr0);
/* Also reads back XCR0, which not every processor lets us intercept, and restores the host's. */
void fpu_guest_save(void *area, uint64_t *guest_xcr0);
/* XCR0 bits that the host supports; 0 without XSAVE. */
uint64_t fpu_xcr0_supported(void);
