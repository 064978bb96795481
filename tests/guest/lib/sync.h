/* SPDX-License-Identifier: GPL-2.0-only */
/* What processors share: waiting, locks, barriers.  For kernels that use smp.h. */
#pragma once

#include <stdatomic.h>

#include "tests/guest/lib/guest.h"

/*
 *   struct spin s = { .what = "the other to answer" };
 *   while (!atomic_load(&answered))
 *           spin_wait(&s);
 *
 * Gives way to other vCPUs on the same CPU now and then, unless it is stubborn.  A wait that goes
 * on for long while no processor gets on (no interrupt, no progress) ends the kernel with the text.
 */
struct spin {
	const char *what;
	bool stubborn;
	uint64_t start, signs;
	unsigned turns;
};

void spin_wait(struct spin *s);

/* First come, first served. */
struct spinlock {
	_Atomic unsigned next, owner;
};

static inline void spin_lock(struct spinlock *l)
{
	struct spin s = { .what = "a spinlock" };
	unsigned mine = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);

	while (atomic_load_explicit(&l->owner, memory_order_acquire) != mine) /* spin_unlock() */
		spin_wait(&s);
}

static inline void spin_unlock(struct spinlock *l)
{
	atomic_fetch_add_explicit(&l->owner, 1, memory_order_release); /* to spin_lock() */
}

/* Lets nobody go on before `count` processors have come; then it can be used again. */
struct barrier {
	unsigned count;
	_Atomic unsigned arrived, round;
};

void barrier_init(struct barrier *b, unsigned count);
void barrier_wait(struct barrier *b);
