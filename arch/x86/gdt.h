/* SPDX-License-Identifier: GPL-2.0-only */
/* Segments and the task state segment of one CPU (SDM vol. 3A, 3.4.5 and 8.7). */
#pragma once

#include <stdint.h>

struct percpu;

#define GDT_CODE64 0x08
#define GDT_DATA   0x10
#define GDT_TSS    0x18

struct gdt {
	uint64_t null, code, data, tss_low, tss_high;
};

/* Exceptions that may come when the stack is unusable each have one of their own. */
enum ist {
	IST_DF,
	IST_NMI,
	IST_MC,
	IST_COUNT,
};

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7]; /* ist[n] is what an IDT gate calls n + 1 */
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t iomap; /* beyond the limit: no bitmap */
} __attribute__((packed));

_Static_assert(sizeof(struct tss) == 104, "SDM vol. 3A, figure 8-11");

/* Fill and load GDT and TSS of this CPU; p->ist must be there. */
void gdt_load(struct percpu *p);
