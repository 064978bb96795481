/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC: its registers and base MSR, self-IPIs, priorities, the TPR, windows and
 * shadows.  Without Phyllo it tests the emulator's own APIC, where that keeps to the manual.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/x86.h"

#define VEC 0x41 /* of no importance */
#define COUNT 200000u

/* ---- registers ------------------------------------------------------------------------- */

static void test_registers(void)
{
	apic_begin();
	CHECK(rdmsr(MSR_APIC_BASE) & APIC_BASE_ENABLE);
	CHECK(cpuid(1, 0).edx & 1 << 9);
	CHECK_EQ(apic_read(APIC_ID) >> 24, cpuid(1, 0).ebx >> 24);
	CHECK((apic_read(APIC_VERSION) & 0xff) >= 0x10);
	CHECK((apic_read(APIC_VERSION) >> 16 & 0xff) >= 3);
	apic_write(APIC_LDR, 0x5a000000);
	CHECK_EQ(apic_read(APIC_LDR), 0x5a000000);
	apic_write(APIC_DFR, 0x0fffffff);
	CHECK_EQ(apic_read(APIC_DFR), 0x0fffffff);
	apic_write(APIC_DFR, 0xffffffff);
	apic_write(APIC_TPR, 0x35);
	CHECK_EQ(apic_read(APIC_TPR), 0x35);
	CHECK_EQ(apic_read(APIC_PPR), 0x35);
	apic_write(APIC_ICR_HIGH, 0x12000000);
	CHECK_EQ(apic_read(APIC_ICR_HIGH), 0x12000000);
	CHECK_EQ(apic_read(APIC_SVR), APIC_SVR_ON);
	apic_write(APIC_LDR, 0);
}

static void test_errors(void)
{
	if (!ktap_need_phyllo()) /* QEMU's knows few of them */
		return;
	apic_begin();
	apic_read(0x40);
	apic_write(APIC_ESR, 0);
	CHECK_EQ(apic_read(APIC_ESR), 0x80);
	apic_write(APIC_ESR, 0);
	CHECK_EQ(apic_read(APIC_ESR), 0);
	apic_send(APIC_TO_SELF | 5);
	apic_write(APIC_ESR, 0);
	CHECK_EQ(apic_read(APIC_ESR), 0x20);
	apic_write(APIC_LVT_ERROR, VEC);
	sti();
	apic_write(0x3f0, 1);
	cli();
	CHECK_EQ(irq.count, 1);
	CHECK_EQ(irq.log[0], VEC);
	apic_write(APIC_ESR, 0);
	CHECK_EQ(apic_read(APIC_ESR), 0x80);
}

static void test_base_msr(void)
{
	uint64_t msr = rdmsr(MSR_APIC_BASE);

	if (!ktap_need_phyllo()) /* QEMU's CPUID does not follow */
		return;
	apic_begin();
	apic_write(APIC_TPR, 0x40);
	wrmsr(MSR_APIC_BASE, msr & ~APIC_BASE_ENABLE);
	CHECK(!(cpuid(1, 0).edx & 1 << 9));
	CHECK_EQ(rdmsr(MSR_APIC_BASE), msr & ~APIC_BASE_ENABLE);
	wrmsr(MSR_APIC_BASE, msr);
	CHECK(cpuid(1, 0).edx & 1 << 9);
	CHECK_EQ(rdmsr(MSR_APIC_BASE), msr);
	/* As after RESET. */
	CHECK_EQ(apic_read(APIC_TPR), 0);
	CHECK_EQ(apic_read(APIC_SVR), 0xff);
	CHECK_EQ(apic_read(APIC_LVT_TIMER), APIC_MASKED);
	apic_begin();
	sti();
	apic_send(APIC_TO_SELF | VEC);
	CHECK(irq_wait(1));
}

static void test_base_msr_refuses(void)
{
	uint64_t msr = rdmsr(MSR_APIC_BASE);
	const uint64_t bad[] = { msr | APIC_BASE_X2APIC, msr | 1, msr | 1ull << 52,
				 (msr & ~APIC_BASE_ADDRESS) | 0x100000 };

	if (!ktap_need_phyllo())
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		TRAP_TRY("wrmsr", (), ("c"(MSR_APIC_BASE), "a"((uint32_t)bad[i]),
				       "d"((uint32_t)(bad[i] >> 32))));
		CHECK_TRAP(VEC_GP, 0);
	}
	CHECK_EQ(rdmsr(MSR_APIC_BASE), msr);
}

static void test_base_msr_moves(void)
{
	uint64_t msr = rdmsr(MSR_APIC_BASE);

	if (!ktap_need_phyllo())
		return;
	apic_begin();
	apic_write(APIC_TPR, 0x20);
	apic_base = 0xfed40000;
	wrmsr(MSR_APIC_BASE, (msr & ~APIC_BASE_ADDRESS) | apic_base);
	CHECK_EQ(apic_read(APIC_TPR), 0x20);
	apic_write(APIC_TPR, 0);
	sti();
	apic_send(APIC_TO_SELF | VEC);
	CHECK(irq_wait(1));
	cli();
	wrmsr(MSR_APIC_BASE, msr);
	apic_begin();
	CHECK_EQ(apic_read(APIC_TPR), 0);
}

