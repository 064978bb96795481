/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The scheduler: a queue per CPU, who runs next, and who moves.  The decisions are in runqueue.c.
 *
 *   leave:   put back (if it still wants to run) -> pick, or take over from another CPU, or idle
 *            -> out() -> switch stacks -> arrive
 *   arrive:  the thread that was left may be taken elsewhere from now on -> in()
 *
 * A thread whose stack is still in use waits in the queue of the CPU that uses it and nowhere else,
 * so no CPU ever waits for another to leave a stack; two could wait for each other.
 *
 * A queue's lock is taken with interrupts off, since the tick and wake-ups from interrupt
 * handlers take it, and never together with another lock: a thread that moves is in no queue in between.
 */
#include "host/sched.h"

#include "host/object.h"
#include "host/thread_impl.h"
#include "lib/util.h"
#include "mm/errno.h"

/* As long as a tick (TIMER_HZ). */
#define SLICE_US 10000

struct sched_state sched_state;

static struct sched_cpu *cpu_at(unsigned id)
{
	return sched_state.cpu[id];
}

struct sched_cpu *sched_this(void)
{
	return cpu_at(machine_cpu_id());
}

static struct thread *thread_of(const struct rq_entity *e)
{
	return container_of((struct rq_entity *)e, struct thread, entity);
}

static struct thread *current_of(const struct sched_cpu *c)
{
	return atomic_load_explicit(&c->current, memory_order_relaxed);
}

bool sched_may_run(const struct thread *t, unsigned cpu)
{
	return atomic_load_explicit(&t->allowed[cpu / 64], memory_order_relaxed) & BIT(cpu % 64);
}

/* ---- what others see of a CPU --------------------------------------------------------- */

static void publish(struct sched_cpu *c) REQUIRES(c->lock)
{
	const struct runqueue *rq = &c->rq;
	bool busy = current_of(c) != c->idle;

	atomic_store_explicit(&c->runnable, rq->waiting + busy, memory_order_relaxed);
	atomic_store_explicit(&c->waiting, rq->waiting, memory_order_relaxed);
	atomic_store_explicit(&c->clock, rq->clock, memory_order_relaxed);
	if (rq->waiting)
		atomic_store_explicit(&c->first, rq->head.next->vruntime, memory_order_relaxed);
}

/* The parts may be of different moments: whoever acts on them looks again under the lock. */
static struct rq_load load_of(const struct sched_cpu *c)
{
	return (struct rq_load){
		.runnable = atomic_load_explicit(&c->runnable, memory_order_relaxed),
		.waiting = atomic_load_explicit(&c->waiting, memory_order_relaxed),
		.first = atomic_load_explicit(&c->first, memory_order_relaxed),
		.clock = atomic_load_explicit(&c->clock, memory_order_relaxed),
	};
}

static bool is_idle(const struct sched_cpu *c)
{
	return !atomic_load_explicit(&c->runnable, memory_order_relaxed);
}

/* The least clock of the CPUs that have something to do. */
static uint64_t others_clock(const struct sched_cpu *c)
{
	uint64_t least = ~0ul;

	for (unsigned i = 0; i < machine_cpu_count(); i++) {
		struct rq_load load = load_of(cpu_at(i));

		if (i != c->id && load.runnable)
			least = MIN(least, load.clock);
	}
	return least == ~0ul ? 0 : least;
}

/* ---- joining a queue ------------------------------------------------------------------- */

void sched_charge(struct sched_cpu *c, struct thread *t)
{
	uint64_t now = machine_cycles(), ran = now - t->since;

	t->since = now;
	counter_add(&t->run_cycles, ran);
	/* Alone it is in nobody's way; and the clock of its CPU must not run ahead of the others'. */
	if (!t->is_idle)
		t->entity.vruntime += ran << (c->rq.waiting ? t->background : 0);
	rq_advance(&c->rq, t->is_idle ? NULL : &t->entity);
}

