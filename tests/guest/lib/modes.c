/* SPDX-License-Identifier: GPL-2.0-only */
/* The IDT of the small programs in other modes; see modes.h. */
#include "tests/guest/lib/modes.h"

#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/x86.h"

#define GATE32_INTERRUPT 0x8eull
#define GATE32_USER 0xeeull

extern char mode_stubs[], mode_stack_top[];
struct table_ptr mode_idt_ptr;
static uint64_t mode_idt[32];

void mode_init(void)
{
	for (unsigned v = 0; v < 32; v++) {
		uint64_t entry = (uintptr_t)mode_stubs + v * 16;
		uint64_t type = v == VEC_BP ? GATE32_USER : GATE32_INTERRUPT;

		mode_idt[v] = (entry & 0xffff) | SEL_CODE32 << 16 | type << 40 | (entry >> 16) << 48;
	}
	mode_idt_ptr = (struct table_ptr){ sizeof(mode_idt) - 1, (uintptr_t)mode_idt };
}

/*
 * TR keeps the 64-bit TSS, which the processor then takes for a 32-bit one: SS0 lies where the
 * upper half of RSP0 is.
 */
void mode_set_user_stack(void)
{
	trap_tss.rsp[0] = (uintptr_t)mode_stack_top | (uint64_t)SEL_DATA << 32;
}
