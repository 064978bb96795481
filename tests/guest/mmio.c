/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instructions on a device: every form runs once on a word of memory, where the processor
 * does it, and once on a register of the local APIC that keeps what is written, where a hypervisor
 * has to do it.  Registers, flags and the word must come out the same.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/x86.h"

#define APIC 0xfee00000ul
#define APIC_ESR 0x280
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_LINT1 0x360
#define APIC_INITIAL 0x380 /* all 32 bits can be written and read */
#define APIC_DIVIDE 0x3e0
#define LVT_MASKED (1u << 16)

#define MSR_GS_BASE 0xc0000101

#define FLAG_CF 0x001ul
#define FLAG_PF 0x004ul
#define FLAG_AF 0x010ul
#define FLAG_ZF 0x040ul
#define FLAG_SF 0x080ul
#define FLAG_OF 0x800ul
#define FLAGS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

static volatile uint32_t *apic(unsigned reg)
{
	return (volatile uint32_t *)(APIC + reg);
}

/* The timer counts from what the tests write, but says nothing. */
static void apic_prepare(void)
{
	*apic(APIC_LVT_TIMER) = LVT_MASKED;
	*apic(APIC_DIVIDE) = 0xa; /* by 128 */
}

/* ---- forms ------------------------------------------------------------------------- */

struct regs {
	uint64_t rax, rcx, rdx, rsi, rdi, r9, flags;
};

/* One instruction, with rdi (rsi for a source) as the address of a word, r9 = that / 4 as well. */
#define FORM(id, text)                                                               \
	static void form_##id(struct regs *r)                                        \
	{                                                                            \
		register uint64_t r9 __asm__("r9") = r->r9;                          \
		__asm__ volatile("pushq %[flags]\n\tpopfq\n\t" text                  \
				 "\n\tpushfq\n\tpopq %[flags]"                       \
				 : "+a"(r->rax), "+c"(r->rcx), "+d"(r->rdx),          \
				   "+S"(r->rsi), "+D"(r->rdi), "+r"(r9),               \
				   [flags] "+b"(r->flags)                             \
				 :                                                   \
				 : "memory", "cc");                                   \
		r->r9 = r9;                                                          \
	}

