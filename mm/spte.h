/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only way to touch a page-table entry.
 *
 * Processors walk the tables and set Accessed and Dirty in them at any moment, so
 * every access is one atomic 8-byte access.  A store, exchange or successful
 * compare-exchange releases what was written before it (the contents of the table
 * or page it links); it pairs with the acquire of spte_load() and with the
 * address dependency of a processor's walk.
 */
#pragma once

#include <stdatomic.h>

#include "mm/format.h"
#include "mm/types.h"

/* One entry where it lies in a table. */
typedef struct {
	_Atomic uint64_t raw;
} spte_cell_t;

/*
 * An entry that somebody is replacing in two steps.  Not present in any format;
 * whoever meets it under a shared lock comes again later.
 */
#define SPTE_FROZEN SPTE_FROZEN_BIT

static inline bool spte_is_present(spte_t spte)
{
	return spte.raw & SPTE_PRESENT;
}

static inline bool spte_is_frozen(spte_t spte)
{
	return spte.raw == SPTE_FROZEN;
}

static inline spte_t spte_load(const spte_cell_t *cell)
{
	return (spte_t){ atomic_load_explicit(&cell->raw, memory_order_acquire) };
}

/* For an entry that nobody else may change now: an unlinked or a frozen one. */
static inline void spte_store(spte_cell_t *cell, spte_t new)
{
	atomic_store_explicit(&cell->raw, new.raw, memory_order_release);
}

/* What was there, with any Accessed or Dirty that came at the last moment. */
static inline spte_t spte_xchg(spte_cell_t *cell, spte_t new)
{
	return (spte_t){ atomic_exchange_explicit(&cell->raw, new.raw, memory_order_acq_rel) };
}

/* Changes *old into new, or tells in *old what is there instead. */
static inline bool spte_cmpxchg(spte_cell_t *cell, spte_t *old, spte_t new)
{
	uint64_t raw = old->raw; /* a plain local: so the compiler keeps it in a register */
	bool done = atomic_compare_exchange_strong_explicit(&cell->raw, &raw, new.raw,
							    memory_order_acq_rel,
							    memory_order_acquire);

	old->raw = raw;
	return done;
}

/* Set or clear one software bit beside whatever else happens to the entry. */
static inline spte_t spte_set_bits(spte_cell_t *cell, uint64_t bits)
{
	return (spte_t){ atomic_fetch_or_explicit(&cell->raw, bits, memory_order_acq_rel) };
}

static inline spte_t spte_clear_bits(spte_cell_t *cell, uint64_t bits)
{
	return (spte_t){ atomic_fetch_and_explicit(&cell->raw, ~bits, memory_order_acq_rel) };
}

/* The table at hpa. */
static inline spte_cell_t *spte_table(hpa_t hpa)
{
	return port_hpa_to_va(hpa);
}
