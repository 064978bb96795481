/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A kernel as others write theirs for tests, which knows nothing of Phyllo: multiboot1 with a module
 * that holds its environment (NAME=VALUE lines), text by polling COM1, all processors by INIT and
 * STARTUP to all but self without a pause, page tables of its own, and the end by port 0xf4.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/x86.h"

#define PORT_EXIT 0xf4
#define STARTUP_PAGE 0u
#define USER_VA (1ul << 39) /* nothing else is near */
#define PF_P 1
#define PF_FETCH 0x10
#define PF_PK 0x20
#define CPUID_1_ECX_XSAVE (1u << 26)
#define CPUID_7_EBX_SMEP (1u << 7)
#define CPUID_7_EBX_SMAP (1u << 20)
#define CPUID_7_ECX_UMIP (1u << 2)
#define CPUID_7_ECX_PKU (1u << 3)

static uint64_t *own_root; /* 4 GiB one to one, not for ring 3; and USER_VA */
static uint32_t *user_page;

/* ---- environment --------------------------------------------------------------------------- */

/* The number behind NAME= at the start of a line of the first module. */
static bool environment(const char *name, uint32_t *out)
{
	const char *s, *end;
	size_t n = strlen(name);

	if (!info.module_count)
		return false;
	s = (const char *)(uintptr_t)info.modules[0].start;
	end = (const char *)(uintptr_t)info.modules[0].end;
	while (s < end) {
		if ((size_t)(end - s) > n && !strncmp(s, name, n) && s[n] == '=') {
			for (*out = 0, s += n + 1; s < end && *s >= '0' && *s <= '9'; s++)
				*out = *out * 10 + (*s - '0');
			return true;
		}
		while (s < end && *s++ != '\n')
			;
	}
	return false;
}

static void test_environment(void)
{
	uint32_t value;

	CHECK_EQ(boot_state.eax, MB1_MAGIC_EAX);
	if (!info.module_count) {
		ktap_skip("no module was given");
		return;
	}
	CHECK(environment("NR_CPUS", &value));
	CHECK_EQ(value, smp_count);
	CHECK(environment("MEMSIZE", &value));
	CHECK(!environment("NOT_THERE", &value));
}

/* ---- interrupt controllers ------------------------------------------------------------------ */

static void test_pics_masked(void)
{
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	CHECK_EQ(inb(0x21), 0xff);
	CHECK_EQ(inb(0xa1), 0xff);
}

static void apic_off_and_on(void *arg)
{
	uint64_t msr = rdmsr(MSR_APIC_BASE);

	cpu_apic_begin();
	CPU_CHECK_EQ(msr >> 8 & 1, this_cpu()->id == 0);
	wrmsr(MSR_APIC_BASE, msr & ~(APIC_BASE_ENABLE | APIC_BASE_X2APIC));
	wrmsr(MSR_APIC_BASE, (msr & ~APIC_BASE_X2APIC) | APIC_BASE_ENABLE);
	cpu_apic_begin();
	CPU_CHECK_EQ(apic_read(APIC_ID) >> 24, this_cpu()->id);
	sti();
	apic_send(APIC_TO_SELF | 0x41);
	cpu_irq_wait(1);
	cli();
	cpu_apic_begin();
}

static void test_apic_off_and_on(void)
{
	smp_run_on_all(apic_off_and_on, NULL);
}

/* ---- processors ------------------------------------------------------------------------------- */

/* Bare QEMU wants time between INIT and STARTUP; who sends them without has it on its conscience. */
static void test_startup_all(void)
{
	smp_trampoline_at(STARTUP_PAGE);
	apic_send(APIC_TO_OTHERS | APIC_INIT | APIC_ASSERT);
	apic_send(APIC_TO_OTHERS | APIC_INIT);
	if (!phyllo_present())
		irq_spend(2000000);
	apic_send(APIC_TO_OTHERS | APIC_STARTUP | STARTUP_PAGE);
	for (unsigned i = 1; i < smp_count; i++)
		smp_wait_online(i, 1);
}

static _Atomic uint64_t seen;

static void note(void *arg)
{
	atomic_fetch_or(&seen, 1ull << this_cpu()->id);
}

static void test_call_all(void)
{
	for (unsigned i = 0; i < 20; i++) {
		seen = 0;
		smp_run_on_all(note, NULL);
		CHECK_EQ(seen, smp_all());
	}
}

/* ---- tables of its own ------------------------------------------------------------------------ */

