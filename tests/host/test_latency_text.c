/* SPDX-License-Identifier: GPL-2.0-only */
/* Latencies in words and columns. */
#include <stdio.h>
#include <string.h>

#include "ktap.h"
#include "vmm/latency_text.h"

static char text[LATENCY_LINE];

static const char *time_of(uint64_t ticks, uint64_t per_us)
{
	latency_time(text, sizeof(text), ticks, per_us);
	return text;
}

static void test_time(void)
{
	CHECK_STR(time_of(0, 3000), "0 ns");
	CHECK_STR(time_of(3, 3000), "1 ns");
	CHECK_STR(time_of(29999, 3000), "9999 ns");
	CHECK_STR(time_of(30000, 3000), "10 us");
	CHECK_STR(time_of(29999999, 3000), "9999 us");
	CHECK_STR(time_of(30000000, 3000), "10 ms");
	CHECK_STR(time_of(1ul << 62, 3000), "1537228672809 ms");
	CHECK_STR(time_of(812, 0), "812 ticks");
}

static void test_percentile(void)
{
	struct mmu_latency l = { 0 };

	CHECK_EQ(latency_percentile(&l, 50), 0);
	l.bucket[3] = 98;
	l.bucket[10] = 1;
	l.bucket[MMU_LATENCY_BUCKETS - 1] = 1;
	l.count = 100;
	l.max = 1ul << 50;
	CHECK_EQ(latency_percentile(&l, 50), 16);
	CHECK_EQ(latency_percentile(&l, 98), 16);
	CHECK_EQ(latency_percentile(&l, 99), 2048);
	CHECK_EQ(latency_percentile(&l, 100), (1ul << 50) + 1);
}

static const char *event(unsigned kind, struct mmu_latency_event e)
{
	latency_event_text(text, sizeof(text), kind, &e, 1);
	return text;
}

static void test_words(void)
{
	struct mmu_latency_event e = { .ticks = 123, .op = MMU_OP_UNMAP, .gfn = 0x20, .npages = 16,
				       .with = MMU_OP_TEARDOWN, .with_gfn = 0x200 };

	CHECK_STR(event(MMU_LATENCY_WRITE_WAIT, e),
		  "unmap of gfns 0x20-0x2f waited 123 us for zap worker at gfn 0x200");
	CHECK_STR(event(MMU_LATENCY_WRITE_HOLD, e), "unmap of gfns 0x20-0x2f held the lock 123 us");
	CHECK_STR(event(MMU_LATENCY_YIELD, e), "unmap of gfns 0x20-0x2f did not look for 123 us");
	e.with = MMU_OP_GUEST;
	e.with_gfn = 2;
	CHECK_STR(event(MMU_LATENCY_SHOOTDOWN, e),
		  "unmap of gfns 0x20-0x2f waited 123 us for vCPU 2 in guest mode");
	e = (struct mmu_latency_event){ .ticks = 9, .op = MMU_OP_FAULT, .gfn = 5, .npages = 1 };
	CHECK_STR(event(MMU_LATENCY_FAULT, e), "fault at gfn 0x5 took 9000 ns");
	e.with = MMU_OP_AUDIT;
	CHECK_STR(event(MMU_LATENCY_FAULT, e),
		  "fault at gfn 0x5 took 9000 ns, having waited for audit");
}

static void test_summary(void)
{
	struct mmu_latency l = { .count = 4, .sum = 40, .max = 20, .worst_count = 1 };
	char head[LATENCY_LINE];

	l.bucket[3] = 3;
	l.bucket[4] = 1;
	l.worst[0] = (struct mmu_latency_event){ .ticks = 20, .op = MMU_OP_DUMP };
	latency_head_text(head, sizeof(head));
	latency_summary_text(text, sizeof(text), MMU_LATENCY_READ_HOLD, &l, 0);
	CHECK_STR(text, "read_hold          4   10 ticks   16 ticks   32 ticks  dump held the lock "
			"20 ticks");
	/* The columns stand under their names. */
	CHECK_EQ(strstr(head, "count") + 5 - head, 20);
	CHECK_EQ(strstr(head, "the worst") - head, strstr(text, "dump") - text);
	memset(&l, 0, sizeof(l));
	latency_summary_text(text, sizeof(text), MMU_LATENCY_FAULT, &l, 1);
	CHECK(!strncmp(text, "fault              0       0 ns", 31));
}

static unsigned lines, longest_bar;

static void emit(void *ctx, const char *line)
{
	unsigned bar = 0;

	for (const char *c = line; *c; c++)
		bar += *c == '#';
	longest_bar = bar > longest_bar ? bar : longest_bar;
	lines++;
	if (bar)
		printf("# %s\n", line);
	CHECK_EQ(!bar, lines == 1 || lines > 1 + 7);
}

static void test_histogram(void)
{
	struct mmu_latency l = { .count = 1000001, .worst_count = 2 };

	l.bucket[5] = 1000000;
	for (unsigned b = 6; b < 12; b++)
		l.bucket[b] = 1;
	latency_full_text(MMU_LATENCY_FAULT, &l, 1, emit, NULL);
	/* The summary, a line from the first bucket to the last, the worst. */
	CHECK_EQ(lines, 1 + 7 + 2);
	CHECK_EQ(longest_bar, 40);
	/* Nothing happened: one line. */
	lines = 0;
	memset(&l, 0, sizeof(l));
	latency_full_text(MMU_LATENCY_FAULT, &l, 1, emit, NULL);
	CHECK_EQ(lines, 1);
}

static void test_events(void)
{
	struct mmu_event e = { .op = MMU_OP_UNMAP, .gfn = 0x80, .npages = 16, .tlb_gen = 9, .times = 1 };
	char line[LATENCY_LINE];

	event_text(line, sizeof(line), &e, 12000345);
	CHECK_STR(line, "   12.000345  unmap of gfns 0x80-0x8f (flush 9)");
	e = (struct mmu_event){ .op = MMU_OP_AUDIT, .times = 3 };
	event_text(line, sizeof(line), &e, 1);
	CHECK_STR(line, "    0.000001  audit, 3 times (flush 0)");
	event_running_text(line, sizeof(line), MMU_OP_FAULT, 7);
	CHECK_STR(line, "under way: fault at gfn 0x7");
	event_running_text(line, sizeof(line), MMU_OP_NONE, 0);
	CHECK_STR(line, "under way: nothing");
}

/* A VM that runs goes on while its events are printed. */
static void test_event_times(void)
{
	const struct event_clocks now = { .ticks = 50000, .us = 100, .per_us = 10 };
	struct mmu_event e = { .when = 49500 };

	CHECK_EQ(event_us(&e, &now), 50);
	e.when = 50000;
	CHECK_EQ(event_us(&e, &now), 100);
	e.when = 50070;
	CHECK_EQ(event_us(&e, &now), 107);
	e.when = 10;
	CHECK_EQ(event_us(&e, &now), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_time), KTAP(test_percentile), KTAP(test_words), KTAP(test_summary),
	KTAP(test_histogram), KTAP(test_events),
	KTAP(test_event_times),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
