/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long things take, kept as log2 histograms, with the worst events of each kind.
 *
 * A fault's figures lie with its vCPU, which alone adds to them, without an atomic
 * read-modify-write.  All others lie with the VM: those of writers are added to under mmu_lock for write;
 * readers that are no vCPU add atomically.  A reset moves the kind's epoch on; a vCPU whose
 * cells are of an older one empties them itself when it next adds, and until then they do not count.
 *
 * The worst are a short list per kind under a lock of its own, which is taken only by an event
 * that is longer than the shortest on it: soon by few.
 */
#pragma once

#include "mm/mmu.h"
#include "mm/sync.h"

/* An operation and a gfn in one word, so that it is read in one piece. */
static inline uint64_t who_make(enum mmu_op op, gfn_t gfn)
{
	return (uint64_t)op << 56 | (gfn & (~0ul >> 8));
}

static inline enum mmu_op who_op(uint64_t who)
{
	return (enum mmu_op)(who >> 56);
}

static inline gfn_t who_gfn(uint64_t who)
{
	return who & (~0ul >> 8);
}

/* One event. */
struct latency_event {
	uint64_t ticks, when;
	uint64_t who, npages;
	uint64_t with; /* who was in the way; 0: nobody */
};

struct latency_worst {
	_Atomic uint64_t least; /* the shortest that is on the list; 0 until it is full */
	/* lock must be held when using these */
	unsigned count;
	struct latency_event event[MMU_LATENCY_WORST];
};

struct latency_log {
	struct mmu_latency_cells cells[MMU_LATENCY_COUNT]; /* epoch: the kind's */
	spinlock_t lock;
	struct latency_worst worst[MMU_LATENCY_COUNT];
};

static inline unsigned latency_bucket(uint64_t ticks)
{
	unsigned log2 = 63u - (unsigned)__builtin_clzl(ticks | 1);

	return log2 < MMU_LATENCY_BUCKETS ? log2 : MMU_LATENCY_BUCKETS - 1;
}

static inline uint64_t latency_get(const _Atomic uint64_t *cell)
{
	return atomic_load_explicit(cell, memory_order_relaxed);
}

static inline void latency_set(_Atomic uint64_t *cell, uint64_t value)
{
	atomic_store_explicit(cell, value, memory_order_relaxed);
}

/* By the only one who adds. */
static inline void latency_cells_add(struct mmu_latency_cells *c, uint64_t ticks)
{
	_Atomic uint64_t *bucket = &c->bucket[latency_bucket(ticks)];

	latency_set(bucket, latency_get(bucket) + 1);
	latency_set(&c->sum, latency_get(&c->sum) + ticks);
}

void latency_init(struct mmu_vm *vm);
void latency_renew(struct mmu_latency_cells *c, uint64_t epoch);
/*
 * By a vCPU's own thread, of a kind below MMU_LATENCY_VCPU_COUNT: the figures only.  Then, if it may
 * be one of the worst, what it was.  In two, because the fault pays for the first.
 */
static inline bool latency_count_vcpu(const struct latency_log *log, struct mmu_vcpu *vcpu,
				      enum mmu_latency_kind kind, uint64_t ticks)
{
	struct mmu_latency_cells *c = &vcpu->latency[kind];
	uint64_t epoch = latency_get(&log->cells[kind].epoch);

	if (__builtin_expect(latency_get(&c->epoch) != epoch, 0))
		latency_renew(c, epoch);
	latency_cells_add(c, ticks);
	return ticks > latency_get(&log->worst[kind].least);
}

void latency_worst(struct mmu_vm *vm, enum mmu_latency_kind kind, const struct latency_event *e);
/* By whoever holds mmu_lock for write: plain additions. */
void latency_add_excl(struct mmu_vm *vm, enum mmu_latency_kind kind,
		      const struct latency_event *e);
/* By anybody else who holds it. */
void latency_add_shared(struct mmu_vm *vm, enum mmu_latency_kind kind,
			const struct latency_event *e);
/* The vCPU goes, its figures stay.  Under mmu_lock for write. */
void latency_keep(struct mmu_vcpu *vcpu);