static void join(struct sched_cpu *c, struct thread *t) REQUIRES(c->lock)
{
	bool idle = current_of(c) == c->idle && !c->rq.waiting;

	if (idle)
		rq_leave_idle(&c->rq, others_clock(c));
	if (t->arrives != RQ_NEW && atomic_load_explicit(&t->cpu, memory_order_relaxed) != c->id) {
		counter_add(&t->migrations, 1);
		counter_add(&c->migrations, 1);
	}
	rq_place(&c->rq, &t->entity, t->arrives, idle);
	t->arrives = RQ_MOVED;
	atomic_store_explicit(&t->cpu, c->id, memory_order_relaxed);
	rq_enqueue(&c->rq, &t->entity);
	publish(c);
}

static bool preempts(const struct sched_cpu *c, const struct thread *t) REQUIRES(c->lock)
{
	const struct thread *running = current_of(c);
	uint64_t now = machine_cycles();
	/* Another CPU's clock may be a little behind. */
	uint64_t since = MIN(running->since, now);

	return running->is_idle ||
	       rq_preempts(&c->rq, &t->entity,
			   running->entity.vruntime + ((now - since) << running->background));
}

void sched_resched(struct sched_cpu *c)
{
	/*
	 * Whoever set it first has sent the kick, or is an interrupt handler there.  The queue was
	 * changed before, under its lock, which the CPU takes after it has cleared this.
	 */
	if (atomic_exchange_explicit(&c->need_resched, true, memory_order_relaxed))
		return;
	if (c->id == machine_cpu_id())
		return;
	counter_add(&c->kicks, 1);
	machine_kick_cpu(c->id);
}

static void join_and_wake(struct sched_cpu *c, struct thread *t)
{
	bool resched;

	spin_lock(&c->lock);
	join(c, t);
	resched = preempts(c, t);
	spin_unlock(&c->lock);
	if (resched)
		sched_resched(c);
}

/* Where it was, if that CPU is idle or no other is: its data is there. */
static struct sched_cpu *choose_cpu(const struct thread *t)
{
	unsigned last = atomic_load_explicit(&t->cpu, memory_order_relaxed);
	struct sched_cpu *best = NULL;

	/* Acquire: pairs with the release in sched_arrive(). Its stack is all there when it is clear. */
	if (atomic_load_explicit(&t->on_cpu, memory_order_acquire))
		return cpu_at(last);
	if (sched_may_run(t, last))
		best = cpu_at(last);
	for (unsigned i = 0; i < machine_cpu_count() && !(best && is_idle(best)); i++) {
		struct sched_cpu *c = cpu_at(i);

		if (sched_may_run(t, i) && (!best || is_idle(c)))
			best = c;
	}
	return best;
}

void sched_enqueue(struct thread *t)
{
	struct sched_cpu *c = choose_cpu(t);

	counter_add(&c->wakeups, 1);
	counter_add(&t->wakeups, 1);
	join_and_wake(c, t);
}

/* ---- taking over ------------------------------------------------------------------------- */

static bool can_move_to(const struct rq_entity *e, void *ctx)
{
	const struct sched_cpu *to = ctx;
	const struct thread *t = thread_of(e);

	/* Acquire: pairs with the release in sched_arrive(). */
	return !atomic_load_explicit(&t->on_cpu, memory_order_acquire) && sched_may_run(t, to->id);
}

static bool is_stranger(const struct rq_entity *e, void *ctx)
{
	const struct sched_cpu *here = ctx;
	const struct thread *t = thread_of(e);

	return !atomic_load_explicit(&t->on_cpu, memory_order_acquire) &&
	       !sched_may_run(t, here->id);
}

static struct thread *take_out(struct sched_cpu *from,
			       bool (*filter)(const struct rq_entity *e, void *ctx), void *ctx)
{
	struct rq_entity *e;

	spin_lock(&from->lock);
	e = rq_first(&from->rq, filter, ctx);
	if (e) {
		rq_dequeue(&from->rq, e);
		publish(from);
	}
	spin_unlock(&from->lock);
	return e ? thread_of(e) : NULL;
}

static bool pull(struct sched_cpu *c, struct sched_cpu *from)
{
	struct thread *t = take_out(from, can_move_to, c);

	if (t)
		join_and_wake(c, t);
	return t;
}

/* NULL: nobody waits anywhere else. */
static struct sched_cpu *find_busiest(const struct sched_cpu *c, struct rq_load *out)
{
	struct sched_cpu *best = NULL;

