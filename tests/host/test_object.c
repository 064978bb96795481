/* SPDX-License-Identifier: GPL-2.0-only */
/* Small objects: zeroed, aligned, apart from each other, counted, and all pages given back. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "boot/boot_info.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/pages.h"
#include "tests/host/fake_machine.h"
#include "tests/host/ktap.h"

#define MIB (1ul << 20)

static struct boot_info bi;

static void start(uint64_t mib)
{
	fake_ram_create(128 * MIB);
	bi.mmap_count = 1;
	bi.mmap[0] = (struct boot_mmap_entry){ MIB, mib * MIB, BOOT_MEM_RAM };
	bi.image_base = MIB;
	bi.image_end = 2 * MIB;
	EXPECT(pages_init(&bi) == 0);
}

static uint64_t free_pages(void)
{
	struct pages_stats st;

	pages_stats(&st);
	return st.free;
}

static bool all_bytes(const void *p, unsigned char v, size_t n)
{
	const unsigned char *c = p;

	while (n--)
		if (*c++ != v)
			return false;
	return true;
}

/* ---- random work ------------------------------------------------------------- */

#define HELD_MAX 2000

struct held {
	void *p;
	size_t size;
	unsigned char fill;
};

static size_t random_size(unsigned *seed)
{
	unsigned r = rand_r(seed);

	if (r % 16 == 0)
		return 1 + rand_r(seed) % 40000;
	return 1 + rand_r(seed) % (16u << r % 8);
}

static void check_new(const struct held *h)
{
	size_t align = 16;

	while (align < h->size && align < 4096)
		align *= 2;
	EXPECT(all_bytes(h->p, 0, h->size));
	EXPECT(!((uintptr_t)h->p % align));
}

static void work(struct held *held, unsigned count, unsigned steps, unsigned *seed)
{
	for (unsigned i = 0; i < steps; i++) {
		struct held *h = &held[(unsigned)rand_r(seed) % count];

		if (h->p) {
			EXPECT(all_bytes(h->p, h->fill, h->size));
			object_free(h->p, h->size);
			h->p = NULL;
			continue;
		}
		h->size = random_size(seed);
		h->p = object_alloc(h->size);
		EXPECT(h->p);
		check_new(h);
		h->fill = (unsigned char)rand_r(seed);
		memset(h->p, h->fill, h->size);
	}
	for (unsigned i = 0; i < count; i++) {
		EXPECT(!held[i].p || all_bytes(held[i].p, held[i].fill, held[i].size));
		object_free(held[i].p, held[i].size);
	}
}

static void random_child(void)
{
	static struct held held[HELD_MAX];
	struct object_stats st;
	unsigned seed = 1;
	uint64_t before;

	start(100);
	before = free_pages();
	work(held, HELD_MAX, 60000, &seed);
	object_stats(&st);
	EXPECT(!st.live_objects && !st.live_bytes && !st.pages);
	EXPECT(free_pages() == before);
}

static void test_random(void)
{
	CHECK(fake_child(random_child));
}

static void stats_child(void)
{
	struct object_stats st;
	void *a, *b, *c;

	start(100);
	a = object_alloc(17);
	b = object_alloc(2048);
	c = object_alloc(2049);
	object_stats(&st);
	EXPECT(st.live_objects == 3);
	EXPECT(st.live_bytes == 32 + 2048 + 4096);
	EXPECT(st.pages == 1 + 8 + 1);
	object_free(a, 17);
	object_free(b, 2048);
	object_free(c, 2049);
	object_free(NULL, 5);
	object_stats(&st);
	EXPECT(!st.live_objects && !st.pages);
	EXPECT((a = object_alloc(0)));
	object_free(a, 0);
	EXPECT((a = object_alloc(4 * MIB)));
	object_free(a, 4 * MIB);
	EXPECT(!object_alloc(4 * MIB + 1));
	EXPECT(!object_alloc(~0ul));
}

static void test_stats(void)
{
	CHECK(fake_child(stats_child));
}

static void exhaustion_child(void)
{
	struct chain {
		struct chain *next;
	} *head = NULL, *c;
	uint64_t before, n = 0;

	start(12);
	before = free_pages();
	while ((c = object_alloc(1024))) {
		c->next = head;
		head = c;
		n++;
	}
	EXPECT(n > before * 4 * 9 / 10);
	EXPECT(!object_alloc(1000));
	EXPECT(!object_alloc(100000));
	while (head) {
		c = head->next;
		object_free(head, 1024);
		head = c;
	}
	EXPECT(free_pages() == before);
}

static void test_exhaustion(void)
{
	CHECK(fake_child(exhaustion_child));
}

/* ---- threads ---------------------------------------------------------------------- */

static void *thread_main(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg, seed = id;
	struct held held[100] = { 0 };

	fake_set_cpu(id);
	work(held, 100, 20000, &seed);
	return NULL;
}

static void threads_child(void)
{
	struct object_stats st;
	pthread_t t[4];
	uint64_t before;

	start(100);
	fake_set_cpu_count(4);
	before = free_pages();
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, thread_main, (void *)i);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	object_stats(&st);
	EXPECT(!st.live_objects && !st.pages);
	EXPECT(free_pages() == before);
}

static void test_threads(void)
{
	CHECK(fake_child(threads_child));
}

/* ---- misuse -------------------------------------------------------------------------- */

static void double_free(void)
{
	void *a, *b;

	start(100);
	a = object_alloc(64);
	b = object_alloc(64);
	object_free(a, 64);
	object_free(a, 64);
	object_free(b, 64);
}

static void double_free_last(void)
{
	void *a;

	start(100);
	a = object_alloc(64);
	object_free(a, 64);
	object_free(a, 64);
}

static void wrong_size(void)
{
	start(100);
	object_free(object_alloc(64), 128);
}

static void inside(void)
{
	start(100);
	object_free((char *)object_alloc(64) + 16, 64);
}

static void slab_head(void)
{
	start(100);
	object_free((void *)((uintptr_t)object_alloc(64) & ~4095ul), 64);
}

static void write_after_free(void)
{
	char *a;

	start(100);
	a = object_alloc(64);
	object_alloc(64);
	object_free(a, 64);
	a[5] = 0;
	object_alloc(64);
}

static void test_misuse(void)
{
	CHECK(fake_panics(double_free, "double free of object"));
	CHECK(fake_panics(double_free_last, "not an object of 64 bytes"));
	CHECK(fake_panics(wrong_size, "not an object of 128 bytes"));
	CHECK(fake_panics(inside, "not an object of 64 bytes"));
	CHECK(fake_panics(slab_head, "not an object of 64 bytes"));
	CHECK(fake_panics(write_after_free, "written to after it was freed (offset 5)"));
}

static const struct ktap_test tests[] = {
	KTAP(test_random), KTAP(test_stats), KTAP(test_exhaustion), KTAP(test_threads),
	KTAP(test_misuse),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
