/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All processors at the same pages: each writes and verifies a lane of its own in every page, so
 * that they share the pages and their faults but no contents.  For kernels that use smp.h.
 */
#pragma once

#include "tests/guest/lib/smp.h"

#define STORM_GPA 0x80000000ul /* a slot of its own, above the kernel's RAM */
#define STORM_SLOT 5ul
/* Every 16th page is left alone: it belongs to who operates on the storm's memory. */
#define STORM_RESERVED(page) ((page) % 16 == 15)

struct storm {
	uint64_t base;
	unsigned pages;
	uint32_t *salts; /* what each processor wrote last to each page; 0: nothing */
	void (*op)(struct storm *s, unsigned round);
	unsigned rounds;
	_Atomic bool stop;
	/* Where it is mapped as well, `aliases` times behind each other; each access goes by any. */
	uint64_t root, alias_va;
	unsigned aliases;
};

/* Memory from the slot STORM_SLOT, all zero. */
void storm_create(struct storm *s, uint64_t bytes);
/* The same in memory that there is; ends the kernel when it is not zero. */
void storm_place(struct storm *s, uint64_t base, uint64_t bytes);

void storm_write(struct storm *s, unsigned page);
/* The lane of this processor holds what it wrote last. */
bool storm_verify(struct storm *s, unsigned page);
/* One or the other, at random. */
void storm_step(struct storm *s);
/* By number 0, when nobody writes: all lanes of all pages. */
void storm_verify_all(struct storm *s);

/*
 * Number 0 calls op `rounds` times while the others storm, and lets them get on in between; alone
 * it does both.  Verifies all at the end.
 */
void storm_beside(struct storm *s, void (*op)(struct storm *s, unsigned round), unsigned rounds);

/* ---- operations for it -------------------------------------------------------------------- */

/* Each on a random part of the memory, or on all of it, with PHYLLO_MAY_BLOCK and without. */
void storm_op_unmap(struct storm *s, unsigned round);
void storm_op_zap_all(struct storm *s, unsigned round);
void storm_op_age(struct storm *s, unsigned round);
/* Read-only or not at all, and back; the others try again and again. */
void storm_op_protect(struct storm *s, unsigned round);
/* Of the reserved pages. */
void storm_op_balloon(struct storm *s, unsigned round);
void storm_op_migrate(struct storm *s, unsigned round);
/* Another slot comes, moves, and goes. */
void storm_op_slots(struct storm *s, unsigned round);
/* Any of the above, with an audit now and then. */
void storm_op_any(struct storm *s, unsigned round);
