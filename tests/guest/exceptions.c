/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exceptions: those that the processor raises by itself still work, those that the
 * hypervisor injects have the right vector, error code and RIP.  QEMU's own
 * processor leaves out some checks; without Phyllo these tests run only when the
 * word "strict" is on the command line.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/x86.h"

#define MSR_VM_CR 0xc0010114
#define MSR_VM_HSAVE_PA 0xc0010117
#define MSR_VMX_BASIC 0x480

#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_RSVD 8u
#define PF_I 16u

static bool need_strict(void)
{
	if (phyllo_present() || strstr(info.cmdline, "strict"))
		return true;
	ktap_skip("not every emulator checks this");
	return false;
}

static void rdmsr_try(uint32_t msr)
{
	uint32_t lo, hi;

	TRAP_TRY("rdmsr", ("=a"(lo), "=d"(hi)), ("c"(msr)));
	(void)lo;
	(void)hi;
}

static void wrmsr_try(uint32_t msr, uint64_t v)
{
	TRAP_TRY("wrmsr", (), ("c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))));
}

/* ---- #UD -------------------------------------------------------------------------- */

#define CHECK_UD(bytes)                                                       \
	do {                                                                  \
		TRAP_TRY(".byte " bytes, (), ("a"(0), "c"(0), "D"(buf)));     \
		CHECK_TRAP(VEC_UD, 0);                                        \
	} while (0)

static uint64_t buf[64] __attribute__((aligned(16)));

static void test_ud2(void)
{
	CHECK_UD("0x0f, 0x0b");
	CHECK_UD("0x0f, 0xaa"); /* rsm */
	CHECK_UD("0x06");       /* push es */
}

static void test_svm_instructions(void)
{
	CHECK_UD("0x0f, 0x01, 0xd8"); /* vmrun */
	CHECK_UD("0x0f, 0x01, 0xda"); /* vmload */
	CHECK_UD("0x0f, 0x01, 0xdb"); /* vmsave */
	CHECK_UD("0x0f, 0x01, 0xdc"); /* stgi */
	CHECK_UD("0x0f, 0x01, 0xdd"); /* clgi */
	CHECK_UD("0x0f, 0x01, 0xdf"); /* invlpga */
}

static void test_vmx_instructions(void)
{
	CHECK_UD("0xf3, 0x0f, 0xc7, 0x37");       /* vmxon [rdi] */
	CHECK_UD("0x0f, 0x01, 0xc4");             /* vmxoff */
	CHECK_UD("0x0f, 0x01, 0xc2");             /* vmlaunch */
	CHECK_UD("0x0f, 0x01, 0xc3");             /* vmresume */
	CHECK_UD("0x0f, 0xc7, 0x37");             /* vmptrld [rdi] */
	CHECK_UD("0x0f, 0xc7, 0x3f");             /* vmptrst [rdi] */
	CHECK_UD("0x66, 0x0f, 0xc7, 0x37");       /* vmclear [rdi] */
	CHECK_UD("0x0f, 0x78, 0xc0");             /* vmread rax, rax */
	CHECK_UD("0x0f, 0x79, 0xc0");             /* vmwrite rax, rax */
	CHECK_UD("0x66, 0x0f, 0x38, 0x80, 0x07"); /* invept rax, [rdi] */
	CHECK_UD("0x66, 0x0f, 0x38, 0x81, 0x07"); /* invvpid rax, [rdi] */
}

/* ---- #GP on MSRs -------------------------------------------------------------------- */

static void test_unknown_msrs(void)
{
	/* inside and outside of what the vendors' permission bitmaps cover */
	static const uint32_t list[] = { 0x1ffe, 0x2000, 0x12345678, 0xc0001ffe, 0xc0002000,
					 0xc0011ffe, 0xdeadbeef, 0xffffffff };

	if (!need_strict())
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(list); i++) {
		rdmsr_try(list[i]);
		CHECK_TRAP(VEC_GP, 0);
		wrmsr_try(list[i], 0);
		CHECK_TRAP(VEC_GP, 0);
	}
}

static void test_virtualisation_msrs(void)
{
	if (!ktap_need_phyllo())
		return;
	wrmsr_try(MSR_VM_HSAVE_PA, 0x1000);
	CHECK_TRAP(VEC_GP, 0);
	rdmsr_try(MSR_VMX_BASIC);
	CHECK_TRAP(VEC_GP, 0);
	wrmsr_try(MSR_VMX_BASIC, 0);
	CHECK_TRAP(VEC_GP, 0);
}

static void test_bad_efer(void)
{
	uint64_t efer = rdmsr(MSR_EFER);

	if (!need_strict())
		return;
	wrmsr_try(MSR_EFER, efer & ~EFER_LME); /* while paging is on */
	CHECK_TRAP(VEC_GP, 0);
	wrmsr_try(MSR_EFER, efer | 1ul << 1);
	CHECK_TRAP(VEC_GP, 0);
	wrmsr_try(MSR_EFER, efer | 1ul << 63);
	CHECK_TRAP(VEC_GP, 0);
	if (phyllo_present()) {
		wrmsr_try(MSR_EFER, efer | EFER_SVME);
		CHECK_TRAP(VEC_GP, 0);
	}
	CHECK_EQ(rdmsr(MSR_EFER), efer);
}

/* ---- #GP on control registers ---------------------------------------------------------- */

static void check_cr4_refused(uint64_t v)
{
	uint64_t before = read_cr4();

	TRAP_TRY("mov %0, %%cr4", (), ("r"(v)));
	CHECK_TRAP(VEC_GP, 0);
	CHECK_EQ(read_cr4(), before);
}

static void test_bad_cr4(void)
{
	uint64_t cr4 = read_cr4();

	if (!need_strict())
		return;
	check_cr4_refused(cr4 | 1ul << 15);
	check_cr4_refused(cr4 | 1ul << 30);
	check_cr4_refused(cr4 | 1ul << 31);
	check_cr4_refused(cr4 | 1ul << 32);
	check_cr4_refused(cr4 | 1ul << 63);
	check_cr4_refused(cr4 & ~CR4_PAE);
	check_cr4_refused(cr4 ^ CR4_LA57);
	if (!(cpuid(1, 0).ecx & 1 << 5))
		check_cr4_refused(cr4 | CR4_VMXE);
	if (!(cpuid(1, 0).ecx & 1 << 6))
		check_cr4_refused(cr4 | CR4_SMXE);
	if (!(cpuid(1, 0).ecx & 1 << 17))
		check_cr4_refused(cr4 | 1ul << 17); /* PCIDE */
}

static void check_cr0_refused(uint64_t v)
{
	uint64_t before = read_cr0();

	TRAP_TRY("mov %0, %%cr0", (), ("r"(v)));
	CHECK_TRAP(VEC_GP, 0);
	CHECK_EQ(read_cr0(), before);
}

static void test_bad_cr0(void)
{
	uint64_t cr0 = read_cr0();

	if (!need_strict())
		return;
	check_cr0_refused(cr0 & ~CR0_PE); /* PG without PE */
	check_cr0_refused((cr0 & ~CR0_CD) | CR0_NW);
	check_cr0_refused(cr0 | 1ul << 32);
	check_cr0_refused(cr0 & ~CR0_PG); /* in 64-bit code */
}

/* Each register in turn, so that the hypervisor's idea of the operand is right. */
#define TOGGLE(reg)                                                                \
	do {                                                                       \
		uint64_t cr4_ = read_cr4() ^ CR4_DE, cr0_ = read_cr0() ^ CR0_AM;   \
		__asm__ volatile("mov %0, %%" reg "\n\tmov %%" reg ", %%cr4"       \
				 : : "r"(cr4_) : reg, "memory");                   \
		CHECK_EQ(read_cr4(), cr4_);                                        \
		__asm__ volatile("mov %0, %%" reg "\n\tmov %%" reg ", %%cr0"       \
				 : : "r"(cr0_) : reg, "memory");                   \
		CHECK_EQ(read_cr0(), cr0_);                                        \
	} while (0)

static void test_good_cr_writes(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();

	for (unsigned i = 0; i < 2; i++) {
		TOGGLE("rax");
		TOGGLE("rcx");
		TOGGLE("rdx");
		TOGGLE("rbx");
		TOGGLE("rsi");
		TOGGLE("rdi");
		TOGGLE("r8");
		TOGGLE("r9");
		TOGGLE("r10");
		TOGGLE("r11");
		TOGGLE("r12");
		TOGGLE("r13");
		TOGGLE("r14");
		TOGGLE("r15");
	}
	CHECK_EQ(read_cr0(), cr0);
	CHECK_EQ(read_cr4(), cr4);
	/* rsp as the operand: bit 3 of a stack pointer is as good as any */
	__asm__ volatile("mov %%rsp, %%r15\n\tmov %0, %%rsp\n\tmov %%rsp, %%cr4\n\tmov %%r15, %%rsp"
			 : : "r"(cr4 ^ CR4_DE) : "r15", "memory");
	CHECK_EQ(read_cr4(), cr4 ^ CR4_DE);
	write_cr4(cr4);
}

static void test_lmsw_and_clts(void)
{
	uint64_t cr0 = read_cr0();

	__asm__ volatile("lmsw %w0" : : "r"((cr0 & 7) | CR0_TS));
	CHECK_EQ(read_cr0(), cr0 | CR0_TS);
	__asm__ volatile("clts");
	CHECK_EQ(read_cr0(), cr0 & ~CR0_TS);
	/* LMSW sets PE but cannot clear it. */
	__asm__ volatile("lmsw %w0" : : "r"(0));
	CHECK_EQ(read_cr0(), cr0 & ~(CR0_MP | CR0_EM | CR0_TS));
	write_cr0(cr0);
}

/* ---- #PF ---------------------------------------------------------------------------------- */

#define TEST_VA 0x4000000000ul

static void read_try(uint64_t va)
{
	uint8_t v;

	TRAP_TRY("movb (%1), %0", ("=q"(v)), ("r"(va)));
	(void)v;
}

static void write_try(uint64_t va)
{
	TRAP_TRY("movb $1, (%0)", (), ("r"(va)));
}

static void fetch_try(uint64_t va)
{
	/* No CALL: a fault at the target would leave its return address on the stack. */
	TRAP_TRY("leaq 772f(%%rip), %%rcx\n\tjmp *%0", (), ("a"(va), "c"(0)));
}

static void check_pf(uint64_t va, uint64_t error)
{
	CHECK_TRAP(VEC_PF, error);
	CHECK_EQ(trap.cr2, va);
}

static void set_entry(uint64_t value)
{
	*paging_entry(boot_pml4, TEST_VA, 1) = value;
	invlpg(TEST_VA);
}

static void test_page_faults(void)
{
	uint64_t pa = (uintptr_t)page_alloc(), cr0 = read_cr0();

	set_entry(0);
	read_try(TEST_VA + 0x123);
	check_pf(TEST_VA + 0x123, 0);
	write_try(TEST_VA + 0xfff);
	check_pf(TEST_VA + 0xfff, PF_W);
	set_entry(pa | PTE_P);
	read_try(TEST_VA);
	CHECK_NO_TRAP();
	write_try(TEST_VA + 8);
	check_pf(TEST_VA + 8, PF_P | PF_W);
	write_cr0(cr0 & ~CR0_WP);
	write_try(TEST_VA + 8);
	CHECK_NO_TRAP();
	write_cr0(cr0);
	set_entry(pa | PTE_P | PTE_W);
	write_try(TEST_VA);
	CHECK_NO_TRAP();
	CHECK_EQ(*(volatile uint8_t *)pa, 1);
}

static void test_nx_fault(void)
{
	uint64_t pa = (uintptr_t)page_alloc();

	if (!(rdmsr(MSR_EFER) & EFER_NXE)) {
		ktap_skip("the processor has no NX");
		return;
	}
	*(uint16_t *)pa = 0xe1ff; /* jmp rcx */
	set_entry(pa | PTE_P);
	fetch_try(TEST_VA);
	CHECK_NO_TRAP();
	set_entry(pa | PTE_P | PTE_NX);
	fetch_try(TEST_VA);
	trap.insn = TEST_VA;
	check_pf(TEST_VA, PF_P | PF_I);
}

static void test_reserved_bit_fault(void)
{
	if (!need_strict())
		return;
	set_entry((uintptr_t)page_alloc() | PTE_P | PTE_W | 1ul << 51);
	read_try(TEST_VA);
	/* QEMU leaves P out of the error code. */
	trap.error |= PF_P;
	check_pf(TEST_VA, PF_P | PF_RSVD);
	set_entry(0);
}

static void user_read(void *arg)
{
	read_try(TEST_VA);
}

static void user_write(void *arg)
{
	write_try(TEST_VA);
}

static void test_user_faults(void)
{
	uint64_t pa = (uintptr_t)page_alloc();

	set_entry(0);
	user_call(user_read, NULL);
	check_pf(TEST_VA, PF_U);
	set_entry(pa | PTE_P | PTE_W);
	user_call(user_read, NULL);
	check_pf(TEST_VA, PF_P | PF_U);
	user_call(user_write, NULL);
	check_pf(TEST_VA, PF_P | PF_W | PF_U);
	set_entry(pa | PTE_P | PTE_U);
	user_call(user_read, NULL);
	CHECK_NO_TRAP();
	user_call(user_write, NULL);
	check_pf(TEST_VA, PF_P | PF_W | PF_U);
}

/* ---- the others ------------------------------------------------------------------------------ */

/*
 * Manual: vector times 8, and the IDT bit.  QEMU counts 16-byte gates instead; this
 * brings its number to the manual's.
 */
static void check_gate_fault(uint64_t vector, uint64_t gate)
{
	if (trap.error == gate * 16 + 2)
		trap.error = gate * 8 + 2;
	CHECK_TRAP(vector, gate * 8 + 2);
}

static const char *const user_name[] = {
	"hlt", "cli", "in", "out", "mov to cr0", "rdmsr", "wrmsr", "ud2", "int 0x41",
};

/* Ring 3 cannot print: the caller looks at what happened. */
static void user_privileged(void *arg)
{
	switch ((uintptr_t)arg) {
	case 0:
		TRAP_TRY("hlt", (), ());
		break;
	case 1:
		TRAP_TRY("cli", (), ());
		break;
	case 2:
		TRAP_TRY("inb $0x80, %%al", (), ("a"(0)));
		break;
	case 3:
		TRAP_TRY("outb %%al, $0xf4", (), ("a"(0)));
		break;
	case 4:
		TRAP_TRY("mov %0, %%cr0", (), ("r"(0x11ul)));
		break;
	case 5:
		TRAP_TRY("rdmsr", (), ("c"(MSR_EFER), "a"(0), "d"(0)));
		break;
	case 6:
		TRAP_TRY("wrmsr", (), ("c"(MSR_EFER), "a"(0), "d"(0)));
		break;
	case 7:
		TRAP_TRY("ud2", (), ());
		break;
	case 8:
		TRAP_TRY("int $0x41", (), ());
		break;
	}
}

/* Privilege checks come before the hypervisor's intercepts. */
static void test_privileged_in_ring_3(void)
{
	for (uintptr_t i = 0; i < ARRAY_SIZE(user_name); i++) {
		bool ud = i == 7;

		user_call(user_privileged, (void *)i);
		if (trap.count != 1 || trap.vector != (ud ? VEC_UD : VEC_GP))
			ktap_fail(__FILE__, __LINE__, "%s in ring 3: %lu exceptions, vector %lu",
				  user_name[i], trap.count, trap.vector);
		else if (i == 8)
			check_gate_fault(VEC_GP, 0x41);
		else
			CHECK_TRAP(trap.vector, 0);
	}
}

static void test_divide_error(void)
{
	TRAP_TRY("divl %0", (), ("r"(0), "a"(1), "d"(0)));
	CHECK_TRAP(VEC_DE, 0);
}

static void test_software_interrupts(void)
{
	TRAP_TRY("int3", (), ());
	trap.insn += 1;
	CHECK_TRAP(VEC_BP, 0);
	TRAP_TRY("int $0x41", (), ());
	trap.insn += 2;
	CHECK_TRAP(0x41, 0);
	TRAP_TRY(".byte 0xcd, 3", (), ()); /* the long form */
	trap.insn += 2;
	CHECK_TRAP(VEC_BP, 0);
}

static void test_gate_faults(void)
{
	struct idt_gate saved = trap_idt[0x42];

	trap_idt[0x42].type &= 0x7f; /* not present */
	TRAP_TRY("int $0x42", (), ());
	check_gate_fault(VEC_NP, 0x42);
	trap_idt[0x42] = saved;
	trap_load_idt(trap_idt, 0x41 * 16 + 15);
	TRAP_TRY("int $0x42", (), ());
	check_gate_fault(VEC_GP, 0x42);
	trap_load_idt(trap_idt, sizeof(trap_idt) - 1);
}

static void test_non_canonical(void)
{
	read_try(1ul << 63);
	CHECK_TRAP(VEC_GP, 0);
	write_try(~0ul >> 1);
	CHECK_TRAP(VEC_GP, 0);
}

static uint64_t double_faults;

static bool on_double_fault(struct trap_frame *f)
{
	if (f->vector != VEC_DF)
		return false;
	double_faults++;
	CHECK_EQ(f->error, 0);
	f->rip = trap.resume;
	return true;
}

/* A #GP whose gate is broken is a double fault, on a stack of its own. */
static void test_double_fault(void)
{
	struct idt_gate saved = trap_idt[VEC_GP];

	double_faults = 0;
	trap_hook = on_double_fault;
	trap_idt[VEC_GP].type &= 0x7f;
	read_try(1ul << 63);
	CHECK_EQ(double_faults, 1);
	if (phyllo_present()) {
		/*
		 * The same, injected by the hypervisor.  QEMU forgets that an injected event is one
		 * of two and delivers the second alone.
		 */
		rdmsr_try(0x12345678);
		CHECK(double_faults == 2 || (trap.count == 1 && trap.vector == VEC_NP));
	}
	trap_idt[VEC_GP] = saved;
	trap_hook = NULL;
}

static const struct ktap_test tests[] = {
	KTAP(test_ud2),
	KTAP(test_svm_instructions),
	KTAP(test_vmx_instructions),
	KTAP(test_unknown_msrs),
	KTAP(test_virtualisation_msrs),
	KTAP(test_bad_efer),
	KTAP(test_bad_cr4),
	KTAP(test_bad_cr0),
	KTAP(test_good_cr_writes),
	KTAP(test_lmsw_and_clts),
	KTAP(test_page_faults),
	KTAP(test_nx_fault),
	KTAP(test_reserved_bit_fault),
	KTAP(test_user_faults),
	KTAP(test_privileged_in_ring_3),
	KTAP(test_divide_error),
	KTAP(test_software_interrupts),
	KTAP(test_gate_faults),
	KTAP(test_non_canonical),
	KTAP(test_double_fault),
};

int guest_main(void)
{
	return KTAP_MAIN(tests);
}
