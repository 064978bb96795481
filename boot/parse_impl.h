/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parsers of boot/parse.h share among themselves. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/boot_info.h"
#include "lib/string.h"
#include "mm/errno.h"

/* Little-endian fields at any alignment: nothing in a loader's data is sure to be aligned. */
static inline uint32_t boot_get32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t boot_get64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/*
 * Formats the sentence that *why is to be (in one static buffer: there is one
 * boot, and it ends with the first such sentence) and returns -EINVAL.
 */
__attribute__((format(printf, 2, 3))) int boot_refuse(const char **why, const char *fmt, ...);

/*
 * Copies text of at most len bytes, up to its NUL.  What does not fit into size - 1 bytes is
 * cut off and counted in bi->dropped.
 */
void boot_copy_text(struct boot_info *bi, char *dst, size_t size, const char *src, size_t len);

/* The next free module, zeroed; NULL (and counted in bi->dropped) when there is none. */
struct boot_module *boot_new_module(struct boot_info *bi);

/* Nothing in it is zero or overflows, and lines fit into the pitch. */
bool boot_framebuffer_usable(const struct boot_framebuffer *fb);
