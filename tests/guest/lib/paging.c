/* SPDX-License-Identifier: GPL-2.0-only */
/* A pool of table pages and a 4-level mapper. */
#include "tests/guest/lib/paging.h"

#define POOL_PAGES 160

static uint8_t pool[POOL_PAGES][PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t (*pool_now)[PAGE_SIZE] = pool;
static unsigned pool_pages = POOL_PAGES, pool_used;

void page_pool_set(uint64_t base, uint64_t bytes)
{
	pool_now = (uint8_t (*)[PAGE_SIZE])(uintptr_t)base;
	pool_pages = bytes / PAGE_SIZE;
	pool_used = 0;
}

void *page_alloc(void)
{
	if (pool_used == pool_pages)
		guest_die("the kernel's pool of %u table pages is empty", pool_pages);
	memset(pool_now[pool_used], 0, PAGE_SIZE);
	return pool_now[pool_used++];
}

uint64_t *paging_entry(uint64_t *root, uint64_t va, unsigned level)
{
	uint64_t *table = root;

	for (unsigned l = 4; l > level; l--) {
		uint64_t *e = &table[va >> (12 + 9 * (l - 1)) & 511];

		if (!(*e & PTE_P))
			*e = (uintptr_t)page_alloc() | PTE_P | PTE_W | PTE_U;
		if (l < 4 && *e & PTE_PS)
			guest_die("0x%lx is already mapped by a large page", va);
		table = (uint64_t *)(*e & PTE_ADDR);
	}
	return &table[va >> (12 + 9 * (level - 1)) & 511];
}

void paging_map(uint64_t *root, uint64_t va, uint64_t pa, unsigned level, uint64_t flags)
{
	*paging_entry(root, va, level) = pa | flags | PTE_P | (level > 1 ? PTE_PS : 0);
}

uint64_t *paging_new_root(void)
{
	uint64_t *root = page_alloc();
	uint64_t *pdpt = page_alloc();

	memcpy(pdpt, (void *)(boot_pml4[0] & PTE_ADDR), 4 * sizeof(uint64_t));
	root[0] = (uintptr_t)pdpt | PTE_P | PTE_W | PTE_U;
	return root;
}

void paging_map_high_ram(void)
{
	for (unsigned i = 0; i < info.ram_count; i++) {
		uint64_t pa = info.ram[i].base & ~(SIZE_2M - 1);
		uint64_t end = info.ram[i].base + info.ram[i].size;

		if (pa < 4 * SIZE_1G)
			pa = 4 * SIZE_1G;
		for (; pa < end; pa += SIZE_2M)
			paging_map(boot_pml4, pa, pa, 2, PTE_W);
	}
}
