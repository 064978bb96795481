/* SPDX-License-Identifier: GPL-2.0-only */
/* The search in the table of msr_safe.asm: a handful of pairs, never on a hot path. */
#include "arch/x86/extable.h"

struct extable_entry {
	uint64_t fault;        /* address of the instruction that may fault */
	uint64_t continuation; /* where the interrupted code goes on */
};

extern const struct extable_entry extable_start[], extable_end[];

bool extable_fixup(uint64_t *rip)
{
	for (const struct extable_entry *e = extable_start; e < extable_end; e++) {
		if (e->fault == *rip) {
			*rip = e->continuation;
			return true;
		}
	}
	return false;
}
