/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One-shot timers, any number of them: each is kept by the CPU that set it, which calls it in
 * interrupt context.  machine_alarm_set() is behind it, and is nobody else's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct timer {
	void (*fn)(void *arg);
	void *arg;
	uint64_t at; /* machine_cycles() */
	/* timer.c's own */
	struct timer *next, **link;
	unsigned cpu;
	bool armed;
};

void timer_init(struct timer *t, void (*fn)(void *arg), void *arg);
/*
 * From now on at that time, whatever it was set to before; a time that has passed means at once.  A call
 * for the former time is over, unless it is on the caller's own CPU.  Any context, its own handler included, with no
 * lock held that its handler takes; no other use of t at once.
 */
void timer_set(struct timer *t, uint64_t at);
/*
 * It will not be called any more, and is not being called, unless by the caller's own CPU.  Any CPU; not from within
 * a handler of another timer, and with no lock held that its handler takes.
 */
void timer_cancel(struct timer *t);
