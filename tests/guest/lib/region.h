/* SPDX-License-Identifier: GPL-2.0-only */
/* A piece of memory whose contents a test knows page by page. */
#pragma once

#include "tests/guest/lib/guest.h"

struct region {
	uint64_t base;
	unsigned pages;
	uint32_t *salt; /* per page; 0: reads as zero */
};

/* Takes 2M-aligned memory and fills every page; ends the kernel when there is none. */
void region_take(struct region *r, uint64_t size);
void region_fill(const struct region *r, unsigned page, uint32_t salt);
/* Fails the running test, naming the first bad word; false then. */
bool region_verify(const struct region *r, unsigned page);
bool region_verify_all(const struct region *r);

/* Deterministic pseudo-random numbers. */
uint32_t random32(void);
