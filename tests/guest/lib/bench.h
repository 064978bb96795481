/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Figures for `make bench`: samples of one operation, and the line that says what came of them.
 *
 *   struct bench b = bench_new(2000);
 *   while (bench_wants(&b)) {
 *           uint64_t start = rdtsc();
 *           operation();
 *           bench_add(&b, rdtsc() - start);
 *   }
 *   bench_say(&b, "exit.thing", BENCH_MEDIAN);
 *
 * The unit is one tick of the TSC: an instruction under icount.  Each sample contains the
 * instructions of the second RDTSC and of the store, some six.
 */
#pragma once

#include "tests/guest/lib/guest.h"

struct bench {
	uint32_t *value;
	unsigned count, room;
};

/* What of the samples is the figure. */
enum bench_figure { BENCH_MEDIAN, BENCH_MEAN, BENCH_MAX };

/* Memory for the samples, touched; taken for good.  Ends the kernel when there is none. */
struct bench bench_new(unsigned room);

static inline bool bench_wants(const struct bench *b)
{
	return b->count < b->room;
}

static inline void bench_add(struct bench *b, uint64_t ticks)
{
	b->value[b->count++] = ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks;
}

/* Prints the line and forgets the samples.  Fails the running test when there are none. */
void bench_say(struct bench *b, const char *name, enum bench_figure figure);
/* In a unit that is so many ticks. */
void bench_say_in(struct bench *b, const char *name, enum bench_figure figure, const char *unit,
		  uint64_t ticks);
/* A figure that is one number of another unit. */
void bench_say_value(const char *name, const char *unit, uint64_t value);

/* Are this VM's page tables shadowed? */
bool bench_shadowed(void);
/* Of a row that there is once for each kind of MMU: "stall.unmap.tdp", "stall.unmap.shadow". */
const char *bench_by_mode(const char *name);

/*
 * Where guest tables are shadowed, they are to have entries for 4K pages, as a kernel's are for its processes: the
 * range gets a table of its own for each 2M.  Where they are not, nothing changes.
 */
void bench_map_small(uint64_t base, uint64_t bytes);
/* Ticks of the TSC in a microsecond. */
uint64_t bench_ticks_per_us(void);

/* 0 … n - 1 in an order that no prefetcher guesses, the same in every run; n below 2^20. */
const uint32_t *bench_order(unsigned n);
