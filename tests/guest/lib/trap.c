/* SPDX-License-Identifier: GPL-2.0-only */
/* IDT, TSS and what a kernel does with an exception. */
#include "tests/guest/lib/trap.h"

#include "tests/guest/lib/x86.h"

#define GATE_INTERRUPT 0x8e
#define GATE_USER 0xee
#define TSS_AVAILABLE 0x89ull
#define DF_IST 1

extern char trap_stubs[], user_return_entry[];
#define TRAP_STUB_SIZE 16 /* trap_entry.asm */

struct trap trap;
bool (*trap_hook)(struct trap_frame *f);
struct idt_gate trap_idt[256] __attribute__((aligned(4096)));
struct tss trap_tss __attribute__((aligned(128)));
static uint8_t df_stack[8192] __attribute__((aligned(16)));

void trap_handle(struct trap_frame *f); /* called by trap_entry.asm */

static void set_gate(unsigned vector, uint64_t entry, uint8_t type)
{
	trap_idt[vector] = (struct idt_gate){
		.offset0 = entry,
		.selector = SEL_CODE64,
		.ist = vector == VEC_DF ? DF_IST : 0,
		.type = type,
		.offset16 = entry >> 16,
		.offset32 = entry >> 32,
	};
}

void trap_load_idt(const void *idt, uint16_t limit)
{
	struct table_ptr p = { limit, (uintptr_t)idt };

	__asm__ volatile("lidt %0" : : "m"(p));
}

void trap_load_gdt(const void *gdt, uint16_t limit)
{
	struct table_ptr p = { limit, (uintptr_t)gdt };

	__asm__ volatile("lgdt %0\n\t"
			 "pushq %1\n\t"
			 "pushq $1f\n\t"
			 "lretq\n"
			 "1:\tmovl %2, %%ss\n\t"
			 "movl %2, %%ds\n\t"
			 "movl %2, %%es"
			 : : "m"(p), "i"(SEL_CODE64), "r"(SEL_DATA) : "memory");
}

void trap_load_tss(uint64_t *gdt, struct tss *tss, void *df_stack_top)
{
	uint64_t base = (uintptr_t)tss;
	uint64_t *desc = &gdt[SEL_TSS / 8];

	tss->ist[DF_IST - 1] = (uintptr_t)df_stack_top;
	tss->io_map = sizeof(*tss);
	desc[0] = (sizeof(*tss) - 1) | (base & 0xffffff) << 16 | TSS_AVAILABLE << 40 |
		  (base >> 24 & 0xff) << 56;
	desc[1] = base >> 32;
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS) : "memory");
}

void trap_init(void)
{
	for (unsigned v = 0; v < 256; v++)
		set_gate(v, (uintptr_t)trap_stubs + v * TRAP_STUB_SIZE,
			 v == VEC_BP ? GATE_USER : GATE_INTERRUPT);
	set_gate(VEC_USER_RETURN, (uintptr_t)user_return_entry, GATE_USER);
	trap_load_idt(trap_idt, sizeof(trap_idt) - 1);
	trap_load_tss(boot_gdt, &trap_tss, df_stack + sizeof(df_stack));
}

void trap_arm(void)
{
	trap = (struct trap){ 0 };
}

void trap_report(const struct trap_frame *f)
{
	printf("# rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", f->rax, f->rbx, f->rcx, f->rdx);
	printf("# rsi %016lx rdi %016lx rbp %016lx rsp %016lx\n", f->rsi, f->rdi, f->rbp, f->rsp);
	printf("# cr0 %lx cr2 %lx cr3 %lx cr4 %lx rflags %lx cs %lx\n", read_cr0(), read_cr2(),
	       read_cr3(), read_cr4(), f->rflags, f->cs);
	guest_die("unexpected exception %lu, error code 0x%lx, rip 0x%lx", f->vector, f->error,
		  f->rip);
}

void trap_handle(struct trap_frame *f)
{
	if (trap_hook && trap_hook(f))
		return;
	/* A double fault has no way back. */
	if (!trap.resume || f->vector == VEC_DF)
		trap_report(f);
	trap.count++;
	trap.vector = f->vector;
	trap.error = f->error;
	trap.cr2 = read_cr2();
	trap.rip = f->rip;
	trap.rsp = f->rsp;
	trap.rflags = f->rflags;
	f->rip = trap.resume;
	f->rflags &= ~RFLAGS_TF;
	trap.resume = 0;
}

void trap_check(const char *file, int line, uint64_t vector, uint64_t error)
{
	if (trap.count != 1) {
		ktap_fail(file, line, "%lu exceptions, not one (vector %lu)", trap.count, vector);
		return;
	}
	if (trap.vector != vector || trap.error != error)
		ktap_fail(file, line, "vector %lu error 0x%lx, not vector %lu error 0x%lx",
			  trap.vector, trap.error, vector, error);
	if (trap.rip != trap.insn)
		ktap_fail(file, line, "vector %lu: rip 0x%lx, not 0x%lx", vector, trap.rip,
			  trap.insn);
}