	for (unsigned i = 0; i < machine_cpu_count(); i++) {
		struct rq_load load = load_of(cpu_at(i));

		if (i == c->id || !load.waiting || (best && !rq_is_busier(&load, out)))
			continue;
		best = cpu_at(i);
		*out = load;
	}
	return best;
}

/* For a CPU that has nothing to do: from the busiest, or from whoever has one that may come. */
static void steal(struct sched_cpu *c)
{
	struct rq_load load;
	struct sched_cpu *busiest = find_busiest(c, &load);

	if (!busiest || pull(c, busiest))
		return;
	for (unsigned i = 0; i < machine_cpu_count(); i++)
		if (i != c->id && load_of(cpu_at(i)).waiting && pull(c, cpu_at(i)))
			return;
}

/* Those that may not run here (any more) go to where they may. */
static void evict_strangers(struct sched_cpu *c)
{
	struct thread *t;

	c->strangers = false;
	while ((t = take_out(c, is_stranger, c)))
		sched_enqueue(t);
}

/* ---- leaving and arriving --------------------------------------------------------------------- */

struct pick {
	struct sched_cpu *cpu;
	const struct thread *yields; /* NULL: the queue's order decides */
};

static bool can_pick(const struct rq_entity *e, void *ctx)
{
	const struct pick *pick = ctx;
	const struct thread *t = thread_of(e);

	if (!sched_may_run(t, pick->cpu->id)) {
		pick->cpu->strangers = true;
		return false;
	}
	return !pick->yields || rq_goes_before(&pick->cpu->rq, e, &pick->yields->entity);
}

static void set_current(struct sched_cpu *c, struct thread *t) REQUIRES(c->lock)
{
	/* Its stack is ours from here on; the one before cleared it, if there was one. */
	atomic_store_explicit(&t->on_cpu, true, memory_order_relaxed);
	atomic_store_explicit(&c->current, t, memory_order_relaxed);
	t->since = machine_cycles();
	publish(c);
}

/* The first in the queue that may run here; otherwise `otherwise`, and if that is NULL, none. */
static struct thread *take_next(struct sched_cpu *c, const struct thread *yields,
				struct thread *otherwise)
{
	struct pick pick = { c, yields };
	struct rq_entity *e;
	struct thread *next;

	spin_lock(&c->lock);
	e = rq_first(&c->rq, can_pick, &pick);
	if (e)
		rq_dequeue(&c->rq, e);
	next = e ? thread_of(e) : otherwise;
	if (next)
		set_current(c, next);
	spin_unlock(&c->lock);
	return next;
}

/* true: it is its turn to end, not only its wish. */
static bool put_back(struct sched_cpu *c, struct thread *prev, enum leave how)
{
	bool due;

	spin_lock(&c->lock);
	due = atomic_exchange_explicit(&c->need_resched, false, memory_order_relaxed);
	/* Woken up since it parked, it waits here already: in a place for what it had run by then. */
	bool queued = rq_is_queued(&prev->entity);

	if (queued)
		rq_dequeue(&c->rq, &prev->entity);
	sched_charge(c, prev);
	if (queued || (how == LEAVE_YIELD && !prev->is_idle))
		rq_enqueue(&c->rq, &prev->entity);
	publish(c);
	spin_unlock(&c->lock);
	return due;
}

/*
 * When a slice is over the queue's order decides, and the same thread may go on.  Who
 * yields of its own accord waits for somebody, perhaps for one a little behind it in the queue.
 */
static struct thread *pick_next(struct sched_cpu *c, struct thread *prev, bool others_first)
{
	struct thread *next = take_next(c, others_first ? prev : NULL, NULL);

	if (!next && others_first)
		next = take_next(c, NULL, NULL);
	if (next)
		return next;
	steal(c);
	/* A last look and becoming idle are one: who is queued after that finds us idle and wakes us up. */
	return take_next(c, NULL, c->idle);
}

void sched_arrive(void)
{
	struct sched_cpu *c = sched_this();
	struct thread *me = current_of(c), *left = c->left;

	if (left->exits)
		thread_gone(left);
	else
		/* pairs with the acquires in choose_cpu() and can_move_to() */
		atomic_store_explicit(&left->on_cpu, false, memory_order_release);
	if (c->strangers)
		evict_strangers(c);
	if (me->hooks.in)
		me->hooks.in(me->hooks.arg);
}

