/* SPDX-License-Identifier: GPL-2.0-only */
/* What 16-bit code was asked and what it found; realmode_entry.asm knows the offsets. */
#pragma once

#include <stdint.h>

/* Where the code is copied to, below 1 MiB. */
#define REAL_BASE 0x8000u

struct real_job {
	/* asked */
	uint32_t phyllo;     /* 1: make a hypercall */
	uint32_t big_addr;   /* read through a segment that kept its 4 GiB limit */
	/* found */
	uint32_t cr0;        /* SMSW's view is in msw */
	uint32_t msw;
	uint32_t cs;
	uint32_t wrap;       /* the word at ffff:0010 */
	uint32_t low;        /* the word at 0000:0000, after 0xcafe was stored there */
	uint32_t big;        /* the word at big_addr */
	uint32_t int_count;  /* INT 60h, through the vector table */
	uint32_t cpuid_eax;  /* leaf 0 */
	uint32_t port;       /* of port 0x80 */
	uint32_t hypercall;  /* PHYLLO_HC_VERSION */
	uint32_t de_count, ud_count, gp_count;
	uint32_t gp_sp_ok;   /* no error code was pushed */
	uint32_t irq_masked; /* interrupts taken while IF was 0, … */
	uint32_t irq_count;  /* … and behind STI, the second by a HLT */
	uint32_t flags;      /* what PUSHF says after POPF of 0x7202 */
	uint32_t eflags;     /* PUSHFD after POPFD of 0x43000 */
	uint32_t dr1, dr7;   /* read back, 0x12345678 and 0x700 having been written */
};

extern struct real_job real_job;
void real_run(void);
