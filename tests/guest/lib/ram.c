/* SPDX-License-Identifier: GPL-2.0-only */
/* RAM that holds neither the kernel nor what the loader left. */
#include "tests/guest/lib/guest.h"

#define LOW_END 0x100000ul /* firmware's, on a machine with firmware */

static struct ram_range taken[32];
static unsigned taken_count;

/* The lowest range in list that ends after pos and starts before end. */
static const struct ram_range *first_in(const struct ram_range *list, unsigned count, uint64_t pos,
					uint64_t end)
{
	const struct ram_range *best = NULL;

	for (unsigned i = 0; i < count; i++) {
		const struct ram_range *r = &list[i];

		if (r->base + r->size <= pos || r->base >= end)
			continue;
		if (!best || r->base < best->base)
			best = r;
	}
	return best;
}

/* The next free range at or after *pos within [*pos, end); false: none is left. */
static bool next_free(uint64_t *pos, uint64_t end, struct ram_range *out)
{
	const struct ram_range *k, *t;

	while (*pos < end) {
		uint64_t stop = end;

		k = first_in(info.keep, info.keep_count, *pos, end);
		t = first_in(taken, taken_count, *pos, end);
		if (!k || (t && t->base < k->base))
			k = t;
		if (k)
			stop = k->base > *pos ? k->base : *pos;
		*out = (struct ram_range){ *pos, stop - *pos };
		*pos = k ? k->base + k->size : end;
		if (out->size)
			return true;
	}
	return false;
}

static void clip(const struct ram_range *r, uint64_t *start, uint64_t *end)
{
	*start = (r->base + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
	*end = (r->base + r->size) & ~(uint64_t)(PAGE_SIZE - 1);
	if (*start < LOW_END)
		*start = LOW_END;
}

void ram_for_each(void (*fn)(uint64_t base, uint64_t size))
{
	struct ram_range r;
	uint64_t pos, end;

	for (unsigned i = 0; i < info.ram_count; i++) {
		clip(&info.ram[i], &pos, &end);
		while (next_free(&pos, end, &r))
			fn(r.base, r.size);
	}
}

static uint64_t take_from(const struct ram_range *r, uint64_t size, uint64_t align)
{
	uint64_t base = (r->base + align - 1) & ~(align - 1);

	if (base + size > r->base + r->size || base + size > 0x100000000ull)
		return 0;
	if (taken_count == ARRAY_SIZE(taken))
		guest_die("ram_take() was called too often");
	taken[taken_count++] = (struct ram_range){ base, size };
	return base;
}

uint64_t ram_take(uint64_t size, uint64_t align)
{
	struct ram_range r;
	uint64_t pos, end, base;

	for (unsigned i = 0; i < info.ram_count; i++) {
		clip(&info.ram[i], &pos, &end);
		while (next_free(&pos, end, &r)) {
			base = take_from(&r, size, align);
			if (base)
				return base;
		}
	}
	return 0;
}
