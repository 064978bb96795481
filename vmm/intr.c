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
/* How soon to look again for the end of an IRET or a shadow. */
#define SOON_US 5
#define SOON_MAX_US 2000

static void alarm_rings(void *arg);

void intr_init(struct vcpu *vcpu)
{
	lapic_init(&vcpu->lapic, (uint8_t)vcpu->id, vcpu->id == 0);
	atomic_init(&vcpu->lapic_address, lapic_address(&vcpu->lapic));
	apic_page_init(vcpu);
	timer_init(&vcpu->alarm, alarm_rings, vcpu);
	vcpu->alarm_at = LAPIC_NEVER;
}

/* ---- from outside ------------------------------------------------------------------ */

static void carry_out(struct vcpu *vcpu, enum signal_action action)
{
	atomic_fetch_add_explicit(&vcpu->posted, 1, memory_order_relaxed);
	if (action == SIGNAL_KICK) {
		vcpu_kick(vcpu);
	} else if (action == SIGNAL_WAKE) {
		atomic_fetch_add_explicit(&vcpu->wakeups, 1, memory_order_relaxed);
		thread_unpark(atomic_load_explicit(&vcpu->thread, memory_order_relaxed));
	}
}

void intr_post(struct vcpu *vcpu, uint32_t events)
{
	carry_out(vcpu, signal_post(&vcpu->signal, &vcpu->mmu, events));
}

void intr_post_vector(struct vcpu *vcpu, uint8_t vector)
{
	carry_out(vcpu, signal_post_irr(&vcpu->signal, &vcpu->mmu, vector,
					INTR_CHECK | INTR_VECTOR));
}

/* Whoever takes INTR_START away, the vCPU or an INIT, lets the next one have vcpu->start. */
static uint32_t replace(struct vcpu *vcpu, uint32_t mask, uint32_t events)
{
	uint32_t taken;

	carry_out(vcpu, signal_replace(&vcpu->signal, &vcpu->mmu, mask, events, &taken));
	if (taken & INTR_START)
		atomic_store_explicit(&vcpu->start.claimed, false, memory_order_release);
	return taken;
}

void intr_post_startup(struct vcpu *vcpu, uint8_t vector)
{
	replace(vcpu, INTR_VECTOR_MASK, INTR_STARTUP | (uint32_t)vector << INTR_VECTOR_SHIFT);
}

static void init_is_done(struct vcpu *vcpu)
{
	/* release: pairs with the load in intr_post_start(), which finds that it waits */
	atomic_fetch_sub_explicit(&vcpu->start.inits, 1, memory_order_release);
}

/* One that was posted already, and not taken, is this one. */
void intr_post_init(struct vcpu *vcpu)
{
	const uint32_t mask = INTR_VECTOR_MASK | INTR_STARTUP | INTR_START | INTR_INIT;

	atomic_fetch_add_explicit(&vcpu->start.inits, 1, memory_order_relaxed);
	if (replace(vcpu, mask, INTR_INIT) & INTR_INIT)
		init_is_done(vcpu);
}

int intr_post_start(struct vcpu *vcpu, uint32_t entry, uint32_t arg)
{
	/* acquire: pairs with the release of who had it before, whose start is seen below */
	if (atomic_exchange_explicit(&vcpu->start.claimed, true, memory_order_acquire))
		return -EBUSY;
	/* INITs first: of one that is being carried out neither its event nor the activity tells. */
	if (!atomic_load_explicit(&vcpu->start.inits, memory_order_acquire) &&
	    atomic_load_explicit(&vcpu->activity, memory_order_relaxed) != VCPU_WAITING) {
		atomic_store_explicit(&vcpu->start.claimed, false, memory_order_release);
		return -EBUSY;
	}
	vcpu->start.entry = entry;
	vcpu->start.arg = arg;
	intr_post(vcpu, INTR_START);
	return 0;
}

/* ---- the timer ------------------------------------------------------------------- */

/* In interrupt context, on the CPU where it was set. */
static void alarm_rings(void *arg)
{
	intr_post(arg, INTR_TIMER);
}

