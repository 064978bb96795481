/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * C11's atomics for the explorer's build, which includes this before everything else: each
 * operation is first a scheduling point and then, since one thread of the host runs all threads of
 * a scenario, plain loads and stores.  Orders are not looked at: what is explored is
 * sequentially consistent.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Fake physical memory lies here, small objects behind it: an address tells what it is. */
#define EXPLORE_ARENA_VA   0x200000000000ul
#define EXPLORE_ARENA_SIZE (2ul << 30)

enum explore_op {
	EXPLORE_LOAD,
	EXPLORE_STORE,
	EXPLORE_XCHG,
	EXPLORE_CMPXCHG,
	EXPLORE_ADD,
	EXPLORE_SUB,
	EXPLORE_OR,
	EXPLORE_AND,
};

/* The clock of an interleaving: scheduling points so far; and the next that needs the scheduler. */
extern uint64_t explore_step, explore_next;
/* When the running thread did its last operation, and the one before. */
extern uint64_t explore_this_op, explore_before_op;
/* Operations that changed something: who waits polls again after one. */
extern uint64_t explore_writes;
extern bool explore_somebody_waits;
/* Where the last operation went, to see a walk through empty entries. */
extern uintptr_t explore_last;
/* Each operation is reported (replay, exhaustive search). */
extern bool explore_watching;
/* By page of the arena; 0: it is free. */
extern uint8_t explore_page_state[EXPLORE_ARENA_SIZE >> 12];

void explore_slow(const void *p, enum explore_op op, unsigned size);
_Noreturn void explore_freed(const void *p, enum explore_op op);
void explore_result(uint64_t before, uint64_t after);

/*
 * Before the operation; a page that others freed meanwhile is no place for it.  Reading on through
 * the empty entries of a table counts as one step: otherwise most of the preemptions would fall
 * there, where nothing happens.
 */
static inline void explore_access(const void *p, enum explore_op op, unsigned size)
{
	uintptr_t at = (uintptr_t)p;
	bool scan = size == sizeof(uint64_t) && op == EXPLORE_LOAD &&
		    at == explore_last + size && at - EXPLORE_ARENA_VA < EXPLORE_ARENA_SIZE &&
		    !*(const uint64_t *)p;

	if (!scan && __builtin_expect(++explore_step >= explore_next, 0))
		explore_slow(p, op, size);
	if (at - EXPLORE_ARENA_VA < EXPLORE_ARENA_SIZE &&
	    __builtin_expect(!explore_page_state[(at - EXPLORE_ARENA_VA) >> 12], 0))
		explore_freed(p, op);
	explore_last = at;
	explore_before_op = explore_this_op;
	explore_this_op = explore_step;
}

/* Behind one that may have changed the cell. */
static inline void explore_changed(uint64_t before, uint64_t after)
{
	if (before != after) {
		explore_writes++;
		if (explore_somebody_waits)
			explore_next = 0;
	}
	if (__builtin_expect(explore_watching, 0))
		explore_result(before, after);
}

#define EXPLORE_TYPE(p)  __typeof__((void)0, *(p))
#define EXPLORE_PLAIN(p) (*(EXPLORE_TYPE(p) *)(uintptr_t)(p))
#define EXPLORE_BITS(v)  ((uint64_t)(uintptr_t)(v))

#define EXPLORE_DO_LOAD(p)                                                              \
	__extension__({                                                                 \
		__auto_type ex_p = (p);                                                 \
		explore_access((const void *)(uintptr_t)ex_p, EXPLORE_LOAD,             \
			       sizeof(*ex_p));                                          \
		EXPLORE_TYPE(ex_p) ex_v = EXPLORE_PLAIN(ex_p);                          \
		if (__builtin_expect(explore_watching, 0))                              \
			explore_result(EXPLORE_BITS(ex_v), EXPLORE_BITS(ex_v));         \
		ex_v;                                                                   \
	})

