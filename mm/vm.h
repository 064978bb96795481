/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM inside mm/: what mmu.h keeps opaque.  LOCKING.md has the rules.
 */
#pragma once

#include "mm/format.h"
#include "mm/mmu.h"
#include "mm/port.h"
#include "mm/spte.h"
#include "mm/sync.h"

/* A tree of tables.  Format and depth belong to it, not to the VM. */
struct mmu_root {
	const struct mmu_format *fmt;
	hpa_t hpa;
	uint8_t level;
	unsigned refs; /* mmu_lock: the VM's own and one per vCPU that loaded it */
};

struct memslots; /* memslot.h */

/* Invalidations that run now (invalidate.h). */
struct mmu_invalidate {
	unsigned active;       /* mmu_lock */
	gfn_t start, end;      /* mmu_lock; covers all of them; valid when active */
	_Atomic uint64_t seq;  /* written under mmu_lock, moves on at every end */
};

struct mmu_counters {
#define MMU_STAT_FIELD(field, name, help) _Atomic uint64_t field;
	MMU_STATS(MMU_STAT_FIELD)
	MMU_GAUGES(MMU_STAT_FIELD)
#undef MMU_STAT_FIELD
};

struct mmu_vm {
	/* set at creation */
	char name[32];
	const struct mmu_format *fmt;
	uint8_t root_level;
	uint8_t max_leaf_level;
	uint8_t maxphyaddr;
	bool hw_ad;
	gfn_t gfn_limit;         /* first gfn beyond what the guest can address */
	uint64_t page_cap;

	rwlock_t mmu_lock;
	/* mmu_lock must be held when using these: for write to change them */
	struct mmu_root *root;   /* NULL until a vCPU loads it */
	struct mmu_vcpu *vcpus;
	hpa_t backing_top;       /* backing.c; its words are published under the read lock */
	struct mmu_invalidate invalidate;

	_Atomic uint64_t tlb_gen;          /* flush.c */
	_Atomic uint64_t backing_reserved; /* 4K pages: those backing it and those about to */

	spinlock_t slots_lock;             /* among writers of slots */
	_Atomic(struct memslots *) slots;  /* never NULL; memslot.c */

	struct mmu_counters counters;
};

/* Statistics: order between counters is nobody's business. */
#define stat_add(vm, field, n) \
	((void)atomic_fetch_add_explicit(&(vm)->counters.field, (n), memory_order_relaxed))
#define stat_sub(vm, field, n) \
	((void)atomic_fetch_sub_explicit(&(vm)->counters.field, (n), memory_order_relaxed))
#define stat_read(vm, field) \
	atomic_load_explicit(&(vm)->counters.field, memory_order_relaxed)
