/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions and interrupts that the hypervisor itself takes. */
#pragma once

#include <stdint.h>

/* As isr.asm and the processor leave it on the stack. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

#define ISR_STUB_SIZE 16
extern char isr_stubs[];

/* From isr.asm, interrupts off. */
void trap_handle(struct trap_frame *frame);

/* "#GP", for reports; "vector" for what is no exception. */
const char *trap_name(uint64_t vector);
