/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every way to write to a page table.  A table above the lowest level is write-protected under shadow
 * paging: what the decoder knows is done for the guest, what it does not know runs without the shadow.
 * Each form makes entry `to` of something else, INVLPG follows, and the page must be the other one.
 * how=self: a store that is not emulated, through an address that the written table translates itself.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/x86.h"

#define VA 0x180000000000ul
#define FLAGS (PTE_P | PTE_W | PTE_U | PTE_A)
#define MARK_FROM 0x1111111111111111ul
#define MARK_TO 0x2222222222222222ul
#define STEP 0x1000ul /* between the two tables */

static uint8_t tables[4 * PAGE_SIZE] __attribute__((aligned(4 * PAGE_SIZE)));
static uint64_t *entry; /* of level 2, on the way to VA */
static uint64_t from, to;

static void prepare(void)
{
	uint64_t *page_from = page_alloc(), *page_to = page_alloc();

	/* Bit 12 is clear in the one and set in the other. */
	from = (uintptr_t)tables | FLAGS;
	to = from + STEP;
	*(uint64_t *)tables = (uintptr_t)page_from | FLAGS | PTE_D;
	*(uint64_t *)(tables + STEP) = (uintptr_t)page_to | FLAGS | PTE_D;
	*page_from = MARK_FROM;
	*page_to = MARK_TO;
	entry = paging_entry(boot_pml4, VA, 2);
}

/* There is a shadow of the table then: it was used. */
static void start(uint64_t value)
{
	*entry = from;
	invlpg(VA);
	CHECK_EQ(*(volatile uint64_t *)VA, MARK_FROM);
	*(volatile uint64_t *)entry = value;
}

static void finish(const char *form)
{
	uint64_t now = *(volatile uint64_t *)entry;

	invlpg(VA);
	if ((now & ~PTE_A) != (to & ~PTE_A) || *(volatile uint64_t *)VA != MARK_TO)
		ktap_fail(__FILE__, __LINE__, "%s: the entry is 0x%llx, not 0x%llx; the page says 0x%llx",
			  form, (unsigned long long)now, (unsigned long long)to,
			  *(volatile unsigned long long *)VA);
}

/* The instruction has the entry at (%rdi), a register operand in %rax, rcx, rdx and rbx free. */
#define FORM(insn, before, rax, rcx, rdx, rbx)                                                   \
	do {                                                                                     \
		uint64_t a = (rax), c = (rcx), d = (rdx), b = (rbx), s = (uintptr_t)source;      \
		uint64_t at = (uintptr_t)entry;                                                  \
		start(before);                                                                   \
		__asm__ volatile(insn                                                            \
				 : "+a"(a), "+c"(c), "+d"(d), "+b"(b), "+S"(s), "+D"(at)         \
				 :                                                               \
				 : "memory", "cc");                                              \
		finish(insn);                                                                    \
	} while (0)
#define PLAIN(insn, before, rax) FORM(insn, before, rax, 0, 0, 0)

static uint64_t source[4] __attribute__((aligned(16)));

static void test_moves(void)
{
	PLAIN("mov %%rax, (%%rdi)", from, to);
	PLAIN("mov %%eax, (%%rdi)", from, to);
	PLAIN("mov %%ax, (%%rdi)", from, to);
	PLAIN("mov %%al, 1(%%rdi)", from, to >> 8);
	PLAIN("mov %%ah, 1(%%rdi)", from, to);
	PLAIN("movb $0x27, (%%rdi)", to & ~0xfful, 0);
	PLAIN("movnti %%rax, (%%rdi)", from, to);
	FORM("mov %%rdx, -16(%%rdi, %%rcx, 8)", from, 0, 2, to, 0);
}

/* Misaligned, over two entries of which the other is not used. */
static void test_misaligned(void)
{
	PLAIN("mov %%eax, 1(%%rdi)", from, to >> 8);
	PLAIN("mov %%ax, 1(%%rdi)", from, to >> 8);
}

static void test_arithmetic(void)
{
	PLAIN("add %%rax, (%%rdi)", from, STEP);
	PLAIN("addl $0x1000, (%%rdi)", from, 0);
	PLAIN("addb $0x10, 1(%%rdi)", from, 0);
	PLAIN("sub %%rax, (%%rdi)", from, -STEP);
	PLAIN("stc; adc %%rax, (%%rdi)", from, STEP - 1);
	PLAIN("stc; sbb %%rax, (%%rdi)", from, -STEP - 1);
	PLAIN("or %%rax, (%%rdi)", from, STEP);
	PLAIN("and %%rax, (%%rdi)", to | 0x600, ~0x600ul);
	PLAIN("xor %%rax, (%%rdi)", from, STEP);
	PLAIN("incq (%%rdi)", to - 1, 0);
	PLAIN("decq (%%rdi)", to + 1, 0);
	PLAIN("notq (%%rdi)", ~to, 0);
	PLAIN("negq (%%rdi)", -to, 0);
	PLAIN("stc; setc (%%rdi); orb $0x26, (%%rdi)", to & ~0xfful, 0);
}

