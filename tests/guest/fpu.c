/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's x87, SSE and AVX registers are its own: they survive exits of every kind, and sleep.  The
 * compiler uses none of them (-mgeneral-regs-only), so they change in asm only.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/x86.h"

#define ROUNDS 3000
#define CPUID_1_ECX_XSAVE (1u << 26)
#define CPUID_1_ECX_AVX (1u << 28)
#define XCR0_X87 1ull
#define XCR0_SSE 2ull
#define XCR0_AVX 4ull

static uint64_t vectors[16][4] __attribute__((aligned(32)));
static uint64_t read_back[16][4] __attribute__((aligned(32)));

static void make_vectors(uint64_t seed)
{
	for (unsigned r = 0; r < 16; r++)
		for (unsigned i = 0; i < 4; i++)
			vectors[r][i] = (seed + r * 4 + i + 1) * 0x9e3779b97f4a7c15ull;
}

/* Something of each kind that leaves the guest. */
static void many_exits(unsigned round)
{
	cpuid(0, 0);
	inb(0x80);
	if (phyllo_present()) {
		hypercall(PHYLLO_HC_VERSION, 0, 0, 0, 0);
		if (round % 64 == 0)
			audit();
	}
}

#define EACH_REGISTER(X) \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

static void load_xmm(void)
{
#define LOAD(n) __asm__ volatile("movdqa (%0), %%xmm" #n : : "r"(vectors[n]) : "memory");
	EACH_REGISTER(LOAD)
#undef LOAD
}

static void store_xmm(void)
{
#define STORE(n) __asm__ volatile("movdqa %%xmm" #n ", (%0)" : : "r"(read_back[n]) : "memory");
	EACH_REGISTER(STORE)
#undef STORE
}

static void load_ymm(void)
{
#define LOAD(n) __asm__ volatile("vmovdqa (%0), %%ymm" #n : : "r"(vectors[n]) : "memory");
	EACH_REGISTER(LOAD)
#undef LOAD
}

static void store_ymm(void)
{
#define STORE(n) __asm__ volatile("vmovdqa %%ymm" #n ", (%0)" : : "r"(read_back[n]) : "memory");
	EACH_REGISTER(STORE)
#undef STORE
}

static void compare(unsigned words)
{
	for (unsigned r = 0; r < 16; r++)
		CHECK(!memcmp(vectors[r], read_back[r], words * sizeof(uint64_t)));
}

static void test_sse_survives(void)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		make_vectors(round);
		load_xmm();
		many_exits(round);
		store_xmm();
		compare(2);
	}
}

static void test_mxcsr_and_x87_survive(void)
{
	uint32_t mxcsr = 0x1f80 | 0x6000, got; /* round towards zero */
	uint16_t cw = 0x0f7f, got_cw;
	uint64_t v = 0;

	__asm__ volatile("ldmxcsr %0\n\tfninit\n\tfldcw %1\n\tfldpi" : : "m"(mxcsr), "m"(cw));
	for (unsigned round = 0; round < 100; round++)
		many_exits(round);
	__asm__ volatile("stmxcsr %0\n\tfnstcw %1\n\tfstpl %2" : "=m"(got), "=m"(got_cw), "=m"(v));
	CHECK_EQ(got, mxcsr);
	CHECK_EQ(got_cw, cw);
	CHECK_EQ(v, 0x400921fb54442d18ull); /* pi, towards zero */
	mxcsr = 0x1f80;
	__asm__ volatile("ldmxcsr %0\n\tfninit" : : "m"(mxcsr));
}

/* FXSAVE64 (SDM vol. 1, 10.5.1): control to FDP, MXCSR, then ST0 to ST7. */
static uint8_t fx_before[512] __attribute__((aligned(16)));
static uint8_t fx_after[512] __attribute__((aligned(16)));
#define FX_X87_SIZE 160

static void x87_initial(void)
{
}

static void x87_control_word(void)
{
	uint16_t cw = 0x0f7f;

	__asm__ volatile("fldcw %0" : : "m"(cw));
}

static void x87_registers(void)
{
	__asm__ volatile("fldpi\n\tfld1");
}

/* Nothing is on the stack, and the register is not empty of its number. */
static void x87_residue(void)
{
	__asm__ volatile("fldpi\n\tfstp %st(0)");
}

/* The number is zero; that it is there is in the tag alone. */
static void x87_zero(void)
{
	__asm__ volatile("fldz");
}

/* Division by zero, masked: flags in the status word. */
static void x87_flags(void)
{
	__asm__ volatile("fld1\n\tfldz\n\tfdivrp\n\tfstp %st(0)");
}

/* Long enough for it to lose its processor: one that is about to wake keeps it. */
static void sleep_once(void)
{
	unsigned count = irq.count;

	cli();
	apic_timer(0x41, APIC_DIVIDE_BY_1, 3000000);
	while (irq.count == count) {
		sti_hlt();
		cli();
	}
}

