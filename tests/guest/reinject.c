/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exceptions whose delivery itself takes nested faults: the IDT, GDT, TSS, stack and page
 * tables that the processor needs for it lie on pages that the hypervisor has not
 * mapped.  Each must arrive exactly once, with its error code, RIP and CR2.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/x86.h"

#define ROUNDS 100

static unsigned rounds;
#define STACK_IST 2
#define UNMAPPED_VA 0x7000000000ul

/* Each in 2M of its own, so that no other access maps it again. */
static struct {
	uint64_t idt, gdt, tss, stack, tables;
} at;

/* The pages that exceptions use first are new ones then, not just unmapped. */
static bool stack_by_balloon;
#define STACK_PAGES 4

static uint64_t take(void)
{
	uint64_t pa = ram_take(SIZE_2M, SIZE_2M);

	if (!pa)
		guest_die("this kernel needs 12 MiB of free memory");
	return pa;
}

static void make_idt(void)
{
	struct idt_gate *idt = (struct idt_gate *)at.idt;

	memcpy(idt, trap_idt, sizeof(trap_idt));
	for (unsigned v = 0; v < 256; v++)
		if (v != VEC_DF && v != VEC_USER_RETURN)
			idt[v].ist = STACK_IST;
}

static void make_tss(void)
{
	struct tss *tss = (struct tss *)at.tss;

	*tss = trap_tss;
	tss->ist[STACK_IST - 1] = at.stack + SIZE_2M;
	tss->rsp[0] = at.stack + SIZE_2M / 2; /* for VEC_USER_RETURN, which has no IST */
}

static void make_gdt(void)
{
	uint64_t *gdt = (uint64_t *)at.gdt;
	uint64_t *desc = &gdt[SEL_TSS / 8];

	memcpy(gdt, boot_gdt, BOOT_GDT_SIZE);
	desc[0] = (sizeof(struct tss) - 1) | (at.tss & 0xffffff) << 16 | 0x89ull << 40 |
		  (at.tss >> 24 & 0xff) << 56;
	desc[1] = at.tss >> 32;
}

/* A copy of the boot tables: PML4, PDPT, four directories. */
static void make_tables(void)
{
	uint64_t *copy = (uint64_t *)at.tables;
	uint64_t *pdpt = (uint64_t *)(boot_pml4[0] & PTE_ADDR);

	copy[0] = (uintptr_t)&copy[512] | PTE_P | PTE_W | PTE_U;
	for (unsigned i = 0; i < 4; i++) {
		uint64_t *pd = &copy[512 * (2 + i)];

		memcpy(pd, (void *)(pdpt[i] & PTE_ADDR), PAGE_SIZE);
		copy[512 + i] = (uintptr_t)pd | PTE_P | PTE_W | PTE_U;
	}
}

static void setup(void)
{
	at.idt = take();
	at.gdt = take();
	at.tss = take();
	at.stack = take();
	at.tables = take();
	make_idt();
	make_tss();
	make_gdt();
	make_tables();
	trap_load_gdt((void *)at.gdt, BOOT_GDT_SIZE - 1);
	trap_load_idt((void *)at.idt, sizeof(trap_idt) - 1);
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS) : "memory");
	write_cr3(at.tables);
}

/* What delivery needs is unknown to the nested tables when this returns. */
static void pull(void)
{
	long err = 0;

	if (!phyllo_present())
		return;
	err |= hypercall(PHYLLO_HC_UNMAP, at.idt, SIZE_2M, 0, 0);
	err |= hypercall(PHYLLO_HC_UNMAP, at.gdt, SIZE_2M, 0, 0);
	err |= hypercall(PHYLLO_HC_UNMAP, at.tss, SIZE_2M, 0, 0);
	err |= hypercall(PHYLLO_HC_UNMAP, at.stack, SIZE_2M, 0, 0);
	if (stack_by_balloon) {
		uint64_t size = STACK_PAGES * PAGE_SIZE, top = at.stack + SIZE_2M - size;

		err |= hypercall(PHYLLO_HC_BALLOON_OUT, top, size, 0, 0) - STACK_PAGES;
		err |= hypercall(PHYLLO_HC_BALLOON_IN, top, size, 0, 0) - STACK_PAGES;
	}
	/* Last: the call after it walks through them again. */
	err |= hypercall(PHYLLO_HC_UNMAP, at.tables, SIZE_2M, PHYLLO_MAY_BLOCK, 0);
	CHECK_EQ(err, 0);
}