static void test_software_disable(void)
{
	if (!ktap_need_phyllo()) /* QEMU's leaves the LVT alone */
		return;
	apic_begin();
	apic_write(APIC_LVT_TIMER, VEC);
	apic_write(APIC_SVR, 0xff);
	CHECK_EQ(apic_read(APIC_LVT_TIMER), APIC_MASKED | VEC);
	apic_write(APIC_LVT_TIMER, VEC);
	CHECK_EQ(apic_read(APIC_LVT_TIMER), APIC_MASKED | VEC);
	sti();
	apic_send(APIC_TO_SELF | VEC);
	cli();
	apic_write(APIC_SVR, APIC_SVR_ON);
	CHECK(apic_read(APIC_LVT_TIMER) & APIC_MASKED);
	sti();
	CHECK_EQ(irq.count, 0);
}

static void test_8259_masks(void)
{
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	CHECK_EQ(inb(0x21), 0xff);
	CHECK_EQ(inb(0xa1), 0xff);
	outb(0x21, 0xfb);
	CHECK_EQ(inb(0x21), 0xfb);
	/* What an initialisation writes there are no masks. */
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 4);
	outb(0x21, 1);
	CHECK_EQ(inb(0x21), 0);
	outb(0x21, 0xff);
	CHECK_EQ(inb(0x21), 0xff);
	CHECK_EQ(inb(0xa1), 0xff);
}

/* ---- self-IPIs and priorities --------------------------------------------------------------- */

static void test_self_ipi(void)
{
	uint32_t id = apic_read(APIC_ID);

	apic_begin();
	sti();
	apic_send(APIC_TO_SELF | VEC);
	CHECK(irq_wait(1));
	CHECK_EQ(irq.log[0], VEC);
	apic_send(APIC_TO_ALL | (VEC + 1));
	CHECK(irq_wait(2));
	CHECK_EQ(irq.log[1], VEC + 1);
	apic_write(APIC_ICR_HIGH, id);
	apic_send(VEC + 2);
	CHECK(irq_wait(3));
	CHECK_EQ(irq.log[2], VEC + 2);
	apic_write(APIC_LDR, 0x08000000);
	apic_write(APIC_ICR_HIGH, 0x0c000000);
	apic_send(APIC_LOGICAL | (VEC + 3));
	CHECK(irq_wait(4));
	apic_write(APIC_ICR_HIGH, 0x03000000);
	apic_send(APIC_LOGICAL | (VEC + 4));
	apic_write(APIC_ICR_HIGH, 0xff000000);
	apic_send(VEC + 5);
	CHECK(irq_wait(5));
	CHECK_EQ(irq.log[4], VEC + 5);
	CHECK(!(apic_read(APIC_ICR_LOW) & 1 << 12));
	apic_write(APIC_LDR, 0);
}

/* What kernels do to start processors that are not there. */
static void test_others(void)
{
	apic_begin();
	sti();
	apic_send(APIC_TO_OTHERS | VEC);
	apic_send(APIC_TO_OTHERS | APIC_NMI | APIC_ASSERT);
	apic_send(APIC_TO_OTHERS | APIC_INIT | APIC_ASSERT);
	apic_send(APIC_TO_OTHERS | APIC_STARTUP | APIC_ASSERT | 8);
	apic_send(APIC_TO_OTHERS | APIC_STARTUP | APIC_ASSERT | 8);
	irq_spend(COUNT);
	CHECK_EQ(irq.count, 0);
	CHECK_EQ(irq.nmis, 0);
}

static void test_order(void)
{
	apic_begin();
	apic_send(APIC_TO_SELF | 0x31);
	apic_send(APIC_TO_SELF | 0x61);
	apic_send(APIC_TO_SELF | 0xf1);
	apic_send(APIC_TO_SELF | 0x45);
	apic_send(APIC_TO_SELF | 0x61); /* one bit: once */
	CHECK(apic_bit(APIC_IRR, 0x61));
	CHECK(!apic_bit(APIC_ISR, 0x61));
	sti();
	CHECK(irq_wait(4));
	CHECK_EQ(irq.count, 4);
	CHECK(irq.log[0] == 0xf1 && irq.log[1] == 0x61 && irq.log[2] == 0x45 && irq.log[3] == 0x31);
}

/* In the handler of 0x45: 0x61 comes at once, 0x4f of the same class only after the EOI. */
static void nest(unsigned vector)
{
	if (vector != 0x45)
		return;
	CHECK(apic_bit(APIC_ISR, 0x45));
	CHECK_EQ(apic_read(APIC_PPR), 0x40);
	sti();
	apic_send(APIC_TO_SELF | 0x4f);
	CHECK_EQ(irq.count, 1);
	apic_send(APIC_TO_SELF | 0x61);
	CHECK(irq_wait(2));
	CHECK_EQ(irq.log[1], 0x61);
	CHECK(apic_bit(APIC_IRR, 0x4f));
	cli();
}

