/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The watchdog: finds CPUs that keep interrupts off, or hold on to something, for longer than watchdog=
 * milliseconds, and says where they are.
 *
 *   interrupts off   each CPU's tick is its sign of life, and each looks at its neighbour's.  A CPU
 *                    without one is asked for its call chain by NMI, and its neighbour prints it.
 *   interrupts on    its own tick sees that the thread is past no point where it could have let go
 *                    (machine_alive()): whoever holds a lock is between two of those.
 *   a single CPU     has no neighbour: its own tick finds itself late.
 *
 * Time is counted in ticks of the one who looks, so a machine that stands still as a whole (an
 * emulator that was stopped) has no late CPU in it; only the single CPU, which has but the TSC, cannot tell.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct trap_frame;

#define WATCHDOG_CHAIN 24
#define WATCHDOG_NAME  40

struct watchdog_chain {
	unsigned depth;
	uint64_t address[WATCHDOG_CHAIN];
	char thread[WATCHDOG_NAME];
};

/* Part of struct percpu. */
struct watchdog {
	/* About the CPU with the next number; by this CPU's ticks. */
	uint64_t seen_ticks;
	unsigned silent_ticks, stage;
	/* About itself. */
	uint64_t alive, seen_alive, seen_progress;
	unsigned held_ticks;
	bool told;
	/* TSC at its last tick. */
	_Atomic uint64_t last_tick;
	/* asked: by the neighbour; answered: by this CPU's NMI handler, when chain is there. */
	_Atomic unsigned asked, answered;
	struct watchdog_chain chain;
};

/* The ticks of this CPU begin now. */
void watchdog_start(void);
/* Each tick of this CPU, with what it interrupted; before the tick is counted. */
void watchdog_tick(const struct trap_frame *frame);
/* Each NMI. */
void watchdog_nmi(const struct trap_frame *frame);
/* The run is over: no more reports. */
void watchdog_stop(void);
