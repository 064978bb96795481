/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a processor gets from the STARTUP IPI to C: boot/trampoline.asm holds 16-bit
 * position-independent code that is copied, for as long as processors are being
 * started, into one page below 1 MiB:
 *
 *   memcpy(page, trampoline_start, trampoline_size());
 *   struct trampoline_params *p = trampoline_params_in(page);
 *   fill *p; INIT, SIPI with vector (pa of page >> 12); wait
 *
 * There is one parameter block: start processors one after the other, and reuse
 * it only after the last one has reported from its C entry (or was given up).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* How far a processor got; for the sentence that reports one that never came up. */
enum trampoline_stage {
	TRAMPOLINE_NOT_STARTED, /* no SIPI arrived; write this before sending one */
	TRAMPOLINE_REAL_MODE,   /* it runs our code */
	TRAMPOLINE_LONG_MODE,   /* paging is on; the next thing is the C entry */
};

/* boot/trampoline.asm knows the offsets. */
struct trampoline_params {
	/*
	 * Root of 4-level tables, below 4 GiB (it is loaded by 16-bit code); the tables under it
	 * may lie anywhere.  They must map the trampoline's page at its physical address,
	 * executable, and what the three addresses below point to.
	 */
	uint64_t cr3;
	uint64_t cr0;       /* with PE and PG: the boot CPU's is right */
	uint64_t cr4;       /* with PAE, without PCIDE and LA57 */
	uint64_t efer;      /* LME is added; NXE when the tables use it */
	uint64_t stack_top; /* 16-byte aligned */
	uint64_t entry;     /* void entry(void *arg): does not return */
	uint64_t arg;
	volatile uint32_t stage; /* enum trampoline_stage, written by the trampoline */
	uint32_t reserved;
};

_Static_assert(sizeof(struct trampoline_params) == 64, "boot/trampoline.asm knows the layout");

extern const uint8_t trampoline_start[], trampoline_end[];
/* The block inside the template; fill in the one in the copy. */
extern const uint8_t trampoline_params[];

static inline size_t trampoline_size(void)
{
	return (size_t)(trampoline_end - trampoline_start); /* less than a page */
}

static inline struct trampoline_params *trampoline_params_in(void *copy)
{
	return (struct trampoline_params *)((uint8_t *)copy +
					    (trampoline_params - trampoline_start));
}
