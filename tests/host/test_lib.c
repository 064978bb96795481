/* SPDX-License-Identifier: GPL-2.0-only */
/* lib/: printf against libc's, string functions, text helpers, ranges against a bitmap. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/printf.h"
#include "lib/range.h"
#include "lib/text.h"
#include "lib/util.h"
#include "tests/host/ktap.h"

/*
 * The image's own string functions, under names that do not fight libc's.  Including
 * the source is what it takes: the file is left out of the hosted library.
 */
#define memcpy  own_memcpy
#define memmove own_memmove
#define memset  own_memset
#define memcmp  own_memcmp
#define memchr  own_memchr
#define strlen  own_strlen
#define strnlen own_strnlen
#define strcmp  own_strcmp
#define strncmp own_strncmp
#define strchr  own_strchr
#define strrchr own_strrchr
#define strstr  own_strstr
#include "lib/string.h"
#include "lib/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr
#undef strrchr
#undef strstr

/* ---- printf ------------------------------------------------------------------- */

/* Ours and libc's on the same arguments: text and return value. */
#define SAME(...)                                                                  \
	do {                                                                       \
		char ours[256], theirs[256];                                       \
		int n = lib_snprintf(ours, sizeof(ours), __VA_ARGS__);             \
		int m = snprintf(theirs, sizeof(theirs), __VA_ARGS__);             \
		CHECK_EQ(n, m);                                                    \
		CHECK_STR(ours, theirs);                                           \
	} while (0)

/* Formats that a compiler would rightly refuse are what is tested here. */
#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
#pragma GCC diagnostic ignored "-Wformat-overflow"

static void test_printf_numbers(void)
{
	static const char *const flags[] = { "",  "-",	"0",  "+",  " ", "#",
					     "-0", "+0", "#0", "-#", "+ " };
	static const char *const sizes[] = { "",   "1",	 "8",	"20",	 ".0",
					     ".1", ".5", "8.3", "12.10", "3.8" };
	static const char *const lengths[] = { "hh", "h", "", "l", "ll", "z", "j", "t" };
	static const uint64_t values[] = {
		0, 1, 7, 9, 10, 255, 256, 65535, 0x7fffffff, 0x80000000, 0xffffffff,
		0x7fffffffffffffff, 0x8000000000000000, ~0ul,
	};
	const char *conversions = "diuxXo";
	char fmt[32];

	for (unsigned f = 0; f < ARRAY_SIZE(flags); f++)
		for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++)
			for (unsigned l = 0; l < ARRAY_SIZE(lengths); l++)
				for (const char *c = conversions; *c; c++) {
					snprintf(fmt, sizeof(fmt), "<%%%s%s%s%c>", flags[f],
						 sizes[s], lengths[l], *c);
					for (unsigned v = 0; v < ARRAY_SIZE(values); v++)
						SAME(fmt, values[v]);
				}
}

static void test_printf_text(void)
{
	char buf[64];

	SAME("%s|%10s|%-10s|%.2s|%-6.3s|%.0s", "abc", "abc", "abc", "abc", "abcdef", "x");
	SAME("%c%5c%-5c|%%|%5s", 'a', 'b', 'c', "");
	SAME("%*d|%-*d|%*d|%.*d|%.*d|%.*s", 6, 42, 6, 42, -6, 42, 4, 7, -1, 7, 2, "abc");
	SAME("%p %20p", (void *)0x1234, (void *)~0ul);
	SAME("plain");
	SAME("%d%s", 1, "");
	lib_snprintf(buf, sizeof(buf), "%s %p", (char *)NULL, NULL);
	CHECK_STR(buf, "(null) 0x0");
	lib_snprintf(buf, sizeof(buf), "%q %", 1);
	CHECK_STR(buf, "%q %");
}

static void test_printf_bounds(void)
{
	char buf[16];

	memset(buf, 'x', sizeof(buf));
	CHECK_EQ(lib_snprintf(buf, 5, "%d and %s", 12345, "more"), 14);
	CHECK_STR(buf, "1234");
	CHECK_EQ(buf[5], 'x');
	CHECK_EQ(lib_snprintf(buf, 1, "abc"), 3);
	CHECK_EQ(buf[0], 0);
	CHECK_EQ(lib_snprintf(NULL, 0, "%08x", 1), 8);
	/* A hostile width is counted, not written. */
	CHECK_EQ(lib_snprintf(buf, 4, "%*d%*d", INT_MAX, 1, INT_MIN, 1), INT_MAX);
	CHECK_STR(buf, "   ");
	CHECK_EQ(lib_snprintf(buf, 4, "%99999999999d", 1), INT_MAX);
}

