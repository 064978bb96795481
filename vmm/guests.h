/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guests of this boot: one per boot module (but for those that belong to
 * another guest), run one after the other on the boot CPU.
 */
#pragma once

#include "boot/boot_info.h"

struct guests_result {
	unsigned run, failed;
	char first_failure[320]; /* one sentence; "" when none failed */
};

/* All of them, each with its report.  A bad one is refused by name; the others still run. */
void guests_run_all(const struct boot_info *bi, struct guests_result *out);
/* One by name (the monitor's "run").  -ENOENT: no such guest. */
int guests_run_named(const struct boot_info *bi, const char *name, struct guests_result *out);
/* Names of the guests there are, one per call. */
void guests_list(const struct boot_info *bi, void (*emit)(const char *name, uint64_t mem));
