/* SPDX-License-Identifier: GPL-2.0-only */
/* Model specific registers: those that a kernel sets keep their values, others fault. */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/x86.h"

#define PAT_RESET 0x0007040600070406ull
#define CANONICAL 0xffff800012345678ull
#define NON_CANONICAL 0x0000800000000000ull
#define EXITS 200

static const struct {
	uint32_t index;
	uint64_t value;
} kept[] = {
	{ MSR_STAR, 0x0023001000000000ull }, { MSR_LSTAR, CANONICAL },
	{ MSR_CSTAR, CANONICAL + 0x1000 },   { MSR_SFMASK, 0x47700 },
	{ MSR_FS_BASE, CANONICAL + 0x2000 }, { MSR_GS_BASE, CANONICAL + 0x3000 },
	{ MSR_KERNEL_GS_BASE, CANONICAL + 0x4000 }, { MSR_SYSENTER_CS, 0x10 },
	{ MSR_SYSENTER_ESP, 0x123456 },      { MSR_SYSENTER_EIP, 0x654321 },
};

static void wrmsr_try(uint32_t msr, uint64_t value)
{
	TRAP_TRY("wrmsr", (), ("c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))));
}

static void test_values_survive_exits(void)
{
	uint64_t saved[ARRAY_SIZE(kept)];

	for (unsigned i = 0; i < ARRAY_SIZE(kept); i++) {
		saved[i] = rdmsr(kept[i].index);
		wrmsr(kept[i].index, kept[i].value);
	}
	for (unsigned n = 0; n < EXITS; n++) {
		cpuid(0, 0);
		inb(0x80);
		for (unsigned i = 0; i < ARRAY_SIZE(kept); i++)
			CHECK_EQ(rdmsr(kept[i].index), kept[i].value);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(kept); i++)
		wrmsr(kept[i].index, saved[i]);
}

static void test_swapgs(void)
{
	wrmsr(MSR_GS_BASE, 0x1111000);
	wrmsr(MSR_KERNEL_GS_BASE, 0x2222000);
	__asm__ volatile("swapgs");
	cpuid(0, 0);
	CHECK_EQ(rdmsr(MSR_GS_BASE), 0x2222000);
	CHECK_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x1111000);
	__asm__ volatile("swapgs");
	CHECK_EQ(rdmsr(MSR_GS_BASE), 0x1111000);
}

/* The base that is used is the one that was written. */
static void test_bases_address_memory(void)
{
	static const uint64_t data[2] = { 0x1122334455667788, 0x99aabbccddeeff00 };
	uint64_t v, w;

	wrmsr(MSR_FS_BASE, (uintptr_t)&data[0]);
	wrmsr(MSR_GS_BASE, (uintptr_t)&data[1]);
	cpuid(0, 0);
	__asm__ volatile("movq %%fs:0, %0\n\tmovq %%gs:0, %1" : "=&r"(v), "=r"(w));
	CHECK_EQ(v, data[0]);
	CHECK_EQ(w, data[1]);
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_GS_BASE, 0);
}

extern char syscall_entry[];
uint64_t syscall_rcx; /* stored by syscall_entry */

static void user_syscall(void *arg)
{
	__asm__ volatile("syscall" : : : "rax", "rcx", "r11", "memory");
}

/* SYSCALL goes where LSTAR says, with the selectors of STAR and the flags of SFMASK. */
static void test_syscall(void)
{
	uint64_t star = rdmsr(MSR_STAR), lstar = rdmsr(MSR_LSTAR);
	uint64_t efer = rdmsr(MSR_EFER);

	wrmsr(MSR_EFER, efer | EFER_SCE);
	wrmsr(MSR_STAR, (uint64_t)SEL_CODE64 << 32);
	wrmsr(MSR_LSTAR, (uintptr_t)syscall_entry);
	wrmsr(MSR_SFMASK, RFLAGS_DF);
	cpuid(0, 0);
	syscall_rcx = 0;
	user_call(user_syscall, NULL);
	CHECK(syscall_rcx > (uintptr_t)user_syscall && syscall_rcx < (uintptr_t)user_syscall + 64);
	wrmsr(MSR_STAR, star);
	wrmsr(MSR_LSTAR, lstar);
	wrmsr(MSR_EFER, efer);
}

/* Back to ring 0's C by the way that user_call() ends. */
__asm__(".globl syscall_entry\n"
	"syscall_entry:\n"
	"	movq %rcx, syscall_rcx\n"
	"	jmp user_return_entry");

static void test_non_canonical_bases(void)
{
	static const uint32_t list[] = { MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_LSTAR,
					 MSR_CSTAR };

	for (unsigned i = 0; i < ARRAY_SIZE(list); i++) {
		uint64_t before = rdmsr(list[i]);

		wrmsr_try(list[i], NON_CANONICAL);
		/* QEMU's processor does not check; then the next exit must still be survived. */
		if (!trap.count) {
			cpuid(0, 0);
			wrmsr(list[i], before);
		} else {
			CHECK_TRAP(VEC_GP, 0);
		}
		CHECK_EQ(rdmsr(list[i]), before);
	}
}

static void test_pat(void)
{
	uint64_t before = rdmsr(MSR_PAT);

	if (phyllo_present())
		CHECK_EQ(before, PAT_RESET);
	wrmsr(MSR_PAT, 0x0007010500070406ull);
	cpuid(0, 0);
	CHECK_EQ(rdmsr(MSR_PAT), 0x0007010500070406ull);
	wrmsr(MSR_PAT, before);
	if (!phyllo_present() && !strstr(info.cmdline, "strict"))
		return;
	/* 2, 3 and anything above 7 are no memory types. */
	wrmsr_try(MSR_PAT, 0x0007040600070402ull);
	CHECK_TRAP(VEC_GP, 0);
	wrmsr_try(MSR_PAT, 0x0307040600070406ull);
	CHECK_TRAP(VEC_GP, 0);
	wrmsr_try(MSR_PAT, 0x00070406000704f6ull);
	CHECK_TRAP(VEC_GP, 0);
	CHECK_EQ(rdmsr(MSR_PAT), before);
}

static void test_efer(void)
{
	uint64_t efer = rdmsr(MSR_EFER);

	CHECK_EQ(efer & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
	if (phyllo_present())
		CHECK(!(efer & EFER_SVME));
	wrmsr(MSR_EFER, efer | EFER_SCE);
	CHECK_EQ(rdmsr(MSR_EFER), efer | EFER_SCE);
	wrmsr(MSR_EFER, efer & ~EFER_NXE);
	CHECK_EQ(rdmsr(MSR_EFER), efer & ~EFER_NXE);
	wrmsr(MSR_EFER, efer);
	CHECK_EQ(rdmsr(MSR_EFER), efer);
}

static void test_tsc_moves_on(void)
{
	uint64_t last = rdtsc();

	for (unsigned i = 0; i < 1000; i++) {
		uint64_t now;

		cpuid(0, 0);
		now = rdtsc();
		CHECK(now > last);
		last = now;
	}
}

static const struct ktap_test tests[] = {
	KTAP(test_values_survive_exits),
	KTAP(test_swapgs),
	KTAP(test_bases_address_memory),
	KTAP(test_syscall),
	KTAP(test_non_canonical_bases),
	KTAP(test_pat),
	KTAP(test_efer),
	KTAP(test_tsc_moves_on),
};

int guest_main(void)
{
	return KTAP_MAIN(tests);
}
