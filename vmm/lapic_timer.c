/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The timer of the virtual local APIC (SDM vol. 3A, 11.5.4).  It counts whether its LVT
 * entry is masked or not; masked, an expiry passes without a trace.
 *
 *   since            now                since + left * divider
 *     |---------------|----------------------|
 *     left            left - elapsed         0: interrupt; periodic: left = initial again
 */
#include "vmm/lapic.h"

#define DIVIDE_BITS 0xbu /* bit 2 is reserved */

static const uint32_t *timer_lvt(const struct lapic *l)
{
	return &l->lvt[0];
}

/* Bits 3, 1 and 0: 2, 4, … 128, then 1. */
static unsigned divide_shift(const struct lapic_timer *t)
{
	unsigned code = (t->divide & 3) | (t->divide >> 1 & 4);

	return (code + 1) & 7;
}

static uint64_t expiry(const struct lapic_timer *t)
{
	return t->since + ((uint64_t)t->left << divide_shift(t));
}

bool lapic_timer_advance(struct lapic *l, uint64_t now)
{
	struct lapic_timer *t = &l->timer;

	if (!t->left || now < expiry(t))
		return false;
	t->since = expiry(t);
	if (*timer_lvt(l) & LAPIC_LVT_PERIODIC) {
		uint64_t period = (uint64_t)t->initial << divide_shift(t);

		/* Periods that nobody saw end in one interrupt, as in IRR's one bit. */
		t->since += (now - t->since) / period * period;
		t->left = t->initial;
	} else {
		t->left = 0;
	}
	return !(*timer_lvt(l) & LAPIC_LVT_MASKED);
}

void lapic_timer_update(struct lapic *l, uint64_t now)
{
	if (lapic_timer_advance(l, now))
		lapic_accept(l, (uint8_t)*timer_lvt(l));
}

uint64_t lapic_timer_deadline(const struct lapic *l)
{
	if (!l->timer.left || (*timer_lvt(l) & LAPIC_LVT_MASKED) || !lapic_is_enabled(l))
		return LAPIC_NEVER;
	return expiry(&l->timer);
}

/*
 * After lapic_timer_advance(): less than left has passed.  Or less than nothing, when another
 * CPU's TSC, a little behind, is asked.
 */
uint32_t lapic_timer_current(const struct lapic *l, uint64_t now)
{
	const struct lapic_timer *t = &l->timer;

	if (!t->left || now < t->since)
		return t->left;
	return t->left - (uint32_t)((now - t->since) >> divide_shift(t));
}

void lapic_timer_start(struct lapic *l, uint32_t initial, uint64_t now)
{
	l->timer.initial = l->timer.left = initial;
	l->timer.since = now;
}

/* The count so far stays; a part of a count that had passed is lost. */
void lapic_timer_set_divide(struct lapic *l, uint32_t value, uint64_t now)
{
	l->timer.left = lapic_timer_current(l, now);
	l->timer.since = now;
	l->timer.divide = value & DIVIDE_BITS;
}
