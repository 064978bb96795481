/* SPDX-License-Identifier: GPL-2.0-only */
/* The explorer's CPUs, for scenarios of the scheduler. */
#pragma once

#include <stdbool.h>

/* In setup(): so many, with interrupts on and nothing pending. */
void explore_machine_reset(unsigned cpus);
/* What was to be done is done: CPUs do not stay halted any more. */
void explore_machine_stop(void);
bool explore_machine_stopped(void);
