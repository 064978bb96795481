/* SPDX-License-Identifier: GPL-2.0-only */
/* What a round trip through the hypervisor costs; `make bench` runs it. */
#include "tests/guest/lib/bench.h"

#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/x86.h"

#define SAMPLES 2000
#define UNKNOWN_CALL 0x7fff
#define VECTOR 0x40
#define PIC_MASK_PORT 0x21
#define CPUID_1_ECX_X2APIC (1u << 21)
#define MSR_X2APIC_SELF_IPI 0x83f

static struct bench b;

static void test_pio(void)
{
	while (bench_wants(&b)) {
		uint64_t start = rdtsc();

		inb(PIC_MASK_PORT);
		bench_add(&b, rdtsc() - start);
	}
	bench_say(&b, "exit.pio", BENCH_MEDIAN);
}

static void test_cpuid(void)
{
	while (bench_wants(&b)) {
		uint64_t start = rdtsc();

		(void)cpuid(0, 0);
		bench_add(&b, rdtsc() - start);
	}
	bench_say(&b, "exit.cpuid", BENCH_MEDIAN);
}

static void test_hypercall(void)
{
	while (bench_wants(&b)) {
		uint64_t start = rdtsc();

		hypercall_by(hypercall_vmcall, UNKNOWN_CALL, 0, 0, 0, 0);
		bench_add(&b, rdtsc() - start);
	}
	bench_say(&b, "exit.hypercall", BENCH_MEDIAN);
}

/* Of the handler below: only the assembler knows who counts. */
static volatile unsigned long bench_irqs __attribute__((used));

/* The shortest handlers there are: count, EOI, return. */
void bench_irq_entry(void);
void bench_irq_entry_x2apic(void);
__asm__(".pushsection .text\n"
	".globl bench_irq_entry, bench_irq_entry_x2apic\n"
	"bench_irq_entry:\n\t"
	"incq bench_irqs\n\t"
	"pushq %rax\n\t"
	"movl $0xfee000b0, %eax\n\t"
	"movl $0, (%rax)\n\t"
	"popq %rax\n\t"
	"iretq\n"
	"bench_irq_entry_x2apic:\n\t"
	"incq bench_irqs\n\t"
	"pushq %rax\n\t"
	"pushq %rcx\n\t"
	"pushq %rdx\n\t"
	"movl $0x80b, %ecx\n\t"
	"xorl %eax, %eax\n\t"
	"xorl %edx, %edx\n\t"
	"wrmsr\n\t"
	"popq %rdx\n\t"
	"popq %rcx\n\t"
	"popq %rax\n\t"
	"iretq\n"
	".popsection");

static void set_handler(void (*handler)(void))
{
	uintptr_t entry = (uintptr_t)handler;

	trap_idt[VECTOR].offset0 = (uint16_t)entry;
	trap_idt[VECTOR].offset16 = (uint16_t)(entry >> 16);
	trap_idt[VECTOR].offset32 = (uint32_t)(entry >> 32);
}

static void sample_xapic(void)
{
	set_handler(bench_irq_entry);
	while (bench_wants(&b)) {
		uint64_t start = rdtsc();

		apic_send(APIC_TO_SELF | VECTOR);
		sti_hlt();
		bench_add(&b, rdtsc() - start);
	}
}

static void sample_x2apic(void)
{
	set_handler(bench_irq_entry_x2apic);
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
	while (bench_wants(&b)) {
		uint64_t start = rdtsc();

		wrmsr(MSR_X2APIC_SELF_IPI, VECTOR);
		sti_hlt();
		bench_add(&b, rdtsc() - start);
	}
}

/* By the quickest way that there is here.  The last test: an APIC does not come back from x2APIC mode. */
static void test_ipi_hlt(void)
{
	irq_init();
	apic_begin();
	if (cpuid(1, 0).ecx & CPUID_1_ECX_X2APIC)
		sample_x2apic();
	else
		sample_xapic();
	CHECK_EQ(bench_irqs, b.count);
	bench_say(&b, "exit.ipi_hlt", BENCH_MEDIAN);
}

static const struct ktap_test tests[] = {
	KTAP(test_pio),
	KTAP(test_cpuid),
	KTAP(test_hypercall),
	KTAP(test_ipi_hlt),
};

int guest_main(void)
{
	b = bench_new(SAMPLES);
	return KTAP_MAIN(tests);
}
