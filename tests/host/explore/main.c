/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * explore run [--seconds N | --count N] [--scenario NAME] [--seed S]
 * explore hunt [--count N] [--seed S]     until the first failure, with the scenarios in turns
 * explore replay SCENARIO SEED
 * explore list
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sched.h"

struct options {
	double seconds;  /* of all scenarios together; 0: by count */
	uint64_t count;  /* of each scenario */
	const char *scenario;
	uint64_t seed;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static const struct explore_scenario *find(const char *name)
{
	for (unsigned i = 0; explore_scenarios[i]; i++)
		if (!strcmp(explore_scenarios[i]->name, name))
			return explore_scenarios[i];
	fprintf(stderr, "there is no scenario %s; explore list names them\n", name);
	exit(2);
}

/* Short enough to be typed; different for neighbours. */
static uint64_t seed_of(const struct options *o, uint64_t i)
{
	uint64_t state = o->seed * 0x100000001b3ul + i;

	return random_next(&state) >> 24;
}

static bool run_random(const struct explore_scenario *s, const struct options *o, double share,
		       uint64_t *total)
{
	double start = now(), end = start + share;
	bool ok = sched_measure(s);
	uint64_t done = 1;

	while (ok && (share > 0 ? done % 64 || now() < end : done < o->count))
		ok = sched_run(s, seed_of(o, done++));
	double took = now() - start;

	printf("# %s: %lu interleavings of about %lu steps, %.0f/s\n", s->name, done, sched.length,
	       (double)done / took);
	*total += done;
	return ok;
}

static bool run_exhaustive(const struct explore_scenario *s)
{
	struct search_result r;
	double start = now();
	bool ok = search_run(s, &r);

	printf("# %s: %s%lu states, %lu transitions, %lu ends, %.1f s\n", s->name,
	       ok ? "all " : "", r.states, r.transitions, r.ends, now() - start);
	return ok;
}

static bool is_wanted(const struct options *o, const struct explore_scenario *s)
{
	return !o->scenario || !strcmp(o->scenario, s->name);
}

static int run(const struct options *o)
{
	unsigned planned = 0, random = 0, number = 0, failed = 0;
	uint64_t total = 0;
	double end = now() + o->seconds;

	if (o->scenario)
		find(o->scenario);
	for (unsigned i = 0; explore_scenarios[i]; i++) {
		planned += is_wanted(o, explore_scenarios[i]);
		random += is_wanted(o, explore_scenarios[i]) && !explore_scenarios[i]->exhaustive;
	}
	printf("KTAP version 1\n1..%u\n", planned);
	for (unsigned i = 0; explore_scenarios[i]; i++) {
		const struct explore_scenario *s = explore_scenarios[i];
		double share = random && o->seconds > 0 ? (end - now()) / random : 0;
		bool ok;

		if (!is_wanted(o, s))
			continue;
		if (s->exhaustive) {
			ok = run_exhaustive(s);
		} else {
			/* However late it is, each gets a little. */
			ok = run_random(s, o, o->seconds > 0 && share < 0.1 ? 0.1 : share, &total);
			random--;
		}
		failed += !ok;
		printf("%sok %u %s\n", ok ? "" : "not ", ++number, s->name);
		fflush(stdout);
	}
	printf("# %lu interleavings in all\n", total);
	return failed != 0;
}

/* Each scenario in turn for so many; what is there to find need not be found in the first. */
#define HUNT_TURN 250

static int hunt(const struct options *o)
{
	uint64_t total = 0, limit = o->count ? o->count : 1000000;

	for (uint64_t turn = 0; total < limit; turn++)
		for (unsigned i = 0; explore_scenarios[i]; i++) {
			const struct explore_scenario *s = explore_scenarios[i];
			uint64_t done = 0;
			bool ok = s->exhaustive || sched_measure(s);

			for (; ok && !s->exhaustive && done < HUNT_TURN; done++)
				ok = sched_run(s, seed_of(o, turn * HUNT_TURN + done + 1));
			total += done;
			if (!ok) {
				printf("# found by %s after %lu interleavings in all\n", s->name, total);
				return 1;
			}
		}
	printf("# nothing found in %lu interleavings\n", total);
	return 0;
}

static int replay(const char *name, const char *seed)
{
	const struct explore_scenario *s = find(name);
	bool ok;

	if (seed[0] == 'x') {
		trace_on = true;
		ok = search_replay(s, seed);
	} else {
		/* The seed counts steps in parts of the undisturbed run. */
		bool sequential = !strcmp(seed, "sequential");

		trace_on = sequential;
		ok = sched_measure(s);
		trace_on = true;
		ok = sequential ? ok : ok && sched_run(s, strtoul(seed, NULL, 0));
	}
	printf(ok ? "# no failure\n" : "# failed, as it did\n");
	return !ok;
}

static void list(void)
{
	for (unsigned i = 0; explore_scenarios[i]; i++)
		printf("%-22s %s%s\n", explore_scenarios[i]->name, explore_scenarios[i]->about,
		       explore_scenarios[i]->exhaustive ? " (exhaustive)" : "");
}

static void usage(void)
{
	fprintf(stderr, "usage: explore run [--seconds N | --count N] [--scenario NAME] [--seed S]\n"
			"       explore hunt [--count N] [--seed S]\n"
			"       explore replay SCENARIO SEED\n"
			"       explore list\n");
	exit(2);
}

static void parse(int argc, char **argv, struct options *o)
{
	for (int i = 2; i < argc; i += 2) {
		if (i + 1 == argc)
			usage();
		if (!strcmp(argv[i], "--seconds"))
			o->seconds = atof(argv[i + 1]);
		else if (!strcmp(argv[i], "--count"))
			o->count = strtoul(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--scenario"))
			o->scenario = argv[i + 1];
		else if (!strcmp(argv[i], "--seed"))
			o->seed = strtoul(argv[i + 1], NULL, 0);
		else
			usage();
	}
	if (!o->count && !(o->seconds > 0))
		o->seconds = 20;
}

int main(int argc, char **argv)
{
	struct options o = { .seed = 1 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2)
		usage();
	if (!strcmp(argv[1], "list")) {
		list();
		return 0;
	}
	if (!strcmp(argv[1], "replay") && argc == 4)
		return replay(argv[2], argv[3]);
	if (strcmp(argv[1], "run") && strcmp(argv[1], "hunt"))
		usage();
	parse(argc, argv, &o);
	return argv[1][0] == 'h' ? hunt(&o) : run(&o);
}
