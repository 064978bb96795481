/* SPDX-License-Identifier: GPL-2.0-only */
/* See apic.h. */
#include "arch/x86/apic.h"

#include <stddef.h>

#include "arch/x86/cpu.h"
#include "arch/x86/idt.h"
#include "host/log.h"
#include "host/machine.h"
#include "mm/errno.h"

/* Registers, as offsets of the memory-mapped APIC; x2APIC MSRs are 0x800 + offset / 16. */
#define APIC_ID 0x20
#define APIC_VERSION 0x30
#define APIC_TPR 0x80
#define APIC_EOI 0xb0
#define APIC_SVR 0xf0
#define APIC_ISR 0x100
#define APIC_ESR 0x280
#define APIC_ICR_LOW 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_THERMAL 0x330
#define APIC_LVT_PERF 0x340
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_ERROR 0x370
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE 0x3e0

#define APIC_BASE_X2APIC (1ul << 10)
#define APIC_BASE_ENABLE (1ul << 11)
#define APIC_BASE_ADDRESS 0xffffffffff000ul
#define SVR_ENABLE (1u << 8)
#define LVT_MASKED (1u << 16)
#define DIVIDE_BY_16 3u

#define ICR_FIXED 0x000u
#define ICR_NMI 0x400u
#define ICR_INIT 0x500u
#define ICR_STARTUP 0x600u
#define ICR_PENDING (1u << 12)
#define ICR_ASSERT (1u << 14)

/* Delivery to another CPU takes microseconds; QEMU and Bochs are never busy. */
#define ICR_WAIT_US 1000

static volatile uint8_t *mmio; /* NULL: x2APIC */
static bool x2apic;

static uint32_t apic_read(unsigned reg)
{
	if (x2apic)
		return (uint32_t)rdmsr(MSR_X2APIC_BASE + reg / 16);
	return *(volatile uint32_t *)(mmio + reg);
}

static void apic_write(unsigned reg, uint32_t value)
{
	if (x2apic)
		wrmsr(MSR_X2APIC_BASE + reg / 16, value);
	else
		*(volatile uint32_t *)(mmio + reg) = value;
}

int apic_init(void)
{
	struct cpuid_regs r = cpuid(1, 0);

	if (!(r.edx & (1u << 9))) {
		log_error("this processor has no local APIC (CPUID.1:EDX bit 9)");
		return -ENODEV;
	}
	x2apic = r.ecx & (1u << 21);
	if (x2apic)
		return 0;
	mmio = machine_map_device(rdmsr(MSR_APIC_BASE) & APIC_BASE_ADDRESS, 4096);
	if (!mmio) {
		log_error("no memory to map the local APIC");
		return -ENOMEM;
	}
	return 0;
}

void apic_enable(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;

	/* In two steps: off to x2APIC at once is not allowed (SDM vol. 3A, 11.12.5). */
	wrmsr(MSR_APIC_BASE, base);
	if (x2apic)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);

	unsigned max_lvt = apic_read(APIC_VERSION) >> 16 & 0xff;

	apic_write(APIC_TPR, 0);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	/* LINT0 carries the 8259; LINT1 (NMI) stays as the firmware has it. */
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	if (max_lvt >= 3)
		apic_write(APIC_LVT_ERROR, VECTOR_APIC_ERROR);
	if (max_lvt >= 4)
		apic_write(APIC_LVT_PERF, LVT_MASKED);
	if (max_lvt >= 5)
		apic_write(APIC_LVT_THERMAL, LVT_MASKED);
	apic_write(APIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
	apic_write(APIC_ESR, 0);
	/* What the firmware left in service would block everything below it; an EOI ends the highest. */
	for (unsigned v = 256; v-- > 0;)
		apic_eoi_if_in_service((uint8_t)v);
}

bool apic_is_x2apic(void)
{
	return x2apic;
}

uint32_t apic_id(void)
{
	return x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_eoi_if_in_service(uint8_t vector)
{
	if (apic_read(APIC_ISR + vector / 32 * 16) >> (vector % 32) & 1)
		apic_eoi();
}

void apic_report_error(void)
{
	apic_write(APIC_ESR, 0); /* latches the errors since the last write */
	log_warn("local APIC of CPU %u reports error 0x%x", machine_cpu_id(),
		 apic_read(APIC_ESR));
}

static int icr_wait(void)
{
	for (struct deadline d = deadline_in_us(ICR_WAIT_US); apic_read(APIC_ICR_LOW) & ICR_PENDING;)
		if (deadline_passed(&d))
			return -ETIMEDOUT;
	return 0;
}

/* Interrupts off: a handler that sends one too must not come between the two halves. */
static int icr_write(uint32_t dest, uint32_t low)
{
	if (x2apic) {
		/* Not serialising: what the receiver is to find must be visible first. */
		__asm__ volatile("mfence; lfence" ::: "memory");
		wrmsr(MSR_X2APIC_BASE + APIC_ICR_LOW / 16, (uint64_t)dest << 32 | low);
		return 0;
	}
	uint64_t flags = machine_irq_save();
	int err = icr_wait();

	if (!err) {
		apic_write(APIC_ICR_HIGH, dest << 24);
		apic_write(APIC_ICR_LOW, low);
	}
	machine_irq_restore(flags);
	return err;
}

int apic_send(uint32_t dest, uint8_t vector)
{
	return icr_write(dest, ICR_FIXED | ICR_ASSERT | vector);
}

int apic_send_nmi(uint32_t dest)
{
	return icr_write(dest, ICR_NMI | ICR_ASSERT);
}

int apic_send_init(uint32_t dest)
{
	return icr_write(dest, ICR_INIT | ICR_ASSERT);
}

int apic_send_startup(uint32_t dest, uint8_t page)
{
	return icr_write(dest, ICR_STARTUP | ICR_ASSERT | page);
}

void apic_timer_count(void)
{
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_16);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_write(APIC_TIMER_INITIAL, ~0u);
}

uint32_t apic_timer_elapsed(void)
{
	return ~0u - apic_read(APIC_TIMER_CURRENT);
}

void apic_timer_init(void)
{
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_16);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
}

void apic_timer_once(uint32_t counts)
{
	apic_write(APIC_TIMER_INITIAL, counts);
}
