/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * EFLAGS.TF over instructions that the hypervisor emulates: the trap comes behind each of
 * them, as it does on the processor itself.  And #DB for other reasons, whose delivery is begun by the
 * processor and ended by the hypervisor.
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

/* ---- breakpoints ----------------------------------------------------------------------- */

static uint64_t dr7_in_handler;

/* A fault comes before its instruction, which is to run all the same. */
static bool on_breakpoint(struct trap_frame *f)
{
	if (!on_debug(f))
		return false;
	dr7_in_handler = read_dr7();
	f->rflags |= RFLAGS_RF;
	return true;
}

static void break_begin(uint64_t address, uint64_t dr7)
{
	step_begin();
	trap_hook = on_breakpoint;
	write_dr0(address);
	write_dr7(dr7);
}

static void break_end(int line, uint64_t rip, uint64_t dr6)
{
	uint64_t seen = step.dr6;

	write_dr7(0);
	trap_hook = NULL;
	if (step.count != 1)
		ktap_fail(__FILE__, line, "%lu debug exceptions, not one", step.count);
	else if (step.rip != rip)
		ktap_fail(__FILE__, line, "#DB at 0x%lx, not 0x%lx", step.rip, rip);
	else if ((seen & 0xe00f) != dr6)
		ktap_fail(__FILE__, line, "DR6 is 0x%lx, not 0x%lx", seen, dr6);
}

static void test_execute_breakpoint(void)
{
	uint64_t at;

	__asm__ volatile("lea 774f(%%rip), %0" : "=r"(at));
	break_begin(at, DR7_EXECUTE0);
	__asm__ volatile("774:\tnop" : : : "memory");
	break_end(__LINE__, at, DR6_B0);
}

static void test_write_breakpoint(void)
{
	static uint64_t watched;
	uint64_t behind;

	break_begin((uint64_t)&watched, DR7_WRITE0);
	__asm__ volatile("lea 775f(%%rip), %0\n\tmovq $5, %1\n775:" : "=&r"(behind), "=m"(watched));
	break_end(__LINE__, behind, DR6_B0);
	CHECK_EQ(watched, 5);
}

/* QEMU has neither DR7.GD nor INT1.  It plays AMD's processors; Intel's have to have them. */
static bool need_intel(void)
{
	if (cpuid(0, 0).ebx == 0x756e6547)
		return true;
	ktap_skip("only where the processor is an Intel: the other one is QEMU's, which cannot do this");
	return false;
}

/* Who is kept from the debug registers finds them open in the handler. */
static void test_general_detect(void)
{
	uint64_t at, value;

	if (!need_intel())
		return;
	break_begin(0, DR7_GD);
	__asm__ volatile("lea 776f(%%rip), %0\n776:\tmov %%dr0, %1" : "=&r"(at), "=r"(value));
	break_end(__LINE__, at, DR6_BD);
	CHECK(!(dr7_in_handler & DR7_GD));
}

static void test_int1(void)
{
	uint64_t behind;

	if (!need_intel())
		return;
	break_begin(0, 0);
	__asm__ volatile("lea 777f(%%rip), %0\n\t.byte 0xf1\n777:" : "=r"(behind));
	break_end(__LINE__, behind, 0);
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
	KTAP(test_execute_breakpoint),
	KTAP(test_write_breakpoint),
	KTAP(test_general_detect),
	KTAP(test_int1),
};

int guest_main(void)
{
	return KTAP_MAIN(tests);
}
