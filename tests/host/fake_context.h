/* SPDX-License-Identifier: GPL-2.0-only */
/* Stacks and contexts of host/machine.h for hosted programs: coroutines on stacks from a pool. */
#pragma once

/* Stacks that are out. */
unsigned fake_stacks_used(void);
/* All of them are free again. */
void fake_stacks_reset(void);
/* So many more can be had, and then no more. */
void fake_stacks_limit(unsigned n);