static void test_nesting(void)
{
	apic_begin();
	irq.action = nest;
	sti();
	apic_send(APIC_TO_SELF | 0x45);
	CHECK(irq_wait(3));
	CHECK_EQ(irq.log[2], 0x4f);
	CHECK_EQ(apic_read(APIC_PPR), 0);
}

static void test_tpr(void)
{
	apic_begin();
	sti();
	for (unsigned i = 0; i < 10; i++) {
		apic_write(APIC_TPR, 0x50);
		apic_send(APIC_TO_SELF | 0x5f);
		CHECK_EQ(irq.count, 2 * i);
		CHECK(apic_bit(APIC_IRR, 0x5f));
		apic_send(APIC_TO_SELF | 0x60);
		CHECK(irq_wait(2 * i + 1));
		apic_write(APIC_TPR, 0x4f);
		CHECK(irq_wait(2 * i + 2));
	}
	CHECK_EQ(irq.count, 20);
}

static void write_cr8(uint64_t value)
{
	__asm__ volatile("mov %0, %%cr8" : : "r"(value) : "memory");
}

static uint64_t read_cr8(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr8, %0" : "=r"(value) : : "memory");
	return value;
}

static void test_cr8(void)
{
	apic_begin();
	sti();
	for (unsigned i = 0; i < 10; i++) {
		write_cr8(5);
		CHECK_EQ(apic_read(APIC_TPR), 0x50);
		apic_send(APIC_TO_SELF | 0x5f);
		CHECK_EQ(irq.count, i);
		write_cr8(6);
		CHECK_EQ(irq.count, i);
		write_cr8(4);
		CHECK_EQ(irq.count, i + 1);
		apic_write(APIC_TPR, 0x7f);
		CHECK_EQ(read_cr8(), 7);
		write_cr8(0);
	}
	apic_send(APIC_TO_SELF | 0x20 | 0x0f);
	CHECK(irq_wait(11));
	if (!phyllo_present()) /* QEMU takes any value */
		return;
	/* With an interrupt held back, a wrong value is still #GP. */
	write_cr8(15);
	apic_send(APIC_TO_SELF | VEC);
	TRAP_TRY("mov %0, %%cr8", (), ("r"(16ul)));
	CHECK_TRAP(VEC_GP, 0);
	CHECK_EQ(read_cr8(), 15);
	write_cr8(0);
	CHECK_EQ(irq.count, 12);
}

/* ---- windows and shadows ----------------------------------------------------------------- */

static void test_sti_shadow(void)
{
	apic_begin();
	for (unsigned i = 0; i < 20; i++) {
		uint64_t behind;

		apic_send(APIC_TO_SELF | VEC);
		__asm__ volatile("lea 1f(%%rip), %0\n\t"
				 "sti\n\t"
				 "nop\n"
				 "1:\tnop\n\t"
				 "cli" : "=r"(behind) : : "memory");
		CHECK_EQ(irq.count, i + 1);
		CHECK_EQ(irq.rip, behind);
	}
}

/* An exit inside the shadow must not end it early, nor lose the interrupt. */
static void test_exit_in_shadow(void)
{
	apic_begin();
	for (unsigned i = 0; i < 20; i++) {
		uint64_t a = 0, b, c = 0, d, behind;

		apic_send(APIC_TO_SELF | VEC);
		__asm__ volatile("lea 1f(%%rip), %0\n\t"
				 "sti\n\t"
				 "cpuid\n"
				 "1:\tnop\n\t"
				 "cli" : "=&r"(behind), "+a"(a), "=b"(b), "+c"(c), "=d"(d)
				 : : "memory");
		CHECK_EQ(irq.count, i + 1);
		CHECK_EQ(irq.rip, behind);
	}
}

/* STI; CLI lets nothing in. */
static void test_sti_cli(void)
{
	apic_begin();
	apic_send(APIC_TO_SELF | VEC);
	for (unsigned i = 0; i < 20; i++)
		__asm__ volatile("sti; cli" ::: "memory");
	CHECK_EQ(irq.count, 0);
	sti();
	CHECK_EQ(irq.count, 1);
}

static void test_popf(void)
{
	apic_begin();
	for (unsigned i = 0; i < 20; i++) {
		apic_send(APIC_TO_SELF | VEC);
		__asm__ volatile("pushfq; orl $0x200, (%%rsp); popfq; nop; cli" ::: "memory", "cc");
		CHECK_EQ(irq.count, i + 1);
	}
}

static const struct ktap_test tests[] = {
	KTAP(test_registers),
	KTAP(test_errors),
	KTAP(test_base_msr),
	KTAP(test_base_msr_refuses),
	KTAP(test_base_msr_moves),
	KTAP(test_software_disable),
	KTAP(test_8259_masks),
	KTAP(test_self_ipi),
	KTAP(test_others),
	KTAP(test_order),
	KTAP(test_nesting),
	KTAP(test_tpr),
	KTAP(test_cr8),
	KTAP(test_sti_shadow),
	KTAP(test_exit_in_shadow),
	KTAP(test_sti_cli),
	KTAP(test_popf),
};

int guest_main(void)
{
	irq_init();
	return KTAP_MAIN(tests);
}
