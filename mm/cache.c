/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages in reserve; see cache.h. */
#include "mm/cache.h"

int cache_fill(struct mmu_cache *cache, unsigned want)
{
	MM_BUG_ON(want > MMU_CACHE_PAGES);
	while (cache->count < want) {
		hpa_t hpa = port_pages_alloc(0, PORT_ZERO);

		if (hpa == HPA_INVALID)
			return -ENOMEM;
		cache->page[cache->count++] = hpa;
	}
	return 0;
}

hpa_t cache_take(struct mmu_cache *cache)
{
	return cache->count ? cache->page[--cache->count] : HPA_INVALID;
}

void cache_put(struct mmu_cache *cache, hpa_t hpa)
{
	/* It came from here, so there is room. */
	MM_BUG_ON(cache->count == MMU_CACHE_PAGES);
	cache->page[cache->count++] = hpa;
}

void cache_drain(struct mmu_cache *cache)
{
	while (cache->count)
		port_pages_free(cache->page[--cache->count], 0);
}
