/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program for a kernel, in a boot module: what tools/phyllo/scenario.py makes of a scenario.  One statement a
 * line: the line of the scenario that it comes from, its name, its arguments; all checked
 * already, so that what makes no sense here ends the kernel.
 */
#pragma once

#include "tests/guest/lib/guest.h"

#define SCRIPT_ARGS 8u

struct statement {
	unsigned line, args;
	char name[24];
	char word[32];             /* an argument that is no number */
	int64_t arg[SCRIPT_ARGS];
};

struct script {
	struct statement *statements;
	unsigned count;
};

/* The first boot module of this VM. */
void script_read(struct script *s);