static uint64_t cycles_of_us(uint64_t us)
{
	return us * machine_cycles_per_us();
}

static void alarm_set(struct vcpu *vcpu, uint64_t at)
{
	if (at == vcpu->alarm_at)
		return;
	vcpu->alarm_at = at;
	if (at == LAPIC_NEVER)
		timer_cancel(&vcpu->alarm);
	else
		timer_set(&vcpu->alarm, at);
}

void intr_apic_changed(struct vcpu *vcpu)
{
	uint32_t address = lapic_address(&vcpu->lapic);

	alarm_set(vcpu, lapic_timer_deadline(&vcpu->lapic));
	/* release: before anything that the guest says to other vCPUs after this */
	if (address != atomic_load_explicit(&vcpu->lapic_address, memory_order_relaxed))
		atomic_store_explicit(&vcpu->lapic_address, address, memory_order_release);
}

static void timer_expired(struct vcpu *vcpu)
{
	uint64_t now = machine_cycles(), at;

	vcpu->alarm_at = LAPIC_NEVER;
	lapic_timer_update(&vcpu->lapic, now);
	at = lapic_timer_deadline(&vcpu->lapic);
	if (at != LAPIC_NEVER)
		alarm_set(vcpu, MAX(at, now + cycles_of_us(PERIOD_MIN_US)));
}

/* ---- delivery ---------------------------------------------------------------------- */

void intr_sync_tpr(struct vcpu *vcpu)
{
	unsigned priority = virt->get_cr8(vcpu);

	/* The low four bits are the APIC's alone, until CR8 is written: then they are 0. */
	if (priority != vcpu->lapic.tpr >> 4)
		vcpu->lapic.tpr = (uint8_t)(priority << 4);
}

/* Later each time: the guest must come to execute something in between. */
static void look_again_soon(struct vcpu *vcpu)
{
	uint64_t us = SOON_US << vcpu->looks;

	if (us < SOON_MAX_US)
		vcpu->looks++;
	alarm_set(vcpu, MIN(vcpu->alarm_at, machine_cycles() + cycles_of_us(us)));
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
	vcpu->looks = 0;
	return true;
}

static void deliver_interrupt(struct vcpu *vcpu)
{
	struct lapic *lapic = &vcpu->lapic;

	if (!lapic_has_requests(lapic) && !vcpu->intr_watched)
		return;
	intr_sync_tpr(vcpu);
	int vector = lapic_pending(lapic);
	bool now = vector >= 0 && !vcpu->inject.valid && virt->intr_allowed(vcpu);

	if (now) {
		lapic_acknowledge(lapic, (uint8_t)vector);
		inject_external(vcpu, EVENT_INTR, (unsigned)vector);
		vcpu->interrupts++;
		vcpu->looks = 0;
	} else if (vector >= 0) {
		intr_raise(vcpu, INTR_CHECK);
	}
	bool waits = vector >= 0 && !now, held = !waits && lapic_held_by_tpr(lapic);

	if (!virt->request_intr_window(vcpu, waits))
		look_again_soon(vcpu);
	virt->trap_cr8_write(vcpu, held);
	vcpu->intr_watched = waits || held;
}

void intr_fold(struct vcpu *vcpu)
{
	for (unsigned i = 0; i < ARRAY_SIZE(vcpu->lapic.irr.word); i++) {
		uint32_t vectors = signal_take_irr(&vcpu->signal, i);

		if (vectors)
			lapic_accept_word(&vcpu->lapic, i, vectors);
	}
}

/*
 * NMIs go first; an interrupt that comes with one waits for its window.  The NMI's own
 * window is asked for last: a vendor may make do with the interrupt's.
 */
static void deliver(struct vcpu *vcpu, uint32_t events)
{
	if (events & INTR_TIMER)
		timer_expired(vcpu);
	bool nmi_waits = (events & INTR_NMI) && !deliver_nmi(vcpu);
	if (events & INTR_VECTOR)
		intr_fold(vcpu);
	if (events & (INTR_CHECK | INTR_TIMER))
		deliver_interrupt(vcpu);
	if (nmi_waits) {
		intr_raise(vcpu, INTR_NMI);
		virt->request_nmi_window(vcpu, true);
	}
}

