/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the architecture says an access does with page tables: a model in C, written from SDM vol.
 * 3A, chapter 4, that reads the tables where they lie (mapped one to one, below 4 GiB).
 *
 *   struct walk w = { .va = va, .kind = ACCESS_WRITE, .user = true };
 *   walk_predict(&cpu, &w);         w.fault, w.error, or w.pa
 *   walk_commit(&w);                Accessed and Dirty, as the access leaves them
 */
#pragma once

#include "tests/guest/lib/guest.h"

#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_RSVD 8u
#define PF_I 16u

enum access_kind { ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH };

/* The registers that count.  pdpte: what PAE paging loaded with CR3. */
struct walk_cpu {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t pdpte[4];
	bool ac; /* RFLAGS.AC */
};

#define WALK_LEVELS_MAX 5

struct walk {
	uint64_t va;
	enum access_kind kind;
	bool user;

	bool fault;
	uint32_t error;   /* of the #PF */
	uint64_t pa;      /* when there is none */
	unsigned level;   /* of the page: 1 is 4K; of the entry that faulted otherwise */
	unsigned steps;   /* entries read, without PAE's four */
	uint64_t entry[WALK_LEVELS_MAX]; /* where they lie, from the top */
	unsigned entry_size;
};

/* The registers as they are now, for 64-bit code. */
void walk_cpu_now(struct walk_cpu *cpu);
void walk_load_pdptes(struct walk_cpu *cpu);
void walk_predict(const struct walk_cpu *cpu, struct walk *w);
/* For a walk that does not fault. */
void walk_commit(const struct walk *w);

/* Bits of a physical address that this processor has. */
unsigned walk_physical_bits(void);
/* The lowest address bit that is reserved in a 64-bit entry; 0: there is none. */
uint64_t walk_reserved_bit(void);
bool walk_has_1g(void);
