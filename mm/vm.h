/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM inside mm/: what mmu.h keeps opaque.  LOCKING.md has the rules.
 */
#pragma once

#include "mm/format.h"
#include "mm/latency.h"
#include "mm/mmu.h"
#include "mm/port.h"
#include "mm/rcu.h"
#include "mm/spte.h"
#include "mm/sync.h"

/*
 * A tree of tables.  Format and depth belong to it, not to the VM.  All of them are on
 * vm->roots until they are freed, which is behind a grace period: walkers without a lock
 * follow the list.
 */
enum root_state {
	ROOT_VALID,   /* vCPUs load it */
	ROOT_INVALID, /* queued: the worker tears it down; no processor uses it any more */
	ROOT_ZAPPED,  /* empty; here until the last vCPU has let go of it */
};

struct mmu_root {
	struct rcu_head rcu;
	const struct mmu_format *fmt;
	hpa_t hpa;
	uint8_t level;
	_Atomic uint8_t state; /* enum root_state; changed under mmu_lock for write, only upwards */
	unsigned refs;         /* mmu_lock: one until it is zapped, and one per vCPU that loaded it */
	gfn_t zapped;          /* mmu_lock: the worker has been at the gfns below */
	_Atomic(struct mmu_root *) next;
};

struct memslots; /* memslot.h */

/* Invalidations: those that run, and which parts were done last (invalidate.h). */
#define INVALIDATE_DONE 16u

struct gfn_range {
	gfn_t start, end;
};

struct mmu_invalidate {
	struct invalidation *active;           /* mmu_lock */
	struct gfn_range done[INVALIDATE_DONE]; /* mmu_lock; of number n at n % INVALIDATE_DONE */
	_Atomic uint64_t seq; /* written under mmu_lock: moves on whenever a part is done */
};

/* The pass over what the NX mitigation split (nx.h). */
struct mmu_nx {
	gfn_t next;           /* mmu_lock: where the pass stands */
	_Atomic uint64_t due; /* by port_clock() */
	_Atomic bool asked;   /* a pass from the beginning, whatever is due */
};

/* Who holds mmu_lock: words of who_make(), for those who wait (lock.h). */
struct mmu_holder {
	_Atomic uint64_t who;    /* the writer inside; 0: none */
	_Atomic uint64_t coming; /* the last writer that came, inside or not */
	_Atomic uint64_t reader; /* a reader that is no vCPU's fault; 0: none */
	/* mmu_lock, for write */
	uint64_t npages;         /* that the writer is about */
	uint64_t since, looked;  /* when it took the lock; since when it looked `looks` times */
	unsigned looks;          /* whether to yield */
};

struct mmu_counters {
#define MMU_STAT_FIELD(field, name, help) _Atomic uint64_t field;
	MMU_STATS(MMU_STAT_FIELD)
	MMU_GAUGES(MMU_STAT_FIELD)
#undef MMU_STAT_FIELD
};

/* A stay under mmu_lock for write (event.h); struct mmu_event has the words. */
struct event {
	uint64_t who; /* who_make() */
	uint64_t npages, when, tlb_gen, times;
};

struct event_ring {
	uint64_t count; /* so far; the newest is number count - 1, at its number % MMU_EVENTS */
	struct event event[MMU_EVENTS];
};

struct mmu_vm {
	/* set at creation */
	char name[32];
	const struct mmu_format *fmt;
	uint8_t root_level;
	uint8_t max_leaf_level;
	uint8_t maxphyaddr;
	bool hw_ad, pml, nx_huge_pages;
	gfn_t gfn_limit;         /* first gfn beyond what the guest can address */
	uint64_t page_cap;
	void *owner;

	rwlock_t mmu_lock;
	struct mmu_holder holder; /* lock.h */
	/* mmu_lock must be held when using these: for write to change them */
	struct mmu_root *root;   /* the valid one; NULL until a vCPU loads it */
	_Atomic(struct mmu_root *) roots; /* all: root.h; read without the lock too */
	struct mmu_vcpu *vcpus;
	struct mmu_invalidate invalidate;

	/* where tables may become huge leaves again, in this pass and in the next: recover.c */
	struct gfn_range recover, recover_next;
	struct mmu_nx nx;

	struct mmu_rcu rcu;
	_Atomic uint64_t dirty_logs, pml_logs; /* that run; changed under mmu_lock for write */
	_Atomic uint64_t tlb_gen;          /* flush.c */
	_Atomic uint64_t backing_nodes;    /* pages of the backings' trees but their tops */
	_Atomic uint64_t backing_reserved; /* 4K pages: those backing it and those about to */

	_Atomic(struct memslots *) slots;  /* never NULL; memslot.h */
	_Atomic bool working;              /* somebody is inside mmu_work_step() */
	_Atomic uint64_t hold_write, hold_read; /* the longest so far: walk.h */
	_Atomic uint64_t mmio_entries;     /* mmio.h */
	uint8_t fault_around;              /* set at creation */

	_Atomic bool malformed_told;       /* fault.c */

	struct mmu_shadow *shadow;         /* shadow.h; NULL: nested paging */

	struct mmu_counters counters;
	struct latency_log latency;
	struct event_ring events[MMU_EVENT_RINGS]; /* mmu_lock */
};

/* Statistics: order between counters is nobody's business. */
#define stat_add(vm, field, n) \
	((void)atomic_fetch_add_explicit(&(vm)->counters.field, (n), memory_order_relaxed))
#define stat_sub(vm, field, n) \
	((void)atomic_fetch_sub_explicit(&(vm)->counters.field, (n), memory_order_relaxed))
#define stat_read(vm, field) \
	atomic_load_explicit(&(vm)->counters.field, memory_order_relaxed)

/* What is found between the two stays (rcu.h).  Not nested; short: others' memory waits for it. */
static inline void rcu_enter(struct mmu_vm *vm, struct rcu_reader *reader)
{
	/* R1: an exchange, because x86 lets a later load pass a plain store. */
	uint64_t before = atomic_exchange_explicit(&reader->epoch, EPOCH_ENTERING,
						   memory_order_seq_cst);

	MM_BUG_ON(before != EPOCH_OUTSIDE);
	/* R2 */
	uint64_t epoch = atomic_load_explicit(&vm->rcu.epoch, memory_order_seq_cst);

	/*
	 * R3: later epochs need not wait for us.  Release: who finds this number in
	 * readers_passed() instead of R4's zero knows as well that an earlier stay is over.
	 */
	atomic_store_explicit(&reader->epoch, epoch, memory_order_release);
}

static inline void rcu_exit(struct mmu_vm *vm, struct rcu_reader *reader)
{
	/* R4: release, pairs with the load in readers_passed(). */
	atomic_store_explicit(&reader->epoch, EPOCH_OUTSIDE, memory_order_release);
}
