/* SPDX-License-Identifier: GPL-2.0-only */
/* The states of a VM's life. */
#include "vmm/life.h"

#include "mm/errno.h"
#include "tests/host/ktap.h"

static const enum life_op ops[] = { LIFE_START, LIFE_PAUSE, LIFE_RESUME, LIFE_DESTROY,
				    LIFE_RESTART };

/* Every request in every state: the answer, and the state that follows. */
static void test_every_request(void)
{
	static const struct {
		enum life_state from;
		int result[5];
		enum life_state to[5];
	} table[] = {
		{ LIFE_OFF,
		  { 0, -ENOENT, -ENOENT, -ENOENT, 0 },
		  { LIFE_RUNNING, LIFE_OFF, LIFE_OFF, LIFE_OFF, LIFE_RUNNING } },
		{ LIFE_RUNNING,
		  { -EBUSY, 0, 0, 0, 0 },
		  { LIFE_RUNNING, LIFE_PAUSED, LIFE_RUNNING, LIFE_ENDING, LIFE_ENDING } },
		{ LIFE_PAUSED,
		  { -EBUSY, 0, 0, 0, 0 },
		  { LIFE_PAUSED, LIFE_PAUSED, LIFE_RUNNING, LIFE_ENDING, LIFE_ENDING } },
		{ LIFE_ENDING,
		  { -EBUSY, -ENOENT, -ENOENT, 0, 0 },
		  { LIFE_ENDING, LIFE_ENDING, LIFE_ENDING, LIFE_ENDING, LIFE_ENDING } },
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (unsigned op = 0; op < 5; op++) {
			struct life l = { .state = table[i].from };

			CHECK_EQ(life_ask(&l, ops[op]), table[i].result[op]);
			CHECK_EQ(l.state, table[i].to[op]);
		}
}

static void test_end_by_itself(void)
{
	struct life l = { 0 };

	CHECK_EQ(life_ask(&l, LIFE_START), 0);
	life_ended(&l);
	CHECK_EQ(l.state, LIFE_ENDING);
	CHECK(!life_gone(&l, true));
	CHECK_EQ(l.state, LIFE_OFF);
	CHECK_EQ(l.starts, 1);
}

static void test_restarts_are_counted(void)
{
	struct life l = { .restarts = 3 };
	unsigned runs = 0;

	CHECK_EQ(life_ask(&l, LIFE_START), 0);
	do {
		runs++;
		life_ended(&l);
	} while (life_gone(&l, true));
	CHECK_EQ(runs, 4);
	CHECK_EQ(l.starts, 4);
}

static void test_a_bad_end_stops_the_series(void)
{
	struct life l = { .restarts = 3 };

	CHECK_EQ(life_ask(&l, LIFE_START), 0);
	life_ended(&l);
	CHECK(!life_gone(&l, false));
	CHECK_EQ(l.state, LIFE_OFF);
}

static void test_the_last_word_counts(void)
{
	struct life l = { .restarts = 5 };

	CHECK_EQ(life_ask(&l, LIFE_START), 0);
	CHECK_EQ(life_ask(&l, LIFE_RESTART), 0);
	CHECK_EQ(life_ask(&l, LIFE_DESTROY), 0);
	CHECK(!life_gone(&l, true));
	CHECK_EQ(life_ask(&l, LIFE_RESTART), 0);
	CHECK_EQ(life_ask(&l, LIFE_DESTROY), 0);
	CHECK_EQ(life_ask(&l, LIFE_RESTART), 0);
	CHECK(life_gone(&l, false));
	CHECK_EQ(l.state, LIFE_RUNNING);
	life_ended(&l);
	CHECK(!life_gone(&l, true));
}

/* It ends by itself while somebody asks for the restart: it starts again. */
static void test_restart_meets_the_end(void)
{
	struct life l = { 0 };

	CHECK_EQ(life_ask(&l, LIFE_START), 0);
	life_ended(&l);
	CHECK_EQ(life_ask(&l, LIFE_RESTART), 0);
	CHECK(life_gone(&l, false));
	CHECK_EQ(l.starts, 2);
}

static const struct ktap_test tests[] = {
	KTAP(test_every_request),
	KTAP(test_end_by_itself),
	KTAP(test_restarts_are_counted),
	KTAP(test_a_bad_end_stops_the_series),
	KTAP(test_the_last_word_counts),
	KTAP(test_restart_meets_the_end),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
