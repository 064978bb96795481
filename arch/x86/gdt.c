/* SPDX-License-Identifier: GPL-2.0-only */
/* See gdt.h.  Each CPU has its own GDT: LTR marks the TSS busy in it. */
#include "arch/x86/gdt.h"

#include "arch/x86/percpu.h"

#define DESC_CODE64 0x00af9b000000ffffull /* P, code, readable, accessed, L */
#define DESC_DATA   0x00cf93000000ffffull
#define DESC_TSS    0x0000890000000000ull /* P, available 64-bit TSS */

static void tss_fill(struct percpu *p)
{
	for (unsigned i = 0; i < IST_COUNT; i++)
		p->tss.ist[i] = p->ist[i].top;
	p->tss.rsp[0] = p->stack.top;
	p->tss.iomap = sizeof(p->tss);
}

void gdt_load(struct percpu *p)
{
	uint64_t base = (uint64_t)&p->tss;
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) gdtr = { sizeof(p->gdt) - 1, (uint64_t)&p->gdt };

	tss_fill(p);
	p->gdt = (struct gdt){
		.code = DESC_CODE64,
		.data = DESC_DATA,
		.tss_low = DESC_TSS | (sizeof(p->tss) - 1) | (base & 0xffffff) << 16 |
			   (base >> 24 & 0xff) << 56,
		.tss_high = base >> 32,
	};
	/* FS and GS: a selector load clears the base in some processors; do it before GS is set. */
	__asm__ volatile("lgdt %0\n\t"
			 "pushq %1\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\n\t"
			 "mov %2, %%ss\n\t"
			 "mov %2, %%ds\n\t"
			 "mov %2, %%es\n\t"
			 "mov %3, %%fs\n\t"
			 "mov %3, %%gs\n\t"
			 "lldt %w3\n\t"
			 "ltr %w4"
			 :
			 : "m"(gdtr), "i"(GDT_CODE64), "r"(GDT_DATA), "r"(0), "r"(GDT_TSS)
			 : "rax", "memory");
}
