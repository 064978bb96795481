/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the stress kernels share: memory in slots of its own, of which each processor has a part; what
 * each page must hold; phases with their times.  For kernels that use smp.h.
 *
 *   static void fill(unsigned page) { stress_write(page); }
 *
 *   stress_init(32, 4);                 32 MiB in 4 slots, unless the command line says otherwise
 *   stress_phase("run 1", fill);        by all processors, each on its pages; prints how long it took
 *   stress_verify_all();
 *
 * Words: mib=N slots=N seed=N; overlap=on: everybody works on all pages; order=random.
 */
#pragma once

#include "tests/guest/lib/smp.h"

#define STRESS_GPA 0x80000000ul /* above the kernel's RAM, below the hole */
#define STRESS_MIB_MAX 1024u
#define STRESS_SLOT 16u         /* id of the first */
#define STRESS_SLOTS_MAX 256u

struct stress {
	uint64_t base;
	unsigned pages, slots, slot_pages;
	bool overlap, random;
	uint32_t *value; /* what each page holds; 0: it was never written */
	/*
	 * Pages that are left alone, for whatever reason the kernel has: those with a bit of
	 * `avoid`.  Changed by number 0, of pages that nobody works on.
	 */
	uint8_t *state, avoid;
	uint8_t *written; /* by stress_write(), until somebody clears it */
};
extern struct stress stress;

/* Several processors, #VE, the memory.  Ends the kernel where that is not to be had. */
void stress_init(unsigned mib, unsigned slots);
/* Processors only. */
void stress_init_processors(void);
/* Zeroed memory of the kernel's own; ends it when there is none. */
void *stress_take(uint64_t bytes);

/* ---- phases --------------------------------------------------------------------------------- */

/* Each processor calls fn for each page of its part.  Number 0 says how long it took. */
void stress_phase(const char *name, void (*fn)(unsigned page));
/* Without a line about it. */
void stress_run(void (*fn)(unsigned page));
/* The same for a function that finds its pages itself, with stress_each() for instance. */
void stress_phase_job(const char *name, void (*job)(void *arg));
void stress_each(void (*fn)(unsigned page));
/* And for what number 0 alone does: between the two. */
uint64_t stress_begin(void);
void stress_end(const char *name, uint64_t begun);

/* ---- pages ----------------------------------------------------------------------------------- */

static inline uint64_t stress_gpa(unsigned page)
{
	return stress.base + page * PAGE_SIZE;
}

static inline uint64_t stress_bytes(void)
{
	return stress.pages * PAGE_SIZE;
}

static inline unsigned stress_slot_of(unsigned page)
{
	return page / stress.slot_pages;
}

/* The word that stands for the page, at a place that differs from page to page. */
static inline volatile uint64_t *stress_word(unsigned page)
{
	return (volatile uint64_t *)(stress_gpa(page) + page % 511 * 8);
}

/* All writes of one generation write the same: who shares a page does not mind. */
extern uint32_t stress_generation;
void stress_write(unsigned page);
/* By any processor: fails the running test when the page does not hold what was written last. */
void stress_verify(unsigned page);
/* By number 0, when nobody writes; all pages but those that are left alone. */
void stress_verify_all(void);
/* The write of before once more: changes nothing. */
void stress_rewrite(unsigned page);
/* They are zeroes from now on. */
void stress_forget(unsigned first, unsigned pages);
static inline bool stress_avoids(unsigned page)
{
	return stress.state[page] & stress.avoid;
}

/*
 * A write that a protection may forbid: true: #VE came, and the instruction was stepped over.  Beforehand,
 * on each processor: stress_step_over().
 */
void stress_step_over(void);
bool stress_try_write(unsigned page, uint64_t value);
bool stress_try_rewrite(unsigned page);

/* The slots, one after the other. */
long stress_dirty_start(unsigned style, unsigned flags);
long stress_dirty_stop(void);
long stress_age(void); /* -> pages that were young */
