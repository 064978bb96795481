/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exceptions of 64-bit kernels, and ring 3.
 *
 *   TRAP_TRY("ud2", , );            the instruction, outputs, inputs
 *   CHECK_TRAP(VEC_UD, 0);          it raised #UD there, error code 0
 *
 * An exception that nothing expects prints the registers and ends the kernel.
 */
#pragma once

#include "tests/guest/lib/guest.h"

struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct trap {
	uint64_t insn;   /* TRAP_TRY's instruction; offset 0 */
	uint64_t resume; /* where to go on, 0: nothing expected; offset 8 */
	/* the last exception, counted since TRAP_TRY */
	uint64_t count, vector, error, cr2, rip, rsp, rflags;
};
extern struct trap trap;

/* Sees every exception first; true: handled, go on with the frame as it is now. */
extern bool (*trap_hook)(struct trap_frame *f);

struct table_ptr {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

struct idt_gate {
	uint16_t offset0, selector;
	uint8_t ist, type; /* P, DPL, 0xe */
	uint16_t offset16;
	uint32_t offset32, reserved;
};

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3] __attribute__((packed));
	uint64_t reserved1 __attribute__((packed));
	uint64_t ist[7] __attribute__((packed));
	uint64_t reserved2 __attribute__((packed));
	uint16_t reserved3, io_map;
};

extern struct idt_gate trap_idt[256];
extern struct tss trap_tss;
extern uint64_t boot_gdt[];
extern struct table_ptr boot_gdt_ptr;
#define BOOT_GDT_SIZE ((size_t)boot_gdt_ptr.limit + 1)

void trap_init(void);
void trap_load_idt(const void *idt, uint16_t limit);
/* Loads a copy of boot_gdt at another place, segment registers included. */
void trap_load_gdt(const void *gdt, uint16_t limit);
/* Describes the TSS in the GDT that is loaded, with a stack for double faults, and loads it. */
void trap_load_tss(uint64_t *gdt, struct tss *tss, void *df_stack_top);
/* Prints what a processor had in its registers, and ends the kernel. */
_Noreturn void trap_report(const struct trap_frame *f);

/* Calls fn(arg) in ring 3 with IOPL 0 and interrupts off; exceptions come back here as ever. */
void user_call(void (*fn)(void *arg), void *arg);

/* Calls fn(arg) on another stack. */
void stack_call(void (*fn)(void *arg), void *arg, void *stack_top);

void trap_arm(void);
void trap_check(const char *file, int line, uint64_t vector, uint64_t error);

#define TRAP_PAREN(...) __VA_ARGS__
/* out and in are parenthesised operand lists: ("=a"(x)), ("c"(y)). */
#define TRAP_TRY(insn, out, in)                                             \
	do {                                                                \
		trap_arm();                                                 \
		__asm__ volatile("movq $771f, trap\n\t"                     \
				 "movq $772f, trap+8\n"                     \
				 "771:\t" insn "\n"                         \
				 "772:\tmovq $0, trap+8"                    \
				 : TRAP_PAREN out                           \
				 : TRAP_PAREN in                            \
				 : "memory", "cc");                         \
	} while (0)

/* Exactly one exception, with this vector and error code, at the instruction itself. */
#define CHECK_TRAP(vector, error) trap_check(__FILE__, __LINE__, vector, error)
#define CHECK_NO_TRAP()                                                              \
	do {                                                                         \
		if (trap.count)                                                      \
			ktap_fail(__FILE__, __LINE__, "exception %lu at rip 0x%lx",  \
				  trap.vector, trap.rip);                            \
	} while (0)
