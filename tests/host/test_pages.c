/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page allocator against a bitmap: what it hands out is free RAM, aligned, its own; what it
 * gets back merges again; the counters are exact.  Every shape of memory runs in a child, which
 * starts with an allocator that was never initialised.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot/boot_info.h"
#include "host/machine.h"
#include "host/pages.h"
#include "tests/host/fake_machine.h"
#include "tests/host/ktap.h"

#define KIB 1024ul
#define MIB (1ul << 20)
#define GIB (1ul << 30)
#define PAGE 4096ul

static struct boot_info bi;

/* ---- memory maps ------------------------------------------------------------------ */

static void add(uint64_t base, uint64_t size, uint32_t type)
{
	bi.mmap[bi.mmap_count++] = (struct boot_mmap_entry){ base, size, type };
}

static void add_module(uint64_t base, uint64_t size)
{
	bi.modules[bi.module_count].base = base;
	bi.modules[bi.module_count++].size = size;
}

static void shape_pc(void)
{
	add(0, 0x9fc00, BOOT_MEM_RAM);
	add(0x9fc00, 0x400, BOOT_MEM_RESERVED);
	add(0xf0000, 0x10000, BOOT_MEM_RESERVED);
	add(MIB, 127 * MIB - 128 * KIB, BOOT_MEM_RAM);
	add(128 * MIB - 128 * KIB, 128 * KIB, BOOT_MEM_ACPI);
	bi.image_base = 2 * MIB;
	bi.image_end = 3 * MIB;
	add_module(16 * MIB, 123456);
	add_module(17 * MIB + 100, 1);
}

/* Odd bases, islands of one page, overlaps of every kind, modules side by side. */
static void shape_fragments(void)
{
	add(0, 32 * MIB, BOOT_MEM_RAM);
	add(31 * MIB + 5, 4 * MIB, BOOT_MEM_RAM);
	for (unsigned i = 0; i < 40; i++)
		add(4 * MIB + i * 300 * KIB + 7 * i, PAGE / 2 + i * 100, BOOT_MEM_RESERVED + i % 4);
	for (unsigned i = 0; i < 12; i++)
		add(40 * MIB + i * 2 * PAGE, PAGE, BOOT_MEM_RAM);
	add(50 * MIB + 1, 2 * PAGE - 2, BOOT_MEM_RAM); /* not one whole page */
	add(20 * MIB, 0, BOOT_MEM_RESERVED);
	add(60 * MIB, 8 * MIB, BOOT_MEM_RAM);
	add(60 * MIB, 8 * MIB, BOOT_MEM_BAD);
	bi.image_base = MIB;
	bi.image_end = 2 * MIB;
	add_module(24 * MIB, 3 * PAGE);
	add_module(24 * MIB + 3 * PAGE, 1);
}

/* More than 4 GiB, with the hole of a PC; the last entry claims to pass 2^64. */
static void shape_high(void)
{
	add(MIB, 3 * GIB - MIB, BOOT_MEM_RAM);
	add(3 * GIB, GIB, BOOT_MEM_RESERVED);
	add(4 * GIB, 5 * GIB + 37 * PAGE, BOOT_MEM_RAM);
	add(~0ul - 100 * MIB, 200 * MIB, BOOT_MEM_RESERVED);
	bi.image_base = 2 * MIB;
	bi.image_end = 4 * MIB;
	add_module(5 * GIB + 12345, 64 * MIB);
}

/* RAM that runs across 4 GiB without a hole: two regions that touch. */
static void shape_no_hole(void)
{
	add(MIB, 6 * GIB, BOOT_MEM_RAM);
	bi.image_base = 2 * MIB;
	bi.image_end = 4 * MIB;
}

/* ---- the oracle ----------------------------------------------------------------------- */

static uint64_t npages;       /* of the fake RAM */
static unsigned char *status; /* per page: 0 never ours, 1 free, 2 allocated */

static bool touches(uint64_t pa, uint64_t base, uint64_t size)
{
	uint64_t end = base + size < base ? ~0ul : base + size;

	return size && base < pa + PAGE && pa < end;
}

