/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See paging.h.  A table is reached through the direct map, early or final: both
 * have it at the same place.
 *
 *   CR3 -> level 4 -> level 3 -> level 2 -> level 1 -> 4K page
 *                        \-> 1G page  \-> 2M page
 */
#include "arch/x86/paging.h"

#include "arch/x86/cpu.h"
#include "host/machine.h"
#include "host/pages.h"
#include "lib/util.h"
#include "mm/errno.h"
#include "mm/types.h"

#define PTE_P (1ul << 0)
#define PTE_W (1ul << 1)
#define PTE_PWT (1ul << 3)
#define PTE_PCD (1ul << 4)
#define PTE_A (1ul << 5)
#define PTE_D (1ul << 6)
#define PTE_LARGE (1ul << 7)
#define PTE_NX (1ul << 63)
#define PTE_ADDRESS 0x000ffffffffff000ul

/* Entry 1 (PWT) is write-combining instead of write-through; the others are as after reset. */
#define PAT_VALUE 0x0007040600070106ul

static uint64_t root_pa;
static uint64_t pte_nx;     /* 0 where the CPU has no NX */
static unsigned max_leaf = PG_LEVEL_2M;

static uint64_t *table_at(uint64_t pa)
{
	return machine_phys_to_virt(pa);
}

int paging_init(void)
{
	uint32_t edx = cpuid(0x80000001, 0).edx;

	pte_nx = edx & (1u << 20) ? PTE_NX : 0;
	max_leaf = edx & (1u << 26) ? PG_LEVEL_1G : PG_LEVEL_2M;
	root_pa = pages_alloc(0, PAGES_ZERO);
	return root_pa == PAGES_NONE ? -ENOMEM : 0;
}

uint64_t paging_root(void)
{
	return root_pa;
}

void paging_load(void)
{
	uint64_t cr4 = CR4_PAE | CR4_DE | CR4_MCE;
	struct cpuid_regs r = cpuid(7, 0);

	if (pte_nx)
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	wrmsr(MSR_PAT, PAT_VALUE);
	/* There is no user memory: any use of such a mapping would be an attack or a bug. */
	if (cpuid(0, 0).eax >= 7 && r.ebx & (1u << 7))
		cr4 |= CR4_SMEP;
	if (cpuid(0, 0).eax >= 7 && r.ebx & (1u << 20))
		cr4 |= CR4_SMAP;
	write_cr0(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE);
	write_cr3(root_pa);
	write_cr4(cr4);
}

/* ---- mapping ------------------------------------------------------------------ */

static uint64_t leaf_bits(unsigned flags)
{
	uint64_t bits = PTE_P | PTE_A | PTE_D;

	if (flags & PAGING_W)
		bits |= PTE_W;
	if (!(flags & PAGING_X))
		bits |= pte_nx;
	if (flags & PAGING_UC)
		bits |= PTE_PCD | PTE_PWT;
	if (flags & PAGING_WC)
		bits |= PTE_PWT;
	return bits;
}

/* The table below *entry, made when there is none; NULL when memory is short. */
static uint64_t *table_below(uint64_t *entry)
{
	if (!(*entry & PTE_P)) {
		uint64_t pa = pages_alloc(0, PAGES_ZERO);

		if (pa == PAGES_NONE)
			return NULL;
		*entry = pa | PTE_P | PTE_W | PTE_A;
	}
	return table_at(*entry & PTE_ADDRESS);
}

/*
 * Map one page of the largest size that va, pa and size allow, or find what is mapped
 * there.  Returns how many bytes this settles; 0 when memory is short.
 */
static uint64_t map_one(uint64_t root, uint64_t va, uint64_t pa, uint64_t size, unsigned flags)
{
	unsigned limit = flags & PAGING_4K ? PG_LEVEL_4K : max_leaf;
	uint64_t *table = table_at(root);

	for (unsigned level = PG_LEVEL_512G;; level--) {
		uint64_t *entry = &table[level_index(va >> PAGE_SHIFT, level)];
		uint64_t span = 1ul << level_shift(level);
		bool fits = level <= limit && !((va | pa) & (span - 1)) && size >= span;

		if (*entry & PTE_P && (level == PG_LEVEL_4K || *entry & PTE_LARGE))
			return span - (va & (span - 1));
		if (!(*entry & PTE_P) && fits) {
			*entry = pa | leaf_bits(flags) | (level > PG_LEVEL_4K ? PTE_LARGE : 0);
			return span;
		}
		table = table_below(entry);
		if (!table)
			return 0;
	}
}

int paging_map_in(uint64_t root, uint64_t va, uint64_t pa, uint64_t size, unsigned flags)
{
	while (size) {
		uint64_t done = map_one(root, va, pa, size, flags);

		if (!done)
			return -ENOMEM;
		done = MIN(done, size);
		va += done;
		pa += done;
		size -= done;
	}
	return 0;
}

int paging_map(uint64_t va, uint64_t pa, uint64_t size, unsigned flags)
{
	return paging_map_in(root_pa, va, pa, size, flags);
}

static void unmap_one(uint64_t va)
{
	uint64_t *table = table_at(root_pa);

	for (unsigned level = PG_LEVEL_512G;; level--) {
		uint64_t *entry = &table[level_index(va >> PAGE_SHIFT, level)];

		if (!(*entry & PTE_P))
			return;
		if (level == PG_LEVEL_4K) {
			*entry = 0;
			return;
		}
		BUG_ON(*entry & PTE_LARGE);
		table = table_at(*entry & PTE_ADDRESS);
	}
}

void paging_unmap(uint64_t va, uint64_t size)
{
	for (uint64_t done = 0; done < size; done += PAGE_SIZE)
		unmap_one(va + done);
}

static void free_tables(uint64_t *table, unsigned entries, unsigned level)
{
	for (unsigned i = 0; i < entries; i++) {
		uint64_t entry = table[i];

		table[i] = 0;
		if (!(entry & PTE_P) || entry & PTE_LARGE || level == PG_LEVEL_4K)
			continue;
		free_tables(table_at(entry & PTE_ADDRESS), PT_ENTRIES, level - 1);
		pages_free(entry & PTE_ADDRESS, 0);
	}
}

void paging_free_low(uint64_t root)
{
	free_tables(table_at(root), PT_ENTRIES / 2, PG_LEVEL_512G);
}

/* ---- looking up ------------------------------------------------------------------ */

static bool is_canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

uint64_t paging_translate(uint64_t va, bool *writable)
{
	const uint64_t *table = table_at(read_cr3() & PTE_ADDRESS);
	bool w = true;

	if (!is_canonical(va))
		return PAGING_NONE;
	for (unsigned level = PG_LEVEL_512G;; level--) {
		uint64_t entry = table[level_index(va >> PAGE_SHIFT, level)];
		uint64_t span = 1ul << level_shift(level);

		if (!(entry & PTE_P))
			return PAGING_NONE;
		w = w && entry & PTE_W;
		if (level == PG_LEVEL_4K || entry & PTE_LARGE) {
			if (writable)
				*writable = w;
			return (entry & PTE_ADDRESS & ~(span - 1)) | (va & (span - 1));
		}
		table = table_at(entry & PTE_ADDRESS);
	}
}
