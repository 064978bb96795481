/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For tests of parsers: inputs are put together byte by byte, and then live in heap
 * blocks of exactly their size, so that the address sanitizer sees every byte
 * read beyond.
 */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "boot/boot_info.h"
#include "tests/host/ktap.h"

struct buf {
	uint8_t data[65536];
	size_t size;
};

static inline void put(struct buf *b, const void *data, size_t size)
{
	if (size)
		memcpy(b->data + b->size, data, size);
	b->size += size;
}

static inline void put32(struct buf *b, uint32_t v)
{
	put(b, &v, 4);
}

static inline void put64(struct buf *b, uint64_t v)
{
	put(b, &v, 8);
}

static inline void pad(struct buf *b, size_t align)
{
	while (b->size % align)
		b->data[b->size++] = 0;
}

/* A copy whose end is the end of its allocation. */
static inline void *exact_copy(const void *data, size_t size)
{
	void *p = malloc(size ? size : 1);

	if (size)
		memcpy(p, data, size);
	return p;
}

/* A small physical memory: ctx and map() of struct boot_phys. */

struct ram {
	uint64_t base, size;
	uint8_t *data;
};

static inline const void *ram_map(void *ctx, uint64_t pa, uint64_t size)
{
	struct ram *ram = ctx;

	if (pa < ram->base || pa - ram->base > ram->size || size > ram->size - (pa - ram->base))
		return NULL;
	return ram->data + (pa - ram->base);
}

static inline void check_map(const struct boot_info *info, const struct boot_mmap_entry *want,
			     unsigned n)
{
	CHECK_EQ(info->mmap_count, n);
	for (unsigned i = 0; i < n && i < info->mmap_count; i++) {
		CHECK_EQ(info->mmap[i].base, want[i].base);
		CHECK_EQ(info->mmap[i].size, want[i].size);
		CHECK_EQ(info->mmap[i].type, want[i].type);
	}
}

#define CHECK_MAP(info, ...)                                                 \
	do {                                                                         \
		static const struct boot_mmap_entry want[] = { __VA_ARGS__ };        \
		check_map(info, want, sizeof(want) / sizeof(want[0]));       \
	} while (0)