static bool page_is_free_ram(uint64_t pa)
{
	bool inside = false;

	for (unsigned i = 0; i < bi.mmap_count; i++) {
		const struct boot_mmap_entry *e = &bi.mmap[i];

		if (e->type != BOOT_MEM_RAM && touches(pa, e->base, e->size))
			return false;
		inside |= e->type == BOOT_MEM_RAM && e->base <= pa &&
			  pa + PAGE <= e->base + e->size;
	}
	for (unsigned i = 0; i < bi.module_count; i++)
		if (touches(pa, bi.modules[i].base, bi.modules[i].size))
			return false;
	return inside && pa >= MIB && !touches(pa, bi.image_base, bi.image_end - bi.image_base);
}

static void oracle_init(uint64_t bytes)
{
	npages = bytes / PAGE;
	status = calloc(1, npages);
	for (uint64_t i = 0; i < npages; i++)
		status[i] = page_is_free_ram(i * PAGE);
}

static void oracle_mark(uint64_t pa, unsigned order, unsigned char from, unsigned char to)
{
	uint64_t first = pa / PAGE, n = 1ul << order;

	EXPECT(!(pa & ((PAGE << order) - 1)));
	for (uint64_t i = first; i < first + n; i++) {
		if (i >= npages || status[i] != from) {
			EXPECT(!"page is in the expected state");
			return;
		}
		status[i] = to;
	}
}

/* Both ends of a block belong to its holder. */
static void stamp(uint64_t pa, unsigned order, uint64_t v)
{
	uint64_t *first = machine_phys_to_virt(pa);

	first[0] = v;
	first[(PAGE << order) / 8 - 1] = v;
}

static bool stamp_is(uint64_t pa, unsigned order, uint64_t v)
{
	const uint64_t *first = machine_phys_to_virt(pa);

	return first[0] == v && first[(PAGE << order) / 8 - 1] == v;
}

static void start(void (*shape)(void), uint64_t bytes)
{
	fake_ram_create(bytes);
	shape();
	EXPECT(pages_init(&bi) == 0);
	pages_add_high(&bi);
}

static bool same_layout(const struct pages_stats *a, const struct pages_stats *b)
{
	return a->total == b->total && a->free == b->free &&
	       !memcmp(a->free_by_order, b->free_by_order, sizeof(a->free_by_order));
}

static void check_sums(const struct pages_stats *st)
{
	uint64_t sum = 0;

	for (unsigned o = 0; o <= PAGES_ORDER_MAX; o++)
		sum += st->free_by_order[o] << o;
	EXPECT(sum == st->free);
}

/* ---- random work on every shape ---------------------------------------------------------- */

#define HELD_MAX 512

static struct held {
	uint64_t pa, stamp;
	unsigned order;
} held[HELD_MAX];

static unsigned random_order(unsigned max)
{
	unsigned r = rand() % 8;

	return r < 4 ? 0 : r < 7 ? rand() % 10 % (max + 1) : rand() % (max + 1);
}

static void take_one(struct held *h, unsigned max_order)
{
	h->order = random_order(max_order);
	h->pa = pages_alloc(h->order, 0);
	h->stamp = (uint64_t)rand() << 32 | (uint64_t)rand();
	if (h->pa == PAGES_NONE)
		return;
	oracle_mark(h->pa, h->order, 1, 2);
	stamp(h->pa, h->order, h->stamp);
}

static void drop_one(struct held *h)
{
	EXPECT(stamp_is(h->pa, h->order, h->stamp));
	oracle_mark(h->pa, h->order, 2, 1);
	/* Now and then page by page, from any CPU. */
	fake_set_cpu(rand() % 4);
	if (rand() % 4 == 0) {
		pages_split(h->pa, h->order);
		for (uint64_t i = 0; i < 1ul << h->order; i++)
			pages_free(h->pa + i * PAGE, 0);
	} else {
		pages_free(h->pa, h->order);
	}
	h->pa = PAGES_NONE;
}

static void drain_cpus(void)
{
	for (unsigned i = 0; i < 4; i++) {
		fake_set_cpu(i);
		pages_drain_local();
	}
}

static void random_work(uint64_t bytes, unsigned max_order, unsigned steps)
{
	struct pages_stats before, after;

	srand(1);
	oracle_init(bytes);
	fake_set_cpu_count(4);
	pages_stats(&before);
	check_sums(&before);
	EXPECT(before.free == before.total);
	for (unsigned i = 0; i < HELD_MAX; i++)
		held[i].pa = PAGES_NONE;
	for (unsigned i = 0; i < steps; i++) {
		struct held *h = &held[rand() % HELD_MAX];

		if (h->pa == PAGES_NONE)
			take_one(h, max_order);
		else
			drop_one(h);
	}
	pages_stats(&after);
	check_sums(&after);
	for (unsigned i = 0; i < HELD_MAX; i++) {
		if (held[i].pa == PAGES_NONE)
			continue;
		after.free += 1ul << held[i].order;
		drop_one(&held[i]);
	}
	EXPECT(after.free == after.total);
	drain_cpus();
	pages_stats(&after);
	EXPECT(same_layout(&before, &after));
	EXPECT(after.allocs > 0);
}