/* ---- INIT and start --------------------------------------------------------------------- */

static unsigned activity(struct vcpu *vcpu)
{
	return atomic_load_explicit(&vcpu->activity, memory_order_relaxed);
}

static void set_activity(struct vcpu *vcpu, enum vcpu_activity a)
{
	atomic_store_explicit(&vcpu->activity, a, memory_order_relaxed);
}

/* The boot processor would go on in its firmware, and there is none. */
static void take_init(struct vcpu *vcpu)
{
	if (vcpu->id == 0) {
		vm_stop_report(vcpu, "INIT of vCPU 0, which would go on in a firmware that the "
				     "guest does not have");
		return;
	}
	intr_fold(vcpu);
	lapic_reset(&vcpu->lapic);
	intr_apic_changed(vcpu);
	vcpu->inject.valid = false;
	set_activity(vcpu, VCPU_WAITING);
	init_is_done(vcpu);
}

static void take_start(struct vcpu *vcpu)
{
	if (activity(vcpu) == VCPU_WAITING) {
		vcpu_reset_protected(vcpu, vcpu->start.entry, vcpu->start.arg, vcpu->start.arg);
		set_activity(vcpu, VCPU_RUNNING);
	}
	/* release: pairs with the next claim, which finds it running */
	atomic_store_explicit(&vcpu->start.claimed, false, memory_order_release);
}

/* INIT, then what came behind it: intr_post_init() takes back what came before. */
static void take_lifecycle(struct vcpu *vcpu, uint32_t events)
{
	if (events & INTR_INIT)
		take_init(vcpu);
	if (events & INTR_START)
		take_start(vcpu);
	if (events & INTR_STARTUP && activity(vcpu) == VCPU_WAITING) {
		vcpu_reset_startup(vcpu, (uint8_t)(events >> INTR_VECTOR_SHIFT));
		set_activity(vcpu, VCPU_RUNNING);
	}
}

/* One that waits takes nothing else: vectors and NMIs that come meanwhile are lost. */
void intr_attend(struct vcpu *vcpu, uint32_t events)
{
	if (events & (INTR_INIT | INTR_STARTUP | INTR_START)) {
		take_lifecycle(vcpu, events);
		if (events & INTR_INIT)
			events &= INTR_CHECK;
	}
	if (vcpu->reset_pending)
		vcpu_reset_apply(vcpu);
	if (activity(vcpu) == VCPU_WAITING) {
		intr_fold(vcpu);
		return;
	}
	deliver(vcpu, events);
	if (vcpu->inject.valid)
		set_activity(vcpu, VCPU_RUNNING);
}

/*
 * A vendor without a true window exits at the IRET, not behind it: only the next exit can
 * tell that it is done, and the alarm sees to it that there is one.
 */
void intr_nmi_window(struct vcpu *vcpu)
{
	virt->request_nmi_window(vcpu, false);
	if ((vcpu->pending & INTR_NMI) && !virt->nmi_allowed(vcpu))
		look_again_soon(vcpu);
}

/* ---- HLT ------------------------------------------------------------------------------ */

/* intr_attend() looks whether there is something for it already; the single-step trap is. */
void intr_halt(struct vcpu *vcpu)
{
	if (vcpu->regs.rflags & RFLAGS_TF)
		return;
	vcpu->halts++;
	set_activity(vcpu, VCPU_HALTED);
	intr_raise(vcpu, lapic_timer_runs(&vcpu->lapic) ? INTR_TIMER : INTR_CHECK);
}

bool intr_can_wake(struct vcpu *vcpu)
{
	return activity(vcpu) == VCPU_HALTED && (vcpu->regs.rflags & RFLAGS_IF) &&
	       lapic_timer_deadline(&vcpu->lapic) != LAPIC_NEVER;
}
