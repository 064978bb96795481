/* SPDX-License-Identifier: GPL-2.0-only */
/* Latencies and events as text: pure functions of what mm/ has counted. */
#pragma once

#include <stddef.h>

#include "mm/mmu.h"

/* Long enough for any of the lines below. */
#define LATENCY_LINE 192

/* ticks as "812 ns", "41 us", "3 ms"; per_us 0 (the clock's rate is not known): "812 ticks". */
void latency_time(char *out, size_t size, uint64_t ticks, uint64_t per_us);
/* No fewer than that per cent of all events were shorter than what is returned. */
uint64_t latency_percentile(const struct mmu_latency *l, unsigned percent);
/* What an event was and what was in its way, in words. */
void latency_event_text(char *out, size_t size, unsigned kind, const struct mmu_latency_event *e,
			uint64_t per_us);

/* The head of a table of summaries, and the line of a kind. */
void latency_head_text(char *out, size_t size);
void latency_summary_text(char *out, size_t size, unsigned kind, const struct mmu_latency *l,
			  uint64_t per_us);

/* All there is to say of a kind: the summary, the histogram, the worst; line by line to emit(). */
void latency_full_text(unsigned kind, const struct mmu_latency *l, uint64_t per_us,
		       void (*emit)(void *ctx, const char *line), void *ctx);

/* Two clocks at one moment, mm/'s and that of the log, and the rate of the first, which is not 0. */
struct event_clocks {
	uint64_t ticks, us, per_us;
};
/* When an event was, on the clock of the log: before or after that moment. */
uint64_t event_us(const struct mmu_event *e, const struct event_clocks *now);
/* One of what was done last; us: when, on the clock of the log. */
void event_text(char *out, size_t size, const struct mmu_event *e, uint64_t us);
/* What holds the lock now. */
void event_running_text(char *out, size_t size, enum mmu_op op, gfn_t gfn);