/* Freeing poisons every page, which the fake RAM must then really have: once is enough. */
static void check_giant(uint64_t bytes)
{
	struct pages_stats before, after;
	uint64_t pa;

	oracle_init(bytes);
	pages_stats(&before);
	pa = pages_alloc(PAGES_ORDER_MAX, 0);
	oracle_mark(pa, PAGES_ORDER_MAX, 1, 2);
	pages_stats(&after);
	EXPECT(before.free - after.free == GIB / PAGE);
	pages_free(pa, PAGES_ORDER_MAX);
	pages_stats(&after);
	EXPECT(same_layout(&before, &after));
	free(status);
}

static void pc_child(void)
{
	start(shape_pc, 128 * MIB);
	random_work(128 * MIB, 12, 40000);
}

static void fragments_child(void)
{
	start(shape_fragments, 128 * MIB);
	random_work(128 * MIB, 10, 40000);
}

static void high_child(void)
{
	struct pages_stats st;

	start(shape_high, 16 * GIB);
	pages_stats(&st);
	/* All of it but the bookkeeping, which is 12 bytes a page. */
	EXPECT(st.total > (8 * GIB - 64 * MIB - 64 * MIB) / PAGE * 4084 / 4096);
	EXPECT(st.free_by_order[18] == 2 + 3);
	check_giant(16 * GIB);
	random_work(16 * GIB, 11, 20000);
}

static void no_hole_child(void)
{
	struct pages_stats st;

	start(shape_no_hole, 8 * GIB);
	pages_stats(&st);
	/* The bookkeeping of the upper part spoils one of its two. */
	EXPECT(st.free_by_order[18] == 3 + 1);
	random_work(8 * GIB, 11, 20000);
}

static void test_shape_pc(void)
{
	CHECK(fake_child(pc_child));
}

static void test_shape_fragments(void)
{
	CHECK(fake_child(fragments_child));
}

static void test_shape_high(void)
{
	CHECK(fake_child(high_child));
}

static void test_shape_no_hole(void)
{
	CHECK(fake_child(no_hole_child));
}

static void too_little_child(void)
{
	fake_ram_create(16 * MIB);
	add(0, 8 * MIB, BOOT_MEM_RAM);
	EXPECT(pages_init(&bi) == -12);
}

static void test_too_little_memory(void)
{
	CHECK(fake_child(too_little_child));
}

/* ---- exhaustion -------------------------------------------------------------------------- */

static uint64_t taken[64 * 1024];

static uint64_t take_all(unsigned order)
{
	uint64_t n = 0, pa;

	while ((pa = pages_alloc(order, 0)) != PAGES_NONE)
		taken[n++] = pa;
	return n;
}

static void exhaustion_child(void)
{
	struct pages_stats before, st;
	uint64_t n;

	start(shape_pc, 128 * MIB);
	oracle_init(128 * MIB);
	fake_set_cpu_count(4);
	pages_stats(&before);
	n = take_all(0);
	EXPECT(n == before.total);
	for (uint64_t i = 0; i < n; i++)
		oracle_mark(taken[i], 0, 1, 2);
	pages_stats(&st);
	EXPECT(st.free == 0 && st.failures == 1 && st.allocs == n);
	EXPECT(pages_alloc(9, 0) == PAGES_NONE);
	EXPECT(pages_alloc(PAGES_ORDER_MAX + 1, 0) == PAGES_NONE);
	/* What other CPUs free is found, to the last page. */
	for (unsigned i = 0; i < 40; i++) {
		fake_set_cpu(i % 4);
		pages_free(taken[i], 0);
	}
	fake_set_cpu(0);
	for (unsigned i = 0; i < 40; i++)
		EXPECT(pages_alloc(0, 0) != PAGES_NONE);
	EXPECT(pages_alloc(0, 0) == PAGES_NONE);
	for (uint64_t i = 0; i < n; i++) {
		fake_set_cpu(i % 4);
		pages_free(taken[i], 0);
	}
	drain_cpus();
	pages_stats(&st);
	EXPECT(same_layout(&before, &st));
	EXPECT(st.allocs == st.frees);
}