/* old becomes what was there; new is an expression of ex_old and ex_arg. */
#define EXPLORE_DO_RMW(p, arg, op, new)                                                 \
	__extension__({                                                                 \
		__auto_type ex_p = (p);                                                 \
		EXPLORE_TYPE(ex_p) ex_arg = (EXPLORE_TYPE(ex_p))(arg), ex_old;          \
		explore_access((const void *)(uintptr_t)ex_p, op, sizeof(*ex_p));       \
		ex_old = EXPLORE_PLAIN(ex_p);                                           \
		EXPLORE_PLAIN(ex_p) = (new);                                            \
		explore_changed(EXPLORE_BITS(ex_old), EXPLORE_BITS(EXPLORE_PLAIN(ex_p))); \
		ex_old;                                                                 \
	})

#define EXPLORE_DO_CMPXCHG(p, expected, desired)                                        \
	__extension__({                                                                 \
		__auto_type ex_p = (p);                                                 \
		__auto_type ex_e = (expected);                                          \
		EXPLORE_TYPE(ex_p) ex_new = (EXPLORE_TYPE(ex_p))(desired), ex_old;      \
		explore_access((const void *)(uintptr_t)ex_p, EXPLORE_CMPXCHG,          \
			       sizeof(*ex_p));                                          \
		ex_old = EXPLORE_PLAIN(ex_p);                                           \
		bool ex_same = ex_old == *ex_e;                                         \
		if (ex_same)                                                            \
			EXPLORE_PLAIN(ex_p) = ex_new;                                   \
		else                                                                    \
			*ex_e = ex_old;                                                 \
		explore_changed(EXPLORE_BITS(ex_old), EXPLORE_BITS(EXPLORE_PLAIN(ex_p))); \
		ex_same;                                                                \
	})

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_exchange_explicit
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and
#undef atomic_fetch_and_explicit
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak
#undef atomic_compare_exchange_weak_explicit

#define atomic_load(p)                 EXPLORE_DO_LOAD(p)
#define atomic_load_explicit(p, order) EXPLORE_DO_LOAD(p)
#define atomic_store(p, v)             ((void)EXPLORE_DO_RMW(p, v, EXPLORE_STORE, ex_arg))
#define atomic_store_explicit(p, v, order) atomic_store(p, v)
#define atomic_exchange(p, v)          EXPLORE_DO_RMW(p, v, EXPLORE_XCHG, ex_arg)
#define atomic_exchange_explicit(p, v, order) atomic_exchange(p, v)
#define atomic_fetch_add(p, v) \
	EXPLORE_DO_RMW(p, v, EXPLORE_ADD, (EXPLORE_TYPE(ex_p))(ex_old + ex_arg))
#define atomic_fetch_add_explicit(p, v, order) atomic_fetch_add(p, v)
#define atomic_fetch_sub(p, v) \
	EXPLORE_DO_RMW(p, v, EXPLORE_SUB, (EXPLORE_TYPE(ex_p))(ex_old - ex_arg))
#define atomic_fetch_sub_explicit(p, v, order) atomic_fetch_sub(p, v)
#define atomic_fetch_or(p, v) \
	EXPLORE_DO_RMW(p, v, EXPLORE_OR, (EXPLORE_TYPE(ex_p))(ex_old | ex_arg))
#define atomic_fetch_or_explicit(p, v, order) atomic_fetch_or(p, v)
#define atomic_fetch_and(p, v) \
	EXPLORE_DO_RMW(p, v, EXPLORE_AND, (EXPLORE_TYPE(ex_p))(ex_old & ex_arg))
#define atomic_fetch_and_explicit(p, v, order) atomic_fetch_and(p, v)
#define atomic_compare_exchange_strong(p, e, v) EXPLORE_DO_CMPXCHG(p, e, v)
#define atomic_compare_exchange_strong_explicit(p, e, v, yes, no) EXPLORE_DO_CMPXCHG(p, e, v)
#define atomic_compare_exchange_weak(p, e, v) EXPLORE_DO_CMPXCHG(p, e, v)
#define atomic_compare_exchange_weak_explicit(p, e, v, yes, no) EXPLORE_DO_CMPXCHG(p, e, v)
/* mm/ copies guest memory with the compiler's own. */
#define __atomic_load_n(p, order)     EXPLORE_DO_LOAD(p)
#define __atomic_store_n(p, v, order) atomic_store(p, v)