/* pull() before each instruction, both kinds of stack; without Phyllo a test of this test. */
#define EACH_ROUND(statements)                                                 \
	do {                                                                   \
		for (unsigned round = 0; round < rounds; round++) {            \
			stack_by_balloon = round & 1;                          \
			pull();                                                \
			statements;                                            \
		}                                                              \
	} while (0)

static void test_fault(void)
{
	EACH_ROUND(TRAP_TRY("ud2", (), ()); CHECK_TRAP(VEC_UD, 0));
}

static void test_divide_error(void)
{
	EACH_ROUND(TRAP_TRY("divl %0", (), ("r"(0), "a"(1), "d"(0))); CHECK_TRAP(VEC_DE, 0));
}

static void test_page_fault(void)
{
	EACH_ROUND(uint64_t va = UNMAPPED_VA + round * 8;
		   TRAP_TRY("movq $1, (%0)", (), ("r"(va))); CHECK_TRAP(VEC_PF, 2);
		   CHECK_EQ(trap.cr2, va));
}

static void test_injected_gp(void)
{
	if (!ktap_need_phyllo())
		return;
	EACH_ROUND(TRAP_TRY("rdmsr", (), ("c"(0x12345678), "a"(0), "d"(0))); CHECK_TRAP(VEC_GP, 0));
}

static void test_injected_ud(void)
{
	if (!ktap_need_phyllo())
		return;
	EACH_ROUND(TRAP_TRY("vmload", (), ("a"(0))); CHECK_TRAP(VEC_UD, 0));
}

static void test_breakpoint(void)
{
	EACH_ROUND(TRAP_TRY("int3", (), ()); trap.insn += 1; CHECK_TRAP(VEC_BP, 0));
}

static void test_software_interrupt(void)
{
	EACH_ROUND(TRAP_TRY("int $0x41", (), ()); trap.insn += 2; CHECK_TRAP(0x41, 0));
}

static void test_single_step(void)
{
	EACH_ROUND(TRAP_TRY("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n774:\tnop\n775:\tnop", (), ());
		   CHECK_EQ(trap.vector, VEC_DB); CHECK_EQ(trap.count, 1));
}

static void user_fault(void *arg)
{
	TRAP_TRY("ud2", (), ());
}

static void user_gp(void *arg)
{
	TRAP_TRY("hlt", (), ());
}

/* From ring 3 the stack pointer comes out of the TSS as well. */
static void test_from_ring_3(void)
{
	EACH_ROUND(user_call(user_fault, NULL); CHECK_TRAP(VEC_UD, 0); pull();
		   user_call(user_gp, NULL); CHECK_TRAP(VEC_GP, 0));
}

static void test_everything_is_consistent(void)
{
	if (!ktap_need_phyllo())
		return;
	CHECK_EQ(audit(), 0);
	for (unsigned v = 0; v < 256; v++) {
		struct idt_gate gate = ((struct idt_gate *)at.idt)[v];

		gate.ist = trap_idt[v].ist;
		CHECK(!memcmp(&gate, &trap_idt[v], sizeof(gate)));
	}
}

static const struct ktap_test tests[] = {
	KTAP(test_fault),
	KTAP(test_divide_error),
	KTAP(test_page_fault),
	KTAP(test_injected_gp),
	KTAP(test_injected_ud),
	KTAP(test_breakpoint),
	KTAP(test_software_interrupt),
	KTAP(test_single_step),
	KTAP(test_from_ring_3),
	KTAP(test_everything_is_consistent),
};

int guest_main(void)
{
	rounds = info_number_or("rounds", ROUNDS);
	setup();
	return KTAP_MAIN(tests);
}
