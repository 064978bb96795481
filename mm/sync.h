/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The locks of the project, for both builds: the thread sanitizer tests the
 * very code that ships.  No standalone fences: every release below names its
 * acquire.
 *
 * spinlock_t  ticket lock.  Short holds only; never held across port_resched().
 * rwlock_t    fair reader/writer lock: a waiting writer stops new readers, a
 *             leaving writer lets the readers that were waiting in first.
 *
 * Neither disables interrupts: a lock that an interrupt handler also takes is
 * taken with interrupts off by everybody (none in mm/).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* clang's -Wthread-safety; nothing with gcc. */
#if defined(__clang__)
#define TS_ATTR(x) __attribute__((x))
#else
#define TS_ATTR(x)
#endif
#define CAPABILITY(name)      TS_ATTR(capability(name))
#define ACQUIRES(l)           TS_ATTR(acquire_capability(l))
#define ACQUIRES_SHARED(l)    TS_ATTR(acquire_shared_capability(l))
#define RELEASES(l)           TS_ATTR(release_capability(l))
#define RELEASES_SHARED(l)    TS_ATTR(release_shared_capability(l))
#define TRY_ACQUIRES(...)     TS_ATTR(try_acquire_capability(__VA_ARGS__))
#define REQUIRES(l)           TS_ATTR(requires_capability(l))
#define REQUIRES_SHARED(l)    TS_ATTR(requires_shared_capability(l))
#define EXCLUDES(l)           TS_ATTR(locks_excluded(l))
#define ASSERTS_EXCL(l)       TS_ATTR(assert_capability(l))
#define ASSERTS_SHARED(l)     TS_ATTR(assert_shared_capability(l))
#define NO_THREAD_SAFETY_ANALYSIS TS_ATTR(no_thread_safety_analysis)

typedef struct CAPABILITY("spinlock") {
	_Atomic uint32_t next;  /* ticket handed to the next taker */
	_Atomic uint32_t owner; /* ticket that holds the lock */
} spinlock_t;

#define SPINLOCK_INIT { 0, 0 }

void spin_init(spinlock_t *l);
void spin_lock(spinlock_t *l) ACQUIRES(l);
bool spin_trylock(spinlock_t *l) TRY_ACQUIRES(true, l);
void spin_unlock(spinlock_t *l) RELEASES(l);
bool spin_is_held(const spinlock_t *l); /* by anybody: for assertions only */

typedef struct CAPABILITY("rwlock") {
	_Atomic uint32_t state;   /* see sync.c: the writer's bits, readers that came */
	_Atomic uint32_t left;    /* readers that went, in the units of state */
	_Atomic uint32_t tickets; /* order among the writers */
	_Atomic uint32_t serving;
} rwlock_t;

#define RW_PHASE  (1u << 0) /* low bit of the writer's ticket */
#define RW_WRITER (1u << 1) /* a writer waits or is inside: new readers wait */
#define RW_HELD   (1u << 2) /* it is inside */
#define RW_READER (1u << 8) /* one reader */

#define RW_WHO     (RW_WRITER | RW_PHASE)
#define RW_READERS (~(RW_READER - 1))

void rwlock_init(rwlock_t *l);
void read_lock(rwlock_t *l) ACQUIRES_SHARED(l);
void write_lock(rwlock_t *l) ACQUIRES(l);
void write_unlock(rwlock_t *l) RELEASES(l);
/* For who wants to know of having to wait: begins() is called once, at the first turn of it. */
struct lock_wait {
	void (*begins)(struct lock_wait *wait);
};
void read_lock_told(rwlock_t *l, struct lock_wait *wait) ACQUIRES_SHARED(l);
/* The same in two halves: 0, and it is held; or what to wait for with the other. */
static inline uint32_t read_lock_begin(rwlock_t *l)
{
	/* Acquire: pairs with the release in write_unlock(). */
	uint32_t who = atomic_fetch_add_explicit(&l->state, RW_READER, memory_order_acquire) &
		       RW_WHO;

	return who & RW_WRITER ? who : 0;
}

void read_lock_wait(rwlock_t *l, uint32_t who, struct lock_wait *wait);

NO_THREAD_SAFETY_ANALYSIS
static inline void read_unlock(rwlock_t *l) RELEASES_SHARED(l)
{
	/* Release: pairs with the acquire of left in write_lock(). */
	atomic_fetch_add_explicit(&l->left, RW_READER, memory_order_release);
}

void write_lock_told(rwlock_t *l, struct lock_wait *wait) ACQUIRES(l);
/* Somebody waits for the lock that the caller holds: a yielding walk asks this. */
bool rwlock_needbreak(const rwlock_t *l);
/* For read or for write; both ask in debug builds only. */
#if PHYLLO_DEBUG
void assert_held_read(const rwlock_t *l) ASSERTS_SHARED(l);
void assert_held_write(const rwlock_t *l) ASSERTS_EXCL(l);
#else
static inline void assert_held_read(const rwlock_t *l) ASSERTS_SHARED(l)
{
	(void)l;
}

static inline void assert_held_write(const rwlock_t *l) ASSERTS_EXCL(l)
{
	(void)l;
}
#endif
