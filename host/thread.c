/* SPDX-License-Identifier: GPL-2.0-only */
/* The life of a thread, and its sleep; see thread.h.  What it runs on is sched.c's business. */
#include "host/thread.h"

#include "host/object.h"
#include "host/thread_impl.h"
#include "lib/string.h"
#include "lib/util.h"
#include "mm/errno.h"

/* As a joiner: the thread has returned. */
#define GONE ((struct thread *)1)

/* ---- the list of all ------------------------------------------------------------------ */

static void list_add(struct thread *t)
{
	struct sched_state *s = &sched_state;
	uint64_t flags = machine_irq_save();

	spin_lock(&s->list_lock);
	if (!s->last)
		s->last = &s->first;
	t->link = s->last;
	*s->last = t;
	s->last = &t->next;
	s->threads++;
	spin_unlock(&s->list_lock);
	machine_irq_restore(flags);
}

static void list_remove(struct thread *t)
{
	struct sched_state *s = &sched_state;
	uint64_t flags = machine_irq_save();

	spin_lock(&s->list_lock);
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	else
		s->last = t->link;
	s->threads--;
	spin_unlock(&s->list_lock);
	machine_irq_restore(flags);
}

static const char *state_text(const struct thread *t)
{
	bool on_cpu = atomic_load_explicit(&t->on_cpu, memory_order_relaxed);
	unsigned state = atomic_load_explicit(&t->state, memory_order_relaxed);

	return t->is_idle ? "idle" : on_cpu ? "runs" : state == THREAD_PARKED ? "parked" : "ready";
}

static void describe(const struct thread *t, struct thread_info *out)
{
	memcpy(out->name, t->name, sizeof(out->name));
	out->state = state_text(t);
	out->cpu = atomic_load_explicit(&t->cpu, memory_order_relaxed);
	out->run_cycles = atomic_load_explicit(&t->run_cycles, memory_order_relaxed);
	out->switches = atomic_load_explicit(&t->switches, memory_order_relaxed);
	out->migrations = atomic_load_explicit(&t->migrations, memory_order_relaxed);
	out->wakeups = atomic_load_explicit(&t->wakeups, memory_order_relaxed);
}

unsigned threads_list(struct thread_info *out, unsigned skip, unsigned max)
{
	struct sched_state *s = &sched_state;
	uint64_t flags = machine_irq_save();
	unsigned number = 0, count;

	spin_lock(&s->list_lock);
	for (struct thread *t = s->first; t && number < skip + max; t = t->next, number++)
		if (number >= skip)
			describe(t, &out[number - skip]);
	count = s->threads;
	spin_unlock(&s->list_lock);
	machine_irq_restore(flags);
	return count;
}

/* ---- birth ------------------------------------------------------------------------------- */

static void thread_main(void *arg)
{
	struct thread *t = arg;

	sched_arrive();
	machine_irq_enable();
	t->fn(t->arg);
	machine_irq_save();
	t->exits = true;
	sched_leave(LEAVE_FOR_GOOD);
	panic("thread %s goes on after its end", t->name);
}

/* In interrupt context: what thread_park_until() waited for did not come. */
static void time_is_up(void *arg)
{
	struct thread *t = arg;
	unsigned state = atomic_load_explicit(&t->state, memory_order_relaxed);

	do {
		if (state == THREAD_NOTIFIED || state == THREAD_TIMED_OUT)
			return;
		/* Acquire: pairs with the release in park(), as in thread_unpark(). */
	} while (!atomic_compare_exchange_weak_explicit(&t->state, &state, THREAD_TIMED_OUT,
							memory_order_acq_rel, memory_order_relaxed));
	if (state == THREAD_PARKED)
		sched_enqueue(t);
}

static struct thread *thread_alloc(const char *name)
{
	struct thread *t = object_alloc(sizeof(*t));