static void test_bits(void)
{
	PLAIN("btsq $12, (%%rdi)", from, 0);
	PLAIN("btrq $9, (%%rdi)", to | 0x200, 0);
	PLAIN("btcq $12, (%%rdi)", from, 0);
	PLAIN("bts %%rax, (%%rdi)", from, 12);
	PLAIN("bts %%rax, 64(%%rdi)", from, -512 + 12);
	PLAIN("btr %%eax, (%%rdi)", to | 0x200, 9);
	PLAIN("btc %%ax, (%%rdi)", from, 12);
}

static void test_locked(void)
{
	PLAIN("xchg %%rax, (%%rdi)", from, to);
	PLAIN("lock xadd %%rax, (%%rdi)", from, STEP);
	PLAIN("lock addq $0x1000, (%%rdi)", from, 0);
	PLAIN("lock orl $0x1000, (%%rdi)", from, 0);
	PLAIN("lock btsq $12, (%%rdi)", from, 0);
	PLAIN("lock btr %%rax, (%%rdi)", to | 0x200, 9);
	FORM("lock cmpxchg %%rcx, (%%rdi)", from, from, to, 0, 0);
	FORM("lock cmpxchg %%rcx, (%%rdi)", to, from, 0, 0, 0); /* fails */
	FORM("lock cmpxchg8b (%%rdi)", from, (uint32_t)from, to >> 32, from >> 32, (uint32_t)to);
	FORM("lock cmpxchg8b (%%rdi)", to, 1, 2, 3, 4); /* fails */
	FORM("lock cmpxchg16b (%%rdi)", from, from, 0, 0, to);
}

static void test_strings(void)
{
	source[0] = to;
	PLAIN("stosq", from, to);
	PLAIN("mov $2, %%ecx; stosl; shr $32, %%rax; stosl", from, to);
	FORM("rep stosq", from, to, 1, 0, 0);
	FORM("rep stosb; movb $0x27, -8(%%rdi); mov %%rdx, -8(%%rdi)", from, 0, 8, to, 0);
	PLAIN("movsq", from, 0);
	FORM("rep movsb", from, 0, 32, 0, 0);
	FORM("rep movsq", from, 0, 4, 0, 0);
	FORM("add $7, %%rsi; add $7, %%rdi; std; rep movsb; cld", from, 0, 8, 0, 0);
}

/* What the decoder does not know. */
static void test_others(void)
{
	write_cr4(read_cr4() | CR4_OSFXSR);
	source[0] = to;
	PLAIN("mov %%rsp, %%rbx; lea 8(%%rdi), %%rsp; push %%rax; mov %%rbx, %%rsp", from, to);
	PLAIN("mov %%rsp, %%rbx; mov %%rsi, %%rsp; pop (%%rdi); mov %%rbx, %%rsp", from, 0);
	PLAIN("movups (%%rsi), %%xmm0; movups %%xmm0, (%%rdi)", from, 0);
	PLAIN("movq (%%rsi), %%xmm0; movq %%xmm0, (%%rdi)", from, 0);
	PLAIN("rolq $12, (%%rdi)", to >> 12 | to << 52, 0);
}

/* The same again: what was given up once is protected again. */
static void test_mixed(void)
{
	for (unsigned i = 0; i < 50; i++) {
		PLAIN("movups (%%rsi), %%xmm0; movups %%xmm0, (%%rdi)", from, 0);
		PLAIN("lock orl $0x1000, (%%rdi)", from, 0);
	}
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
}

/* An interrupt or exception that pushes on a page that is a table. */
static void test_stack_in_table(void)
{
	uint64_t *stack = page_alloc();
	uint64_t other = VA + (1ul << 39);

	/* The top of the stack is the last entries of a table that is used. */
	*paging_entry(boot_pml4, other, 3) = (uintptr_t)stack | FLAGS;
	stack[0] = to;
	CHECK_EQ(*(volatile uint64_t *)other, MARK_TO);
	__asm__ volatile("mov %%rsp, %%rbx; lea 4096(%0), %%rsp; pushfq; popfq; call 1f; jmp 2f; 1: ret; 2: mov %%rbx, %%rsp"
			 : : "r"(stack) : "rbx", "memory", "cc");
	CHECK_EQ(*(volatile uint64_t *)other, MARK_TO);
	*paging_entry(boot_pml4, other, 3) = 0;
	invlpg(other);
}

static const struct ktap_test tests[] = {
	KTAP(test_moves), KTAP(test_misaligned), KTAP(test_arithmetic),	   KTAP(test_bits),
	KTAP(test_locked), KTAP(test_strings),	 KTAP(test_others), KTAP(test_mixed),
	KTAP(test_stack_in_table),
};

/* The table maps itself: the vector store needs what the store's emulation would have to give up. */
static void write_self(void)
{
	uint64_t *table = (uint64_t *)((uintptr_t)entry & ~(PAGE_SIZE - 1));
	uint64_t *alias = (uint64_t *)(VA + 511 * SIZE_2M + 511 * PAGE_SIZE);

	write_cr4(read_cr4() | CR4_OSFXSR);
	/* Level 2 used as level 1: its last entry is the table below and the page of the alias. */
	table[511] = (uintptr_t)table | FLAGS;
	__asm__ volatile("movups %%xmm0, (%0)" : : "r"(alias + 510) : "memory");
	ktap_fail(__FILE__, __LINE__, "the store came through");
}

int guest_main(void)
{
	prepare();
	if (info_option_is("how", "self"))
		write_self();
	return KTAP_MAIN(tests);
}
