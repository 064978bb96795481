/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypervisor's own page tables: the mechanism.  Four levels, one root for
 * all CPUs, tables only ever added after boot; what is mapped where is decided in layout.c.
 * Pages are taken away only by stack.c, which sees to the TLBs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	PAGING_W = 1 << 0,
	PAGING_X = 1 << 1,
	PAGING_UC = 1 << 2, /* device registers */
	PAGING_WC = 1 << 3, /* framebuffers */
	PAGING_4K = 1 << 4, /* no larger pages */
};

#define PAGING_NONE (~0ul)

/* An empty root, made current later by paging_load(). 0 or -ENOMEM. */
int paging_init(void);
/* On each CPU: EFER.NXE, CR0.WP, CR4, PAT as the tables need them, then CR3. */
void paging_load(void);
uint64_t paging_root(void);

/*
 * Map [va, va + size) to pa with the largest pages that fit; all multiples of 4K.
 * Where something is mapped already, that stays.  0 or -ENOMEM (part may be mapped then).
 * Callers serialise.
 */
int paging_map(uint64_t va, uint64_t pa, uint64_t size, unsigned flags);
/* The same under another root. */
int paging_map_in(uint64_t root, uint64_t va, uint64_t pa, uint64_t size, unsigned flags);
/* Take 4K pages away; the tables stay.  Nothing is flushed. */
void paging_unmap(uint64_t va, uint64_t size);
/* Free the tables of the lower half of a root. */
void paging_free_low(uint64_t root);

/*
 * Where the current tables of this CPU send va (PAGING_NONE: nowhere); *writable when not NULL.
 * Reads page tables only: safe in a panic.
 */
uint64_t paging_translate(uint64_t va, bool *writable);
