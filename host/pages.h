/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's page allocator: a buddy system over all RAM of the boot memory map,
 * orders 0 (4K) to 18 (1G), with a small cache of single pages per CPU.
 *
 * Sized at boot from the memory found.  Exact accounting: free + used == total
 * at any quiet moment.  Debug builds (PHYLLO_DEBUG) poison freed pages and check the
 * poison when a page is handed out.  Any context but NMI; interrupts are
 * disabled inside.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct boot_info;

#define PAGES_ORDER_MAX 18
#define PAGES_NONE (~0ul)

enum {
	PAGES_ZERO = 1 << 0,
	PAGES_BELOW_4G = 1 << 1, /* where 32 bits of a register reach */
};

/*
 * Takes over all RAM but the image, the modules, the first MiB and what
 * boot_info marks as used.  -ENOMEM with a log line when it is less than the
 * hypervisor needs.  Needs only the early direct map (4 GiB): memory above that
 * is added by pages_add_high() once paging maps it.
 */
int pages_init(const struct boot_info *bi);
void pages_add_high(const struct boot_info *bi);

/* Physical address of 2^order aligned pages, PAGES_NONE when there are none. */
uint64_t pages_alloc(unsigned order, unsigned flags);
void pages_free(uint64_t pa, unsigned order);
/* n neighbours, each allocated by itself with order 0. */
void pages_free_run(uint64_t pa, uint64_t n);
/* One allocation of 2^order becomes 2^order allocations of order 0. */
void pages_split(uint64_t pa, unsigned order);

struct pages_stats {
	uint64_t total, free; /* 4K pages; those in CPU caches count as free */
	uint64_t allocs, frees, failures;
	uint64_t free_by_order[PAGES_ORDER_MAX + 1];
};
void pages_stats(struct pages_stats *out);
/* Empty the CPU caches of this CPU, so that neighbours can merge. */
void pages_drain_local(void);
