/* SPDX-License-Identifier: GPL-2.0-only */
/* See intr.h. */
#include "vmm/intr.h"

#include "arch/x86/cpu.h"
#include "host/machine.h"
#include "lib/util.h"
#include "vmm/apic_page.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

/*
 * A guest whose timer's period is shorter than this is interrupted this often only: else the
 * alarm could end each entry before the first instruction.
 */
#define PERIOD_MIN_US 20
/* How soon to look again for the end of an IRET. */
#define IRET_US 5

void intr_init(struct vcpu *vcpu)
{
	lapic_init(&vcpu->lapic, (uint8_t)vcpu->id, vcpu->id == 0);
	apic_page_init(vcpu);
	vcpu->alarm_at = LAPIC_NEVER;
}

/* ---- the timer ------------------------------------------------------------------- */

/* In interrupt context. */
static void alarm_rings(void *arg)
{
	struct vcpu *vcpu = arg;

	vcpu->alarm_at = LAPIC_NEVER;
	intr_raise(vcpu, INTR_TIMER);
}

static uint64_t cycles_of_us(uint64_t us)
{
	return us * machine_cycles_per_us();
}

static void alarm_set(struct vcpu *vcpu, uint64_t at)
{
	vcpu->alarm_at = at;
	if (at == LAPIC_NEVER)
		machine_alarm_cancel();
	else
		machine_alarm_set(at, alarm_rings, vcpu);
}

void intr_timer_changed(struct vcpu *vcpu)
{
	uint64_t at = lapic_timer_deadline(&vcpu->lapic);

	if (at != vcpu->alarm_at)
		alarm_set(vcpu, at);
}

static void timer_expired(struct vcpu *vcpu)
{
	uint64_t now = machine_cycles(), at;

	lapic_timer_update(&vcpu->lapic, now);
	at = lapic_timer_deadline(&vcpu->lapic);
	if (at != LAPIC_NEVER)
		at = MAX(at, now + cycles_of_us(PERIOD_MIN_US));
	if (at != vcpu->alarm_at)
		alarm_set(vcpu, at);
}

void intr_load(struct vcpu *vcpu)
{
	vcpu->alarm_at = LAPIC_NEVER;
	intr_timer_changed(vcpu);
}

void intr_put(struct vcpu *vcpu)
{
	machine_alarm_cancel();
}

/* ---- delivery ---------------------------------------------------------------------- */

void intr_sync_tpr(struct vcpu *vcpu)
{
	unsigned priority = virt->get_cr8(vcpu);

	/* The low four bits are the APIC's alone, until CR8 is written: then they are 0. */
	if (priority != vcpu->lapic.tpr >> 4)
		vcpu->lapic.tpr = (uint8_t)(priority << 4);
}

static void inject_external(struct vcpu *vcpu, enum event_type type, unsigned vector)
{
	vcpu->inject = (struct vm_event){
		.valid = true,
		.type = type,
		.vector = (uint8_t)vector,
	};
}

/* One event an entry.  What has to wait asks for the exit at which it need not any more. */
static bool deliver_nmi(struct vcpu *vcpu)
{
	if (vcpu->inject.valid || !virt->nmi_allowed(vcpu))
		return false;
	inject_external(vcpu, EVENT_NMI, VEC_NMI);
	vcpu->nmis++;
	return true;
}

static void deliver_interrupt(struct vcpu *vcpu)
{
	struct lapic *lapic = &vcpu->lapic;

	intr_sync_tpr(vcpu);
	int vector = lapic_pending(lapic);
	bool now = vector >= 0 && !vcpu->inject.valid && virt->intr_allowed(vcpu);

	if (now) {
		lapic_acknowledge(lapic, (uint8_t)vector);
		inject_external(vcpu, EVENT_INTR, (unsigned)vector);
		vcpu->interrupts++;
	} else if (vector >= 0) {
		intr_raise(vcpu, INTR_CHECK);
	}
	virt->request_intr_window(vcpu, vector >= 0 && !now);
	virt->trap_cr8_write(vcpu, lapic_held_by_tpr(lapic));
}

/*
 * NMIs go first; an interrupt that comes with one waits for its window.  The NMI's own
 * window is asked for last: a vendor may make do with the interrupt's.
 */
void intr_prepare(struct vcpu *vcpu)
{
	unsigned events = atomic_exchange_explicit(&vcpu->events, 0, memory_order_relaxed);

	if (events & INTR_TIMER)
		timer_expired(vcpu);
	bool nmi_waits = (events & INTR_NMI) && !deliver_nmi(vcpu);
	if (events & (INTR_CHECK | INTR_TIMER))
		deliver_interrupt(vcpu);
	if (nmi_waits) {
		intr_raise(vcpu, INTR_NMI);
		virt->request_nmi_window(vcpu, true);
	}
}

/*
 * A vendor without a true window exits at the IRET, not behind it: only the next exit can
 * tell that it is done, and the alarm sees to it that there is one.
 */
void intr_nmi_window(struct vcpu *vcpu)
{
	unsigned pending = atomic_load_explicit(&vcpu->events, memory_order_relaxed);

	virt->request_nmi_window(vcpu, false);
	if ((pending & INTR_NMI) && !virt->nmi_allowed(vcpu))
		alarm_set(vcpu, MIN(vcpu->alarm_at, machine_cycles() + cycles_of_us(IRET_US)));
}

/* ---- HLT ------------------------------------------------------------------------------ */

static bool is_awake(struct vcpu *vcpu)
{
	unsigned events = atomic_load_explicit(&vcpu->events, memory_order_relaxed);

	/* The single-step trap of the HLT itself. */
	if (vcpu->regs.rflags & RFLAGS_TF)
		return true;
	if ((events & INTR_NMI) && virt->nmi_allowed(vcpu))
		return true;
	lapic_timer_update(&vcpu->lapic, machine_cycles());
	return lapic_pending(&vcpu->lapic) >= 0 && virt->intr_allowed(vcpu);
}

/*
 * Who could end it: the timer, if interrupts are on.  There is no other vCPU that
 * could send an NMI, and no other device.
 */
static bool can_wake(struct vcpu *vcpu)
{
	return (vcpu->regs.rflags & RFLAGS_IF) &&
	       lapic_timer_deadline(&vcpu->lapic) != LAPIC_NEVER;
}

void intr_halt(struct vcpu *vcpu)
{
	intr_sync_tpr(vcpu);
	while (vm_is_running(vcpu->vm) && !is_awake(vcpu)) {
		if (!can_wake(vcpu)) {
			vm_stop(vcpu->vm, VM_END_HALTED);
			return;
		}
		intr_timer_changed(vcpu);
		/* Interrupts open together with the halt: an alarm cannot slip in between. */
		machine_idle();
		machine_irq_save();
		vcpu_check_limits(vcpu);
	}
	intr_raise(vcpu, INTR_TIMER);
}
