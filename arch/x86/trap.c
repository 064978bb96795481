/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the hypervisor does with its own exceptions and interrupts.  Interrupt
 * handlers are tiny: whatever takes time happens where an interrupt was opened for it.
 */
#include "arch/x86/trap.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/extable.h"
#include "arch/x86/idt.h"
#include "arch/x86/ipi.h"
#include "arch/x86/panic.h"
#include "arch/x86/percpu.h"
#include "arch/x86/timer.h"
#include "lib/util.h"

const char *trap_name(uint64_t vector)
{
	static const char *const names[] = {
		"#DE divide error",
		"#DB debug",
		"NMI",
		"#BP breakpoint",
		"#OF overflow",
		"#BR bound",
		"#UD undefined instruction",
		"#NM no FPU",
		"#DF double fault",
		"coprocessor overrun",
		"#TS invalid TSS",
		"#NP segment not present",
		"#SS stack segment",
		"#GP general protection",
		"#PF page fault",
		"reserved",
		"#MF x87",
		"#AC alignment",
		"#MC machine check",
		"#XM SIMD",
		"#VE virtualization",
		"#CP control protection",
	};

	return vector < ARRAY_SIZE(names) ? names[vector] : "vector";
}

static void trap_exception(struct trap_frame *frame)
{
	if (frame->vector == VEC_GP && extable_fixup(&frame->rip))
		return;
	panic_exception(frame);
}

/*
 * NMIs: a panic that stops us, the watchdog, a kick, INT 2 of a backend whose guest was
 * interrupted by one.  Nothing has to be done for the latter two: that it came is what it is for.
 */
static void trap_nmi(const struct trap_frame *frame)
{
	percpu_this()->nmis++;
	panic_stop_if_asked();
	watchdog_nmi(frame);
}

/* Masked lines deliver nothing but the 8259's spurious interrupts, which want no EOI. */
static void trap_stray(uint64_t vector)
{
	percpu_this()->stray_interrupts++;
	if (vector < VECTOR_PIC_FIRST || vector > VECTOR_PIC_LAST)
		apic_eoi_if_in_service((uint8_t)vector);
}

static void trap_interrupt(const struct trap_frame *frame)
{
	switch (frame->vector) {
	case VECTOR_TIMER:
		apic_eoi();
		timer_interrupt(frame);
		break;
	case VECTOR_CALL:
		/* First, so that the next call can be announced while this one runs. */
		apic_eoi();
		ipi_serve();
		break;
	case VECTOR_KICK:
		apic_eoi();
		break;
	case VECTOR_APIC_ERROR:
		apic_eoi();
		apic_report_error();
		break;
	case VECTOR_SPURIOUS:
		break; /* no EOI: SDM vol. 3A, 11.9 */
	default:
		trap_stray(frame->vector);
		break;
	}
}

void trap_handle(struct trap_frame *frame)
{
	if (frame->vector == VEC_NMI)
		trap_nmi(frame);
	else if (frame->vector < 32)
		trap_exception(frame);
	else
		trap_interrupt(frame);
}
