/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What wants a vCPU's attention: interrupts and NMIs on their way from its local APIC into the
 * guest, its timer, INIT, STARTUP and the like from other vCPUs; and HLT.
 *
 * An exit that has nothing to do with any of that pays for two loads.  What others want comes by
 * intr_post() (signal.h); what the vCPU itself changed and has to look at by intr_raise(); the run
 * loop gives both to intr_attend(), right before the entry.
 *
 *   others:  IPIs, the timer's handler --> signal \
 *                                                  intr_attend() --> vcpu->inject
 *   itself:  EOI, TPR, CR8, windows --> pending   /                  or a window: exit when it can be
 */
#pragma once

#include "vmm/vcpu.h"

enum intr_event {
	INTR_CHECK = 1 << 0, /* APIC or CR8 changed, or a vector came: what is pending now? */
	INTR_TIMER = 1 << 1, /* the APIC timer may have expired */
	INTR_NMI = 1 << 2,   /* an NMI is pending; like the processor, we remember one */
	INTR_POKE = 1 << 3,  /* vm_checkpoint() wants to be called; no business of intr.c's */
	INTR_INIT = 1 << 4,
	INTR_STARTUP = 1 << 5, /* with its vector from INTR_VECTOR_SHIFT on */
	INTR_START = 1 << 6,   /* PHYLLO_HC_VCPU_START: vcpu->start */
	INTR_VECTOR = 1 << 7,  /* others sent vectors: intr_fold() */
};
#define INTR_VECTOR_SHIFT 24
#define INTR_VECTOR_MASK (0xffu << INTR_VECTOR_SHIFT)

/* The vCPU's own thread, while it is loaded. */
static inline void intr_raise(struct vcpu *vcpu, unsigned events)
{
	vcpu->pending |= events;
}

/* Any context, any CPU. */
void intr_post(struct vcpu *vcpu, uint32_t events);
void intr_post_vector(struct vcpu *vcpu, uint8_t vector);
void intr_post_startup(struct vcpu *vcpu, uint8_t vector);
/* What was to start it and did not get there yet is void. */
void intr_post_init(struct vcpu *vcpu);
/*
 * In the state of vcpu_reset_protected().  0; -EBUSY: it does not wait to be started, and no INIT
 * is on its way to it; or another one starts it.
 */
int intr_post_start(struct vcpu *vcpu, uint32_t entry, uint32_t arg);

/* Of a new vCPU: its APIC as after RESET. */
void intr_init(struct vcpu *vcpu);

/* ---- the vCPU's own thread, while it is loaded, with interrupts off ---- */

/* events are not 0, and the guest is entered next, or its vCPU goes to sleep. */
void intr_attend(struct vcpu *vcpu, uint32_t events);
/* The guest has executed HLT. */
void intr_halt(struct vcpu *vcpu);
/* It sleeps, and its own timer may end that. */
bool intr_can_wake(struct vcpu *vcpu);
void intr_nmi_window(struct vcpu *vcpu);

/* Vectors that others sent so far are in the APIC's IRR. */
void intr_fold(struct vcpu *vcpu);
/* CR8 and the APIC's TPR are one register in two places: bring the APIC's up to date. */
void intr_sync_tpr(struct vcpu *vcpu);
/* The APIC was written to: its timer may have another deadline, its address may have changed. */
void intr_apic_changed(struct vcpu *vcpu);
