/* SPDX-License-Identifier: GPL-2.0-only */
/* Text helpers that libc does not have (so the names cannot clash hosted). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies at most size - 1 bytes and always terminates; false when cut short. */
bool text_copy(char *dst, size_t size, const char *src);

/*
 * Unsigned number, decimal or 0x-hex, with an optional K, M, G or T (binary,
 * either case).  The whole of [s, s + len) must be the number.  false on
 * anything else, overflow included.
 */
bool text_parse_size(const char *s, size_t len, uint64_t *out);

/* Levenshtein distance, for "did you mean"; strings over 64 bytes count as far. */
unsigned text_distance(const char *a, const char *b);
