/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Several processors, for 64-bit kernels.
 *
 *   static void work(void *arg) { CPU_CHECK(this_cpu()->id < smp_count); }
 *
 *   smp_init();                    how many there are; this one is number 0
 *   smp_start_all();
 *   smp_run_on_all(work, NULL);    returns when all have returned
 *
 * Processors are numbered by their local APIC IDs, from 0 without gaps.  Between two jobs the
 * others sleep in HLT until an interrupt (SMP_WAKE_VECTOR).  A job starts with interrupts off.
 * Only number 0 may print and use CHECK; a job uses CPU_CHECK.
 */
#pragma once

#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/sync.h"

#define SMP_MAX 64
#define SMP_WAKE_VECTOR 0xf8

struct cpu_failure {
	const char *file, *what;
	int line;
	unsigned long long got, want;
};

struct cpu {
	struct cpu *self; /* %gs:0 */
	unsigned id;
	_Atomic unsigned online;   /* counts its starts */
	_Atomic unsigned job_given, job_done;
	volatile bool woken;       /* by SMP_WAKE_VECTOR, since its last job began */
	uint64_t random;           /* state of cpu_random() */
	_Atomic uint64_t progress; /* for the job to use; zeroed before each */
	struct irq_log irq;
	struct irq_log *log;       /* where interrupts go: irq, or a test's own */

	/* #VE: the default is to try the instruction again. */
	struct phyllo_ve *ve;
	unsigned long ve_count;
	bool (*ve_hook)(struct cpu *c, struct trap_frame *f);

	unsigned failures;
	struct cpu_failure first_failure;

	uint64_t gdt[16];
	struct tss tss __attribute__((aligned(128)));
	uint8_t df_stack[4096] __attribute__((aligned(16)));
	uint8_t ve_page[PAGE_SIZE] __attribute__((aligned(4096)));
	uint8_t stack[16384] __attribute__((aligned(4096)));
};

extern unsigned smp_count;          /* processors of this machine */
extern struct cpu *smp_cpu[SMP_MAX];

static inline struct cpu *this_cpu(void)
{
	struct cpu *c;

	__asm__ volatile("movq %%gs:0, %0" : "=r"(c));
	return c;
}

/*
 * Under Phyllo the hypervisor says how many there are, elsewhere the word cpus=N.  The word
 * seed=N changes every sequence of cpu_random().  Interrupts of this processor go to this_cpu()->irq.
 */
void smp_init(void);
/* The same for a kernel that knows how many, and that makes no hypercalls. */
void smp_init_count(unsigned n);

/* Start it and wait until it has come: by hypercall, or by INIT, STARTUP and STARTUP. */
void smp_start_by_hypercall(unsigned id);
void smp_start_by_apic(unsigned id);
/* By what there is. */
void smp_start_all(void);
/* INIT: it is as after power-on, and must be started again. */
void smp_init_ipi(unsigned id);
/* Puts the code that STARTUP finds below 1 MiB.  -> the vector to send. */
unsigned smp_trampoline(void);
/* The same, into this page, which is the vector. */
void smp_trampoline_at(unsigned page);
/* Waits until processor id has come up `times` times in all. */
void smp_wait_online(unsigned id, unsigned times);

void smp_run_on_all(void (*fn)(void *arg), void *arg);
/* The two halves of it, for those in the mask only: number 0 goes on with something else between. */
void smp_give(uint64_t mask, void (*fn)(void *arg), void *arg);
void smp_finish(uint64_t mask);
/* Number 0 waits until the others together have counted up `progress` so often; alone: not at all. */
void smp_let_others_step(unsigned steps);
static inline uint64_t smp_all(void)
{
	return smp_count == 64 ? ~0ull : (1ull << smp_count) - 1;
}

/* ICR with a destination: an APIC ID, or a logical one. */
void apic_send_to(unsigned dest, uint32_t icr);
/* Empties this processor's log and resets its APIC, interrupts off. */
void cpu_apic_begin(void);
/* Until the log has so many interrupts; ends the kernel when they do not come. */
void cpu_irq_wait(unsigned count);

/* #VE of this processor goes to its own page from now on. */
void cpu_ve_start(void);

/* xorshift64*, one sequence per processor. */
uint64_t cpu_random(void);
static inline uint32_t cpu_random_below(uint32_t n)
{
	return (cpu_random() >> 32) * n >> 32;
}

/* Failures of a job are told by number 0 when all have finished, or by smp_report(). */
void smp_report(void);
void cpu_fail(const char *file, int line, const char *what, unsigned long long got,
	      unsigned long long want);

#define CPU_CHECK_EQ(a, b)                                                             \
	do {                                                                           \
		unsigned long long cpu_a = (unsigned long long)(a);                    \
		unsigned long long cpu_b = (unsigned long long)(b);                    \
		if (cpu_a != cpu_b)                                                    \
			cpu_fail(__FILE__, __LINE__, #a " == " #b, cpu_a, cpu_b);      \
	} while (0)
#define CPU_CHECK(cond)                                                                \
	do {                                                                           \
		if (!(cond))                                                           \
			cpu_fail(__FILE__, __LINE__, #cond, 0, 1);                     \
	} while (0)
