/* SPDX-License-Identifier: GPL-2.0-only */
/* The KTAP runner of the hosted tests; see ktap.h. */
#include "ktap.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static unsigned failures; /* of the running test */
static const char *skip_reason;

void ktap_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	/* A broken loop must not drown the report. */
	if (failures++ >= 10)
		return;
	printf("# %s:%d: ", file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void ktap_skip(const char *reason)
{
	skip_reason = reason;
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return argc < 2;
}

int ktap_main(const struct ktap_test *tests, size_t count, int argc, char **argv)
{
	unsigned run = 0, failed = 0, planned = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < count; i++)
		planned += wanted(tests[i].name, argc, argv);
	printf("KTAP version 1\n1..%u\n", planned);
	for (size_t i = 0; i < count; i++) {
		if (!wanted(tests[i].name, argc, argv))
			continue;
		failures = 0;
		skip_reason = NULL;
		tests[i].fn();
		run++;
		failed += failures != 0;
		printf("%sok %u %s", failures ? "not " : "", run, tests[i].name);
		if (skip_reason)
			printf(" # SKIP %s", skip_reason);
		putchar('\n');
	}
	return failed ? 1 : 0;
}
