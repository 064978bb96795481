/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts that come by themselves: the local APIC's timer, HLT, NMIs, and delivery through
 * nested faults.  None may be lost, or come where it must not.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/x86.h"

#define VEC 0x41 /* of no importance */

/* ---- timer -------------------------------------------------------------------------------- */

#define COUNT 200000u

static void test_timer_one_shot(void)
{
	apic_begin();
	sti();
	for (unsigned i = 0; i < 10; i++) {
		uint64_t start = rdtsc();

		apic_timer(VEC, APIC_DIVIDE_BY_1, COUNT);
		CHECK(irq_wait(i + 1));
		if (phyllo_present())
			CHECK(rdtsc() - start >= COUNT);
		CHECK_EQ(apic_read(APIC_TIMER_CURRENT), 0);
	}
	irq_spend(4 * COUNT);
	CHECK_EQ(irq.count, 10);
	CHECK_EQ(irq.log[9], VEC);
}

static void test_timer_periodic(void)
{
	apic_begin();
	sti();
	uint64_t start = rdtsc();

	apic_timer(VEC | APIC_PERIODIC, APIC_DIVIDE_BY_1, COUNT);
	CHECK(irq_wait(40));
	if (phyllo_present())
		CHECK(rdtsc() - start >= 40ull * COUNT);
	CHECK(apic_read(APIC_TIMER_CURRENT) <= COUNT);
	apic_write(APIC_TIMER_INITIAL, 0);
	sti();
	unsigned count = irq.count;

	irq_spend(4 * COUNT);
	CHECK_EQ(irq.count, count);
	CHECK_EQ(apic_read(APIC_TIMER_CURRENT), 0);
}

/* The clock before the divider is the TSC. */
static void test_timer_divides(void)
{
	static const uint8_t codes[] = { 0xb, 0, 1, 2, 3, 8, 9, 0xa };

	if (!ktap_need_phyllo())
		return;
	apic_begin();
	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
		uint64_t t0 = rdtsc();

		apic_timer(VEC | APIC_MASKED, codes[i], ~0u);
		uint64_t t1 = rdtsc();

		irq_spend(50000);
		uint64_t t2 = rdtsc();
		uint64_t passed = ~0u - apic_read(APIC_TIMER_CURRENT);
		uint64_t t3 = rdtsc();

		CHECK(passed <= (t3 - t0) >> i);
		CHECK(passed >= (t2 - t1) >> i);
	}
}

static void test_timer_masked(void)
{
	apic_begin();
	sti();
	apic_timer(VEC | APIC_MASKED, APIC_DIVIDE_BY_1, COUNT);
	irq_spend(4 * COUNT);
	apic_write(APIC_LVT_TIMER, VEC);
	irq_spend(COUNT);
	CHECK_EQ(irq.count, 0);
	CHECK(!apic_bit(APIC_IRR, VEC));
}

/* With interrupts off an expiry shows in IRR. */
static void test_timer_polled(void)
{
	apic_begin();
	apic_timer(VEC, APIC_DIVIDE_BY_1, COUNT);
	bool early = apic_bit(APIC_IRR, VEC);

	if (apic_read(APIC_TIMER_CURRENT))
		CHECK(!early);
	irq_spend(8 * COUNT);
	CHECK(apic_bit(APIC_IRR, VEC));
	sti();
	CHECK_EQ(irq.count, 1);
}

/* Other exits in between, thousands of them: neither they nor the interrupts go astray. */
static void test_timer_among_exits(void)
{
	struct cpuid_regs first = cpuid(0, 0);

	apic_begin();
	sti();
	apic_timer(VEC | APIC_PERIODIC, APIC_DIVIDE_BY_1, COUNT);
	for (unsigned i = 0; i < 3000 || (irq.count < 30 && i < 3000000); i++) {
		struct cpuid_regs r = cpuid(0, 0);

		CHECK(!memcmp(&r, &first, sizeof(r)));
	}
	CHECK(irq.count >= 30);
}

/* ---- HLT ------------------------------------------------------------------------------------ */

static void test_hlt_one_shot(void)
{
	apic_begin();
	for (unsigned i = 0; i < 10; i++) {
		apic_timer(VEC, APIC_DIVIDE_BY_1, COUNT);
		sti_hlt();
		CHECK_EQ(irq.count, i + 1);
	}
}

static void test_hlt_periodic(void)
{
	apic_begin();
	apic_timer(VEC | APIC_PERIODIC, APIC_DIVIDE_BY_1, COUNT);
	for (unsigned i = 0; i < 20; i++) {
		unsigned before = irq.count;

		sti_hlt();
		CHECK(irq.count > before);
	}
}

/* The shadow of STI covers HLT: what is pending ends it at once, without any timer. */
static void test_hlt_with_pending(void)
{
	apic_begin();
	for (unsigned i = 0; i < 20; i++) {
		apic_send(APIC_TO_SELF | VEC);
		sti_hlt();
		CHECK_EQ(irq.count, i + 1);
	}
}

