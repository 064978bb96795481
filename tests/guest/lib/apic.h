/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC, and a log of what arrives: for 64-bit kernels.
 *
 *   apic_begin();                  an empty APIC, an empty log, interrupts off
 *   apic_send(APIC_TO_SELF | 0x41);
 *   sti();
 *   CHECK(irq_wait(1));
 */
#pragma once

#include "tests/guest/lib/trap.h"

#define MSR_APIC_BASE 0x1b
#define APIC_BASE_X2APIC (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)
#define APIC_BASE_ADDRESS 0xffffff000ull

enum {
	APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_PPR = 0xa0, APIC_EOI = 0xb0,
	APIC_LDR = 0xd0, APIC_DFR = 0xe0, APIC_SVR = 0xf0, APIC_ISR = 0x100, APIC_IRR = 0x200,
	APIC_ESR = 0x280, APIC_ICR_LOW = 0x300, APIC_ICR_HIGH = 0x310, APIC_LVT_TIMER = 0x320,
	APIC_LVT_LINT0 = 0x350, APIC_LVT_ERROR = 0x370, APIC_TIMER_INITIAL = 0x380,
	APIC_TIMER_CURRENT = 0x390, APIC_TIMER_DIVIDE = 0x3e0,
};

#define APIC_SVR_ON 0x1ff /* spurious vector 0xff */
#define APIC_MASKED (1u << 16)
#define APIC_PERIODIC (1u << 17)
#define APIC_DIVIDE_BY_1 0xb

#define APIC_TO_SELF (1u << 18)
#define APIC_TO_ALL (2u << 18)
#define APIC_TO_OTHERS (3u << 18)
#define APIC_LOGICAL (1u << 11)
#define APIC_ASSERT (1u << 14)
#define APIC_NMI (4u << 8)
#define APIC_INIT (5u << 8)
#define APIC_STARTUP (6u << 8)

/* Where it is; apic_begin() asks the MSR. */
extern uintptr_t apic_base;

static inline uint32_t apic_read(unsigned reg)
{
	return *(volatile uint32_t *)(apic_base + reg);
}

static inline void apic_write(unsigned reg, uint32_t value)
{
	*(volatile uint32_t *)(apic_base + reg) = value;
}

/* APIC_ISR or APIC_IRR. */
static inline bool apic_bit(unsigned array, unsigned vector)
{
	return apic_read(array + vector / 32 * 16) >> vector % 32 & 1;
}

static inline void apic_send(uint32_t icr)
{
	apic_write(APIC_ICR_LOW, icr);
}

void apic_timer(uint32_t lvt, uint32_t divide, uint32_t count);

#define IRQ_LOG_SIZE 64

struct irq_log {
	volatile unsigned count, nmis;
	volatile unsigned of_vector[256];
	unsigned nmi_depth, nmi_depth_max;
	uint8_t log[IRQ_LOG_SIZE];       /* vectors */
	uint64_t rip;                    /* that was interrupted last */
	void (*action)(unsigned vector); /* in the handler, before its EOI */
	void (*nmi_action)(void);
};
extern struct irq_log irq; /* of a kernel with one processor; see smp.h for others */

/* Once: interrupts and NMIs go to the log, the 8259s are masked. */
void irq_init(void);
void pic_mask(void);
/* An interrupt or NMI goes to the log; false: it is neither. */
bool irq_take(struct irq_log *log, const struct trap_frame *f);
/* This processor's APIC: on, nothing armed, no errors. */
void apic_reset(void);
/* The same, with interrupts off and an empty log. */
void apic_begin(void);
/* Until the log has so many; false: they do not come. */
bool irq_wait(unsigned count);
bool irq_wait_nmis(unsigned count);
/* Busy for so many cycles. */
void irq_spend(uint64_t cycles);

static inline void cli(void)
{
	__asm__ volatile("cli" ::: "memory");
}

/*
 * And out of its shadow.  The CPUID is an exit: where one was in the shadow before, QEMU's next entry
 * knows of none (docs/platforms.md), and so the hypervisor cannot tell when it ended but by another exit.
 */
static inline void sti(void)
{
	uint32_t eax = 0, ecx = 0;

	__asm__ volatile("sti; nop; cpuid" : "+a"(eax), "+c"(ecx) : : "rbx", "rdx", "memory");
}

static inline void sti_hlt(void)
{
	__asm__ volatile("sti; hlt; cli" ::: "memory");
}
