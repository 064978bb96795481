/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * host/machine.h and host/object.h in the explorer, for the scheduler: each thread of a scenario is a
 * CPU, whatever stack it is on.
 *
 * An interrupt comes where interrupts are let in.  An alarm's time has come when the seed says so, or at
 * once on a CPU that halts: the clock follows.  A CPU that halts and is not kicked stays there, so a kick
 * that was forgotten is a deadlock.
 */
#include <stdarg.h>
#include <stdio.h>

#include "host/machine.h"
#include "host/object.h"
#include "mm/port.h"
#include "port_machine.h"
#include "sched.h"

static struct cpu {
	bool irqs_off;
	_Atomic bool kicked;
	uint64_t alarm_at;
	void (*alarm)(void *arg);
	void *alarm_arg;
} cpus[EXPLORE_THREADS];
static unsigned count;
static uint64_t now;
static _Atomic bool stopped;

void explore_machine_reset(unsigned n)
{
	for (unsigned i = 0; i < EXPLORE_THREADS; i++)
		cpus[i] = (struct cpu){ 0 };
	count = n;
	now = 0;
	stopped = false;
}

void explore_machine_stop(void)
{
	atomic_store(&stopped, true);
}

bool explore_machine_stopped(void)
{
	return atomic_load(&stopped);
}

unsigned machine_cpu_id(void)
{
	return sched.current ? (unsigned)(sched.current - sched.thread) : 0;
}

unsigned machine_cpu_count(void)
{
	return count;
}

static struct cpu *this_cpu(void)
{
	return &cpus[machine_cpu_id()];
}

/* ---- time and interrupts ------------------------------------------------------------- */

uint64_t machine_cycles(void)
{
	return ++now;
}

uint64_t machine_cycles_per_us(void)
{
	return 1;
}

void machine_alarm_set(uint64_t cycles, void (*fn)(void *arg), void *arg)
{
	struct cpu *c = this_cpu();

	EXPLORE_CHECK(c->irqs_off);
	c->alarm_at = cycles;
	c->alarm = fn;
	c->alarm_arg = arg;
}

void machine_alarm_cancel(void)
{
	this_cpu()->alarm = NULL;
}

static void ring(struct cpu *c)
{
	void (*fn)(void *) = c->alarm;

	explore_note("alarm");
	c->alarm = NULL;
	if (now < c->alarm_at)
		now = c->alarm_at;
	c->irqs_off = true;
	fn(c->alarm_arg);
	c->irqs_off = false;
}

uint64_t machine_irq_save(void)
{
	struct cpu *c = this_cpu();
	bool off = c->irqs_off;

	c->irqs_off = true;
	return off;
}

void machine_irq_restore(uint64_t flags)
{
	struct cpu *c = this_cpu();

	c->irqs_off = flags;
	if (!flags && c->alarm && sched.current && !explore_choose(3))
		ring(c);
}

void machine_irq_enable(void)
{
	machine_irq_restore(false);
}

bool machine_irqs_enabled(void)
{
	return !this_cpu()->irqs_off;
}

void machine_kick_cpu(unsigned cpu)
{
	EXPLORE_CHECK(cpu < count && cpu != machine_cpu_id());
	atomic_store(&cpus[cpu].kicked, true);
}

void machine_alive(void)
{
}

void machine_idle(void)
{
	struct cpu *c = this_cpu();

	EXPLORE_CHECK(c->irqs_off);
	c->irqs_off = false;
	while (!atomic_load(&c->kicked) && !c->alarm && !explore_machine_stopped())
		explore_relax();
	atomic_store(&c->kicked, false);
	if (c->alarm)
		ring(c);
}

void machine_relax(void)
{
	explore_relax();
}

void panic(const char *fmt, ...)
{
	char message[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	explore_fail("panic: %s", message);
}

/* ---- memory ------------------------------------------------------------------------------ */

void *object_alloc(size_t size)
{
	return port_obj_alloc(size);
}

void object_free(void *obj, size_t size)
{
	port_obj_free(obj, size);
}
