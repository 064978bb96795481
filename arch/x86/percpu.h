/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each CPU has for itself.  GS points to it for as long as the hypervisor
 * runs, so no handler has to swap anything.  The boot CPU's is static, the others are
 * allocated when they are started.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/x86/gdt.h"
#include "arch/x86/ipi.h"
#include "arch/x86/watchdog.h"
#include "host/machine.h"

struct percpu {
	struct percpu *self; /* at gs:0 */
	unsigned id;
	uint32_t apic_id;
	struct stack stack;          /* what the CPU runs on, its own or a thread's */
	struct stack ist[IST_COUNT]; /* ist[n] belongs to enum ist n */
	struct gdt gdt;
	struct tss tss;
	struct ipi_mailbox mailbox;
	_Atomic bool online;
	_Atomic bool stopped; /* by a panic on another CPU */
	_Atomic uint64_t stacks_seen; /* stack.c */
	_Atomic uint64_t ticks;       /* written by the CPU itself, as is: */
	_Atomic uint64_t timer_due;   /* TSC when its timer interrupts next; 0: not started */
	struct watchdog watchdog;

	/* Used only on the CPU itself, its interrupt handlers included. */
	unsigned preempt_depth;
	uint64_t nmis, stray_interrupts;
	uint64_t tick_at;        /* TSC of the next tick */
	uint64_t alarm_at;       /* machine_alarm_set(); ~0: none */
	void (*alarm)(void *arg);
	void *alarm_arg;
};

extern struct percpu percpu_boot;

/* This CPU's; valid from percpu_init_boot() on. */
static inline struct percpu *percpu_this(void)
{
	struct percpu *p;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(p));
	return p;
}

/* Make p the CPU's own: GS, and a null base for user swaps that never happen. */
void percpu_install(struct percpu *p);
/* GS of the boot CPU points to percpu_boot. */
extern bool percpu_ready;
static inline bool percpu_is_ready(void)
{
	return percpu_ready;
}
void percpu_init_boot(void);

/* Room for pointers to so many CPUs; 0 or -ENOMEM. */
int percpu_table_alloc(unsigned cpus);
/* CPU id is up from now on: ids are given in order. */
void percpu_publish(struct percpu *p);
unsigned percpu_count(void);
/* id < percpu_count() */
struct percpu *percpu_get(unsigned id);