static void test_exhaustion(void)
{
	CHECK(fake_child(exhaustion_child));
}

/* Single pages in another CPU's cache keep 2M blocks apart until one is asked for. */
static void drain_for_large_child(void)
{
	uint64_t n;

	start(shape_pc, 128 * MIB);
	fake_set_cpu_count(2);
	n = take_all(9);
	EXPECT(n > 50);
	pages_split(taken[0], 9);
	fake_set_cpu(1);
	for (unsigned i = 0; i < 512; i++)
		pages_free(taken[0] + i * PAGE, 0);
	fake_set_cpu(0);
	EXPECT(pages_alloc(9, 0) == taken[0]);
	EXPECT(pages_alloc(9, 0) == PAGES_NONE);
}

static void test_drain_for_large(void)
{
	CHECK(fake_child(drain_for_large_child));
}

static void zero_child(void)
{
	uint64_t pa;
	const char *p;

	start(shape_pc, 128 * MIB);
	pa = pages_alloc(3, 0);
	memset(machine_phys_to_virt(pa), 0xee, PAGE << 3);
	pages_free(pa, 3);
	EXPECT(pages_alloc(3, PAGES_ZERO) == pa);
	p = machine_phys_to_virt(pa);
	for (unsigned i = 0; i < PAGE << 3; i++)
		EXPECT(!p[i]);
}

static void test_zero(void)
{
	CHECK(fake_child(zero_child));
}

/* ---- misuse -------------------------------------------------------------------------------- */

static void double_free_cached(void)
{
	uint64_t pa;

	start(shape_pc, 128 * MIB);
	pa = pages_alloc(0, 0);
	pages_free(pa, 0);
	pages_free(pa, 0);
}

static void double_free_merged(void)
{
	uint64_t pa;

	start(shape_pc, 128 * MIB);
	pa = pages_alloc(0, 0);
	pages_free(pa, 0);
	pages_drain_local();
	pages_free(pa, 0);
}

static void double_free_large(void)
{
	uint64_t pa;

	start(shape_pc, 128 * MIB);
	pa = pages_alloc(9, 0);
	pages_free(pa, 9);
	pages_free(pa, 9);
}

static void free_wrong_order(void)
{
	start(shape_pc, 128 * MIB);
	pages_free(pages_alloc(3, 0), 2);
}

static void free_inside(void)
{
	start(shape_pc, 128 * MIB);
	pages_free(pages_alloc(3, 0) + PAGE, 0);
}

static void free_module(void)
{
	start(shape_pc, 128 * MIB);
	pages_free(16 * MIB, 0);
}

static void free_misaligned(void)
{
	start(shape_pc, 128 * MIB);
	pages_free(pages_alloc(0, 0) + 8, 0);
}

static void write_after_free(void)
{
	uint64_t pa;

	start(shape_pc, 128 * MIB);
	pa = pages_alloc(0, 0);
	pages_free(pa, 0);
	*(char *)machine_phys_to_virt(pa + 9) = 1;
	pages_alloc(0, 0);
}

static void test_misuse(void)
{
	CHECK(fake_panics(double_free_cached, "double free of 0x"));
	CHECK(fake_panics(double_free_merged, "double free of 0x"));
	CHECK(fake_panics(double_free_large, "double free of 0x"));
	CHECK(fake_panics(free_wrong_order, "allocated as 0x"));
	CHECK(fake_panics(free_inside, "allocated as 0x"));
	CHECK(fake_panics(free_module, "not a block of allocator memory"));
	CHECK(fake_panics(free_misaligned, "0x"));
	CHECK(fake_panics(write_after_free, "was written to after it was freed (offset 8"));
}

/* ---- threads ----------------------------------------------------------------- */

#define THREADS     4
#define THREAD_OPS  20000
#define THREAD_HELD 64

/* Blocks that one thread allocated and another frees: order in the low bits. */
static _Atomic uint64_t mailbox[16];

static void swap_mail(unsigned *seed, uint64_t block)
{
	uint64_t other = atomic_exchange(&mailbox[rand_r(seed) % 16], block);

	if (other)
		pages_free(other & ~(PAGE - 1), other & (PAGE - 1));
}