	if (!t)
		return NULL;
	memcpy(t->name, name, strnlen(name, sizeof(t->name) - 1));
	timer_init(&t->timer, time_is_up, t);
	return t;
}

struct thread *thread_adopt(const char *name, unsigned cpu, const struct stack *stack)
{
	struct thread *t = thread_alloc(name);

	if (!t)
		return NULL;
	atomic_store_explicit(&t->cpu, cpu, memory_order_relaxed);
	atomic_store_explicit(&t->on_cpu, true, memory_order_relaxed);
	atomic_store_explicit(&t->allowed[cpu / 64], BIT(cpu % 64), memory_order_relaxed);
	t->stack = *stack;
	t->since = machine_cycles();
	list_add(t);
	return t;
}

/* One of them is up. */
static bool is_usable(const struct cpu_set *cpus)
{
	for (unsigned i = 0; i < machine_cpu_count(); i++)
		if (cpus->bits[i / 64] & BIT(i % 64))
			return true;
	return false;
}

struct thread *thread_create(const char *name, void (*fn)(void *), void *arg,
			     const struct cpu_set *cpus)
{
	struct thread *t = cpus && !is_usable(cpus) ? NULL : thread_alloc(name);

	if (!t)
		return NULL;
	if (machine_stack_alloc(&t->stack)) {
		object_free(t, sizeof(*t));
		return NULL;
	}
	for (unsigned i = 0; i < CPU_WORDS; i++)
		atomic_store_explicit(&t->allowed[i], cpus ? cpus->bits[i] : ~0ul,
				      memory_order_relaxed);
	atomic_store_explicit(&t->cpu, machine_cpu_id(), memory_order_relaxed);
	t->fn = fn;
	t->arg = arg;
	t->arrives = RQ_NEW;
	machine_context_init(&t->context, &t->stack, thread_main, t);
	list_add(t);
	return t;
}

void thread_start(struct thread *t)
{
	uint64_t flags = machine_irq_save();

	sched_enqueue(t);
	machine_irq_restore(flags);
}

/* ---- death --------------------------------------------------------------------------------- */

/* The joiner may be woken up by others as well, and gone itself before we are done with it. */
void thread_gone(struct thread *t)
{
	/* Acquire: the joiner is all there; release: so is what the thread did. */
	struct thread *joiner = atomic_exchange_explicit(&t->joiner, GONE, memory_order_acq_rel);

	if (joiner)
		thread_unpark(joiner);
	/* pairs with the acquire in thread_join() */
	atomic_store_explicit(&t->finished, true, memory_order_release);
}

void thread_join(struct thread *t)
{
	struct thread *nobody = NULL;

	/* Release: pairs with the exchange in thread_gone(). */
	if (atomic_compare_exchange_strong_explicit(&t->joiner, &nobody, thread_current(),
						    memory_order_release, memory_order_relaxed))
		while (atomic_load_explicit(&t->joiner, memory_order_relaxed) != GONE)
			thread_park();
	/* A few instructions at most, on another CPU, with interrupts off. */
	while (!atomic_load_explicit(&t->finished, memory_order_acquire))
		machine_relax();
	list_remove(t);
	machine_stack_free(&t->stack);
	object_free(t, sizeof(*t));
}

/* ---- itself ----------------------------------------------------------------------------------- */

struct thread *thread_current(void)
{
	struct sched_cpu *c = sched_this();

	return c ? atomic_load_explicit(&c->current, memory_order_relaxed) : NULL;
}

const char *thread_name(const struct thread *t)
{
	return t->name;
}

void thread_set_background(unsigned shift)
{
	uint64_t flags = machine_irq_save();
	struct sched_cpu *c = sched_this();
	struct thread *t = thread_current();

	/* What it has run until now counts as it did. */
	spin_lock(&c->lock);
	sched_charge(c, t);
	t->background = shift;
	spin_unlock(&c->lock);
	machine_irq_restore(flags);
}

