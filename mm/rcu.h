/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When may be freed what somebody without a lock could still be looking at: page-table
 * pages, nodes of the backing, slot tables, dirty logs.  Behind a grace period: when every reader that was
 * inside at the time has left once.
 *
 *   reader                                writer
 *   R1  reader->epoch = 1                 W1  unlink (release)
 *   R2  e = vm's epoch                    W2  tag = vm's epoch ++
 *   R3  reader->epoch = e                 W3  free once every reader's epoch is 0 or > tag
 *   …   look around …
 *   R4  reader->epoch = 0
 *
 * R1, R2, W2 and W3's loads are sequentially consistent.  If W3 reads from before R1, W2
 * precedes R2: the reader acquires the new epoch and with it W1, and finds nothing
 * of what was unlinked.  An epoch above tag says the same by itself.  An epoch of 0 read
 * from R4 acquires R4's release: the reader's accesses are over.
 *
 * A reader holds nothing up but freeing.  Nobody waits for one, so it may take mmu_lock.
 */
#pragma once

#include "mm/mmu.h"
#include "mm/sync.h"

/* First member of an object that is freed behind a grace period. */
struct rcu_head {
	struct rcu_head *next;
	size_t size; /* what port_obj_free() wants to know */
};

/* What waits to be freed. */
struct rcu_dead {
	hpa_t tables; /* chain through the first entry; 0 ends it */
	struct rcu_head *objs;
};

#define EPOCH_OUTSIDE  0ul
#define EPOCH_ENTERING 1ul
#define EPOCH_FIRST    2ul

struct mmu_rcu {
	_Atomic uint64_t epoch; /* from 2 on: 0 is outside, 1 entering */
	spinlock_t lock;
	/* lock must be held when using these */
	struct rcu_reader *readers;
	struct rcu_dead fresh;   /* unlinked, not yet given an epoch */
	struct rcu_dead waiting; /* unlinked before the epoch passed tag */
	uint64_t tag;            /* of waiting */
	struct rcu_dead ready;   /* its time is over: to be freed, by and by */
};

void rcu_init(struct mmu_vm *vm);
/* Frees all that is left; no reader exists. */
void rcu_destroy(struct mmu_vm *vm);

/* A reader is made known before its first rcu_enter(): one per vCPU, or on a caller's stack. */
void rcu_reader_add(struct mmu_vm *vm, struct rcu_reader *reader);
void rcu_reader_remove(struct mmu_vm *vm, struct rcu_reader *reader);

/* rcu_enter() and rcu_exit() are in vm.h. */

/* Free a table that is unlinked and flushed, or an object that is unlinked, when that is safe. */
void rcu_defer_table(struct mmu_vm *vm, hpa_t table);
void rcu_defer_obj(struct mmu_vm *vm, struct rcu_head *head, size_t size);

/*
 * Free what can be freed now, some dozens at most: when no reader is inside, all of a few.  True: something
 * is left, and the VM's worker has been told.
 */
bool rcu_poll(struct mmu_vm *vm);
