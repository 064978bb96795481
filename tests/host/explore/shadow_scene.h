/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the scenarios of shadow paging share: a VM and two processors without nested paging.
 *
 * The guest has 4-level tables that map its 32 pages where they are, so that it edits them at their own
 * addresses; the lowest table is both in use and open to it.  A page carries its number in word 0.
 */
#pragma once

#include "mm/mmu.h"
#include "tests/host/explore/explore.h"
#include "tests/host/shadow_cpu.h"

#define CPUS      2u
#define PAGES     32u
#define L4_GFN    20ul
#define L3_GFN    21ul
#define L2_GFN    22ul
#define L1_GFN    23ul
#define SPARE_GFN 24ul /* becomes a table; from here on there is nothing */

#define P (1ul << 0)
#define W (1ul << 1)
#define A (1ul << 5)
#define D (1ul << 6)

#define GVA(gfn)   ((gva_t)(gfn) << PAGE_SHIFT)
#define LEAF(gfn)  (GVA(gfn) | P | W | A | D)
#define ENTRY(i)   (GVA(L1_GFN) + 8ul * (i)) /* of the lowest table */

struct shadow_scene {
	struct mmu_config cfg;
	struct mmu_vm *vm;
	struct shadow_cpu cpu[CPUS];
	bool in_guest[CPUS];
	bool written[PAGES];
};
extern struct shadow_scene shadow_scene;

void shadow_scene_open(void);
/* With an audit. */
void shadow_scene_close(void);
/* Before the threads begin: a word of guest memory. */
void load_entry(gpa_t gpa, uint64_t value);

/* What vCPU i does.  It stays in guest mode until it is kicked, faults, or leaves. */
uint64_t vcpu_reads(unsigned i, gva_t gva);
void vcpu_writes(unsigned i, gva_t gva, uint64_t value);
void vcpu_invlpg(unsigned i, gva_t gva);
/* With what is there. */
void vcpu_loads_cr3(unsigned i);
void vcpu_switches(unsigned i, gpa_t cr3);
void vcpu_leaves(unsigned i);
