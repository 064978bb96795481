/* SPDX-License-Identifier: GPL-2.0-only */
/* See bench.h. */
#include "tests/guest/lib/bench.h"

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
	if (!b->count) {
		ktap_fail(__FILE__, __LINE__, "%s: no samples", name);
		return;
	}
	sort(b->value, b->count);
	uint32_t min = b->value[0], max = b->value[b->count - 1];
	uint64_t figures[] = {
		[BENCH_MEDIAN] = b->value[b->count / 2],
		[BENCH_MEAN] = mean(b),
		[BENCH_MAX] = max,
	};

	printf("bench: %s instructions value=%llu min=%u max=%u mean=%llu n=%u\n", name,
	       (unsigned long long)figures[figure], min, max,
	       (unsigned long long)figures[BENCH_MEAN], b->count);
	b->count = 0;
}

void bench_say_value(const char *name, const char *unit, uint64_t value)
{
	unsigned long long v = value;

	printf("bench: %s %s value=%llu min=%llu max=%llu mean=%llu n=1\n", name, unit, v, v, v, v);
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