static void *thread_main(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg, seed = id;
	struct held mine[THREAD_HELD];

	fake_set_cpu(id);
	for (unsigned i = 0; i < THREAD_HELD; i++)
		mine[i].pa = PAGES_NONE;
	for (unsigned i = 0; i < THREAD_OPS; i++) {
		struct held *h = &mine[rand_r(&seed) % THREAD_HELD];

		if (h->pa == PAGES_NONE) {
			h->order = rand_r(&seed) % 4 ? 0 : rand_r(&seed) % 8;
			h->pa = pages_alloc(h->order, rand_r(&seed) % 8 ? 0 : PAGES_ZERO);
			h->stamp = (uint64_t)id << 32 | i;
			if (h->pa != PAGES_NONE)
				stamp(h->pa, h->order, h->stamp);
			continue;
		}
		EXPECT(stamp_is(h->pa, h->order, h->stamp));
		if (rand_r(&seed) % 4)
			pages_free(h->pa, h->order);
		else
			swap_mail(&seed, h->pa | h->order);
		h->pa = PAGES_NONE;
	}
	for (unsigned i = 0; i < THREAD_HELD; i++)
		if (mine[i].pa != PAGES_NONE)
			pages_free(mine[i].pa, mine[i].order);
	return NULL;
}

static void run_threads(void *(*fn)(void *))
{
	pthread_t t[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, fn, (void *)i);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

/* Take single pages until so many are left; how many were taken. */
static uint64_t leave_pages(uint64_t left)
{
	struct pages_stats st;
	uint64_t n;

	pages_stats(&st);
	for (n = 0; n < st.free - left; n++)
		taken[n] = pages_alloc(0, 0);
	drain_cpus();
	fake_set_cpu(0);
	return n;
}

static void check_all_back(const struct pages_stats *before, uint64_t n)
{
	struct pages_stats after;

	while (n)
		pages_free(taken[--n], 0);
	drain_cpus();
	pages_stats(&after);
	EXPECT(same_layout(before, &after));
	EXPECT(after.allocs == after.frees);
}

/* Short of memory now and then, so that one CPU drains another's cache. */
static void threads_child(void)
{
	struct pages_stats before, st;
	uint64_t n;

	start(shape_pc, 128 * MIB);
	fake_set_cpu_count(THREADS);
	pages_stats(&before);
	n = leave_pages(700);
	run_threads(thread_main);
	for (unsigned i = 0; i < 16; i++)
		if (mailbox[i])
			pages_free(mailbox[i] & ~(PAGE - 1), mailbox[i] & (PAGE - 1));
	pages_stats(&st);
	EXPECT(st.failures > 0);
	check_all_back(&before, n);
}

static void test_threads(void)
{
	CHECK(fake_child(threads_child));
}

/*
 * Each thread holds at most its share of what is left: then no allocation may ever
 * fail, for no cache keeps pages back while memory is short.
 */
#define SHARE 6

static void *share_main(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg, seed = id, n = 0;
	uint64_t mine[SHARE];

	fake_set_cpu(id);
	for (unsigned i = 0; i < 5 * THREAD_OPS; i++) {
		if (n && (n == SHARE || rand_r(&seed) % 2)) {
			pages_free(mine[--n], 0);
			continue;
		}
		mine[n] = pages_alloc(0, 0);
		EXPECT(mine[n] != PAGES_NONE);
		n += mine[n] != PAGES_NONE;
	}
	while (n)
		pages_free(mine[--n], 0);
	return NULL;
}

static void share_child(void)
{
	struct pages_stats before;
	uint64_t n;

	start(shape_pc, 128 * MIB);
	fake_set_cpu_count(THREADS);
	pages_stats(&before);
	n = leave_pages(THREADS * SHARE);
	run_threads(share_main);
	check_all_back(&before, n);
}

static void test_last_pages_are_shared(void)
{
	CHECK(fake_child(share_child));
}

static const struct ktap_test tests[] = {
	KTAP(test_shape_pc),	     KTAP(test_shape_fragments), KTAP(test_shape_high),
	KTAP(test_shape_no_hole),    KTAP(test_too_little_memory), KTAP(test_exhaustion),
	KTAP(test_drain_for_large),  KTAP(test_zero),		 KTAP(test_misuse),
	KTAP(test_threads),	     KTAP(test_last_pages_are_shared),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
