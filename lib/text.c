/* SPDX-License-Identifier: GPL-2.0-only */
/* Text helpers; see text.h. */
#include "lib/text.h"

#include "lib/string.h"
#include "lib/util.h"

#define DISTANCE_MAX_LEN 64

bool text_copy(char *dst, size_t size, const char *src)
{
	size_t len = strlen(src);
	size_t n = size ? MIN(len, size - 1) : 0;

	if (!size)
		return false;
	memcpy(dst, src, n);
	dst[n] = '\0';
	return n == len;
}

/* Value of a digit in this base, or -1. */
static int digit_value(char c, unsigned base)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	if (base == 16 && c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* The shift of a size suffix, or -1. */
static int suffix_shift(char c)
{
	switch (c | 0x20) {
	case 'k':
		return 10;
	case 'm':
		return 20;
	case 'g':
		return 30;
	case 't':
		return 40;
	default:
		return -1;
	}
}

bool text_parse_size(const char *s, size_t len, uint64_t *out)
{
	unsigned base = 10;
	uint64_t v = 0;
	size_t i = 0, first;
	int shift, d;

	if (len > 2 && s[0] == '0' && (s[1] | 0x20) == 'x') {
		base = 16;
		i = 2;
	}
	for (first = i; i < len && (d = digit_value(s[i], base)) >= 0; i++)
		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, d, &v))
			return false;
	if (i == first)
		return false;
	if (i + 1 == len) {
		shift = suffix_shift(s[i]);
		if (shift < 0 || v > UINT64_MAX >> shift)
			return false;
		v <<= shift;
		i++;
	}
	if (i != len)
		return false;
	*out = v;
	return true;
}

/* The usual table, one row kept: row[j] is the distance of a's first i and b's first j bytes. */
unsigned text_distance(const char *a, const char *b)
{
	size_t la = strnlen(a, DISTANCE_MAX_LEN + 1), lb = strnlen(b, DISTANCE_MAX_LEN + 1);
	unsigned row[DISTANCE_MAX_LEN + 1];

	if (la > DISTANCE_MAX_LEN || lb > DISTANCE_MAX_LEN)
		return DISTANCE_MAX_LEN + 1;
	for (size_t j = 0; j <= lb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned replace = diagonal + (a[i - 1] != b[j - 1]);
			unsigned edit = MIN(row[j], row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = MIN(replace, edit);
		}
	}
	return row[lb];
}
