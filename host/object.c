/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Small objects.  A class of 2^k bytes is carved from slabs: naturally aligned
 * blocks of pages, of which the head lies in the first object's place:
 *
 *   | struct slab | object | object | ...      object i at slab + i * size
 *
 * so an object is aligned to its size, and its slab is found by rounding down.  Slabs of the
 * larger classes have more pages, to waste no more than 1/16.  A bitmap of free objects
 * catches a double free exactly.
 *
 * Each class has a lock, taken with interrupts off and never around calls of host/pages.h.
 */
#include "host/object.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "host/machine.h"
#include "host/pages.h"
#include "lib/string.h"
#include "lib/util.h"
#include "mm/sync.h"
#include "mm/types.h"

#define SHIFT_MIN   4  /* 16 bytes */
#define SHIFT_MAX   11 /* 2 KiB */
#define CLASS_COUNT (SHIFT_MAX - SHIFT_MIN + 1)
#define LARGE_ORDER 10 /* 4 MiB */
#define SLAB_MAGIC  0x62616c73u
#define POISON      0x6b
#define MAP_WORDS   4 /* the 16-byte class has 256 objects in a page */

struct slab {
	uint32_t magic;
	uint16_t shift;
	uint16_t free; /* objects */
	struct slab *next, *prev; /* among the class's slabs that have a free object */
	uint64_t map[MAP_WORDS];  /* bit i: object i is free */
};

static struct class {
	spinlock_t lock;
	/* lock must be held when using these */
	struct slab *partial;
	uint64_t live;
	uint64_t slabs;
} classes[CLASS_COUNT];

static _Atomic uint64_t large_live, large_pages;

/* ---- geometry ---------------------------------------------------------------- */

static unsigned shift_of(size_t size)
{
	return size <= BIT(SHIFT_MIN) ? SHIFT_MIN : 64 - __builtin_clzl(size - 1);
}

static unsigned slab_order(unsigned shift)
{
	return shift > 8 ? shift - 8 : 0;
}

static unsigned slab_objects(unsigned shift)
{
	return (PAGE_SIZE << slab_order(shift)) >> shift;
}

/* Places that the head of the slab takes. */
static unsigned head_objects(unsigned shift)
{
	return (sizeof(struct slab) + BIT(shift) - 1) >> shift;
}

static unsigned large_order(size_t size)
{
	return size <= PAGE_SIZE ? 0 : 64 - __builtin_clzl((size - 1) >> PAGE_SHIFT);
}

/* ---- poison (debug builds) ------------------------------------------------------ */

static void check_poison(const void *obj, unsigned shift)
{
	const unsigned char *p = obj;

	for (size_t i = 0; i < BIT(shift); i++)
		if (p[i] != POISON)
			panic("object %p of %lu bytes was written to after it was freed (offset %lu)",
			      obj, BIT(shift), i);
}

/* ---- slabs ------------------------------------------------------------------------- */

static void slab_link(struct class *c, struct slab *s) REQUIRES(c->lock)
{
	s->prev = NULL;
	s->next = c->partial;
	if (s->next)
		s->next->prev = s;
	c->partial = s;
}

static void slab_unlink(struct class *c, struct slab *s) REQUIRES(c->lock)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		c->partial = s->next;
	if (s->next)
		s->next->prev = s->prev;
}

static struct slab *slab_create(unsigned shift)
{
	uint64_t pa = pages_alloc(slab_order(shift), 0);
	struct slab *s;

	if (pa == PAGES_NONE)
		return NULL;
	s = machine_phys_to_virt(pa);
	if (PHYLLO_DEBUG)
		memset(s, POISON, PAGE_SIZE << slab_order(shift));
	memset(s, 0, sizeof(*s));
	s->magic = SLAB_MAGIC;
	s->shift = (uint16_t)shift;
	s->free = (uint16_t)(slab_objects(shift) - head_objects(shift));
	for (unsigned i = head_objects(shift); i < slab_objects(shift); i++)
		s->map[i / 64] |= BIT(i % 64);
	return s;
}

static void *slab_take(struct slab *s)
{
	for (unsigned w = 0; w < MAP_WORDS; w++) {
		unsigned bit;

		if (!s->map[w])
			continue;
		bit = __builtin_ctzl(s->map[w]);
		s->map[w] &= ~BIT(bit);
		s->free--;
		return (char *)s + ((uint64_t)(w * 64 + bit) << s->shift);
	}
	panic("object: slab %p of %lu bytes counts %u free objects but has none", (void *)s,
	      BIT(s->shift), s->free);
}

