/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Small objects in power-of-two classes from 16 bytes to 2 KiB, carved from
 * pages; larger ones (up to 4 MiB) are whole pages.  Zeroed.  Poisoned on free in debug builds.
 * A page whose objects are all free goes back to the page allocator.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

void *object_alloc(size_t size); /* NULL when there is no memory */
void object_free(void *obj, size_t size); /* the size it was allocated with; NULL is fine */

struct object_stats {
	uint64_t live_objects, live_bytes, pages;
};
void object_stats(struct object_stats *out);
