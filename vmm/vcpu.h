/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual CPU: its registers, what it does next, and the loop that runs it.
 */
#pragma once

#include <stdatomic.h>

#include "host/thread.h"
#include "host/timer.h"
#include "vmm/insn_memo.h"
#include "vmm/lapic.h"
#include "vmm/mmio.h"
#include "vmm/signal.h"
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

/* Counters of a vCPU: (field, name in the statistics). */
#define VCPU_STATS(X)                                                             \
	X(hypercalls, "hypercalls")                                               \
	X(injected, "injected_exceptions")                                        \
	X(interrupts, "injected_interrupts")                                      \
	X(nmis, "injected_nmis")                                                  \
	X(halts, "halts")             /* HLT that found nothing to do at first */ \
	X(posted, "signals")          /* of others: IPIs, timers, pokes */        \
	X(kicks, "kicks")             /* IPIs of the host to end guest mode */    \
	X(wakeups, "wakeups")         /* ends of a sleep, by a signal */          \
	X(migrations, "migrations")   /* to another CPU */

enum vcpu_activity {
	VCPU_RUNNING,
	VCPU_HALTED,  /* by HLT */
	VCPU_WAITING, /* for a SIPI or PHYLLO_HC_VCPU_START */
};

/* Of a VM, what its vCPUs share. */
struct vcpu_group {
	struct signal_group signals;
	_Atomic unsigned live;     /* threads that have not done with the others yet */
	struct thread *_Atomic reaper; /* who waits for live == 0 */
	_Atomic unsigned lowest;   /* the id that a lowest-priority interrupt is offered to first */
};

struct vcpu {
	struct vcpu_regs regs; /* first: offset 0 for the entry stubs */
	void *arch;            /* struct svm_vcpu or struct vmx_vcpu */
	struct vm *vm;
	unsigned id;
	struct thread *_Atomic thread; /* runs it, from vcpu_start_thread() to vcpus_join() */
	struct thread_hooks hooks;
	_Atomic unsigned cpu;  /* the CPU that has it loaded, or had it last: vcpu_kick() */
	_Atomic bool kicked;   /* since it went to enter the guest last */
	_Atomic unsigned activity; /* enum vcpu_activity; its own thread writes it */
	struct vcpu_signal signal;
	struct mmu_vcpu mmu;
	uint64_t pdpte[4];      /* shadow paging: PAE's, as the guest's last load of CR3 took them */
	struct vm_event inject; /* delivered at the next entry */
	struct vm_exit exit;    /* the last one */
	uint64_t ve_gpa;        /* its struct phyllo_ve, or VE_NO_PAGE (ve.h) */
	uint32_t pending; /* enum intr_event: its own, to look at before the next entry */
	struct lapic lapic;
	_Atomic uint32_t lapic_address; /* as of the APIC's last change, for senders */
	struct mmio_device lapic_page; /* where the APIC's base MSR puts it */
	struct timer alarm;
	bool intr_watched;       /* an exit was asked for at which an interrupt may come through (intr.c) */
	unsigned looks;          /* in a row: that it should look again soon (intr.c) */
	uint64_t alarm_at;       /* what it was set to, until INTR_TIMER; LAPIC_NEVER: not at all */
	struct {
		_Atomic bool claimed; /* by one that will post INTR_START, until that is taken */
		_Atomic unsigned inits; /* posted or about to be, and not carried out yet */
		uint32_t entry, arg;
	} start;
	uint64_t xcr0;          /* the guest's */
	void *fpu;              /* XSAVE area */
	struct vcpu_state reset; /* applied before the next entry */
	bool reset_pending;
	struct insn_memo memos[INSN_MEMOS]; /* insn.c */
	unsigned emulate_races; /* in a row: exits that emulate_mmio() could not explain */

	uint64_t exits[EXIT_REASON_COUNT];
	uint64_t hypercalls;
	uint64_t injected;
	uint64_t interrupts, nmis; /* delivered */
	uint64_t halts, migrations;
	_Atomic uint64_t posted, kicks, wakeups; /* others count these */
	struct exit_record history[VCPU_EXIT_HISTORY]; /* ring, newest at history_next - 1 */
	unsigned history_next;
};

/*
 * A new vCPU of vm, before any of them runs: number 0 in the state of vcpu_reset_protected(), all
 * others waiting to be started.  0 or -ENOMEM.
 */
int vcpu_create(struct vm *vm, unsigned id, struct vcpu **out);
/* Its thread is joined, or never was. */
void vcpu_destroy(struct vcpu *vcpu);

/* Runs it on a thread of its own until the VM has ended; cpus NULL: on any CPU.  0 or -ENOMEM. */
int vcpu_start_thread(struct vcpu *vcpu, const struct cpu_set *cpus);
/*
 * Waits until all vCPUs of a VM that has ended are done, and frees their threads.  One caller, from
 * whose thread none of them is a part; nobody may vcpu_poke() them meanwhile or later but they
 * themselves.
 */
void vcpus_join(struct vm *vm);

/*
 * It leaves guest mode, sleep or vm_checkpoint()'s park soon, and calls vm_checkpoint().  Any context.
 */
void vcpu_poke(struct vcpu *vcpu);
/* It leaves guest mode soon, if it is there.  Any context. */
void vcpu_kick(struct vcpu *vcpu);

/* In its loop, where interrupts are off: what is pending for this CPU comes now. */
void vcpu_open_interrupts(void);
/* The instruction is done: step over it (len bytes). */
void vcpu_skip(struct vcpu *vcpu, unsigned len);

/* ---- vcpu_reset.c: what it is to begin with; takes effect before its next entry ---- */

/*
 * What multiboot promises its kernel: 32-bit protected mode, paging off, flat 4G segments,
 * interrupts off, all registers 0 but the three given.
 */
void vcpu_reset_protected(struct vcpu *vcpu, uint32_t eip, uint32_t eax, uint32_t ebx);
/* After an INIT, and a STARTUP with that vector: real mode at vector << 12. */
void vcpu_reset_startup(struct vcpu *vcpu, uint8_t vector);
/* Do what one of these asked for: it is loaded, and interrupts are off. */
void vcpu_reset_apply(struct vcpu *vcpu);

/* Guest FPU state, arch/x86/fpu.c: moved when a vCPU gets or loses a CPU. */
void *fpu_area_alloc(void); /* in the reset state of the architecture; NULL: no memory */
void fpu_area_free(void *area);
void fpu_guest_load(void *area, uint64_t guest_xcr0);
/* Also reads back XCR0, which not every processor lets us intercept, and restores the host's. */
void fpu_guest_save(void *area, uint64_t *guest_xcr0);
/* XCR0 bits that the host supports; 0 without XSAVE. */
uint64_t fpu_xcr0_supported(void);
