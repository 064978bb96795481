/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a vCPU learns that somebody wants something of it.  Pure: who is kicked or woken up by which
 * means is the caller's business, so that the explorer can run the same code.
 *
 *   sender                                the vCPU's thread
 *   S1  events |= what                    entry: E1  in_guest = 1       sleep: A1  asleep = 1
 *   S2  in_guest? kick its CPU                   E2  events? stay out          A2  events? stay up
 *       asleep? wake its thread                  …   guest runs                …   park
 *
 * S1, E1 and A1 are read-modify-writes, S2, E2 and A2 loads, all sequentially consistent.  If S2
 * finds the vCPU neither in guest mode nor asleep, then S2 precedes E1 (or A1), so S1 precedes E2
 * (or A2), which finds the event.  If the kick comes between E2 and the first instruction of the
 * guest, interrupts are off there, and a pending one ends guest mode at once; if the wake-up comes
 * before the thread has parked, the thread keeps it (host/thread.h).
 *
 * Who finds an event there already need not look: the one that came first does or did, and the
 * vCPU has taken none of them yet.
 */
#pragma once

#include "mm/mmu.h"
#include "mm/sync.h"

/* Those of one VM, to find out that none of them will ever go on. */
struct signal_group {
	spinlock_t lock; /* interrupts off: never taken by a handler, but held across no yield */
	struct vcpu_signal *first;
};

struct vcpu_signal {
	struct vcpu_signal *next;     /* set up before any of them runs */
	_Atomic uint32_t events;      /* what came and was not taken yet; the bits are the caller's */
	_Atomic uint32_t irr[8];      /* vectors that others sent, with an event behind them */
	_Atomic uint32_t asleep;
	_Atomic uint32_t resting;     /* changes under group->lock: nothing of its own wakes it */
};

enum signal_action {
	SIGNAL_NOTHING,
	SIGNAL_KICK, /* end guest mode on its CPU */
	SIGNAL_WAKE, /* unpark its thread */
};

/* A new one, resting or not. */
void signal_init(struct signal_group *g, struct vcpu_signal *s, bool resting);

/* Any context.  mmu is the vCPU's, whose in_guest it is about.  The caller does what is returned. */
enum signal_action signal_post(struct vcpu_signal *s, struct mmu_vcpu *mmu, uint32_t events);
/* The same, in one step with taking back events that did not get there yet; *taken: which. */
enum signal_action signal_replace(struct vcpu_signal *s, struct mmu_vcpu *mmu, uint32_t mask,
				  uint32_t events, uint32_t *taken);
/* An interrupt vector, to be found by signal_take_irr(); event tells of it. */
enum signal_action signal_post_irr(struct vcpu_signal *s, struct mmu_vcpu *mmu, uint8_t vector,
				   uint32_t event);

/* ---- the vCPU's own thread ---- */

/* A2, and before there is any need to call signal_take(). */
static inline bool signal_is_set(struct vcpu_signal *s)
{
	return atomic_load_explicit(&s->events, memory_order_seq_cst);
}

/* E2, right behind mmu_vcpu_enter().  false: it has left guest mode again, something came. */
bool signal_may_run(struct vcpu_signal *s, struct mmu_vcpu *mmu);

/* All events so far, which are gone with that.  Acquires what their senders did before. */
uint32_t signal_take(struct vcpu_signal *s);
/* After signal_take(): vectors 32 * word … */
uint32_t signal_take_irr(struct vcpu_signal *s, unsigned word);

/*
 *   if (nothing of my own wakes me)  and signal_rest(): nobody ever will
 *   for (signal_sleep(s); !signal_is_set(s);) park();
 *   signal_wake(g, s);
 */
void signal_sleep(struct vcpu_signal *s);
void signal_wake(struct signal_group *g, struct vcpu_signal *s);
/* true: all of the group rest, and no event is on its way to any.  Interrupts off. */
bool signal_rest(struct signal_group *g, struct vcpu_signal *s);
