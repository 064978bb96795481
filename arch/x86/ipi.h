/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls from one CPU to another: machine_run_on() and its kin.  Each CPU has one
 * mailbox:
 *
 *   IDLE -> CLAIMED -> PENDING -> RUNNING -> DONE -> IDLE
 *   caller  caller     owner      owner      caller
 *                  \-> IDLE  by the caller that gave up waiting
 *
 * Whoever claims several does so in ascending order, so callers cannot wait for each
 * other in a circle; and a caller, whose interrupts are on, answers while it waits.
 */
#pragma once

#include <stdatomic.h>

struct ipi_mailbox {
	_Atomic unsigned state;
	void (*fn)(void *);
	void *arg;
};

/* Run what waits in this CPU's mailbox; interrupts off. */
void ipi_serve(void);