static void *class_alloc(struct class *c, unsigned shift)
{
	uint64_t irq = machine_irq_save();
	struct slab *s;
	void *obj;

	spin_lock(&c->lock);
	if (!c->partial) {
		spin_unlock(&c->lock);
		s = slab_create(shift);
		spin_lock(&c->lock);
		if (s) {
			slab_link(c, s);
			c->slabs++;
		}
	}
	/* Without memory for a slab, somebody may have freed an object meanwhile. */
	s = c->partial;
	obj = s ? slab_take(s) : NULL;
	if (obj)
		c->live++;
	if (obj && !s->free)
		slab_unlink(c, s);
	spin_unlock(&c->lock);
	machine_irq_restore(irq);
	return obj;
}

static struct slab *slab_of(void *obj, unsigned shift)
{
	struct slab *s = (void *)ALIGN_DOWN((uintptr_t)obj, PAGE_SIZE << slab_order(shift));
	uint64_t offset = (uintptr_t)obj - (uintptr_t)s;

	if (s->magic != SLAB_MAGIC || s->shift != shift || offset & (BIT(shift) - 1) ||
	    offset >> shift < head_objects(shift))
		panic("free of %p: not an object of %lu bytes", obj, BIT(shift));
	return s;
}

static void class_free(struct class *c, void *obj, unsigned shift)
{
	uint64_t irq = machine_irq_save();
	struct slab *s = slab_of(obj, shift), *empty = NULL;
	unsigned i = (unsigned)(((uintptr_t)obj - (uintptr_t)s) >> shift);

	spin_lock(&c->lock);
	if (s->map[i / 64] & BIT(i % 64))
		panic("double free of object %p of %lu bytes", obj, BIT(shift));
	if (PHYLLO_DEBUG)
		memset(obj, POISON, BIT(shift));
	s->map[i / 64] |= BIT(i % 64);
	if (!s->free++)
		slab_link(c, s);
	if (s->free == slab_objects(shift) - head_objects(shift)) {
		slab_unlink(c, s);
		s->magic = 0;
		c->slabs--;
		empty = s;
	}
	c->live--;
	spin_unlock(&c->lock);
	if (empty)
		pages_free(machine_virt_to_phys(empty), slab_order(shift));
	machine_irq_restore(irq);
}

/* ---- the interface -------------------------------------------------------------------- */

static void *large_alloc(size_t size)
{
	unsigned order = large_order(size);
	uint64_t pa = order <= LARGE_ORDER ? pages_alloc(order, PAGES_ZERO) : PAGES_NONE;

	if (pa == PAGES_NONE)
		return NULL;
	atomic_fetch_add_explicit(&large_live, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&large_pages, BIT(order), memory_order_relaxed);
	return machine_phys_to_virt(pa);
}

void *object_alloc(size_t size)
{
	unsigned shift = shift_of(size);
	void *obj;

	if (size > BIT(SHIFT_MAX))
		return large_alloc(size);
	obj = class_alloc(&classes[shift - SHIFT_MIN], shift);
	if (!obj)
		return NULL;
	if (PHYLLO_DEBUG)
		check_poison(obj, shift);
	memset(obj, 0, BIT(shift));
	return obj;
}

void object_free(void *obj, size_t size)
{
	unsigned shift = shift_of(size);

	if (!obj)
		return;
	if (size <= BIT(SHIFT_MAX)) {
		class_free(&classes[shift - SHIFT_MIN], obj, shift);
		return;
	}
	pages_free(machine_virt_to_phys(obj), large_order(size));
	atomic_fetch_sub_explicit(&large_live, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&large_pages, BIT(large_order(size)), memory_order_relaxed);
}

/* Bytes as they are taken: sizes rounded up to their class. */
void object_stats(struct object_stats *out)
{
	uint64_t irq = machine_irq_save();

	out->live_objects = atomic_load_explicit(&large_live, memory_order_relaxed);
	out->pages = atomic_load_explicit(&large_pages, memory_order_relaxed);
	out->live_bytes = out->pages * PAGE_SIZE;
	for (unsigned i = 0; i < CLASS_COUNT; i++) {
		struct class *c = &classes[i];

		spin_lock(&c->lock);
		out->live_objects += c->live;
		out->live_bytes += c->live << (i + SHIFT_MIN);
		out->pages += c->slabs << slab_order(i + SHIFT_MIN);
		spin_unlock(&c->lock);
	}
	machine_irq_restore(irq);
}