/* ---- string functions ------------------------------------------------------------ */

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static void test_mem(void)
{
	unsigned char a[300], b[300], c[300];

	srand(1);
	for (unsigned round = 0; round < 5000; round++) {
		unsigned dst = rand() % 100, src = rand() % 100, n = rand() % 200;

		for (unsigned i = 0; i < sizeof(a); i++)
			a[i] = b[i] = c[i] = (unsigned char)(rand() % 3);
		CHECK(own_memmove(a + dst, a + src, n) == a + dst);
		memmove(b + dst, b + src, n);
		CHECK(!memcmp(a, b, sizeof(a)));
		CHECK_EQ(sign(own_memcmp(a + dst, a + src, n)), sign(memcmp(a + dst, a + src, n)));
		CHECK(own_memchr(a + dst, 2, n) == memchr(a + dst, 2, n));
		CHECK(own_memset(a + dst, 0x1ff, n) == a + dst);
		memset(b + dst, 0xff, n);
		CHECK(own_memcpy(a + src, c + dst, n) == a + src);
		memcpy(b + src, c + dst, n);
		CHECK(!memcmp(a, b, sizeof(a)));
	}
}

static void random_string(char *s, unsigned max)
{
	unsigned n = rand() % max;

	for (unsigned i = 0; i < n; i++)
		s[i] = "ab\377"[rand() % 3];
	s[n] = '\0';
}

static void test_str(void)
{
	char a[40], b[40];

	srand(1);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned n = rand() % 12;

		random_string(a, 20);
		random_string(b, 5);
		CHECK_EQ(own_strlen(a), strlen(a));
		CHECK_EQ(own_strnlen(a, n), strnlen(a, n));
		CHECK_EQ(sign(own_strcmp(a, b)), sign(strcmp(a, b)));
		CHECK_EQ(sign(own_strncmp(a, b, n)), sign(strncmp(a, b, n)));
		CHECK(own_strchr(a, 'b') == strchr(a, 'b'));
		CHECK(own_strchr(a, 0) == strchr(a, 0));
		CHECK(own_strchr(a, 0xff) == strchr(a, 0xff));
		CHECK(own_strrchr(a, 'b') == strrchr(a, 'b'));
		CHECK(own_strrchr(a, 0) == strrchr(a, 0));
		CHECK(own_strstr(a, b) == strstr(a, b));
	}
}

/* ---- text -------------------------------------------------------------------------- */

static void test_text_copy(void)
{
	char buf[4];

	CHECK(text_copy(buf, sizeof(buf), "abc"));
	CHECK_STR(buf, "abc");
	CHECK(!text_copy(buf, sizeof(buf), "abcd"));
	CHECK_STR(buf, "abc");
	CHECK(!text_copy(buf, 0, "a"));
	CHECK(text_copy(buf, 1, ""));
}

static void test_parse_size(void)
{
	static const struct {
		const char *s;
		bool ok;
		uint64_t v;
	} cases[] = {
		{ "0", true, 0 },	     { "4096", true, 4096 },
		{ "64M", true, 64ul << 20 }, { "1g", true, 1ul << 30 },
		{ "2T", true, 2ul << 40 },   { "0x1000", true, 4096 },
		{ "0XfFk", true, 255 << 10 }, { "18446744073709551615", true, ~0ul },
		{ "18446744073709551616", false, 0 }, { "16777216T", false, 0 },
		{ "16777215T", true, 16777215ul << 40 }, { "", false, 0 },
		{ "M", false, 0 },	     { "0x", false, 0 },
		{ "0xg", false, 0 },	     { "1MM", false, 0 },
		{ "1Mx", false, 0 },	     { "-1", false, 0 },
		{ " 1", false, 0 },	     { "1 ", false, 0 },
		{ "1P", false, 0 },	     { "12a", false, 0 },
	};
	uint64_t v;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		v = 77;
		CHECK_EQ(text_parse_size(cases[i].s, strlen(cases[i].s), &v), cases[i].ok);
		CHECK_EQ(v, cases[i].ok ? cases[i].v : 77);
	}
	CHECK(text_parse_size("12345", 2, &v));
	CHECK_EQ(v, 12);
}

