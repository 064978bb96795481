/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual local APIC in xAPIC mode (SDM vol. 3A, chapter 11).  Pure: registers and
 * rules only.  Who sends it interrupts, when the processor looks, and what becomes of the
 * ICR is the caller's (intr.c, apic_page.c).
 *
 * Time is a parameter: now is the guest's TSC, and the timer's clock before the
 * divider is that TSC, one count a cycle.  The timer moves on when somebody looks: every access
 * first does what has become due, so an expiry is never judged by a later setting.
 *
 * Not modelled, since nothing here could use it: level-triggered interrupts (TMR
 * reads 0), TSC-deadline mode, spurious deliveries (an interrupt is acknowledged in
 * the instant in which it is chosen), thermal, performance and LINT inputs (their LVT entries
 * keep what is written).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LAPIC_DEFAULT_BASE 0xfee00000ul
#define LAPIC_PAGE_SIZE 0x1000u
#define LAPIC_NEVER (~0ul)

/* IA32_APIC_BASE */
#define LAPIC_BASE_BSP (1ul << 8)
#define LAPIC_BASE_ENABLE (1ul << 11)
#define LAPIC_BASE_ADDRESS 0xfffffffff000ul

/* Registers, as offsets in the page. */
enum lapic_reg {
	LAPIC_ID = 0x20,
	LAPIC_VERSION = 0x30,
	LAPIC_TPR = 0x80,
	LAPIC_APR = 0x90,
	LAPIC_PPR = 0xa0,
	LAPIC_EOI = 0xb0,
	LAPIC_RRD = 0xc0,
	LAPIC_LDR = 0xd0,
	LAPIC_DFR = 0xe0,
	LAPIC_SVR = 0xf0,
	LAPIC_ISR = 0x100, /* eight of each */
	LAPIC_TMR = 0x180,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_ICR_LOW = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PERF = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_CURRENT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
};

#define LAPIC_LVT_COUNT 6
#define LAPIC_LVT_MASKED (1u << 16)
#define LAPIC_LVT_PERIODIC (1u << 17)
#define LAPIC_SVR_ENABLE (1u << 8)

/* ESR */
#define LAPIC_ERROR_SEND_VECTOR (1u << 5)
#define LAPIC_ERROR_RECEIVE_VECTOR (1u << 6)
#define LAPIC_ERROR_REGISTER (1u << 7)

enum lapic_delivery {
	LAPIC_FIXED = 0,
	LAPIC_LOWEST = 1,
	LAPIC_SMI = 2,
	LAPIC_NMI = 4,
	LAPIC_INIT = 5,
	LAPIC_STARTUP = 6,
};

struct lapic_timer {
	uint32_t initial; /* 0: stopped */
	uint32_t left;    /* counts that were left at since; 0: expired or stopped */
	uint64_t since;
	uint32_t divide;  /* the register */
};

/* A bit per vector. */
struct lapic_vectors {
	uint32_t word[8];
	uint32_t some; /* which of them are not 0 */
};

struct lapic {
	uint64_t base;    /* IA32_APIC_BASE */
	uint8_t id;
	uint8_t tpr;
	uint32_t ldr, dfr, svr;
	struct lapic_vectors isr, irr;
	uint32_t esr;     /* as read */
	uint32_t errors;  /* since the last write to ESR */
	uint32_t icr_low, icr_high;
	uint32_t lvt[LAPIC_LVT_COUNT];
	struct lapic_timer timer;
};

/* As after RESET, enabled at the default base. */
void lapic_init(struct lapic *l, uint8_t id, bool bsp);
/* The registers as after RESET; base and id stay. */
void lapic_reset(struct lapic *l);

static inline bool lapic_is_enabled(const struct lapic *l)
{
	return l->base & LAPIC_BASE_ENABLE;
}

/* A 32-bit register.  An offset where there is none reads 0 and is an error (ESR bit 7). */
uint32_t lapic_read(struct lapic *l, unsigned offset, uint64_t now);
/* true: ICR was written, and what it says is to be sent now. */
bool lapic_write(struct lapic *l, unsigned offset, uint32_t value, uint64_t now);

/* An edge-triggered interrupt arrives: into IRR, if the APIC is software-enabled. */
void lapic_accept(struct lapic *l, uint8_t vector);
/* The same for many: those of vectors, which begin at 32 * word. */
void lapic_accept_word(struct lapic *l, unsigned word, uint32_t vectors);
/* IRR is not empty. */
static inline bool lapic_has_requests(const struct lapic *l)
{
	return l->irr.some;
}
/* The vector that the processor should take now; -1: none of more than its priority. */
int lapic_pending(const struct lapic *l);
/* The processor takes it: from IRR to ISR. */
void lapic_acknowledge(struct lapic *l, uint8_t vector);
/* It did not take it after all. */
void lapic_put_back(struct lapic *l, uint8_t vector);
/* Something waits that a lower TPR, and nothing else, would let through. */
bool lapic_held_by_tpr(const struct lapic *l);

/* ---- interprocessor interrupts ---- */

struct lapic_ipi {
	enum lapic_delivery delivery;
	uint8_t vector;
	uint8_t shorthand; /* 0: dest; 1: self; 2: all; 3: all but self */
	bool logical;
	uint8_t dest;
};

/*
 * What ICR says.  false: it is not to be sent: a vector that does not exist (ESR bit 5), an INIT
 * de-assert, an INIT or STARTUP by a shorthand that has the sender in it.
 */
bool lapic_get_ipi(struct lapic *l, struct lapic_ipi *ipi);

/* All that a sender has to know of a receiver, in one word: who has l publishes it. */
uint32_t lapic_address(const struct lapic *l);
/* Is it for the APIC of that address?  self: that one sent it. */
bool lapic_is_addressed(uint32_t address, const struct lapic_ipi *ipi, bool self);
/* It is software-enabled, and so takes interrupts. */
bool lapic_address_accepts(uint32_t address);

/* ---- lapic_timer.c ---- */

/* What has become due until now: true when the timer expired and its LVT is not masked. */
bool lapic_timer_advance(struct lapic *l, uint64_t now);
/* The same, into IRR. */
void lapic_timer_update(struct lapic *l, uint64_t now);
/* It counts, masked or not. */
static inline bool lapic_timer_runs(const struct lapic *l)
{
	return l->timer.left;
}
/* When the timer will next want to interrupt; LAPIC_NEVER. */
uint64_t lapic_timer_deadline(const struct lapic *l);
uint32_t lapic_timer_current(const struct lapic *l, uint64_t now);
void lapic_timer_start(struct lapic *l, uint32_t initial, uint64_t now);
void lapic_timer_set_divide(struct lapic *l, uint32_t value, uint64_t now);
