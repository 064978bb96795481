/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See timer.h.  Each CPU has a list in order of time; the alarm of the machine is set to the first.
 * The lock of a list is taken with interrupts off, and no handler runs under it.
 */
#include "host/timer.h"

#include <stdatomic.h>
#include <stddef.h>

#include "host/machine.h"
#include "host/thread.h"
#include "mm/sync.h"

static struct timer_cpu {
	spinlock_t lock;
	struct timer *first;
	/* Whose handler this CPU is in; changed under the lock, waited for without. */
	_Atomic(struct timer *) calling;
} cpus[CPUS_MAX];

void timer_init(struct timer *t, void (*fn)(void *arg), void *arg)
{
	*t = (struct timer){ .fn = fn, .arg = arg };
}

static void insert(struct timer_cpu *c, struct timer *t)
{
	struct timer **link = &c->first;

	while (*link && (*link)->at <= t->at)
		link = &(*link)->next;
	t->next = *link;
	t->link = link;
	*link = t;
	if (t->next)
		t->next->link = &t->next;
	t->armed = true;
}

static void take_off(struct timer *t)
{
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	t->armed = false;
}

static void alarm_rings(void *arg);

static void alarm_update(const struct timer_cpu *c)
{
	if (c->first)
		machine_alarm_set(c->first->at, alarm_rings, NULL);
	else
		machine_alarm_cancel();
}

/* In interrupt context. A timer may be set again, or freed, by its own handler. */
static void alarm_rings(void *arg)
{
	struct timer_cpu *c = &cpus[machine_cpu_id()];

	uint64_t now = machine_cycles(); /* once: one that is set again and again lets others in */

	spin_lock(&c->lock);
	while (c->first && now >= c->first->at) {
		struct timer *t = c->first;
		void (*fn)(void *) = t->fn;
		void *fn_arg = t->arg;

		take_off(t);
		atomic_store_explicit(&c->calling, t, memory_order_relaxed);
		spin_unlock(&c->lock);
		fn(fn_arg);
		/* pairs with the acquire in take_out() */
		atomic_store_explicit(&c->calling, NULL, memory_order_release);
		spin_lock(&c->lock);
	}
	alarm_update(c);
	spin_unlock(&c->lock);
}

static void take_out(struct timer *t)
{
	struct timer_cpu *c = &cpus[t->cpu];

	spin_lock(&c->lock);
	if (t->armed)
		take_off(t);
	/* An alarm that finds nothing to call does no harm. */
	spin_unlock(&c->lock);
	/*
	 * Since the lock was let go of, a handler that began before it is seen here.  Before the timer
	 * moves to another CPU, too: timer_cancel() looks for it on the last one only.
	 */
	while (t->cpu != machine_cpu_id() &&
	       atomic_load_explicit(&c->calling, memory_order_acquire) == t)
		machine_relax();
}

void timer_set(struct timer *t, uint64_t at)
{
	uint64_t flags = machine_irq_save();
	struct timer_cpu *c = &cpus[machine_cpu_id()];

	take_out(t);
	spin_lock(&c->lock);
	t->at = at;
	t->cpu = machine_cpu_id();
	insert(c, t);
	if (c->first == t)
		alarm_update(c);
	spin_unlock(&c->lock);
	machine_irq_restore(flags);
}

void timer_cancel(struct timer *t)
{
	uint64_t flags = machine_irq_save();

	take_out(t);
	machine_irq_restore(flags);
}