static void test_distance(void)
{
	char far[80];

	memset(far, 'a', sizeof(far));
	far[79] = '\0';
	CHECK_EQ(text_distance("", ""), 0);
	CHECK_EQ(text_distance("abc", ""), 3);
	CHECK_EQ(text_distance("vendr", "vendor"), 1);
	CHECK_EQ(text_distance("kitten", "sitting"), 3);
	CHECK_EQ(text_distance("flaw", "lawn"), 2);
	CHECK(text_distance(far, far) > 64);
	far[64] = '\0';
	CHECK_EQ(text_distance(far, far), 0);
}

/* ---- ranges --------------------------------------------------------------------------- */

#define SPACE 64

static void random_ranges(struct range *r, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		r[i] = range_clamped(rand() % SPACE, rand() % 12);
}

static bool in_any(const struct range *r, unsigned count, uint64_t addr)
{
	for (unsigned i = 0; i < count; i++)
		if (r[i].base <= addr && addr < r[i].end)
			return true;
	return false;
}

static bool fits(const bool *in, uint64_t base, uint64_t end, uint64_t limit)
{
	for (uint64_t i = base; i < end; i++)
		if (!in[i] || i >= limit)
			return false;
	return true;
}

/* Every question, asked of a bitmap as well. */
static void check_set(const struct range_set *set)
{
	bool in[2 * SPACE] = { 0 }, found;
	uint64_t from = rand() % SPACE, limit = rand() % (SPACE * 2), at, expect;
	uint64_t size = 1 + rand() % 6, align = 1ul << rand() % 4;
	struct range piece = { 0, 0 }, q;

	for (uint64_t i = 0; i < 2 * SPACE; i++)
		in[i] = in_any(set->have, set->have_count, i) &&
			!in_any(set->taken, set->taken_count, i);
	for (uint64_t i = 0; range_next_piece(set, piece.end, &piece); i = piece.end) {
		for (; i < piece.base; i++)
			CHECK(!in[i]);
		CHECK(piece.base < piece.end);
		CHECK(fits(in, piece.base, piece.end, 2 * SPACE));
	}
	for (uint64_t i = piece.end; i < 2 * SPACE; i++)
		CHECK(!in[i]);
	q = range_clamped(from, size);
	CHECK_EQ(range_inside(set, q), fits(in, q.base, q.end, 2 * SPACE));
	found = range_find_room(set, size, align, from, limit, &at);
	for (expect = (from + align - 1) & ~(align - 1); expect < SPACE + 16; expect += align)
		if (fits(in, expect, expect + size, limit))
			break;
	CHECK_EQ(found, expect < SPACE + 16);
	if (found)
		CHECK_EQ(at, expect);
}

static void test_range(void)
{
	struct range have[5], taken[5], piece;
	struct range_set set = { .have = have, .taken = taken };
	uint64_t at;

	srand(1);
	for (unsigned round = 0; round < 20000; round++) {
		set.have_count = rand() % 6;
		set.taken_count = rand() % 6;
		random_ranges(have, 5);
		random_ranges(taken, 5);
		check_set(&set);
	}
	/* At the end of the address space. */
	CHECK_EQ(range_clamped(~0ul - 10, 100).end, ~0ul);
	have[0] = range_clamped(~0ul - 0x1fff, 0x10000);
	set.have_count = 1;
	set.taken_count = 0;
	CHECK(range_next_piece(&set, 0, &piece));
	CHECK_EQ(piece.end, ~0ul);
	CHECK(!range_next_piece(&set, piece.end, &piece));
	CHECK(!range_find_room(&set, 1, 1ul << 62, 0, ~0ul, &at));
	CHECK(!range_find_room(&set, ~0ul, 1, 0, ~0ul, &at));
}

static const struct ktap_test tests[] = {
	KTAP(test_printf_numbers), KTAP(test_printf_text), KTAP(test_printf_bounds),
	KTAP(test_mem),		   KTAP(test_str),	   KTAP(test_text_copy),
	KTAP(test_parse_size),	   KTAP(test_distance),	   KTAP(test_range),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