static void switch_threads(struct sched_cpu *c, struct thread *prev, struct thread *next)
{
	if (prev->hooks.out)
		prev->hooks.out(prev->hooks.arg);
	counter_add(&c->switches, 1);
	counter_add(&next->switches, 1);
	c->left = prev;
	machine_context_switch(&prev->context, &next->context, &next->stack);
	/* Perhaps long after, and on another CPU. */
	sched_arrive();
}

void sched_leave(enum leave how)
{
	struct sched_cpu *c = sched_this();
	struct thread *prev = current_of(c);

	machine_alive();
	bool due = put_back(c, prev, how);
	struct thread *next = pick_next(c, prev, how == LEAVE_YIELD && !due && !prev->is_idle);

	if (next != prev)
		switch_threads(c, prev, next);
	else if (c->strangers)
		evict_strangers(c);
}

/* ---- the machine's side ---------------------------------------------------------------------- */

int sched_cpu_prepare(unsigned cpu, const struct stack *idle_stack)
{
	struct sched_cpu *c = object_alloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->id = cpu;
	c->idle = thread_adopt("idle", cpu, idle_stack);
	if (!c->idle) {
		object_free(c, sizeof(*c));
		return -ENOMEM;
	}
	c->idle->is_idle = true;
	spin_init(&c->lock);
	rq_init(&c->rq, SLICE_US * machine_cycles_per_us());
	atomic_store_explicit(&c->current, c->idle, memory_order_relaxed);
	sched_state.cpu[cpu] = c;
	return 0;
}

static void idle_main(void *arg)
{
	sched_arrive();
	machine_irq_enable();
	for (;;)
		sched_idle();
}

/* The boot CPU's stack is main's: its idle thread needs another. */
int sched_init(const struct stack *mine)
{
	unsigned cpu = machine_cpu_id();
	struct thread *main = thread_adopt("main", cpu, mine), *idle;
	struct stack idle_stack;

	if (!main || machine_stack_alloc(&idle_stack) || sched_cpu_prepare(cpu, &idle_stack))
		return -ENOMEM;
	idle = cpu_at(cpu)->idle;
	machine_context_init(&idle->context, &idle->stack, idle_main, NULL);
	atomic_store_explicit(&idle->on_cpu, false, memory_order_relaxed);
	atomic_store_explicit(&cpu_at(cpu)->current, main, memory_order_relaxed);
	atomic_store_explicit(&cpu_at(cpu)->runnable, 1, memory_order_relaxed);
	return 0;
}

void sched_idle(void)
{
	uint64_t flags = machine_irq_save();

	sched_leave(LEAVE_YIELD);
	/* What came since is an interrupt that is pending, and ends the HLT. */
	if (!thread_should_yield())
		machine_idle();
	machine_irq_restore(flags);
}

void sched_tick(void)
{
	struct sched_cpu *c = sched_this(), *busiest;
	struct thread *running;
	struct rq_load load, mine;
	bool due, take;

	if (!c)
		return;
	busiest = find_busiest(c, &load);
	spin_lock(&c->lock);
	running = current_of(c);
	c->round++;
	sched_charge(c, running);
	due = !running->is_idle && rq_slice_is_over(&c->rq, &running->entity);
	publish(c);
	mine = load_of(c);
	/* An idle CPU looks by itself when this interrupt has woken it up. */
	take = busiest && !running->is_idle &&
	       rq_should_pull(&c->rq, &mine, &running->entity, &load, c->round);
	spin_unlock(&c->lock);
	if (due)
		sched_resched(c);
	if (take)
		pull(c, busiest);
}

void sched_stats(unsigned cpu, struct sched_stats *out)
{
	const struct sched_cpu *c = cpu_at(cpu);

	*out = (struct sched_stats){
		.switches = atomic_load_explicit(&c->switches, memory_order_relaxed),
		.migrations = atomic_load_explicit(&c->migrations, memory_order_relaxed),
		.wakeups = atomic_load_explicit(&c->wakeups, memory_order_relaxed),
		.kicks = atomic_load_explicit(&c->kicks, memory_order_relaxed),
		.idle_cycles = thread_run_cycles(c->idle),
	};
}
