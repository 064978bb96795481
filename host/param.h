/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Boot parameters.  host/param.def is the one table: it makes the parser, the
 * variables, the help text and the suggestions for misspelt names.
 *
 *   PARAM_SIZE(name, default, help)         uint64_t param.name, "64M"
 *   PARAM_UINT(name, default, min, max, help)
 *   PARAM_BOOL(name, default, help)         "on", "off", "1", "0", or bare name
 *   PARAM_ENUM(name, default, values, help) index into "a|b|c"
 *   PARAM_STR(name, default, help)          char[64]
 *
 * A name is a C identifier; users may write '-' or '.' for '_'.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARAM_STR_MAX 64

struct params {
#define PARAM_SIZE(name, def, help) uint64_t name;
#define PARAM_UINT(name, def, min, max, help) uint64_t name;
#define PARAM_BOOL(name, def, help) bool name;
#define PARAM_ENUM(name, def, values, help) unsigned name;
#define PARAM_STR(name, def, help) char name[PARAM_STR_MAX];
#include "host/param.def"
#undef PARAM_SIZE
#undef PARAM_UINT
#undef PARAM_BOOL
#undef PARAM_ENUM
#undef PARAM_STR
};

extern struct params param;

/* param.crash: machine_crash() does these but for the last, which is for a VM's keeper. */
enum {
	CRASH_UD = 1, CRASH_PF, CRASH_STACK, CRASH_BUG, CRASH_HANG, CRASH_TEXT, CRASH_EXEC,
	CRASH_IRQOFF, CRASH_LOCKHOLD, CRASH_RUNNING,
};

/*
 * Set params to the defaults, then apply a command line (words separated by blanks,
 * "double quotes" keep blanks).  Every bad word is handed to complain() as one sentence
 * ("unknown option 'vendr', did you mean 'vendor'?"); the others take effect.  Returns the
 * number of complaints.  Pure: also used hosted.
 */
unsigned params_parse(struct params *p, const char *cmdline,
		      void (*complain)(void *ctx, const char *sentence), void *ctx);

/* One line per parameter to emit(): name, values, default, help. */
void params_help(void (*emit)(void *ctx, const char *line), void *ctx);
