/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The trace of a replay: step, thread, operation, cell, value, and where in the source.  What an
 * inlined function is part of is asked of addr2line, so that a line names more than spte.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mm/types.h"
#include "sched.h"

#define NAMES_MAX  64
#define QUIET_MAX  8
#define PLACES_MAX 4096

bool trace_on;

static struct {
	const unsigned char *p;
	size_t size;
	const char *name;
} names[NAMES_MAX];
static unsigned name_count;
static struct {
	const unsigned char *p;
	size_t size;
} quiet[QUIET_MAX];
static unsigned quiet_count;

static struct {
	const void *p, *where;
	enum explore_op op;
	unsigned size;
} pending;

void trace_forget_names(void)
{
	name_count = 0;
	quiet_count = 0;
}

void explore_name(const void *p, size_t size, const char *name)
{
	if (name_count == NAMES_MAX)
		return;
	names[name_count].p = p;
	names[name_count].size = size;
	names[name_count++].name = name;
}

void explore_quiet(const void *p, size_t size)
{
	if (quiet_count == QUIET_MAX)
		explore_fail("too many quiet regions");
	quiet[quiet_count].p = p;
	quiet[quiet_count++].size = size;
}

bool trace_is_quiet(const void *p)
{
	for (unsigned i = 0; i < quiet_count; i++)
		if ((uintptr_t)p - (uintptr_t)quiet[i].p < quiet[i].size)
			return true;
	return false;
}

void trace_pending(const void *p, enum explore_op op, unsigned size, const void *where)
{
	pending.p = p;
	pending.op = op;
	pending.size = size;
	pending.where = where;
}

/* ---- names ------------------------------------------------------------------------ */

static void cell_name(const void *p, char *out, size_t size)
{
	uint64_t offset = (uintptr_t)p - EXPLORE_ARENA_VA;

	if (offset < EXPLORE_ARENA_SIZE) {
		snprintf(out, size, "page %lu [%lu]", offset / PAGE_SIZE, offset % PAGE_SIZE / 8);
		return;
	}
	/* The narrowest that was named. */
	int best = -1;

	for (unsigned i = 0; i < name_count; i++)
		if ((uintptr_t)p - (uintptr_t)names[i].p < names[i].size &&
		    (best < 0 || names[i].size < names[best].size))
			best = (int)i;
	if (best < 0)
		snprintf(out, size, "%p", p);
	else
		snprintf(out, size, "%s+%lu", names[best].name,
			 (uintptr_t)p - (uintptr_t)names[best].p);
}

/* "function file:line" of each inlined level, innermost first. */
static void ask_addr2line(const void *where, char *out, size_t size)
{
	char command[128], line[256], exe[64];

	out[0] = '\0';
	snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)getpid());
	snprintf(command, sizeof(command), "addr2line -i -s -e %s %p", exe,
		 (const void *)((const char *)where - 1));
	FILE *pipe = popen(command, "r");

	while (pipe && fgets(line, sizeof(line), pipe)) {
		line[strcspn(line, "\n")] = '\0';
		line[strcspn(line, " ")] = '\0';
		if (strlen(out) + strlen(line) + 2 >= size || !strncmp(line, "explore_atomics", 15))
			continue;
		if (out[0])
			strcat(out, " ");
		strcat(out, line);
	}
	if (pipe)
		pclose(pipe);
}

static const char *place_name(const void *where)
{
	static struct {
		const void *where;
		char text[160];
	} places[PLACES_MAX];
	unsigned i = (uintptr_t)where % PLACES_MAX;

	while (places[i].where && places[i].where != where)
		i = (i + 1) % PLACES_MAX;
	if (!places[i].where) {
		places[i].where = where;
		ask_addr2line(where, places[i].text, sizeof(places[i].text));
	}
	return places[i].text;
}

/* ---- lines ------------------------------------------------------------------------- */

void trace_result(uint64_t before, uint64_t after)
{
	static const char *const ops[] = { "load", "store", "xchg", "cmpxchg",
					   "add", "sub", "or", "and" };
	static uint64_t line;
	char cell[64];

	if (!pending.p)
		return;
	if (sched.mode == MODE_SEARCH)
		search_result(pending.p, pending.op, pending.size, before, after);
	if (trace_on && !trace_is_quiet(pending.p)) {
		cell_name(pending.p, cell, sizeof(cell));
		/* A search has no clock. */
		line++;
		printf("%6lu %-10s %-7s %-22s 0x%lx",
		       sched.mode == MODE_SEARCH ? line : explore_step, sched.current->name,
		       ops[pending.op], cell, before);
		if (before != after)
			printf(" -> 0x%lx", after);
		printf("   %s\n", place_name(pending.where));
	}
	pending.p = NULL;
}

void explore_note(const char *fmt, ...)
{
	va_list ap;

	if (!trace_on)
		return;
	printf("%6lu %-10s ", explore_step, sched.current ? sched.current->name : "-");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}
