/* SPDX-License-Identifier: GPL-2.0-only */
/* Looks addresses up in the table that tools/ksyms.py makes.  Used in panics: no state, no lock. */
#include "host/symbols.h"

#include <stddef.h>

/* Sorted; ksyms_offsets has one entry more, the end of the code. */
extern const uint64_t ksyms_base;
extern const uint32_t ksyms_count;
extern const uint32_t ksyms_offsets[];
extern const uint32_t ksyms_names[];
extern const char ksyms_blob[];

const char *symbol_lookup(uint64_t addr, uint64_t *offset)
{
	uint32_t lo = 0, hi = ksyms_count;
	uint64_t off = addr - ksyms_base;

	if (!ksyms_count || addr < ksyms_base || off >= ksyms_offsets[ksyms_count])
		return NULL;
	/* The last entry that starts at or below addr; entry 0 starts at ksyms_base. */
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (ksyms_offsets[mid] <= off)
			lo = mid;
		else
			hi = mid;
	}
	*offset = off - ksyms_offsets[lo];
	return ksyms_blob + ksyms_names[lo];
}
