/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changing mappings and backing of a range together, part by part: take a part down,
 * flush, change its backing, let faults have it, go on.
 */
#pragma once

#include "mm/backing.h"
#include "mm/invalidate.h"
#include "mm/walk.h"

/*
 * walk takes the mappings of [change->next, change->end) down, or reduces them; change comes
 * behind it.  What backing_change_step() says; spare has to be filled before.
 */
int range_change(struct range_walk *walk, struct backing_change *change)
	REQUIRES(walk->vm->mmu_lock);
