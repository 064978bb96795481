/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * EFLAGS.TF over instructions that the hypervisor emulates: the trap comes behind each of
 * them, as it does on the processor itself.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/x86.h"

static struct {
	uint64_t count, rip, dr6;
} step;

static bool on_debug(struct trap_frame *f)
{
	if (f->vector != VEC_DB)
		return false;
	step.count++;
	step.rip = f->rip;
	step.dr6 = read_dr6();
	f->rflags &= ~RFLAGS_TF;
	return true;
}

static void step_begin(void)
{
	step.count = 0;
	write_dr6(0xffff0ff0);
}

static void step_check(int line, uint64_t behind)
{
	if (step.count != 1)
		ktap_fail(__FILE__, line, "%lu debug exceptions, not one", step.count);
	else if (step.rip != behind)
		ktap_fail(__FILE__, line, "#DB at 0x%lx, not 0x%lx", step.rip, behind);
	else if (!(step.dr6 & DR6_BS))
		ktap_fail(__FILE__, line, "DR6 is 0x%lx: BS is not set", step.dr6);
}

/* TF counts from the instruction behind POPF on. */
#define STEP(insn, out, in)                                                          \
	do {                                                                         \
		uint64_t behind_;                                                    \
		step_begin();                                                        \
		trap_hook = on_debug;                                                \
		__asm__ volatile("movq $771f, step_target\n\t"                       \
				 "pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t" insn   \
				 "\n771:\tnop\n\t"                                   \
				 "pushfq\n\tandl $~0x100, (%%rsp)\n\tpopfq"          \
				 : TRAP_PAREN out                                    \
				 : TRAP_PAREN in                                     \
				 : "memory", "cc");                                  \
		trap_hook = NULL;                                                    \
		behind_ = step_target;                                               \
		step_check(__LINE__, behind_);                                       \
	} while (0)

uint64_t step_target;

static void test_plain_instruction(void)
{
	STEP("nop", (), ());
	STEP("mov %%rax, %%rax", (), ());
}

static void test_cpuid(void)
{
	uint32_t a = 0, b, c = 0, d;

	STEP("cpuid", ("+a"(a), "=b"(b), "+c"(c), "=d"(d)), ());
	(void)b;
	(void)d;
}

static void test_io(void)
{
	uint32_t a;

	STEP("inb $0x80, %%al", ("=a"(a)), ());
	STEP("inb %%dx, %%al", ("=a"(a)), ("d"(0x3fd)));
	STEP("outb %%al, %%dx", (), ("a"(0), "d"(0x3ff)));
	STEP("outb %%al, $0x80", (), ("a"(0)));
}

static void test_msr(void)
{
	uint32_t a, d;
	uint64_t efer = rdmsr(MSR_EFER);

	STEP("rdmsr", ("=a"(a), "=d"(d)), ("c"(MSR_EFER)));
	STEP("wrmsr", (), ("c"(MSR_EFER), "a"((uint32_t)efer), "d"((uint32_t)(efer >> 32))));
	STEP("rdmsr", ("=a"(a), "=d"(d)), ("c"(MSR_PAT)));
}

static void test_control_registers(void)
{
	STEP("mov %0, %%cr4", (), ("r"(read_cr4())));
	STEP("mov %0, %%cr0", (), ("r"(read_cr0() ^ CR0_AM)));
	STEP("mov %0, %%cr0", (), ("r"(read_cr0() ^ CR0_AM)));
	STEP("mov %0, %%cr3", (), ("r"(read_cr3())));
	STEP("clts", (), ());
}

static void test_hypercall(void)
{
	long ret, nr = PHYLLO_HC_VERSION;

	if (!ktap_need_phyllo())
		return;
	STEP("vmmcall", ("=a"(ret)), ("a"(nr), "b"(0), "c"(0), "d"(0), "S"(0)));
	CHECK_EQ(ret, PHYLLO_ABI_VERSION);
	STEP("vmcall", ("=a"(ret)), ("a"(nr), "b"(0), "c"(0), "d"(0), "S"(0)));
	CHECK_EQ(ret, PHYLLO_ABI_VERSION);
}

/* A nested fault in the middle of a stepped instruction adds and loses nothing. */
static void test_nested_fault(void)
{
	uint64_t page;

	if (!ktap_need_phyllo())
		return;
	page = ram_take(SIZE_2M, SIZE_2M);
	if (!page)
		guest_die("this kernel needs 2 MiB of free memory");
	for (unsigned i = 0; i < 100; i++) {
		*(volatile uint64_t *)page = i;
		CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, page, SIZE_2M, 0, 0), 0);
		STEP("incq (%0)", (), ("r"(page)));
		CHECK_EQ(*(volatile uint64_t *)page, i + 1);
	}
}

/*
 * MOV SS holds the trap back for one instruction, where the processor does that at all;
 * an emulated instruction behind it must make no difference.
 */
static void test_mov_ss_shadow(void)
{
	uint32_t a = 0, b, c = 0, d, ss = SEL_DATA;
	uint64_t plain, emulated;

	step_begin();
	trap_hook = on_debug;
	__asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t"
			 "mov %0, %%ss\n772:\tnop\n\tnop\n\tmovq $772b, step_target"
			 : : "r"(ss) : "memory", "cc");
	plain = step.rip - step_target;
	CHECK_EQ(step.count, 1);
	CHECK(plain <= 1);
	step_begin();
	__asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t"
			 "mov %4, %%ss\n773:\tcpuid\n\tnop\n\tmovq $773b, step_target"
			 : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : "S"(ss) : "memory", "cc");
	emulated = step.rip - step_target;
	trap_hook = NULL;
	CHECK_EQ(step.count, 1);
	CHECK_EQ(emulated, plain * 2);
}

/* STI and then an exit: the flag is on, the exit does its work, an exception comes through. */
static void test_sti_shadow(void)
{
	uint32_t a = 0, b, c = 0, d;
	uint64_t flags;

	/* No interrupt may come in: the firmware left the PIC open. */
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	for (unsigned i = 0; i < 100; i++) {
		__asm__ volatile("sti\n\tcpuid\n\tpushfq\n\tcli\n\tpopq %%rsi"
				 : "+a"(a), "=b"(b), "+c"(c), "=d"(d), "=S"(flags)
				 : : "memory", "cc");
		CHECK(flags & RFLAGS_IF);
		a = c = 0;
		TRAP_TRY("sti\n\tud2", (), ());
		trap.insn += 1;
		CHECK_TRAP(VEC_UD, 0);
		CHECK(trap.rflags & RFLAGS_IF);
		__asm__ volatile("cli");
		if (!phyllo_present())
			continue;
		TRAP_TRY("sti\n\trdmsr", (), ("c"(0x12345678)));
		__asm__ volatile("cli");
		trap.insn += 1;
		CHECK_TRAP(VEC_GP, 0);
		CHECK(trap.rflags & RFLAGS_IF);
	}
}

static const struct ktap_test tests[] = {
	KTAP(test_plain_instruction),
	KTAP(test_cpuid),
	KTAP(test_io),
	KTAP(test_msr),
	KTAP(test_control_registers),
	KTAP(test_hypercall),
	KTAP(test_nested_fault),
	KTAP(test_mov_ss_shadow),
	KTAP(test_sti_shadow),
};

int guest_main(void)
{
	return KTAP_MAIN(tests);
}
