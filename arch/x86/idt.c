/* SPDX-License-Identifier: GPL-2.0-only */
/* See idt.h. */
#include "arch/x86/idt.h"

#include "arch/x86/cpu.h"
#include "arch/x86/gdt.h"
#include "arch/x86/trap.h"

#define GATE_INTERRUPT 0x8e /* P, DPL 0, 64-bit interrupt gate: IF is cleared */

struct idt_gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_mid;
	uint32_t offset_high;
	uint32_t reserved;
};

_Static_assert(sizeof(struct idt_gate) == 16, "SDM vol. 3A, figure 6-8");

static struct idt_gate idt[256] __attribute__((aligned(16)));

static uint8_t idt_stack(unsigned vector)
{
	switch (vector) {
	case VEC_DF:
		return IST_DF + 1;
	case VEC_NMI:
		return IST_NMI + 1;
	case VEC_MC:
		return IST_MC + 1;
	default:
		return 0; /* the stack that is interrupted */
	}
}

void idt_init(void)
{
	for (unsigned v = 0; v < 256; v++) {
		uint64_t stub = (uint64_t)isr_stubs + v * ISR_STUB_SIZE;

		idt[v] = (struct idt_gate){
			.offset_low = (uint16_t)stub,
			.selector = GDT_CODE64,
			.ist = idt_stack(v),
			.type = GATE_INTERRUPT,
			.offset_mid = (uint16_t)(stub >> 16),
			.offset_high = (uint32_t)(stub >> 32),
		};
	}
}

void idt_load(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr = { sizeof(idt) - 1, (uint64_t)idt };

	__asm__ volatile("lidt %0" : : "m"(idtr) : "memory");
}
