/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the scenarios of mm/ share: a VM, processors with TLBs (fake_cpu.h), and an oracle that knows
 * of each page what it has to hold and since when no older translation may be used.
 *
 * The oracle is exact: between an operation and what is noted of it here no other thread
 * runs.
 */
#pragma once

#include "mm/mmu.h"
#include "tests/host/explore/explore.h"
#include "tests/host/fake_cpu.h"

#define SCENE_CPUS  3
#define SCENE_PAGES 8
#define SCENE_WORDS 4

/* What the oracle knows of a gfn. */
struct scene_page {
	gfn_t gfn;
	uint64_t *word;             /* what the guest must read: of this place or of one that is the same */
	uint64_t words[SCENE_WORDS];
	uint64_t changes;           /* odd: it may be away (balloon, slot) */
	uint64_t revoked;           /* translations older than this may not be used any more */
	uint64_t written;           /* when the guest last wrote it; 0: never */
	uint64_t reported;          /* when a dirty log last had it, read and returned */
	unsigned forbidden;         /* ACC_*: that the guest can do none of these was promised */
};

struct scene {
	struct mmu_config cfg;
	struct mmu_vm *vm;
	unsigned cpus;
	struct fake_cpu cpu[SCENE_CPUS];
	bool in_guest[SCENE_CPUS];
	uint64_t filled[SCENE_CPUS][FAKE_TLB_ENTRIES]; /* when the translation was read */
	unsigned pages;
	struct scene_page page[SCENE_PAGES];
	uint64_t counter; /* makes each written value a new one */
};
extern struct scene scene;

/*
 * The same sources once more, as they are in the hypervisor: for all that happens while no thread
 * runs, where scheduling points would only cost time.
 */
extern __typeof__(mmu_vm_create) plain_mmu_vm_create;
extern __typeof__(mmu_vm_destroy) plain_mmu_vm_destroy;
extern __typeof__(mmu_vcpu_destroy) plain_mmu_vcpu_destroy;
extern __typeof__(mmu_slot_create) plain_mmu_slot_create;
extern __typeof__(mmu_audit) plain_mmu_audit;
extern __typeof__(mmu_unmap) plain_mmu_unmap;
extern __typeof__(mmu_work_flush) plain_mmu_work_flush;

/* Any format, with hardware A/D or without (and then a page log, or not), and leaves up to this. */
struct mmu_config scene_config(unsigned max_leaf_level);
void scene_open(struct mmu_config cfg, unsigned cpus);
void scene_add_slot(unsigned id, gfn_t base, uint64_t npages);
/* Audit, take down, and see that nothing is left. */
void scene_close(void);
/* Before: all deferred work is done. */
void scene_work_and_close(void);
void scene_audit(void);
struct mmu_stats scene_stats(void);

struct scene_page *scene_page(gfn_t gfn);
/* The same page, here or there: its slot moves. */
void scene_same_page(gfn_t here, gfn_t there);

/* ---- the guest -------------------------------------------------------------------------- */

/*
 * One access as the guest makes it: enters guest mode if need be and stays there, leaves for
 * kicks and faults, until the access is done (FIXED) or refused, which must be right then.
 */
enum mmu_pf_result guest_access(unsigned cpu, gfn_t gfn, unsigned access);
/* The same once: RETRY, SPURIOUS, … come back as they are. */
bool guest_try(unsigned cpu, gfn_t gfn, unsigned access, struct page_fault *pf);
/* Leave guest mode, as when the vCPU halts. */
void guest_leave(unsigned cpu);

static inline void guest_read(unsigned cpu, gfn_t gfn)
{
	guest_access(cpu, gfn, ACC_R);
}

static inline void guest_write(unsigned cpu, gfn_t gfn)
{
	guest_access(cpu, gfn, ACC_W);
}

/* One in so many allocations of the threads fails; 0: none.  Back to 0 with the next scene. */
extern unsigned explore_deny;

/* ---- operations, with what they mean for the oracle ---------------------------------------- */

/* Translations of these pages from before `since` are not to be used from now on. */
void scene_revoke(gfn_t gfn, uint64_t npages, uint64_t since);
void op_unmap(gfn_t gfn, uint64_t npages, unsigned flags);
/* Out, and in again. */
void op_balloon(gfn_t gfn, uint64_t npages, unsigned flags);
/* The access that remains; and back to everything. */
void op_protect(gfn_t gfn, uint64_t npages, unsigned access);
void op_migrate(gfn_t gfn, uint64_t npages, unsigned flags);
/* Up to 64 pages of slot 0, which begins at gfn 0; clear at once, or by another call. */
void op_dirty_get(uint64_t first, uint64_t npages, bool clear);
void op_slot_delete(unsigned id, gfn_t base, uint64_t npages);
/* The pages are there again when it returns. */
void op_slot_create(unsigned id, gfn_t base, uint64_t npages);
void op_slot_move(unsigned id, gfn_t from, gfn_t to, uint64_t npages);
/* Read-only, and writable again. */
void op_slot_readonly(unsigned id, gfn_t base, uint64_t npages);
/* The hypervisor writes a word of its own and reads it back. */
void op_copy(gfn_t gfn);
#define HOST_WORD 3u
/* Some of the deferred work. */
void op_work(unsigned steps);
