/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A few zeroed pages, taken from the host before a lock is taken, so that nothing
 * has to be allocated under it.  Owned by one CPU at a time.
 */
#pragma once

#include "mm/mmu.h"
#include "mm/port.h"

int cache_fill(struct mmu_cache *cache, unsigned want);
/* Fill up to want pages.  -ENOMEM leaves what there is. */
static inline int cache_topup(struct mmu_cache *cache, unsigned want)
{
	return cache->count >= want ? 0 : cache_fill(cache, want);
}

/* A zeroed page, or HPA_INVALID. */
hpa_t cache_take(struct mmu_cache *cache);
/* Give one back that was never written. */
void cache_put(struct mmu_cache *cache, hpa_t hpa);
void cache_drain(struct mmu_cache *cache);