static void make_tables(void)
{
	own_root = page_alloc();
	for (uint64_t pa = 0; pa < 4 * SIZE_1G; pa += SIZE_2M)
		paging_map(own_root, pa, pa, 2, PTE_W);
	/* paging_entry() makes tables that let ring 3 through; these must not. */
	own_root[0] &= ~PTE_U;
	user_page = page_alloc();
	paging_map(own_root, USER_VA, (uintptr_t)user_page, 1, PTE_W | PTE_U);
}

static void on_own_tables(void *arg)
{
	unsigned long before = read_cr3();
	void (*fn)(void) = arg;

	write_cr3((uintptr_t)own_root);
	if (fn)
		fn();
	write_cr3(before);
}

static void test_own_tables(void)
{
	make_tables();
	user_page[5] = 0x12345678;
	write_cr3((uintptr_t)own_root);
	CHECK_EQ(((volatile uint32_t *)USER_VA)[5], 0x12345678);
	CHECK(*paging_entry(own_root, USER_VA, 1) & PTE_A);
	CHECK(!(*paging_entry(own_root, USER_VA, 1) & PTE_D));
	((volatile uint32_t *)USER_VA)[6] = 1;
	CHECK(*paging_entry(own_root, USER_VA, 1) & PTE_D);
	write_cr3((uintptr_t)boot_pml4);
	smp_run_on_all(on_own_tables, NULL);
}

/* ---- protections of ring 0 --------------------------------------------------------------------- */

static void set_cr4(unsigned long bits, bool on)
{
	write_cr4(on ? read_cr4() | bits : read_cr4() & ~bits);
}

static bool offered(bool there, const char *what)
{
	if (!there)
		ktap_skip(what);
	return there;
}

#define RET 0xc3

static void smep(void)
{
	*(volatile uint8_t *)USER_VA = RET;
	((void (*)(void))USER_VA)();
	set_cr4(CR4_SMEP, true);
	TRAP_TRY("jmp *%0", (), ("r"(USER_VA)));
	CHECK_EQ(trap.count, 1);
	CHECK_EQ(trap.vector, VEC_PF);
	CHECK_EQ(trap.error, PF_P | PF_FETCH);
	CHECK_EQ(trap.cr2, USER_VA);
	set_cr4(CR4_SMEP, false);
	((void (*)(void))USER_VA)();
}

static void test_smep(void)
{
	if (offered(cpuid(7, 0).ebx & CPUID_7_EBX_SMEP, "no SMEP"))
		on_own_tables((void *)smep);
}

static void smap(void)
{
	volatile uint32_t *p = (volatile uint32_t *)USER_VA;
	uint32_t value;

	set_cr4(CR4_SMAP, true);
	__asm__ volatile(".byte 0x0f, 0x01, 0xca"); /* clac */
	TRAP_TRY("movl (%1), %0", ("=r"(value)), ("r"(p)));
	CHECK_TRAP(VEC_PF, PF_P);
	__asm__ volatile(".byte 0x0f, 0x01, 0xcb"); /* stac */
	CHECK(read_flags() & RFLAGS_AC);
	p[1] = 77;
	CHECK_EQ(p[1], 77);
	__asm__ volatile(".byte 0x0f, 0x01, 0xca");
	TRAP_TRY("movl %%eax, (%0)", (), ("r"(p)));
	CHECK_TRAP(VEC_PF, PF_P | 2);
	set_cr4(CR4_SMAP, false);
	CHECK_EQ(p[1], 77);
}

static void test_smap(void)
{
	if (offered(cpuid(7, 0).ebx & CPUID_7_EBX_SMAP, "no SMAP"))
		on_own_tables((void *)smap);
}

static void user_sgdt(void *arg)
{
	TRAP_TRY("sgdt (%0)", (), ("r"(arg)));
}

static void test_umip(void)
{
	static uint8_t gdtr[10];

	if (!offered(cpuid(7, 0).ecx & CPUID_7_ECX_UMIP, "no UMIP"))
		return;
	user_call(user_sgdt, gdtr);
	CHECK_NO_TRAP();
	set_cr4(CR4_UMIP, true);
	user_call(user_sgdt, gdtr);
	CHECK_TRAP(VEC_GP, 0);
	set_cr4(CR4_UMIP, false);
}

static void write_pkru(uint32_t v)
{
	__asm__ volatile(".byte 0x0f, 0x01, 0xef" : : "a"(v), "c"(0), "d"(0)); /* wrpkru */
}

static void pku(void)
{
	volatile uint32_t *p = (volatile uint32_t *)USER_VA;

	set_cr4(CR4_PKE, true);
	*paging_entry(own_root, USER_VA, 1) |= 3ull << 59;
	invlpg(USER_VA);
	write_pkru(2u << (3 * 2)); /* key 3: no writes */
	CHECK_EQ(p[1], p[1]);
	TRAP_TRY("movl %%eax, (%0)", (), ("r"(p)));
	CHECK_TRAP(VEC_PF, PF_P | 2 | PF_PK);
	write_pkru(0);
	p[1] = 5;
	*paging_entry(own_root, USER_VA, 1) &= ~(15ull << 59);
	invlpg(USER_VA);
	set_cr4(CR4_PKE, false);
}

