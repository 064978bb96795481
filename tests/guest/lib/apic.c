/* SPDX-License-Identifier: GPL-2.0-only */
/* See apic.h. */
#include "tests/guest/lib/apic.h"

#include "tests/guest/lib/x86.h"

/* On a loaded host a virtual processor may be away for long: a limit in cycles and in turns. */
#define WAIT_CYCLES 100000000
#define WAIT_TURNS 3000000

uintptr_t apic_base = 0xfee00000;
struct irq_log irq;

static void take_nmi(struct irq_log *log)
{
	if (++log->nmi_depth > log->nmi_depth_max)
		log->nmi_depth_max = log->nmi_depth;
	log->nmis++;
	if (log->nmi_action)
		log->nmi_action();
	log->nmi_depth--;
}

bool irq_take(struct irq_log *log, const struct trap_frame *f)
{
	if (f->vector == VEC_NMI) {
		take_nmi(log);
		return true;
	}
	if (f->vector < 0x20 || f->vector == VEC_USER_RETURN)
		return false;
	log->log[log->count++ % IRQ_LOG_SIZE] = (uint8_t)f->vector;
	log->of_vector[f->vector]++;
	log->rip = f->rip;
	if (log->action)
		log->action((unsigned)f->vector);
	apic_write(APIC_EOI, 0);
	return true;
}

static bool handle(struct trap_frame *f)
{
	return irq_take(&irq, f);
}

void pic_mask(void)
{
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}

void irq_init(void)
{
	trap_hook = handle;
	pic_mask();
}

void apic_reset(void)
{
	apic_write(APIC_SVR, APIC_SVR_ON);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_TIMER_INITIAL, 0);
	apic_write(APIC_LVT_TIMER, APIC_MASKED);
	apic_write(APIC_LVT_LINT0, APIC_MASKED);
	apic_write(APIC_LVT_ERROR, APIC_MASKED);
	apic_write(APIC_ESR, 0);
	apic_write(APIC_ESR, 0);
}

void apic_begin(void)
{
	cli();
	memset(&irq, 0, sizeof(irq));
	apic_base = rdmsr(MSR_APIC_BASE) & APIC_BASE_ADDRESS;
	apic_reset();
	/* What a timer of the test before requested while it was being stopped. */
	sti();
	__asm__ volatile("nop");
	cli();
	memset(&irq, 0, sizeof(irq));
}

void apic_timer(uint32_t lvt, uint32_t divide, uint32_t count)
{
	apic_write(APIC_TIMER_DIVIDE, divide);
	apic_write(APIC_LVT_TIMER, lvt);
	apic_write(APIC_TIMER_INITIAL, count);
}

static bool wait_for(const volatile unsigned *counter, unsigned count)
{
	uint64_t start = rdtsc();

	for (unsigned turn = 0; *counter < count; turn++) {
		if (turn > WAIT_TURNS && rdtsc() - start > WAIT_CYCLES)
			return false;
		__asm__ volatile("pause");
	}
	return true;
}

bool irq_wait(unsigned count)
{
	return wait_for(&irq.count, count);
}

bool irq_wait_nmis(unsigned count)
{
	return wait_for(&irq.nmis, count);
}

void irq_spend(uint64_t cycles)
{
	for (uint64_t start = rdtsc(); rdtsc() - start < cycles;)
		__asm__ volatile("pause");
}