#define FORMS(X)                                                      \
	X(mov_store, "movl %%ecx, (%%rdi)", 0)                        \
	X(mov_load, "movl (%%rdi), %%ecx", 0)                         \
	X(mov_store_imm, "movl $0x89abcdef, (%%rdi)", 0)              \
	X(mov_store_r9, "movl %%r9d, (%%rdi)", 0)                     \
	X(mov_load_r9, "movl (,%%r9,4), %%r9d", 0)                    \
	X(mov_index, "movl -8(%%rdi,%%rax,8), %%edx", 0)              \
	X(mov_disp8, "movl 0x70(%%rsi), %%edx", 0)                    \
	X(mov_disp32, "movl %%edx, -0x12345678(%%r9,%%r9,2)", 0)      \
	X(mov_a32, "movl (%%edi), %%eax", 0)                          \
	X(mov_gs, "movl %%gs:(%%rax), %%edx", 0)                      \
	X(movnti, "movntil %%ecx, (%%rdi)", 0)                        \
	X(mov_load_8, "movb (%%rdi), %%cl", 0)                        \
	X(mov_load_high, "movb 1(%%rdi), %%ah", 0)                    \
	X(mov_load_16, "movw 2(%%rdi), %%cx", 0)                      \
	X(movzx_8, "movzbl 1(%%rdi), %%ecx", 0)                       \
	X(movzx_16, "movzwq 2(%%rdi), %%rcx", 0)                      \
	X(movsx_8, "movsbw 3(%%rdi), %%cx", 0)                        \
	X(movsx_16, "movswl 2(%%rdi), %%ecx", 0)                      \
	X(movsxd, "movslq (%%rdi), %%rcx", 0)                         \
	X(add_store, "addl %%ecx, (%%rdi)", 0)                        \
	X(add_load, "addl (%%rdi), %%ecx", 0)                         \
	X(add_imm8, "addl $-1, (%%rdi)", 0)                           \
	X(lock_add_imm, "lock addl $0x7fffffff, (%%rdi)", 0)          \
	X(or_store, "orl %%ecx, (%%rdi)", FLAG_AF)                    \
	X(or_load, "orl (%%rdi), %%ecx", FLAG_AF)                     \
	X(or_imm, "orl $0x100, (%%rdi)", FLAG_AF)                     \
	X(lock_or_imm8, "lock orl $4, (%%rdi)", FLAG_AF)              \
	X(adc_store, "adcl %%ecx, (%%rdi)", 0)                        \
	X(adc_load, "adcl (%%rdi), %%ecx", 0)                         \
	X(adc_imm, "adcl $0x7fffffff, (%%rdi)", 0)                    \
	X(sbb_store, "sbbl %%ecx, (%%rdi)", 0)                        \
	X(sbb_load, "sbbl (%%rdi), %%ecx", 0)                         \
	X(sbb_imm8, "sbbl $0, (%%rdi)", 0)                            \
	X(and_store, "andl %%ecx, (%%rdi)", FLAG_AF)                  \
	X(and_load, "andl (%%rdi), %%ecx", FLAG_AF)                   \
	X(and_imm, "andl $0xfffeffff, (%%rdi)", FLAG_AF)              \
	X(sub_store, "subl %%ecx, (%%rdi)", 0)                        \
	X(sub_load, "subl (%%rdi), %%ecx", 0)                         \
	X(sub_imm8, "subl $1, (%%rdi)", 0)                            \
	X(xor_store, "xorl %%ecx, (%%rdi)", FLAG_AF)                  \
	X(xor_load, "xorl (%%rdi), %%ecx", FLAG_AF)                   \
	X(xor_imm, "lock xorl $0x80000000, (%%rdi)", FLAG_AF)         \
	X(cmp_reg, "cmpl %%ecx, (%%rdi)", 0)                          \
	X(cmp_load, "cmpl (%%rdi), %%ecx", 0)                         \
	X(cmp_imm, "cmpl $0x80000000, (%%rdi)", 0)                    \
	X(cmp_imm_8, "cmpb $0x7f, 3(%%rdi)", 0)                       \
	X(cmp_imm_16, "cmpw $-2, 2(%%rdi)", 0)                        \
	X(test_reg, "testl %%ecx, (%%rdi)", FLAG_AF)                  \
	X(test_imm, "testl $0x1000, (%%rdi)", FLAG_AF)                \
	X(test_imm_8, "testb $0x80, 3(%%rdi)", FLAG_AF)               \
	X(inc, "incl (%%rdi)", 0)                                     \
	X(dec, "lock decl (%%rdi)", 0)                                \
	X(not, "notl (%%rdi)", 0)                                     \
	X(neg, "negl (%%rdi)", 0)                                     \
	X(bt, "btl $12, (%%rdi)", FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF)       \
	X(bts, "btsl $16, (%%rdi)", FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF)     \
	X(btr, "lock btrl $31, (%%rdi)", FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF) \
	X(btc, "btcl $33, (%%rdi)", FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF)     \
	X(xchg, "xchgl %%ecx, (%%rdi)", 0)                            \
	X(xadd, "lock xaddl %%ecx, (%%rdi)", 0)                       \
	X(cmpxchg, "lock cmpxchgl %%ecx, (%%rdi)", 0)                 \
	X(cmpxchg_equal, "movl (%%rdi), %%eax\n\tcmpxchgl %%ecx, (%%rdi)", 0) \
	X(stos, "stosl", 0)                                           \
	X(stos_down, "std\n\tstosl\n\tcld", 0)                         \
	X(lods, "leaq (%%rdi), %%rsi\n\tlodsl", 0)                    \
	X(movs_from, "xchgq %%rsi, %%rdi\n\tmovsl", 0)                \
	X(movs_to, "movsl", 0)                                        \
	X(rep_stos, "movl $1, %%ecx\n\trep stosl", 0)                 \
	X(rep_lods, "leaq (%%rdi), %%rsi\n\tmovl $1, %%ecx\n\trep lodsl", 0)

#define FORM_CODE(id, text, undefined) FORM(id, text)
FORMS(FORM_CODE)

static const struct form {
	const char *name;
	void (*run)(struct regs *r);
	uint64_t undefined; /* flags */
} forms[] = {
#define FORM_ENTRY(id, text, undefined) { #id, form_##id, undefined },
	FORMS(FORM_ENTRY)
};

/* ---- both ways ------------------------------------------------------------------------ */

static uint32_t other[2]; /* of MOVS */
static uint32_t words[1024] __attribute__((aligned(4096)));

struct outcome {
	struct regs regs;
	uint32_t word, other;
};

/* Special forms find their word by other registers than rdi. */
static void aim(const struct form *form, struct regs *r, volatile uint32_t *word)
{
	uintptr_t at = (uintptr_t)word;

	r->rdi = at;
	r->rsi = (uintptr_t)&other[0];
	r->r9 = at / 4;
	if (form->run == form_mov_index)
		r->rax = 1;
	else if (form->run == form_mov_disp8)
		r->rsi = at - 0x70;
	else if (form->run == form_mov_disp32)
		r->r9 = (at + 0x12345678) / 3;
	else if (form->run == form_mov_gs)
		r->rax = 16;
}

