/* SPDX-License-Identifier: GPL-2.0-only */
/* Stages and waits with a limit; see host/machine.h. */
#include "host/machine.h"

#include <stdatomic.h>
#include <stddef.h>

#include "host/log.h"
#include "lib/util.h"

/*
 * Without a clock a limit is counted in PAUSEs: on a real CPU one takes 10 to 50 ns, on an
 * emulator more, so such a wait is the stated time or longer.
 */
#define SPINS_PER_US 100

static const char *_Atomic current = "start";

void stage_enter(const char *name)
{
	atomic_store_explicit(&current, name, memory_order_relaxed);
	log_info("stage: %s", name);
}

const char *stage_name(void)
{
	return atomic_load_explicit(&current, memory_order_relaxed);
}

struct deadline deadline_in_us(uint64_t us)
{
	uint64_t now = machine_us();

	if (machine_cycles_per_us())
		return (struct deadline){ .end_us = now + us };
	return (struct deadline){ .spins_left = MIN(us, ~0ul / SPINS_PER_US) * SPINS_PER_US };
}

bool deadline_passed(struct deadline *d)
{
	machine_relax();
	if (d->end_us)
		return machine_us() >= d->end_us;
	if (d->spins_left)
		d->spins_left--;
	return !d->spins_left;
}
