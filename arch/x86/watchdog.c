/* SPDX-License-Identifier: GPL-2.0-only */
/* See watchdog.h. */
#include "arch/x86/watchdog.h"

#include "arch/x86/apic.h"
#include "arch/x86/backtrace.h"
#include "arch/x86/cpu.h"
#include "arch/x86/percpu.h"
#include "arch/x86/timer.h"
#include "arch/x86/trap.h"
#include "host/log.h"
#include "host/param.h"
#include "host/thread.h"
#include "lib/string.h"
#include "lib/text.h"
#include "lib/util.h"

/*
 * What the neighbour is known to have done.  That a CPU takes no tick may be its emulator's fault,
 * whose host gives it no time; so the first NMI only proves that it runs, and half the bound has to pass again
 * after that.  A tick that was pending would have been taken right behind the first NMI.
 */
enum stage { TICKS, ASKED, RUNS, ASKED_AGAIN, TOLD };

static _Atomic bool stopped;
static uint64_t (*progress)(void);

void watchdog_stop(void)
{
	atomic_store_explicit(&stopped, true, memory_order_relaxed);
}

void machine_set_progress(uint64_t (*fn)(void))
{
	progress = fn;
}

void machine_alive(void)
{
	percpu_this()->watchdog.alive++;
}

static bool is_on(void)
{
	return param.watchdog && !atomic_load_explicit(&stopped, memory_order_relaxed);
}

static unsigned bound_ticks(void)
{
	return (unsigned)(MAX(param.watchdog * TIMER_HZ / 1000, 2ul));
}

static uint64_t ms_since(uint64_t tsc)
{
	return (rdtsc() - tsc) / machine_cycles_per_us() / 1000;
}

static uint64_t last_tick(const struct percpu *p)
{
	return atomic_load_explicit(&p->watchdog.last_tick, memory_order_relaxed);
}

/* ---- the report ------------------------------------------------------------------- */

static void chain_take(struct watchdog_chain *c, const struct trap_frame *f)
{
	const struct thread *t = thread_current();

	c->depth = backtrace_take(f->rip, f->rbp, c->address, WATCHDOG_CHAIN);
	text_copy(c->thread, sizeof(c->thread), t ? thread_name(t) : "none yet");
}

static void report(unsigned cpu, const struct watchdog_chain *c, const char *what, uint64_t ms)
{
	log_error("watchdog: CPU %u, thread %s: %s for %lu ms", cpu, c->thread, what, ms);
	backtrace_print_taken(c->address, c->depth);
}

/* ---- the neighbour ---------------------------------------------------------------- */

static void ask(struct percpu *p)
{
	atomic_fetch_add_explicit(&p->watchdog.asked, 1, memory_order_relaxed);
	apic_send_nmi(p->apic_id);
}

/* Acquire: pairs with the release in watchdog_nmi(). */
static bool has_answered(const struct percpu *p)
{
	return atomic_load_explicit(&p->watchdog.answered, memory_order_acquire) ==
	       atomic_load_explicit(&p->watchdog.asked, memory_order_relaxed);
}

/* It has given no sign of life for half the bound, or longer. */
static void neighbour_is_silent(struct watchdog *w, struct percpu *p)
{
	switch (w->stage) {
	case TICKS:
	case RUNS:
		ask(p);
		w->stage++;
		break;
	case ASKED:
		if (!has_answered(p))
			break;
		w->stage = RUNS;
		w->silent_ticks = 0;
		break;
	case ASKED_AGAIN:
		if (!has_answered(p))
			break;
		w->stage = TOLD;
		report(p->id, &p->watchdog.chain, "interrupts off", ms_since(last_tick(p)));
		break;
	}
}

static void watch_neighbour(struct watchdog *w, unsigned self)
{
	unsigned cpus = percpu_count();
	struct percpu *p = percpu_get((self + 1) % cpus);
	uint64_t ticks = atomic_load_explicit(&p->ticks, memory_order_relaxed);

	if (cpus == 1)
		return;
	if (ticks != w->seen_ticks) {
		w->seen_ticks = ticks;
		w->silent_ticks = 0;
		w->stage = TICKS;
	} else if (++w->silent_ticks >= bound_ticks() / 2) {
		neighbour_is_silent(w, p);
	}
}

/* ---- itself ------------------------------------------------------------------------ */

/* Its thread has passed a point where it could let go since the last tick. */
static bool has_moved(struct watchdog *w)
{
	uint64_t now = progress ? progress() : 0;
	bool moved = w->alive != w->seen_alive || now != w->seen_progress;

	w->seen_alive = w->alive;
	w->seen_progress = now;
	return moved;
}

static void watch_self(struct percpu *p, const struct trap_frame *frame)
{
	struct watchdog *w = &p->watchdog;
	struct watchdog_chain chain;

	if (has_moved(w)) {
		w->held_ticks = 0;
		w->told = false;
	} else if (++w->held_ticks >= bound_ticks() && !w->told) {
		w->told = true;
		chain_take(&chain, frame);
		report(p->id, &chain, "has not let go of the CPU",
		       w->held_ticks * 1000ul / TIMER_HZ);
	}
}

/* Too late to see who it was: but where interrupts came on again is where they were kept off. */
static void watch_lateness(struct percpu *p, const struct trap_frame *frame)
{
	uint64_t ms = ms_since(last_tick(p));
	struct watchdog_chain chain;

	if (percpu_count() > 1 || ms < param.watchdog)
		return;
	chain_take(&chain, frame);
	report(p->id, &chain, "interrupts were off, or the machine stood still,", ms);
}

/* ---- the interrupts ------------------------------------------------------------------- */

void watchdog_start(void)
{
	atomic_store_explicit(&percpu_this()->watchdog.last_tick, rdtsc(), memory_order_relaxed);
}

void watchdog_tick(const struct trap_frame *frame)
{
	struct percpu *p = percpu_this();

	if (is_on()) {
		watch_lateness(p, frame);
		watch_self(p, frame);
		watch_neighbour(&p->watchdog, p->id);
	}
	watchdog_start();
}

void watchdog_nmi(const struct trap_frame *frame)
{
	struct watchdog *w = &percpu_this()->watchdog;
	unsigned asked = atomic_load_explicit(&w->asked, memory_order_relaxed);

	if (asked == atomic_load_explicit(&w->answered, memory_order_relaxed))
		return;
	chain_take(&w->chain, frame);
	/* Release: pairs with the acquire in has_answered(). */
	atomic_store_explicit(&w->answered, asked, memory_order_release);
}
