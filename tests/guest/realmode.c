/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Real mode: down from long mode, a 16-bit program, and up again.
 *
 * how=protected: no test but a guest that must be stopped: #VE cannot be had in real mode.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/x86.h"
#include "tests/guest/realmode.h"

#define CYCLES 100
#define IVT_SIZE 1024

extern const uint8_t real_blob[], real_blob_end[];
extern char image_start[];

static uint32_t marker = 0xfee1600d;
static uint32_t *big_word = &marker; /* what the 16-bit program reads above 1 MiB */

/* Page 0 is the vector table: through volatile, for C takes address 0 as a mistake. */
static void copy_low(uint8_t *dst, const volatile uint8_t *src, unsigned n)
{
	while (n--)
		*dst++ = *src++;
}

static void run(void)
{
	static uint8_t ivt[IVT_SIZE];
	volatile uint8_t *low = (volatile uint8_t *)0;

	__asm__("" : "+r"(low));
	pic_mask();
	apic_begin();
	copy_low(ivt, low, IVT_SIZE);
	memcpy((void *)(uintptr_t)REAL_BASE, real_blob, real_blob_end - real_blob);
	real_job = (struct real_job){ .phyllo = phyllo_present(), .big_addr = (uintptr_t)big_word };
	real_run();
	for (unsigned i = 0; i < IVT_SIZE; i++)
		low[i] = ivt[i];
}

static void test_state(void)
{
	run();
	CHECK_EQ(real_job.cr0 & (CR0_PE | CR0_PG), 0);
	CHECK_EQ(real_job.msw & CR0_PE, 0);
	CHECK_EQ(real_job.cs, REAL_BASE >> 4);
}

static void test_memory(void)
{
	run();
	CHECK_EQ(real_job.low, 0xcafe);
	CHECK_EQ(real_job.wrap, *(uint32_t *)image_start);
	CHECK_EQ(real_job.big, marker);
}

static void test_interrupts(void)
{
	run();
	CHECK_EQ(real_job.int_count, 2);
	CHECK_EQ(real_job.de_count, 1);
	CHECK_EQ(real_job.ud_count, 1);
}

static void test_exits(void)
{
	run();
	CHECK_EQ(real_job.cpuid_eax, cpuid(0, 0).eax);
	CHECK_EQ(real_job.port, inb(0x80));
}

/* Real mode has no error codes: an injected #GP must not push one. */
static void test_injection_and_hypercall(void)
{
	if (!ktap_need_phyllo())
		return;
	run();
	CHECK_EQ(real_job.gp_count, 1);
	CHECK_EQ(real_job.gp_sp_ok, 1);
	CHECK_EQ(real_job.hypercall, PHYLLO_ABI_VERSION);
}

static void test_own_interrupts(void)
{
	run();
	CHECK_EQ(real_job.irq_masked, 0);
	CHECK_EQ(real_job.irq_count, 2);
}

static void test_flags(void)
{
	run();
	CHECK_EQ(real_job.flags, 0x7202);
	CHECK_EQ(real_job.eflags, 0x43002);
}

static void test_debug_registers(void)
{
	run();
	CHECK_EQ(real_job.dr1, 0x12345678);
	CHECK_EQ(real_job.dr7, 0x700);
}

static void test_many_times(void)
{
	for (unsigned i = 0; i < CYCLES; i++) {
		marker = i * 0x01010101;
		run();
		CHECK_EQ(real_job.big, marker);
		CHECK_EQ(real_job.int_count, 2);
		CHECK(rdmsr(MSR_EFER) & EFER_LMA);
	}
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_state),
	KTAP(test_memory),
	KTAP(test_interrupts),
	KTAP(test_exits),
	KTAP(test_injection_and_hypercall),
	KTAP(test_own_interrupts),
	KTAP(test_flags),
	KTAP(test_debug_registers),
	KTAP(test_many_times),
};

static void be_stopped(void)
{
	static uint32_t page[PAGE_SIZE / 4] __attribute__((aligned(4096)));

	printf("KTAP version 1\n1..1\n# to be stopped: a protected page in real mode\n");
	ve_start();
	protect((uintptr_t)page, PAGE_SIZE, PHYLLO_PROTECT_NONE);
	big_word = page;
	run();
	printf("not ok 1 the guest outlived it\n");
	guest_exit(1);
}

int guest_main(void)
{
	if (info_option_is("how", "protected"))
		be_stopped();
	return KTAP_MAIN(tests);
}
