/* SPDX-License-Identifier: GPL-2.0-only */
/* Boot parameters: values, sentences, suggestions, help. */
#include "host/param.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/ktap.h"

static struct params p;
static char said[8192]; /* all complaints, each ended by a newline */

static void note(void *ctx, const char *sentence)
{
	size_t n = strlen(said);

	CHECK(ctx == &p);
	snprintf(said + n, sizeof(said) - n, "%s\n", sentence);
}

static unsigned parse(const char *cmdline)
{
	memset(&p, 0xee, sizeof(p));
	said[0] = '\0';
	return params_parse(&p, cmdline, note, &p);
}

static void test_defaults(void)
{
	CHECK_EQ(parse("  \t\n "), 0);
	CHECK_EQ(p.mem, 256ul << 20);
	CHECK_EQ(p.smp, 256);
	CHECK_EQ(p.vendor, 0);
	CHECK_EQ(p.log, 2);
	CHECK(p.screen);
	CHECK(!p.help);
}

static void test_values(void)
{
	CHECK_EQ(parse("vendor=vmx mem=0x2000000  smp=1 screen=off help "
		       "guest-timeout=60\tlog=debug"),
		 0);
	CHECK_EQ(p.vendor, 2);
	CHECK_EQ(p.mem, 32ul << 20);
	CHECK_EQ(p.smp, 1);
	CHECK_EQ(p.guest_timeout, 60);
	CHECK_EQ(p.log, 3);
	CHECK(!p.screen);
	CHECK(p.help);
	CHECK_EQ(parse("max-page=1g max_page=4k screen=1"), 0);
	CHECK_EQ(p.max_page, 0);
	CHECK(p.screen);
}

static void test_quotes(void)
{
	CHECK_EQ(parse("\"vendor=svm\" mem=\"6\"4\"M\""), 0);
	CHECK_EQ(p.vendor, 1);
	CHECK_EQ(p.mem, 64ul << 20);
	CHECK_EQ(parse("vendor=\"s vm\""), 1);
	CHECK(strstr(said, "bad value 's vm'"));
	CHECK_EQ(parse("smp=2 \"vendor=svm"), 1);
	CHECK_STR(said, "the quote in option 'vendor=svm' is not closed\n");
	CHECK_EQ(p.smp, 2);
	CHECK_EQ(p.vendor, 0);
}

static void test_unknown(void)
{
	CHECK_EQ(parse("vendr=svm smp=3 bogus=1 x"), 3);
	CHECK(strstr(said, "unknown option 'vendr', did you mean 'vendor'?\n") == said);
	CHECK(strstr(said, "\nunknown option 'bogus'; there are "));
	CHECK(strstr(said, ", crash, "));
	CHECK(strstr(said, ", vendor, "));
	CHECK(strstr(said, " ('help' explains them)\n"));
	CHECK(strstr(said, "\nunknown option 'x'; there are "));
	CHECK_EQ(p.smp, 3);
	CHECK_EQ(parse("gest-timout=5"), 1);
	CHECK_STR(said, "unknown option 'gest-timout', did you mean 'guest_timeout'?\n");
	CHECK_EQ(parse("=5"), 1);
	CHECK_EQ(parse("a_name_that_is_longer_than_any_option_could_ever_be=1"), 1);
}

static void test_bad_values(void)
{
	CHECK_EQ(parse("vendor=amd mem=64X smp=0 smp=257 screen=maybe mem log vendor="), 8);
	CHECK_STR(said,
		  "option 'vendor': bad value 'amd', it takes one of auto|svm|vmx\n"
		  "option 'mem': bad value '64X', it takes a size such as 4096, 64M, 1G or 0x100000\n"
		  "option 'smp': bad value '0', it takes a number from 1 to 256\n"
		  "option 'smp': bad value '257', it takes a number from 1 to 256\n"
		  "option 'screen': bad value 'maybe', it takes on or off\n"
		  "option 'mem' needs a value: a size such as 4096, 64M, 1G or 0x100000\n"
		  "option 'log' needs a value: one of error|warn|info|debug\n"
		  "option 'vendor': bad value '', it takes one of auto|svm|vmx\n");
	CHECK_EQ(p.mem, 256ul << 20);
	CHECK_EQ(p.vendor, 0);
}

static void test_long_word(void)
{
	char line[1000];

	memset(line, 'm', sizeof(line));
	memcpy(line, "smp=4 ", 6);
	strcpy(line + 900, " vendor=svm");
	CHECK_EQ(parse(line), 1);
	CHECK(strstr(said, "is longer than"));
	CHECK_EQ(p.smp, 4);
	CHECK_EQ(p.vendor, 1);
}

static void test_garbage(void)
{
	char line[64];

	srand(1);
	for (unsigned round = 0; round < 20000; round++) {
		for (unsigned i = 0; i < sizeof(line) - 1; i++)
			line[i] = rand() % 4 ? " =\"-_smp12Mvendor"[rand() % 17]
					     : (char)(1 + rand() % 255);
		line[sizeof(line) - 1] = '\0';
		parse(line);
		CHECK(p.vendor <= 2 && p.smp >= 1 && p.smp <= 256);
	}
}

static unsigned help_lines;

static void help_line(void *ctx, const char *line)
{
	help_lines++;
	CHECK(strlen(line) < 200);
	if (!strncmp(line, "mem ", 4))
		CHECK(strstr(line, "default 256M"));
	if (!strncmp(line, "vendor ", 7))
		CHECK(strstr(line, "one of auto|svm|vmx, default auto"));
}

static void test_help(void)
{
	help_lines = 0;
	params_help(help_line, NULL);
	CHECK(help_lines >= 10);
}

static const struct ktap_test tests[] = {
	KTAP(test_defaults),   KTAP(test_values),    KTAP(test_quotes),	 KTAP(test_unknown),
	KTAP(test_bad_values), KTAP(test_long_word), KTAP(test_garbage), KTAP(test_help),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
