/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KTAP for hosted tests: a program is a table of test functions.
 *
 *   static void test_x(void) { CHECK(1 + 1 == 2); CHECK_EQ(f(), 0); }
 *   static const struct ktap_test tests[] = { KTAP(test_x), };
 *   int main(int argc, char **argv) { return KTAP_MAIN(tests, argc, argv); }
 *
 * With arguments, only the tests whose names contain one of them run.
 */
#pragma once

#include <stddef.h>

struct ktap_test {
	const char *name;
	void (*fn)(void);
};

#define KTAP(fn) { #fn, fn }
#define KTAP_MAIN(tests, argc, argv) \
	ktap_main(tests, sizeof(tests) / sizeof((tests)[0]), argc, argv)

int ktap_main(const struct ktap_test *tests, size_t count, int argc, char **argv);
/* Records a failure of the running test and prints where; the test goes on. */
__attribute__((format(printf, 3, 4)))
void ktap_fail(const char *file, int line, const char *fmt, ...);
/* Marks the running test as skipped. */
void ktap_skip(const char *reason);

#define CHECK(cond)                                                          \
	do {                                                                 \
		if (!(cond))                                                 \
			ktap_fail(__FILE__, __LINE__, "not true: %s", #cond); \
	} while (0)

#define CHECK_EQ(a, b)                                                            \
	do {                                                                      \
		unsigned long long ktap_a = (unsigned long long)(a);              \
		unsigned long long ktap_b = (unsigned long long)(b);              \
		if (ktap_a != ktap_b)                                             \
			ktap_fail(__FILE__, __LINE__, "%s is 0x%llx, not %s = 0x%llx", #a, \
				  ktap_a, #b, ktap_b);                            \
	} while (0)

#define CHECK_STR(a, b)                                                        \
	do {                                                                   \
		const char *ktap_a = (a), *ktap_b = (b);                       \
		if (__builtin_strcmp(ktap_a, ktap_b))                          \
			ktap_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #a, ktap_a, ktap_b); \
	} while (0)
