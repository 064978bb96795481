/* SPDX-License-Identifier: GPL-2.0-only */
/* Page tables of the kernel's own, for 64-bit kernels. */
#pragma once

#include "tests/guest/lib/guest.h"

#define PTE_P (1ull << 0)
#define PTE_W (1ull << 1)
#define PTE_U (1ull << 2)
#define PTE_A (1ull << 5)
#define PTE_D (1ull << 6)
#define PTE_PS (1ull << 7)
#define PTE_G (1ull << 8)
#define PTE_NX (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

extern uint64_t boot_pml4[512];

/* A zeroed page below 4 GiB, never freed; ends the kernel when the pool is empty. */
void *page_alloc(void);
/* From now on they come from here, beginning at its start; what was given out before stays. */
void page_pool_set(uint64_t base, uint64_t bytes);

/*
 * The entry of the given level (1: 4K, 2: 2M, 3: 1G) for va in a 4-level tree; missing
 * tables are made (P, W, U).  A large page in the way ends the kernel.
 */
uint64_t *paging_entry(uint64_t *root, uint64_t va, unsigned level);
void paging_map(uint64_t *root, uint64_t va, uint64_t pa, unsigned level, uint64_t flags);

/* A new root that shares the boot tables' low 4 GiB. */
uint64_t *paging_new_root(void);

/* Map all RAM above 4 GiB to itself with 2M pages, in the boot tables. */
void paging_map_high_ram(void);
