/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random programs against the oracle, the same ones in every run: each kind of VM gets its
 * share.  HOSTED_PROGRAMS is how many in all (default 600).
 */
#include <stdio.h>
#include <stdlib.h>

#include "ktap.h"
#include "oracle.h"

#define PROGRAM_BYTES 1200

static uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void make_program(uint8_t *bytes, uint64_t number)
{
	uint64_t seed = (number + 1) * 0x9e3779b97f4a7c15ul;

	for (unsigned i = 0; i < PROGRAM_BYTES; i++)
		bytes[i] = (uint8_t)(random_next(&seed) >> 32);
}

static void test_random_programs(void)
{
	const char *env = getenv("HOSTED_PROGRAMS");
	unsigned count = env ? (unsigned)atoi(env) : 600;
	uint8_t bytes[PROGRAM_BYTES];

	for (unsigned i = 0; i < count; i++) {
		make_program(bytes, i);
		oracle_run(bytes, sizeof(bytes));
	}
	printf("# %u programs of %u bytes\n", count, PROGRAM_BYTES);
	CHECK(count);
}

static const struct ktap_test tests[] = { KTAP(test_random_programs) };

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
