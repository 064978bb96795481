/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts and NMIs on their way from a vCPU's local APIC into the guest, and HLT.
 *
 * An exit that has nothing to do with interrupts pays for one load: vcpu->events is 0, and the
 * run loop goes on.  Whoever changes what could be delivered raises an event; intr_prepare()
 * looks at all there is, right before the entry.
 *
 *   timer's alarm, ICR, EOI, TPR, CR8, windows --> events --> intr_prepare() --> vcpu->inject
 *                                                                or a window: exit when it can be
 */
#pragma once

#include "vmm/vcpu.h"

enum intr_event {
	INTR_CHECK = 1 << 0, /* APIC or CR8 changed: what is pending now? */
	INTR_TIMER = 1 << 1, /* the APIC timer may have expired */
	INTR_NMI = 1 << 2,   /* an NMI is pending; like the processor, we remember one */
};

/* Any context on the CPU that has the vCPU loaded, interrupt handlers included. */
static inline void intr_raise(struct vcpu *vcpu, unsigned events)
{
	atomic_fetch_or_explicit(&vcpu->events, events, memory_order_relaxed);
}

/* Of a new vCPU: its APIC as after RESET. */
void intr_init(struct vcpu *vcpu);
/* It gets or loses this CPU, and with it the CPU's alarm. */
void intr_load(struct vcpu *vcpu);
void intr_put(struct vcpu *vcpu);

/* events is not 0, and the guest is entered next. */
void intr_prepare(struct vcpu *vcpu);
/*
 * The guest has executed HLT: sleep until there is something for it.  Ends the VM as halted when
 * that can never be.
 */
void intr_halt(struct vcpu *vcpu);
void intr_nmi_window(struct vcpu *vcpu);

/* CR8 and the APIC's TPR are one register in two places: bring the APIC's up to date. */
void intr_sync_tpr(struct vcpu *vcpu);
/* The APIC's timer may have another deadline now. */
void intr_timer_changed(struct vcpu *vcpu);