static void test_x87_survives_a_sleep(void)
{
	static void (*const states[])(void) = {
		x87_initial, x87_control_word, x87_registers, x87_residue, x87_zero, x87_flags,
	};

	apic_begin();
	for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		__asm__ volatile("fninit");
		states[i]();
		__asm__ volatile("fxsave64 (%0)" : : "r"(fx_before) : "memory");
		sleep_once();
		__asm__ volatile("fxsave64 (%0)" : : "r"(fx_after) : "memory");
		CHECK(!memcmp(fx_before, fx_after, FX_X87_SIZE));
	}
	__asm__ volatile("fninit");
}

static bool need_xsave(void)
{
	if (cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE)
		return true;
	ktap_skip("the processor has no XSAVE");
	return false;
}

static void test_xcr0_is_the_guests(void)
{
	uint64_t offered;

	if (!need_xsave())
		return;
	write_cr4(read_cr4() | CR4_OSXSAVE);
	offered = cpuid(0xd, 0).eax;
	CHECK_EQ(offered & 3, 3);
	xsetbv(0, XCR0_X87);
	many_exits(0);
	CHECK_EQ(xgetbv(0), XCR0_X87);
	xsetbv(0, XCR0_X87 | XCR0_SSE);
	many_exits(1);
	CHECK_EQ(xgetbv(0), XCR0_X87 | XCR0_SSE);
	/* The size of the area that XSAVE needs follows XCR0. */
	CHECK_EQ(cpuid(0xd, 0).ebx, 576);
	if (offered & XCR0_AVX) {
		xsetbv(0, XCR0_X87 | XCR0_SSE | XCR0_AVX);
		CHECK_EQ(cpuid(0xd, 0).ebx, 832);
		CHECK_EQ(xgetbv(0), 7);
	}
	for (unsigned i = 0; i < 100; i++) {
		many_exits(i);
		CHECK_EQ(xgetbv(0), offered & XCR0_AVX ? 7 : 3);
	}
}

static void test_avx_survives(void)
{
	if (!need_xsave())
		return;
	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_AVX)) {
		ktap_skip("the processor has no AVX");
		return;
	}
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(0, XCR0_X87 | XCR0_SSE | XCR0_AVX);
	for (unsigned round = 0; round < ROUNDS; round++) {
		make_vectors(round);
		load_ymm();
		many_exits(round);
		store_ymm();
		compare(4);
	}
}

static void xsetbv_try(uint32_t n, uint64_t v)
{
	TRAP_TRY("xsetbv", (), ("c"(n), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))));
}

static void test_bad_xcr0_faults(void)
{
	uint64_t offered, before;

	if (!need_xsave())
		return;
	write_cr4(read_cr4() | CR4_OSXSAVE);
	offered = cpuid(0xd, 0).eax | (uint64_t)cpuid(0xd, 0).edx << 32;
	before = xgetbv(0);
	xsetbv_try(0, 0);
	CHECK_TRAP(VEC_GP, 0);
	xsetbv_try(0, XCR0_SSE);
	CHECK_TRAP(VEC_GP, 0);
	xsetbv_try(0, XCR0_X87 | XCR0_AVX);
	CHECK_TRAP(VEC_GP, 0);
	xsetbv_try(0, offered | 1ull << 62);
	CHECK_TRAP(VEC_GP, 0);
	xsetbv_try(1, 1);
	CHECK_TRAP(VEC_GP, 0);
	CHECK_EQ(xgetbv(0), before);
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	xsetbv_try(0, 1);
	CHECK_TRAP(VEC_UD, 0);
}

/* CR0.TS still makes the first use of a register a #NM, and CLTS ends that. */
static void test_task_switched(void)
{
	write_cr0(read_cr0() | CR0_TS);
	many_exits(0);
	TRAP_TRY("movdqa %%xmm0, %%xmm1", (), ());
	CHECK_TRAP(VEC_NM, 0);
	CHECK(read_cr0() & CR0_TS);
	__asm__ volatile("clts");
	CHECK(!(read_cr0() & CR0_TS));
	TRAP_TRY("movdqa %%xmm0, %%xmm1", (), ());
	CHECK_NO_TRAP();
}

static const struct ktap_test tests[] = {
	KTAP(test_sse_survives),
	KTAP(test_mxcsr_and_x87_survive),
	KTAP(test_x87_survives_a_sleep),
	KTAP(test_xcr0_is_the_guests),
	KTAP(test_avx_survives),
	KTAP(test_bad_xcr0_faults),
	KTAP(test_task_switched),
};

int guest_main(void)
{
	write_cr0((read_cr0() | CR0_MP | CR0_NE) & ~(CR0_EM | CR0_TS));
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	irq_init();
	return KTAP_MAIN(tests);
}
