/* SPDX-License-Identifier: GPL-2.0-only */
/* The KTAP runner of the test kernels. */
#include "tests/guest/lib/guest.h"

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
	printf("\n");
}

void ktap_skip(const char *reason)
{
	skip_reason = reason;
}

bool ktap_need_phyllo(void)
{
	if (!phyllo_present())
		ktap_skip("needs Phyllo below");
	return phyllo_present();
}

/* name begins with the wanted text somewhere; the option ends at a blank. */
static bool wanted(const char *name)
{
	const char *only = info_option("only");
	size_t n = 0;

	if (!only)
		return true;
	while (only[n] && only[n] != ' ')
		n++;
	for (; *name; name++)
		if (!strncmp(name, only, n))
			return true;
	return false;
}

int ktap_skip_all(const char *reason)
{
	printf("KTAP version 1\n1..0 # SKIP %s\n", reason);
	return 0;
}

int ktap_main(const struct ktap_test *tests, unsigned count)
{
	unsigned planned = 0, run = 0, failed = 0;

	for (unsigned i = 0; i < count; i++)
		planned += wanted(tests[i].name);
	printf("KTAP version 1\n1..%u\n", planned);
	for (unsigned i = 0; i < count; i++) {
		if (!wanted(tests[i].name))
			continue;
		failures = 0;
		skip_reason = NULL;
		tests[i].fn();
		run++;
		failed += failures != 0;
		printf("%sok %u %s", failures ? "not " : "", run, tests[i].name);
		if (skip_reason)
			printf(" # SKIP %s", skip_reason);
		printf("\n");
	}
	/* A filter that matches nothing proves nothing. */
	return failed || !run;
}
