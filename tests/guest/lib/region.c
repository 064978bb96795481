/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory with known contents. */
#include "tests/guest/lib/region.h"

#define WORDS (PAGE_SIZE / 8)

static uint64_t *page_of(const struct region *r, unsigned page)
{
	return (uint64_t *)(uintptr_t)(r->base + page * PAGE_SIZE);
}

static uint64_t word(const uint64_t *p, uint32_t salt)
{
	return salt ? ((uint64_t)salt << 32 | (uint32_t)(uintptr_t)p) ^ 0xa5a5a5a55a5a5a5aull : 0;
}

void region_take(struct region *r, uint64_t size)
{
	r->pages = size / PAGE_SIZE;
	r->base = ram_take(size, SIZE_2M);
	r->salt = (uint32_t *)(uintptr_t)ram_take((r->pages * 4 + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1),
						  PAGE_SIZE);
	if (!r->base || !r->salt)
		guest_die("this kernel needs %llu KiB of free memory below 4 GiB",
			  (unsigned long long)size >> 10);
	for (unsigned i = 0; i < r->pages; i++)
		region_fill(r, i, i + 1);
}

void region_fill(const struct region *r, unsigned page, uint32_t salt)
{
	uint64_t *p = page_of(r, page);

	for (unsigned i = 0; i < WORDS; i++)
		p[i] = word(&p[i], salt);
	r->salt[page] = salt;
}

bool region_verify(const struct region *r, unsigned page)
{
	uint64_t *p = page_of(r, page);

	for (unsigned i = 0; i < WORDS; i++) {
		uint64_t want = word(&p[i], r->salt[page]);

		if (p[i] == want)
			continue;
		ktap_fail(__FILE__, __LINE__, "page %u word %u holds 0x%llx, not 0x%llx", page, i,
			  (unsigned long long)p[i], (unsigned long long)want);
		return false;
	}
	return true;
}

bool region_verify_all(const struct region *r)
{
	for (unsigned i = 0; i < r->pages; i++)
		if (!region_verify(r, i))
			return false;
	return true;
}

uint32_t random32(void)
{
	static uint32_t x = 2463534242u; /* xorshift */

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x;
}
