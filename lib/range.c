/* SPDX-License-Identifier: GPL-2.0-only */
/* Ranges of addresses; see range.h.  Quadratic, which is fine for some hundred ranges. */
#include "lib/range.h"

#include "lib/util.h"

struct range range_clamped(uint64_t base, uint64_t size)
{
	struct range r = { .base = base };

	if (__builtin_add_overflow(base, size, &r.end))
		r.end = UINT64_MAX;
	return r;
}

static bool holds(const struct range *r, uint64_t addr)
{
	return r->base <= addr && addr < r->end;
}

/* The lowest address at or above from in any of have[]. */
static bool lowest_had(const struct range_set *set, uint64_t from, uint64_t *addr)
{
	bool found = false;
	uint64_t lowest = UINT64_MAX;

	for (size_t i = 0; i < set->have_count; i++) {
		const struct range *r = &set->have[i];
		uint64_t a = MAX(r->base, from);

		if (a >= r->end || a > lowest)
			continue;
		lowest = a;
		found = true;
	}
	*addr = lowest;
	return found;
}

/* The end of a taken range that holds addr; addr itself when none does. */
static uint64_t skip_taken(const struct range_set *set, uint64_t addr)
{
	for (size_t i = 0; i < set->taken_count; i++)
		if (holds(&set->taken[i], addr))
			return set->taken[i].end;
	return addr;
}

/* How far have[] reaches without a gap from addr, which is in it. */
static uint64_t reach(const struct range_set *set, uint64_t addr)
{
	uint64_t end = addr;

	for (size_t i = 0; i < set->have_count; i++) {
		const struct range *r = &set->have[i];

		if (r->base <= end && r->end > end && r->base < r->end) {
			end = r->end;
			i = (size_t)-1; /* what begins there may come earlier in the array */
		}
	}
	return end;
}

bool range_next_piece(const struct range_set *set, uint64_t from, struct range *out)
{
	uint64_t addr;

	for (;;) {
		if (!lowest_had(set, from, &addr))
			return false;
		from = skip_taken(set, addr);
		if (from == addr)
			break;
	}
	out->base = addr;
	out->end = reach(set, addr);
	for (size_t i = 0; i < set->taken_count; i++) {
		const struct range *r = &set->taken[i];

		if (r->base < r->end && r->base > addr && r->base < out->end)
			out->end = r->base;
	}
	return true;
}

bool range_inside(const struct range_set *set, struct range r)
{
	struct range piece;

	return range_next_piece(set, r.base, &piece) && piece.base == r.base && r.end <= piece.end;
}

bool range_find_room(const struct range_set *set, uint64_t size, uint64_t align, uint64_t from,
		     uint64_t limit, uint64_t *base)
{
	struct range piece;

	size = MAX(size, 1ul);
	while (from < limit && range_next_piece(set, from, &piece)) {
		uint64_t end = MIN(piece.end, limit), at;

		/* Rounding up may pass 2^64: then no higher piece will do either. */
		if (__builtin_add_overflow(piece.base, align - 1, &at))
			return false;
		at &= ~(align - 1);
		if (at < end && end - at >= size) {
			*base = at;
			return true;
		}
		from = piece.end;
	}
	return false;
}