uint64_t thread_run_cycles(const struct thread *t)
{
	return atomic_load_explicit(&t->run_cycles, memory_order_relaxed);
}

void thread_set_hooks(const struct thread_hooks *hooks)
{
	thread_current()->hooks = hooks ? *hooks : (struct thread_hooks){ 0 };
}

bool thread_should_yield(void)
{
	struct sched_cpu *c = sched_this();

	return c && atomic_load_explicit(&c->need_resched, memory_order_relaxed);
}

void thread_yield(void)
{
	uint64_t flags = machine_irq_save();

	sched_leave(LEAVE_YIELD);
	machine_irq_restore(flags);
}

/* ---- sleep ------------------------------------------------------------------------------------- */

/* Interrupts off.  What ended it: THREAD_NOTIFIED or THREAD_TIMED_OUT. */
static enum thread_state park(struct thread *t)
{
	unsigned state = THREAD_RUNNING;

	t->arrives = RQ_WOKEN;
	/* Release: pairs with thread_unpark(), whose caller then puts us into a queue. */
	if (atomic_compare_exchange_strong_explicit(&t->state, &state, THREAD_PARKED,
						    memory_order_release, memory_order_relaxed))
		sched_leave(LEAVE_PARKED);
	t->arrives = RQ_MOVED;
	/* Acquire: pairs with thread_unpark(): what was published before it is seen after this. */
	return atomic_exchange_explicit(&t->state, THREAD_RUNNING, memory_order_acquire);
}

void thread_park(void)
{
	uint64_t flags = machine_irq_save();

	park(thread_current());
	machine_irq_restore(flags);
}

bool thread_park_until(uint64_t cycles)
{
	struct thread *t = thread_current();
	uint64_t flags = machine_irq_save();
	unsigned too_late = THREAD_TIMED_OUT;
	enum thread_state why;

	timer_set(&t->timer, cycles);
	why = park(t);
	timer_cancel(&t->timer);
	/* It may have rung between the wake-up and here. */
	atomic_compare_exchange_strong_explicit(&t->state, &too_late, THREAD_RUNNING,
						memory_order_relaxed, memory_order_relaxed);
	machine_irq_restore(flags);
	return why == THREAD_NOTIFIED;
}

void thread_unpark(struct thread *t)
{
	uint64_t flags = machine_irq_save();

	/* Acquire: the thread has parked; release: pairs with the acquire in park(). */
	if (atomic_exchange_explicit(&t->state, THREAD_NOTIFIED, memory_order_acq_rel) ==
	    THREAD_PARKED)
		sched_enqueue(t);
	machine_irq_restore(flags);
}

/* ---- where ---------------------------------------------------------------------------------------- */

/* Never empty in between, whoever looks: first the new ones too, then only those. */
static void allow_only(struct thread *t, const struct cpu_set *cpus)
{
	spin_lock(&sched_state.affinity_lock);
	for (unsigned i = 0; i < CPU_WORDS; i++)
		atomic_fetch_or_explicit(&t->allowed[i], cpus->bits[i], memory_order_relaxed);
	for (unsigned i = 0; i < CPU_WORDS; i++)
		atomic_store_explicit(&t->allowed[i], cpus->bits[i], memory_order_relaxed);
	spin_unlock(&sched_state.affinity_lock);
}

int thread_set_cpus(struct thread *t, const struct cpu_set *cpus)
{
	uint64_t flags = machine_irq_save();
	unsigned cpu = atomic_load_explicit(&t->cpu, memory_order_relaxed);
	int err = is_usable(cpus) ? 0 : -EINVAL;

	if (!err)
		allow_only(t, cpus);
	/* Whether it runs there or waits: at its next look at the queue that CPU sends it on. */
	if (!err && !sched_may_run(t, cpu))
		sched_resched(sched_state.cpu[cpu]);
	machine_irq_restore(flags);
	return err;
}