/* Held by the TPR, an interrupt does not wake; the timer, above it, does. */
static void test_hlt_held(void)
{
	apic_begin();
	apic_write(APIC_TPR, 0x40);
	apic_send(APIC_TO_SELF | 0x45);
	apic_timer(0x55, APIC_DIVIDE_BY_1, COUNT);
	sti_hlt();
	CHECK_EQ(irq.count, 1);
	CHECK_EQ(irq.log[0], 0x55);
	apic_write(APIC_TPR, 0);
	sti();
	CHECK_EQ(irq.count, 2);
	CHECK_EQ(irq.log[1], 0x45);
}

/* ---- NMIs ------------------------------------------------------------------------------------ */

static void test_nmi(void)
{
	apic_begin();
	for (unsigned i = 0; i < 20; i++) {
		apic_send(APIC_TO_SELF | APIC_NMI | APIC_ASSERT);
		irq_spend(1000);
		CHECK_EQ(irq.nmis, i + 1);
	}
	CHECK_EQ(irq.count, 0);
}

/* While one is handled the next waits for the IRET; a third is lost. */
static void nmi_again(void)
{
	if (irq.nmis % 2 == 0)
		return;
	apic_send(APIC_TO_SELF | APIC_NMI | APIC_ASSERT);
	apic_send(APIC_TO_SELF | APIC_NMI | APIC_ASSERT);
	cpuid(0, 0);
	CHECK_EQ(irq.nmis % 2, 1);
}

static void test_nmi_in_nmi(void)
{
	apic_begin();
	irq.nmi_action = nmi_again;
	for (unsigned i = 0; i < 10; i++) {
		apic_send(APIC_TO_SELF | APIC_NMI | APIC_ASSERT);
		irq_wait_nmis(2 * i + 2);
		irq_spend(COUNT);
		CHECK_EQ(irq.nmis, 2 * i + 2);
	}
	CHECK_EQ(irq.nmi_depth_max, 1);
}

/* Interrupts and NMIs at once, none lost. */
static void test_nmi_and_interrupt(void)
{
	apic_begin();
	for (unsigned i = 0; i < 20; i++) {
		apic_send(APIC_TO_SELF | VEC);
		apic_send(APIC_TO_SELF | APIC_NMI | APIC_ASSERT);
		sti();
		CHECK(irq_wait(i + 1));
		irq_wait_nmis(i + 1);
		cli();
		CHECK_EQ(irq.nmis, i + 1);
	}
}

/* ---- delivery through nested faults --------------------------------------------------- */

#define IST 3
#define ROUNDS 100

/* The IDT and the stack of the handlers lie on pages that the hypervisor has not mapped. */
static void test_nested_faults(void)
{
	uint64_t idt_at = ram_take(SIZE_2M, SIZE_2M), stack_at = ram_take(SIZE_2M, SIZE_2M);
	struct idt_gate *idt = (struct idt_gate *)idt_at;

	if (!ktap_need_phyllo())
		return;
	if (!idt_at || !stack_at)
		guest_die("this kernel needs 4 MiB of free memory");
	apic_begin();
	memcpy(idt, trap_idt, sizeof(trap_idt));
	for (unsigned v = 0; v < 256; v++)
		if (v == VEC_NMI || (v > 0x20 && v != VEC_USER_RETURN))
			idt[v].ist = IST;
	trap_tss.ist[IST - 1] = stack_at + SIZE_2M;
	trap_load_idt(idt, sizeof(trap_idt) - 1);
	apic_timer(0x71 | APIC_PERIODIC, APIC_DIVIDE_BY_1, COUNT);
	for (unsigned i = 0, count = 0; i < ROUNDS; i++, count = irq.count) {
		unsigned nmis = irq.nmis;
		bool nmi = i % 4 == 3;

		CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, idt_at, SIZE_2M, 0, 0), 0);
		CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, stack_at, SIZE_2M, 0, 0), 0);
		apic_send(APIC_TO_SELF | (nmi ? APIC_NMI | APIC_ASSERT : 0x91));
		irq_spend(1000);
		CHECK_EQ(irq.nmis, nmis + nmi);
		sti();
		cli();
		if (!nmi)
			CHECK(irq.count > count);
		CHECK(!apic_bit(APIC_ISR, 0x91) && !apic_bit(APIC_IRR, 0x91));
	}
	apic_write(APIC_TIMER_INITIAL, 0);
	sti();
	cli();
	trap_load_idt(trap_idt, sizeof(trap_idt) - 1);
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_timer_one_shot),
	KTAP(test_timer_periodic),
	KTAP(test_timer_divides),
	KTAP(test_timer_masked),
	KTAP(test_timer_polled),
	KTAP(test_timer_among_exits),
	KTAP(test_hlt_one_shot),
	KTAP(test_hlt_periodic),
	KTAP(test_hlt_with_pending),
	KTAP(test_hlt_held),
	KTAP(test_nmi),
	KTAP(test_nmi_in_nmi),
	KTAP(test_nmi_and_interrupt),
	KTAP(test_nested_faults),
};

int guest_main(void)
{
	irq_init();
	return KTAP_MAIN(tests);
}
