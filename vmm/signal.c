/* SPDX-License-Identifier: GPL-2.0-only */
/* See signal.h. */
#include "vmm/signal.h"

void signal_init(struct signal_group *g, struct vcpu_signal *s, bool resting)
{
	atomic_init(&s->resting, resting);
	s->next = g->first;
	g->first = s;
}

/* ---- senders ---------------------------------------------------------------------- */

/* S2 */
static enum signal_action reach(struct vcpu_signal *s, struct mmu_vcpu *mmu)
{
	if (atomic_load_explicit(&mmu->in_guest, memory_order_seq_cst))
		return SIGNAL_KICK;
	if (atomic_load_explicit(&s->asleep, memory_order_seq_cst))
		return SIGNAL_WAKE;
	return SIGNAL_NOTHING;
}

enum signal_action signal_post(struct vcpu_signal *s, struct mmu_vcpu *mmu, uint32_t events)
{
	/* S1: it releases, too, and signal_take() acquires. */
	uint32_t old = atomic_fetch_or_explicit(&s->events, events, memory_order_seq_cst);

	return old ? SIGNAL_NOTHING : reach(s, mmu);
}

enum signal_action signal_replace(struct vcpu_signal *s, struct mmu_vcpu *mmu, uint32_t mask,
				  uint32_t events, uint32_t *taken)
{
	uint32_t old = atomic_load_explicit(&s->events, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(&s->events, &old, (old & ~mask) | events,
						      memory_order_seq_cst, memory_order_relaxed))
		;
	*taken = old & mask;
	return reach(s, mmu);
}

/* The event releases the vector; who takes the event finds it. */
enum signal_action signal_post_irr(struct vcpu_signal *s, struct mmu_vcpu *mmu, uint8_t vector,
				   uint32_t event)
{
	atomic_fetch_or_explicit(&s->irr[vector / 32], 1u << vector % 32, memory_order_relaxed);
	return signal_post(s, mmu, event);
}

/* ---- the vCPU's own thread --------------------------------------------------------- */

uint32_t signal_take(struct vcpu_signal *s)
{
	return atomic_exchange_explicit(&s->events, 0, memory_order_seq_cst);
}

uint32_t signal_take_irr(struct vcpu_signal *s, unsigned word)
{
	if (!atomic_load_explicit(&s->irr[word], memory_order_relaxed))
		return 0;
	return atomic_exchange_explicit(&s->irr[word], 0, memory_order_relaxed);
}

bool signal_may_run(struct vcpu_signal *s, struct mmu_vcpu *mmu)
{
	if (!signal_is_set(s))
		return true;
	mmu_vcpu_exit(mmu);
	return false;
}

void signal_sleep(struct vcpu_signal *s)
{
	/* A1: an exchange, because x86 lets a later load pass a plain store. */
	atomic_exchange_explicit(&s->asleep, 1, memory_order_seq_cst);
}

/*
 * Before it takes its events: signal_rest() must find the one or the other, resting that is over
 * or an event that is not taken.
 */
void signal_wake(struct signal_group *g, struct vcpu_signal *s)
{
	atomic_store_explicit(&s->asleep, 0, memory_order_relaxed);
	if (!atomic_load_explicit(&s->resting, memory_order_relaxed))
		return;
	spin_lock(&g->lock);
	atomic_store_explicit(&s->resting, 0, memory_order_relaxed);
	spin_unlock(&g->lock);
}

/*
 * Who rests sends nothing.  So when all rest, no event can be on its way but those that were sent
 * before, and their bits are seen here: each sender took the lock later, to rest itself.
 */
bool signal_rest(struct signal_group *g, struct vcpu_signal *s)
{
	bool all = true;

	spin_lock(&g->lock);
	atomic_store_explicit(&s->resting, 1, memory_order_relaxed);
	for (struct vcpu_signal *o = g->first; o && all; o = o->next)
		all = atomic_load_explicit(&o->resting, memory_order_relaxed) &&
		      !atomic_load_explicit(&o->events, memory_order_relaxed);
	spin_unlock(&g->lock);
	return all;
}
