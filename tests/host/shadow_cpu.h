/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A processor for the hosted world whose guest runs without nested paging: it walks the shadow
 * tables as its manual says, with the guest's mode and CR0.WP set, keeps what it found in a TLB by
 * virtual address and in paging-structure caches, and takes #PF to mmu_shadow_fault().
 *
 * One thread uses one shadow_cpu at a time.
 */
#pragma once

#include "mm/mmu.h"

#define SHADOW_TLB_ENTRIES 64

#define CR0_PE    (1ul << 0)
#define EFER_LONG ((1ul << 8) | (1ul << 10))

struct shadow_tlb_entry {
	bool valid;
	bool dirty;       /* a write may hit without setting Dirty */
	uint8_t access;   /* ACC_* with ACC_USER */
	gva_t page;       /* of 4K, whatever the leaf's size */
	hpa_t hpa;
};

struct shadow_cpu {
	struct mmu_vcpu mmu; /* first: the kick hook casts */
	struct mmu_paging_regs regs;
	bool user, ac;       /* CPL 3; EFLAGS.AC */
	uint8_t maxphyaddr;
	_Atomic bool kicked;
	uint64_t pdpte[4];   /* as the last entry to the guest took them */
	struct shadow_tlb_entry tlb[SHADOW_TLB_ENTRIES];
	/* Where the table of each level lies for the addresses around walk_gva. */
	gva_t walk_gva;
	hpa_t walk_table[PG_LEVEL_256T + 1];
	uint8_t walk_access[PG_LEVEL_256T + 1];
	uint64_t faults, walks, flushes, emulated;
};

void shadow_cpu_init(struct shadow_cpu *cpu, struct mmu_vm *vm, unsigned maxphyaddr, unsigned id);
void shadow_cpu_destroy(struct shadow_cpu *cpu);

/* The guest loads its registers; PAE: its PDPTEs too, from memory. */
void shadow_cpu_load(struct shadow_cpu *cpu, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer);
/* MOV to CR3 with what is there. */
void shadow_cpu_flush(struct shadow_cpu *cpu);
void shadow_cpu_invlpg(struct shadow_cpu *cpu, gva_t gva);

bool shadow_cpu_enter(struct shadow_cpu *cpu);
void shadow_cpu_exit(struct shadow_cpu *cpu);

/* One access of size (4 or 8) aligned bytes, in guest mode.  False: #PF with *error. */
bool shadow_cpu_access(struct shadow_cpu *cpu, gva_t gva, unsigned access, unsigned size,
		       uint64_t *value, uint32_t *error);

struct shadow_outcome {
	enum mmu_pf_result result; /* FIXED: done, also by emulation of a write to a table */
	uint32_t error;            /* INJECT: what the guest gets */
	gpa_t gpa;                 /* EMULATE: MMIO there */
};
/* From outside guest mode, with faults handled until it is done or cannot be. */
struct shadow_outcome shadow_cpu_touch(struct shadow_cpu *cpu, gva_t gva, unsigned access,
				       unsigned size, uint64_t *value);
