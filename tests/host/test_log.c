/* SPDX-License-Identifier: GPL-2.0-only */
/* The log: stamps, levels, late sinks, the ring running over, dumps, panics. */
#include "host/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/fake_machine.h"
#include "tests/host/ktap.h"

static char seen[1 << 20];
static size_t seen_len;

static void capture(const char *s, size_t n)
{
	if (seen_len + n >= sizeof(seen))
		abort();
	memcpy(seen + seen_len, s, n);
	seen_len += n;
	seen[seen_len] = '\0';
}

static struct log_sink sink = { .write = capture };

static bool saw(const char *text)
{
	bool same = !strcmp(seen, text);

	if (!same)
		printf("# saw \"%.500s\"\n", seen);
	seen_len = 0;
	seen[0] = '\0';
	return same;
}

/* Each test starts with an empty log, in a child of its own. */

static void lines_child(void)
{
	log_add_sink(&sink);
	fake_set_us(123456);
	log_info("hello %d", 5);
	EXPECT(saw("[    0.123456] hello 5\n"));
	fake_set_us(12345678901);
	log_warn("w");
	log_error("e");
	EXPECT(saw("[12345.678901] warning: w\n[12345.678901] error: e\n"));
	log_debug("not shown");
	EXPECT(saw(""));
	log_set_level(LOG_ERROR);
	log_warn("not shown");
	log_rawf("raw %s\n", "text");
	EXPECT(saw("raw text\n"));
	/* A line does not go on behind a prompt. */
	log_raw("> ", 2);
	log_error("x");
	EXPECT(saw("> \n[12345.678901] error: x\n"));
}

static void late_sink_child(void)
{
	log_info("one");
	log_debug("two");
	log_raw("three\n", 6);
	log_add_sink(&sink);
	EXPECT(saw("[    0.000000] one\nthree\n"));
	log_dump_ring(100);
	EXPECT(saw("[    0.000000] one\n[    0.000000] two\nthree\n"));
	log_dump_ring(2);
	EXPECT(saw("[    0.000000] two\nthree\n"));
	log_dump_ring(0);
	EXPECT(saw(""));
}

static void long_line_child(void)
{
	char text[2000];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_add_sink(&sink);
	log_info("%s", text);
	EXPECT(seen_len == 512);
	EXPECT(!strcmp(seen + 508, "...\n"));
	log_info("next");
	EXPECT(!strcmp(seen + 512, "[    0.000000] next\n"));
	seen_len = 0;
	log_rawf("%s", text);
	EXPECT(seen_len == 511);
	/* Its last byte was no newline: a prompt stands there. */
	log_rawf("next\n");
	EXPECT(seen_len == 517 && !strcmp(seen + 511, "\nnext\n"));
}

/* The ring keeps whole lines, the newest ones, however often it has run over. */
static void overrun_child(void)
{
	unsigned first, expect;
	char *line;

	for (unsigned i = 0; i < 50000; i++)
		log_info("%0*u", 1 + i % 50, i);
	log_add_sink(&sink);
	EXPECT(seen_len > 60000 && seen_len < 65536);
	EXPECT(sscanf(seen, "[    0.000000] %u\n", &first) == 1);
	expect = first;
	for (line = seen; *line; line = strchr(line, '\n') + 1) {
		unsigned v;

		EXPECT(sscanf(line, "[    0.000000] %u\n", &v) == 1 && v == expect);
		expect++;
	}
	EXPECT(expect == 50000);
}

/* More raw text at once than the ring holds. */
static void big_raw_child(void)
{
	size_t n = 300000;
	char *text = malloc(n);

	for (size_t i = 0; i < n; i++)
		text[i] = (char)(i % 10 == 9 ? '\n' : 'a' + i % 26);
	log_add_sink(&sink);
	log_raw(text, n);
	EXPECT(seen_len == n && !memcmp(seen, text, n));
	seen_len = 0;
	log_dump_ring(~0u);
	EXPECT(seen_len > 50000 && !memcmp(seen, text + n - seen_len, seen_len));
	free(text);
}

/* An interrupt in the middle of a line, which logs itself. */
static void nested_write(const char *s, size_t n)
{
	static unsigned depth;

	if (!depth++)
		log_info("nested");
	depth--;
	capture(s, n);
}

static void nested_child(void)
{
	static struct log_sink nested = { .write = nested_write };

	log_add_sink(&nested);
	log_info("outer");
	EXPECT(strstr(seen, "nested\n") && strstr(seen, "outer\n"));
	seen_len = 0;
	log_dump_ring(100);
	EXPECT(seen_len > 0);
	EXPECT(!fake_timeouts());
}

/* A CPU that died with the lock: others wait for a while, then write all the same. */
static void *dead_owner(void *arg)
{
	fake_set_cpu(1);
	log_info("from CPU 1");
	return NULL;
}

static void stuck_write(const char *s, size_t n)
{
	static bool once;
	pthread_t t;

	capture(s, n);
	if (once)
		return;
	once = true;
	/* CPU 0 sits in its sink here, with the lock. */
	log_enter_panic();
	pthread_create(&t, NULL, dead_owner, NULL);
	pthread_join(t, NULL);
}

static void panic_child(void)
{
	static struct log_sink stuck = { .write = stuck_write };

	log_add_sink(&stuck);
	log_info("from CPU 0");
	EXPECT(strstr(seen, "from CPU 1\n"));
}

#define WRITERS     4
#define WRITER_LINES 500

static void *writer(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg;

	fake_set_cpu(id);
	for (unsigned i = 0; i < WRITER_LINES; i++)
		log_info("writer %u line %u", id, i);
	return NULL;
}

/* Lines of several CPUs stay whole and each CPU's in order. */
static void threads_child(void)
{
	unsigned next[WRITERS] = { 0 };
	pthread_t t[WRITERS];

	log_add_sink(&sink);
	for (uintptr_t i = 0; i < WRITERS; i++)
		pthread_create(&t[i], NULL, writer, (void *)i);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
	for (char *line = seen; *line; line = strchr(line, '\n') + 1) {
		unsigned id = WRITERS, n;

		EXPECT(sscanf(line, "[    0.000000] writer %u line %u\n", &id, &n) == 2);
		EXPECT(id < WRITERS && next[id]++ == n);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		EXPECT(next[i] == WRITER_LINES);
}

static void test_lines(void)
{
	CHECK(fake_child(lines_child));
}

static void test_late_sink(void)
{
	CHECK(fake_child(late_sink_child));
}

static void test_long_line(void)
{
	CHECK(fake_child(long_line_child));
}

static void test_overrun(void)
{
	CHECK(fake_child(overrun_child));
}

static void test_big_raw(void)
{
	CHECK(fake_child(big_raw_child));
}

static void test_nested(void)
{
	CHECK(fake_child(nested_child));
}

static void test_panic(void)
{
	CHECK(fake_child(panic_child));
}

static void test_threads(void)
{
	CHECK(fake_child(threads_child));
}

static const struct ktap_test tests[] = {
	KTAP(test_lines),   KTAP(test_late_sink), KTAP(test_long_line), KTAP(test_overrun),
	KTAP(test_big_raw), KTAP(test_nested),	  KTAP(test_panic),	KTAP(test_threads),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
