/* SPDX-License-Identifier: GPL-2.0-only */
/* See ipi.h. */
#include "arch/x86/ipi.h"

#include "arch/x86/apic.h"
#include "arch/x86/idt.h"
#include "arch/x86/percpu.h"
#include "host/log.h"
#include "host/machine.h"
#include "mm/errno.h"

enum { IDLE, CLAIMED, PENDING, RUNNING, DONE };

/* Generous: on a loaded machine an emulated CPU may be off for long. */
#define ANSWER_US 3000000
/* Longest that a call itself may take; its argument may lie on our stack, so we cannot leave. */
#define FINISH_US 10000000
/* Behind several others' calls. */
#define CLAIM_US (2 * FINISH_US)

static bool mailbox_move(struct ipi_mailbox *m, unsigned from, unsigned to)
{
	/* acquire: from PENDING, fn and arg are there; release: to whoever moves it next */
	return atomic_compare_exchange_strong_explicit(&m->state, &from, to, memory_order_acq_rel,
						       memory_order_relaxed);
}

void ipi_serve(void)
{
	struct ipi_mailbox *m = &percpu_this()->mailbox;

	if (!mailbox_move(m, PENDING, RUNNING))
		return; /* the caller gave up, or a stray interrupt */
	m->fn(m->arg);
	/* pairs with the acquire in call_wait() */
	atomic_store_explicit(&m->state, DONE, memory_order_release);
}

/* Claim the CPU's mailbox and send it the call. */
static int call_post(unsigned cpu, void (*fn)(void *), void *arg)
{
	struct percpu *p = percpu_get(cpu);
	struct ipi_mailbox *m = &p->mailbox;

	for (struct deadline d = deadline_in_us(CLAIM_US); !mailbox_move(m, IDLE, CLAIMED);) {
		if (deadline_passed(&d)) {
			log_error("CPU %u is busy with another CPU's call (stage: %s)", cpu,
				  stage_name());
			return -ETIMEDOUT;
		}
	}
	m->fn = fn;
	m->arg = arg;
	/* pairs with mailbox_move() in ipi_serve() */
	atomic_store_explicit(&m->state, PENDING, memory_order_release);
	if (!apic_send(p->apic_id, VECTOR_CALL))
		return 0;
	log_error("the local APIC did not send an interrupt to CPU %u (stage: %s)", cpu,
		  stage_name());
	if (mailbox_move(m, PENDING, IDLE))
		return -ETIMEDOUT;
	return 0; /* it was served on the heels of an earlier interrupt */
}

static int call_wait(unsigned cpu)
{
	struct ipi_mailbox *m = &percpu_get(cpu)->mailbox;
	struct deadline answer = deadline_in_us(ANSWER_US), finish = deadline_in_us(FINISH_US);

	while (atomic_load_explicit(&m->state, memory_order_acquire) != DONE) {
		if (deadline_passed(&answer) && mailbox_move(m, PENDING, IDLE)) {
			log_error("CPU %u does not answer calls (stage: %s)", cpu, stage_name());
			return -ETIMEDOUT;
		}
		if (deadline_passed(&finish))
			panic("CPU %u does not finish a call that it has begun", cpu);
	}
	atomic_store_explicit(&m->state, IDLE, memory_order_release);
	return 0;
}

static void call_here(void (*fn)(void *), void *arg)
{
	uint64_t flags = machine_irq_save();

	fn(arg);
	machine_irq_restore(flags);
}

int machine_run_on(unsigned cpu, void (*fn)(void *), void *arg)
{
	BUG_ON(!machine_irqs_enabled());
	BUG_ON(cpu >= percpu_count());
	if (cpu == machine_cpu_id()) {
		call_here(fn, arg);
		return 0;
	}
	int err = call_post(cpu, fn, arg);

	return err ? err : call_wait(cpu);
}

/* All run at once; a CPU that could not be called is not waited for. */
int machine_run_on_others(void (*fn)(void *), void *arg)
{
	unsigned self = machine_cpu_id(), posted = 0, count = percpu_count();
	int err = 0;

	if (count == 1)
		return 0;
	BUG_ON(!machine_irqs_enabled());
	while (posted < count && !err) {
		if (posted != self)
			err = call_post(posted, fn, arg);
		posted += !err;
	}
	for (unsigned cpu = 0; cpu < posted; cpu++)
		if (cpu != self && call_wait(cpu))
			err = -ETIMEDOUT;
	return err;
}

void machine_kick_cpu_nmi(unsigned cpu)
{
	if (cpu != machine_cpu_id() && cpu < percpu_count())
		apic_send_nmi(percpu_get(cpu)->apic_id);
}

void machine_kick_cpu(unsigned cpu)
{
	if (cpu == machine_cpu_id() || cpu >= percpu_count())
		return;
	if (apic_send(percpu_get(cpu)->apic_id, VECTOR_KICK))
		log_error("the local APIC did not send a kick to CPU %u (stage: %s)", cpu,
			  stage_name());
}
