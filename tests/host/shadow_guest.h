/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest with page tables of any mode, for the tests of shadow paging.
 *
 *   gfn 0 …        pages for the test
 *   TABLES_GFN …   page tables, the top one first
 *
 * All of its memory is mapped for the supervisor at WINDOW besides, so that it edits its tables as a
 * kernel does: by virtual addresses.  Before the guest runs they are written from outside.
 */
#pragma once

#include "shadow_cpu.h"

enum guest_mode { GUEST_OFF, GUEST_32, GUEST_PSE, GUEST_PAE, GUEST_4L, GUEST_5L, GUEST_MODES };

#define GUEST_CPUS   3
#define GUEST_PAGES  2048ul /* 8 MiB */
#define TABLES_GFN   1024ul
#define WINDOW       0x80000000ul

#define P  (1ul << 0)
#define W  (1ul << 1)
#define U  (1ul << 2)
#define A  (1ul << 5)
#define D  (1ul << 6)
#define PS (1ul << 7)
#define NX (1ul << 63)

#define E_P    1u
#define E_W    2u
#define E_U    4u
#define E_RSVD 8u
#define E_F    16u

struct guest {
	enum guest_mode mode;
	struct mmu_config cfg;
	struct mmu_vm *vm;
	struct shadow_cpu cpu[GUEST_CPUS];
	gpa_t top;        /* the top table of the address space that map() works on */
	gfn_t next_table;
	bool running;     /* edit tables by the window, with CPU 0 */
	uint64_t cr0, cr4, efer;
};
extern struct guest sg; /* the guest of the running test */

struct guest_variant {
	const char *name;
	uint8_t max_leaf_level;
	bool hw_ad;
};
extern const struct guest_variant guest_variants[];
extern const unsigned guest_variant_count;

struct mmu_config guest_config(const struct guest_variant *v, enum guest_mode mode);
/* A VM with memory, the window mapped, all processors in the guest's mode. */
void guest_open(const struct guest_variant *v, enum guest_mode mode);
void guest_open_config(const struct mmu_config *cfg, enum guest_mode mode);
void guest_close(void);
void guest_audit(void);
struct mmu_stats guest_stats(void);
/* In every mode and variant. */
void guest_for_each(void (*fn)(const struct guest_variant *v, enum guest_mode mode));

unsigned guest_levels(void);
unsigned guest_entry_size(void);
unsigned guest_shift(unsigned level);
/* Where the entry for gva lies at this level, by the tables as they are; GPA_INVALID: not mapped so far. */
gpa_t guest_entry_at(gva_t gva, unsigned level);
uint64_t guest_get(gpa_t at);
/* As the guest's kernel does it, on CPU 0. */
void guest_put(gpa_t at, uint64_t entry);
/* Map gva to gpa by a leaf of this level; tables that are missing come from TABLES_GFN on. */
void guest_map(gva_t gva, gpa_t gpa, unsigned level, uint64_t flags);
gfn_t guest_new_table(void);
/* Another address space, which map() works on from now on, with the window. */
gpa_t guest_new_space(void);
void guest_load(struct shadow_cpu *cpu, gpa_t top);

/* Accesses of CPU 0; CHECKs that they work. */
uint64_t guest_read(gva_t gva);
void guest_write(gva_t gva, uint64_t value);
/* CHECKs that the guest gets #PF with this code. */
void guest_faults(gva_t gva, unsigned access, bool user, uint32_t error);
bool guest_works(gva_t gva, unsigned access, bool user);
