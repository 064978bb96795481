/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the machine-independent rooms (host/, vmm/) need of the machine.
 * Implemented by arch/x86/machine.c and its neighbours; hosted tests have their own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct boot_info;

/* ---- time and CPUs ------------------------------------------------------ */

unsigned machine_cpu_id(void);   /* 0 … machine_cpu_count() - 1; 0 before bring-up */
unsigned machine_cpu_count(void); /* CPUs that are up */
uint64_t machine_cycles(void);   /* TSC; instructions under icount */
uint64_t machine_us(void);       /* since boot; 0 before the TSC is calibrated */
uint64_t machine_cycles_per_us(void); /* 0 before calibration */
void machine_relax(void);        /* PAUSE */

uint64_t machine_irq_save(void); /* disables; returns what irq_restore() wants */
void machine_irq_restore(uint64_t flags);
void machine_irq_enable(void);
bool machine_irqs_enabled(void);

/*
 * Run fn(arg) on one CPU / on all others, with interrupts off there, and wait.
 * -ETIMEDOUT when a CPU does not answer within a second (named in the log).
 * Call with interrupts on.
 */
int machine_run_on(unsigned cpu, void (*fn)(void *), void *arg);
int machine_run_on_others(void (*fn)(void *), void *arg);

/* Kick: an IPI with no effect but to end guest mode or HLT there.  Not itself, and any context. */
void machine_kick_cpu(unsigned cpu);
/* The same by an NMI: for guest mode that does not end by the former.  It may come a moment too early. */
void machine_kick_cpu_nmi(unsigned cpu);

/*
 * Call fn(arg) on this CPU, in interrupt context, once its TSC has reached cycles; a new alarm
 * takes the place of the last one.  Interrupts off.  For host/timer.c, which shares it out.
 */
void machine_alarm_set(uint64_t cycles, void (*fn)(void *arg), void *arg);
void machine_alarm_cancel(void);

/* ---- stacks and contexts: what threads are made of (host/sched.c) -------------------------- */

/* The unmapped page under a stack is where an overflow faults. */
struct stack {
	uint64_t guard; /* 4K */
	uint64_t top;
};

/* 16 KiB; 0 or -ENOMEM.  Any context but NMI. */
int machine_stack_alloc(struct stack *out);
/* No CPU is on it. */
void machine_stack_free(const struct stack *s);

/* Where whoever does not run goes on. */
struct context {
	void *sp;
};

/* The first switch to it calls fn(arg) on that stack, with interrupts off; fn never returns. */
void machine_context_init(struct context *c, const struct stack *s, void (*fn)(void *arg), void *arg);
/*
 * Go on in *to, on its stack s, and return once somebody switches to *from, which may be another CPU.
 * Interrupts off, preemption not disabled (mm/port.h).
 */
void machine_context_switch(struct context *from, const struct context *to, const struct stack *s);

/* ---- the watchdog ------------------------------------------------------------------------- */

/*
 * The caller could let others in now: it holds no lock, and interrupts have been on.  Whoever does not
 * come by here for long (watchdog=) is reported with its call chain.
 */
void machine_alive(void);
/* fn(), in interrupt context, changes its value when the CPU has made progress of another kind. */
void machine_set_progress(uint64_t (*fn)(void));

/* ---- stages --------------------------------------------------------------- */

/* "What is being done now", one line in the log with its time; named by panics and time-outs. */
void stage_enter(const char *name);
const char *stage_name(void);

/*
 * A wait with a limit:  for (struct deadline d = deadline_in_us(n); !ready();)
 *     if (deadline_passed(&d)) return -ETIMEDOUT;
 * Counts PAUSEs where there is no calibrated clock yet.
 */
struct deadline {
	uint64_t end_us;
	uint64_t spins_left;
};
struct deadline deadline_in_us(uint64_t us);
bool deadline_passed(struct deadline *d);

/* ---- console input and the end ---------------------------------------------- */

int machine_getchar(void); /* one byte from COM1, or -1 when there is none */
void machine_idle(void);   /* HLT until the next interrupt; interrupts on */

/* How a run ends.  The numbers are written to isa-debug-exit: QEMU exits with (n << 1) | 1. */
enum machine_end {
	MACHINE_END_OK = 0x10,      /* QEMU exit code 33 */
	MACHINE_END_FAILED = 0x11,  /* 35: a guest failed, or could not be started */
	MACHINE_END_PANIC = 0x12,   /* 37: the hypervisor itself */
	MACHINE_END_NO_VIRT = 0x13, /* 39: this machine cannot run guests */
};
_Noreturn void machine_poweroff(enum machine_end end);

/* ---- panic ------------------------------------------------------------------ */

/* Print message, stage, registers, backtrace, last exits, log ring; end with MACHINE_END_PANIC. */
__attribute__((format(printf, 1, 2))) _Noreturn void panic(const char *fmt, ...);

#define BUG_ON(cond)                                                            \
	do {                                                                    \
		if (__builtin_expect(!!(cond), 0))                              \
			panic("%s:%d: %s", __FILE__, __LINE__, #cond);          \
	} while (0)

/* vmm/ registers here what a panic should add (the last VM exits). */
void panic_set_reporter(void (*fn)(void));

/* ---- physical memory --------------------------------------------------------- */

/* The direct map: all RAM, cached, never executable.  Also valid early (first 4 GiB). */
#ifdef PHYLLO_HOSTED
void *machine_phys_to_virt(uint64_t pa);
#else
#define DIRECT_MAP_BASE 0xffff800000000000ul
static inline void *machine_phys_to_virt(uint64_t pa)
{
	return (void *)(DIRECT_MAP_BASE + pa);
}
#endif
/* Of an address in the direct map or in the hypervisor's image. */
uint64_t machine_virt_to_phys(const void *va);
/* Map device memory uncached (bytes; never unmapped).  NULL when tables cannot be had. */
void *machine_map_device(uint64_t pa, uint64_t size);
