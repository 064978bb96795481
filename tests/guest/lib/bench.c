/* SPDX-License-Identifier: GPL-2.0-only */
/* See bench.h. */
#include "tests/guest/lib/bench.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/region.h"

static uint32_t *take_words(unsigned n)
{
	uint64_t size = (n * sizeof(uint32_t) + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
	uint32_t *words = (uint32_t *)(uintptr_t)ram_take(size, PAGE_SIZE);

	if (!words)
		guest_die("no memory for %u samples", n);
	memset(words, 0, size);
	return words;
}

struct bench bench_new(unsigned room)
{
	return (struct bench){ .value = take_words(room), .room = room };
}

/* Heapsort: in place, and no worse on sorted input. */
static void sift_down(uint32_t *v, unsigned root, unsigned n)
{
	for (unsigned child; (child = 2 * root + 1) < n; root = child) {
		if (child + 1 < n && v[child] < v[child + 1])
			child++;
		if (v[root] >= v[child])
			return;
		uint32_t t = v[root];

		v[root] = v[child];
		v[child] = t;
	}
}

static void sort(uint32_t *v, unsigned n)
{
	for (unsigned i = n / 2; i-- > 0;)
		sift_down(v, i, n);
	while (n > 1) {
		uint32_t t = v[--n];

		v[n] = v[0];
		v[0] = t;
		sift_down(v, 0, n);
	}
}

static uint64_t mean(const struct bench *b)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < b->count; i++)
		sum += b->value[i];
	return sum / b->count;
}

void bench_say(struct bench *b, const char *name, enum bench_figure figure)
{
	bench_say_in(b, name, figure, "instructions", 1);
}

void bench_say_in(struct bench *b, const char *name, enum bench_figure figure, const char *unit,
		  uint64_t ticks)
{
	if (!b->count) {
		ktap_fail(__FILE__, __LINE__, "%s: no samples", name);
		return;
	}
	sort(b->value, b->count);
	unsigned long long figures[] = {
		[BENCH_MEDIAN] = b->value[b->count / 2] / ticks,
		[BENCH_MEAN] = mean(b) / ticks,
		[BENCH_MAX] = b->value[b->count - 1] / ticks,
	};

	printf("bench: %s %s value=%llu min=%llu max=%llu mean=%llu n=%u\n", name, unit,
	       figures[figure], (unsigned long long)(b->value[0] / ticks), figures[BENCH_MAX],
	       figures[BENCH_MEAN], b->count);
	b->count = 0;
}

void bench_say_value(const char *name, const char *unit, uint64_t value)
{
	unsigned long long v = value;

	printf("bench: %s %s value=%llu min=%llu max=%llu mean=%llu n=1\n", name, unit, v, v, v, v);
}

bool bench_shadowed(void)
{
	struct phyllo_mmu_mode mode;

	mmu_mode(&mode);
	return !strncmp(mode.format, "shadow", 6);
}

const char *bench_by_mode(const char *name)
{
	static char text[64];
	const char *suffix = bench_shadowed() ? ".shadow" : ".tdp";
	size_t n = strlen(name);

	if (n + strlen(suffix) >= sizeof(text))
		guest_die("%s is too long a name", name);
	memcpy(text, name, n);
	memcpy(text + n, suffix, strlen(suffix) + 1);
	return text;
}

void bench_map_small(uint64_t base, uint64_t bytes)
{
	uint64_t tables = bytes / SIZE_2M * PAGE_SIZE;

	if (!bench_shadowed())
		return;
	uint64_t *entry = (uint64_t *)(uintptr_t)ram_take(tables, PAGE_SIZE);

	if (!entry)
		guest_die("no memory for the tables of %lu bytes", bytes);
	for (uint64_t at = base; at < base + bytes; at += SIZE_2M, entry += 512) {
		for (unsigned i = 0; i < 512; i++)
			entry[i] = (at + i * PAGE_SIZE) | PTE_P | PTE_W | PTE_A | PTE_D;
		*paging_entry(boot_pml4, at, 2) = (uintptr_t)entry | PTE_P | PTE_W | PTE_A;
	}
	tlb_flush();
}

uint64_t bench_ticks_per_us(void)
{
	struct phyllo_latency l = { .kind = 0 };
	long err = hypercall(PHYLLO_HC_LATENCY, (uintptr_t)&l, sizeof(l), 0, 0);

	if (err || !l.ticks_per_us)
		guest_die("nobody knows how fast the clock is: %ld", err);
	return l.ticks_per_us;
}

const uint32_t *bench_order(unsigned n)
{
	uint32_t *order = take_words(n);

	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	for (unsigned i = n - 1; i > 0; i--) {
		unsigned j = random32() % (i + 1);
		uint32_t t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
	return order;
}