static void test_pku(void)
{
	if (offered(cpuid(7, 0).ecx & CPUID_7_ECX_PKU, "no protection keys"))
		on_own_tables((void *)pku);
}

/* ---- the rest of the processor ------------------------------------------------------------------ */

static void test_rdtsc(void)
{
	uint64_t last = rdtsc();

	for (unsigned i = 0; i < 2000; i++) {
		uint64_t now;

		if (i % 16 == 0)
			cpuid(0, 0);
		now = rdtsc();
		CHECK(now > last);
		last = now;
	}
}

extern char env_syscall[];
uint64_t env_calls;
__asm__(".globl env_syscall\n"
	"env_syscall:\n"
	"	incq env_calls\n"
	"	sysretq");

static void user_calls(void *arg)
{
	for (unsigned i = 0; i < 100; i++)
		__asm__ volatile("syscall" : : : "rcx", "r11", "memory");
}

/* There and back, a hundred times. */
static void test_syscall(void)
{
	uint64_t efer = rdmsr(MSR_EFER);

	wrmsr(MSR_EFER, efer | EFER_SCE);
	wrmsr(MSR_STAR, (SEL_USER_DATA - 8ull) << 48 | (uint64_t)SEL_CODE64 << 32);
	wrmsr(MSR_LSTAR, (uintptr_t)env_syscall);
	wrmsr(MSR_SFMASK, RFLAGS_IF);
	env_calls = 0;
	user_call(user_calls, NULL);
	CHECK_EQ(env_calls, 100);
	wrmsr(MSR_EFER, efer);
}

static uint8_t xsave_area[4096] __attribute__((aligned(64)));
static const uint64_t xmm_one[2] __attribute__((aligned(16))) = { 0x1111, 0x2222 };
static uint64_t xmm_out[2] __attribute__((aligned(16)));

static void xsave_and_restore(void *arg)
{
	uint32_t all = cpuid(0xd, 0).eax;

	set_cr4(CR4_OSXSAVE | CR4_OSFXSR, true);
	xsetbv(0, all);
	CPU_CHECK_EQ(xgetbv(0), all);
	CPU_CHECK(cpuid(0xd, 0).ebx <= sizeof(xsave_area));
	memset(xsave_area, 0, sizeof(xsave_area));
	__asm__ volatile("movdqa (%0), %%xmm3" : : "r"(xmm_one) : "memory");
	__asm__ volatile("xsave (%0)" : : "r"(xsave_area), "a"(all), "d"(0) : "memory");
	CPU_CHECK(xsave_area[512] & 2); /* SSE state is in it */
	CPU_CHECK(!memcmp(xsave_area + 160 + 3 * 16, xmm_one, 16));
	__asm__ volatile("pxor %%xmm3, %%xmm3" : : : "memory");
	cpuid(0, 0);
	__asm__ volatile("xrstor (%0)" : : "r"(xsave_area), "a"(all), "d"(0) : "memory");
	__asm__ volatile("movdqa %%xmm3, (%0)" : : "r"(xmm_out) : "memory");
	CPU_CHECK(!memcmp(xmm_out, xmm_one, 16));
	xsetbv(0, 1);
	set_cr4(CR4_OSXSAVE, false);
}

static void test_xsave(void)
{
	if (!offered(cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE, "no XSAVE"))
		return;
	xsave_and_restore(NULL);
	smp_report();
}

static const struct ktap_test tests[] = {
	KTAP(test_environment), KTAP(test_pics_masked), KTAP(test_startup_all),
	KTAP(test_call_all), KTAP(test_apic_off_and_on), KTAP(test_own_tables), KTAP(test_smep),
	KTAP(test_smap), KTAP(test_umip), KTAP(test_pku), KTAP(test_rdtsc), KTAP(test_syscall),
	KTAP(test_xsave),
};

int guest_main(void)
{
	uint32_t cpus = 1;
	int code;

	console_select(CONSOLE_COM1);
	if (!environment("NR_CPUS", &cpus))
		info_number("cpus", &cpus);
	smp_init_count(cpus);
	code = KTAP_MAIN(tests);
	console_finish();
	/* 32 bits wide, as others do it. */
	__asm__ volatile("outl %0, %1" : : "a"(code), "Nd"((uint16_t)PORT_EXIT));
	for (;;)
		__asm__ volatile("cli; hlt");
}
