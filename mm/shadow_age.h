/* SPDX-License-Identifier: GPL-2.0-only */
/* Ageing by reverse maps: what age.c asks where a VM shadows. */
#pragma once

#include "mm/vm.h"

struct shadow_age {
	bool clear; /* make old what is young */
	/* of the walk */
	bool gig_known, gig_young;
	gfn_t gig;
};

/*
 * From start to the end of the 2M around it, or of the range: how far it came.  Bit i of young
 * says that page i of these 2M was used.  An RCU reader's; no lock.
 */
gfn_t shadow_age_step(struct mmu_vm *vm, struct shadow_age *age, gfn_t start, gfn_t end,
		      uint64_t young[PT_ENTRIES / 64]);
