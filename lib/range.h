/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ranges of addresses, and what is left of some when others are taken away: the
 * host's free memory, a guest's memory map, room for a module.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* [base, end); empty when base >= end.  Ends at most at 2^64 - 1. */
struct range {
	uint64_t base, end;
};

/* The union of have[] without the union of taken[]; any order, overlaps are fine. */
struct range_set {
	const struct range *have;
	size_t have_count;
	const struct range *taken;
	size_t taken_count;
};

/* From base and size; an end beyond 64 bits is cut to the last address. */
struct range range_clamped(uint64_t base, uint64_t size);
static inline bool range_overlaps(struct range a, struct range b)
{
	return a.base < b.end && b.base < a.end;
}

/* The lowest piece of the set at or above from, as long as it goes; false: none. */
bool range_next_piece(const struct range_set *set, uint64_t from, struct range *out);

/* All of r lies in one piece of the set. */
bool range_inside(const struct range_set *set, struct range r);

/*
 * The lowest multiple of align in [from, limit) at which size bytes are in the set and end at
 * or below limit.  align is a power of two; size 0 counts as 1.
 */
bool range_find_room(const struct range_set *set, uint64_t size, uint64_t align, uint64_t from,
		     uint64_t limit, uint64_t *base);
