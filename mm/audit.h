/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the audit: audit.c walks, audit_leaf.c judges a leaf. */
#pragma once

#include "mm/vm.h"

struct audit {
	struct mmu_vm *vm;
	struct mmu_audit_report *report;
	/* what the walk counted */
	uint64_t leaves[PG_LEVEL_1G + 1];
	uint64_t nx_tables, mmio_entries;
	size_t used; /* of report->first */
};

/* "WHERE 0x… WHAT 0x…": an error about one place, with the value found there. */
void audit_fail(struct audit *a, const char *where, uint64_t place, const char *what,
		uint64_t value);
/* The shadow pages, and the rmaps. */
void audit_shadow(struct audit *a) REQUIRES(a->vm->mmu_lock);
/* A leaf of a root, against its format, slot, page and log. */
void audit_leaf(struct audit *a, const struct mmu_format *fmt, spte_t leaf, gfn_t gfn,
		unsigned level) REQUIRES(a->vm->mmu_lock);
