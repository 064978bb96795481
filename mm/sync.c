/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ticket spinlock and fair reader/writer lock; see sync.h.
 *
 * The rwlock alternates between a writer and all the readers that came while
 * it was inside (a phase-fair lock), so neither side can starve the other:
 *
 *   state    31            8 7      3    2      1        0
 *            [ readers came ][  0   ][ held ][ writer ][ phase ]
 *   left     [ readers went ][               0                 ]
 *
 * A reader announces itself in state by one addition.  Finding no writer there,
 * it is in; finding one, it waits until the pair (writer, phase) changes: the
 * writer left, or the next one, whose phase differs, has announced itself.  The
 * next writer waits until left has caught up with what it found in state, and
 * that includes the readers that were waiting: they go first.
 */
#include "mm/sync.h"

#include "mm/port.h"

/*
 * No lock of the project is held for long: a wait of this many ticks (20 s of a
 * 3 GHz clock) is a deadlock, and saying so is better than hanging.
 */
#define SPIN_LIMIT       (1ul << 36)
#define SPINS_PER_LOOK   4096

struct spin_wait {
	unsigned spins;
	uint64_t start;
	struct lock_wait *told; /* or NULL */
};

static void spin_wait(struct spin_wait *w)
{
	if (!w->spins && w->told)
		w->told->begins(w->told);
	port_cpu_relax();
	if (++w->spins % SPINS_PER_LOOK)
		return;
	uint64_t now = port_clock();

	if (w->spins == SPINS_PER_LOOK)
		w->start = now;
	else if (now - w->start > SPIN_LIMIT)
		port_bug(__FILE__, __LINE__, "a lock was not released in 2^36 ticks");
}

/* ---- spinlock ---------------------------------------------------------- */

void spin_init(spinlock_t *l)
{
	atomic_init(&l->next, 0);
	atomic_init(&l->owner, 0);
}

NO_THREAD_SAFETY_ANALYSIS
void spin_lock(spinlock_t *l)
{
	struct spin_wait w = { 0 };
	uint32_t ticket = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);

	/* Acquire: pairs with the release in spin_unlock(). */
	while (atomic_load_explicit(&l->owner, memory_order_acquire) != ticket)
		spin_wait(&w);
}

NO_THREAD_SAFETY_ANALYSIS
bool spin_trylock(spinlock_t *l)
{
	/* Acquire: pairs with the release in spin_unlock(). */
	uint32_t ticket = atomic_load_explicit(&l->owner, memory_order_acquire);

	/* next == owner means free; winning it makes our ticket the one served. */
	return atomic_compare_exchange_strong_explicit(&l->next, &ticket, ticket + 1,
						       memory_order_relaxed, memory_order_relaxed);
}

NO_THREAD_SAFETY_ANALYSIS
void spin_unlock(spinlock_t *l)
{
	uint32_t owner = atomic_load_explicit(&l->owner, memory_order_relaxed);

	/* Release: pairs with the acquires in spin_lock() and spin_trylock(). */
	atomic_store_explicit(&l->owner, owner + 1, memory_order_release);
}

bool spin_is_held(const spinlock_t *l)
{
	return atomic_load_explicit(&l->owner, memory_order_relaxed) !=
	       atomic_load_explicit(&l->next, memory_order_relaxed);
}

/* ---- reader/writer lock -------------------------------------------------- */

void rwlock_init(rwlock_t *l)
{
	atomic_init(&l->state, 0);
	atomic_init(&l->left, 0);
	atomic_init(&l->tickets, 0);
	atomic_init(&l->serving, 0);
}

void read_lock(rwlock_t *l)
{
	read_lock_told(l, NULL);
}

void read_lock_wait(rwlock_t *l, uint32_t who, struct lock_wait *wait)
{
	struct spin_wait w = { .told = wait };

	/*
	 * The pair cannot come round to the same value unseen: the writer after
	 * the next cannot enter before the next has left, and the next waits for us.
	 * Acquire: pairs with the release in write_unlock().
	 */
	while ((atomic_load_explicit(&l->state, memory_order_acquire) & RW_WHO) == who)
		spin_wait(&w);
}

NO_THREAD_SAFETY_ANALYSIS
void read_lock_told(rwlock_t *l, struct lock_wait *wait)
{
	uint32_t who = read_lock_begin(l);

	if (who)
		read_lock_wait(l, who, wait);
}

void write_lock(rwlock_t *l)
{
	write_lock_told(l, NULL);
}

NO_THREAD_SAFETY_ANALYSIS
void write_lock_told(rwlock_t *l, struct lock_wait *wait)
{
	struct spin_wait w = { .told = wait };
	uint32_t ticket = atomic_fetch_add_explicit(&l->tickets, 1, memory_order_relaxed);

	/* Acquire: pairs with the release of serving in write_unlock(). */
	while (atomic_load_explicit(&l->serving, memory_order_acquire) != ticket)
		spin_wait(&w);

	/* We are the one writer now; from here on new readers wait. */
	uint32_t came = atomic_fetch_or_explicit(&l->state, RW_WRITER | (ticket & RW_PHASE),
						 memory_order_relaxed) & RW_READERS;

	/* Acquire: pairs with the releases in read_unlock(). */
	while (atomic_load_explicit(&l->left, memory_order_acquire) != came)
		spin_wait(&w);
	atomic_fetch_or_explicit(&l->state, RW_HELD, memory_order_relaxed);
}

NO_THREAD_SAFETY_ANALYSIS
void write_unlock(rwlock_t *l)
{
	uint32_t serving = atomic_load_explicit(&l->serving, memory_order_relaxed);

	/*
	 * Release: pairs with the acquires in read_lock().  Before serving moves:
	 * the next writer must find our bits gone when it sets its own.
	 */
	atomic_fetch_and_explicit(&l->state, RW_READERS, memory_order_release);
	/* Release: pairs with the acquire of serving in write_lock(). */
	atomic_store_explicit(&l->serving, serving + 1, memory_order_release);
}

bool rwlock_needbreak(const rwlock_t *l)
{
	uint32_t state = atomic_load_explicit(&l->state, memory_order_relaxed);
	uint32_t writers = atomic_load_explicit(&l->tickets, memory_order_relaxed) -
			   atomic_load_explicit(&l->serving, memory_order_relaxed);

	if (!(state & RW_HELD))
		return writers > 0;
	return writers > 1 ||
	       (state & RW_READERS) != atomic_load_explicit(&l->left, memory_order_relaxed);
}

#if PHYLLO_DEBUG
void assert_held_write(const rwlock_t *l)
{
	MM_BUG_ON(!(atomic_load_explicit(&l->state, memory_order_relaxed) & RW_HELD));
}

void assert_held_read(const rwlock_t *l)
{
	/* Our own arrival is in state and not in left, whatever else goes on. */
	uint32_t left = atomic_load_explicit(&l->left, memory_order_acquire);
	uint32_t state = atomic_load_explicit(&l->state, memory_order_relaxed);

	MM_BUG_ON(!(state & RW_HELD) && (state & RW_READERS) == left);
}
#endif
