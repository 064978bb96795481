/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A processor for the hosted world: it walks the real tables as the manuals say,
 * knowing the formats by itself, sets Accessed and Dirty, and keeps what it
 * found in a TLB and in paging-structure caches until it is told to flush.  So a flush
 * that was forgotten shows as a read of a poisoned or foreign page.
 *
 * One thread uses one fake_cpu at a time.
 */
#pragma once

#include "mm/mmu.h"

#define FAKE_TLB_ENTRIES 64
#define FAKE_PML_ENTRIES 512

struct fake_tlb_entry {
	bool valid;
	bool dirty;       /* a write may hit without setting Dirty */
	uint8_t level;
	unsigned access;
	gfn_t gfn;        /* first of its span */
	hpa_t hpa;
	bool uncached;
};

struct fake_cpu {
	struct mmu_vcpu mmu; /* first: the kick hook casts */
	struct mmu_config cfg;
	_Atomic bool kicked;
	struct fake_tlb_entry tlb[FAKE_TLB_ENTRIES];
	/* Where the table of each level lies for the gfns around walk_gfn. */
	gfn_t walk_gfn;
	hpa_t walk_table[PG_LEVEL_256T + 1];
	/* The log of what became dirty (cfg.pml), handed over on the way out of guest mode. */
	bool pml_on;
	unsigned pml_count;
	gpa_t pml[FAKE_PML_ENTRIES];
	uint64_t accesses, walks, flushes, faults;
};

/* Also points hosted_hooks.kick at fake processors. */
void fake_cpu_init(struct fake_cpu *cpu, struct mmu_vm *vm, const struct mmu_config *cfg,
		   unsigned id);
void fake_cpu_destroy(struct fake_cpu *cpu);

/* Guest mode, with another root if the last one was invalidated.  False: no memory for one. */
bool fake_cpu_enter(struct fake_cpu *cpu);
void fake_cpu_exit(struct fake_cpu *cpu);
bool fake_cpu_kicked(struct fake_cpu *cpu);

/*
 * One access of 8 aligned bytes, in guest mode: ACC_R and ACC_X read into *value,
 * ACC_W writes it.  False: a nested page fault, described in *pf.
 */
bool fake_cpu_access(struct fake_cpu *cpu, gpa_t gpa, unsigned access, uint64_t *value,
		     struct page_fault *pf);

/*
 * The same from outside guest mode, with faults handled until it is done (FIXED) or
 * cannot be (EMULATE, PROTECTED, NOMEM).
 */
enum mmu_pf_result fake_cpu_touch(struct fake_cpu *cpu, gpa_t gpa, unsigned access,
				  uint64_t *value);