static struct outcome run(const struct form *form, volatile uint32_t *word, uint32_t value,
			  const struct regs *start)
{
	struct outcome o = { .regs = *start };

	aim(form, &o.regs, word);
	uint64_t rdi = o.regs.rdi, rsi = o.regs.rsi, r9 = o.regs.r9;

	wrmsr(MSR_GS_BASE, (uintptr_t)word - 16);
	*word = value;
	other[0] = 0x600df00d;
	form->run(&o.regs);
	o.word = *word;
	o.other = other[0];
	/* Addresses differ between the two ways by design: what remains is their change. */
	if (form->run == form_movs_from || form->run == form_lods || form->run == form_rep_lods)
		o.regs.rsi -= rdi;
	else
		o.regs.rsi -= rsi;
	o.regs.rdi -= form->run == form_movs_from ? rsi : rdi;
	if (form->run != form_mov_load_r9)
		o.regs.r9 -= r9;
	return o;
}

static bool differ(const struct form *form, const struct outcome *a, const struct outcome *b)
{
	uint64_t flags = FLAGS & ~form->undefined;

	return a->regs.rax != b->regs.rax || a->regs.rcx != b->regs.rcx ||
	       a->regs.rdx != b->regs.rdx || a->regs.rsi != b->regs.rsi ||
	       a->regs.rdi != b->regs.rdi || a->regs.r9 != b->regs.r9 ||
	       ((a->regs.flags ^ b->regs.flags) & flags) || a->word != b->word ||
	       a->other != b->other;
}

static void check_form(const struct form *form, uint32_t value, const struct regs *start)
{
	/* The sum of three thirds must be exact: both words lie at the same remainder. */
	volatile uint32_t *word = words;

	while (((uintptr_t)word + 0x12345678) % 3)
		word++;
	struct outcome memory = run(form, word, value, start);
	struct outcome device = run(form, apic(APIC_INITIAL), value, start);

	if (form->run == form_mov_store_r9) /* it stores the address */
		CHECK_EQ(device.word, (APIC + APIC_INITIAL) / 4);
	else if (differ(form, &memory, &device))
		ktap_fail(__FILE__, __LINE__,
			  "%s of 0x%x: word 0x%x, rax 0x%lx, rcx 0x%lx, flags 0x%lx; in memory "
			  "0x%x, 0x%lx, 0x%lx, 0x%lx", form->name, value, device.word,
			  device.regs.rax, device.regs.rcx, device.regs.flags, memory.word,
			  memory.regs.rax, memory.regs.rcx, memory.regs.flags);
}

static void test_forms(void)
{
	static const uint32_t values[] = { 0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x9a7f80fe };
	static const uint64_t flags[] = { 0x2, 0x2 | FLAGS };

	apic_prepare();
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++)
		for (unsigned v = 0; v < ARRAY_SIZE(values); v++)
			for (unsigned f = 0; f < 2; f++) {
				struct regs start = {
					.rax = 0x1122334455667788 ^
					       values[ARRAY_SIZE(values) - 1 - v],
					.rcx = 0xfedcba9800000001 * (v + 1) ^ values[v] << f,
					.rdx = 0x0123456789abcdef,
					.flags = flags[f],
				};

				check_form(&forms[i], values[v], &start);
			}
	*apic(APIC_INITIAL) = 0;
}

/* ---- what takes more than one word -------------------------------------------------------- */

/* A quarter page of registers, in one instruction; there are holes, which read as zero. */
static void test_rep_movs(void)
{
	void *from = (void *)(APIC + 0x300), *to = words;
	uint64_t count = 64;

	apic_prepare();
	*apic(APIC_LVT_LINT0) = LVT_MASKED | 0x51;
	*apic(APIC_LVT_LINT1) = LVT_MASKED | 0x62;
	memset(words, 0xee, sizeof(words));
	__asm__ volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
	CHECK_EQ(count, 0);
	CHECK_EQ(from, APIC + 0x400);
	CHECK_EQ(to, &words[64]);
	CHECK_EQ(words[(APIC_LVT_LINT0 - 0x300) / 4], LVT_MASKED | 0x51);
	CHECK_EQ(words[(APIC_LVT_LINT1 - 0x300) / 4], LVT_MASKED | 0x62);
	CHECK_EQ(words[64], 0xeeeeeeee);
	*apic(APIC_ESR) = 0;
}

/* From the last register on: the rest of the copy is memory's, and so is the last of the source. */
static void test_rep_movs_backwards(void)
{
	void *from = (void *)(APIC + APIC_LVT_LINT0), *to = &words[100];
	uint64_t count = 5;

	memset(words, 0xee, sizeof(words));
	__asm__ volatile("std\n\trep movsl\n\tcld"
			 : "+S"(from), "+D"(to), "+c"(count) : : "memory", "cc");
	CHECK_EQ(from, APIC + APIC_LVT_LINT0 - 20);
	CHECK_EQ(to, &words[95]);
	CHECK_EQ(words[100], LVT_MASKED | 0x51);
	CHECK_EQ(words[95], 0xeeeeeeee);
	*apic(APIC_ESR) = 0;
}

static const struct ktap_test tests[] = {
	KTAP(test_forms),
	KTAP(test_rep_movs),
	KTAP(test_rep_movs_backwards),
};

int guest_main(void)
{
	return KTAP_MAIN(tests);
}
