/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The machine of host/machine.h for hosted tests: threads are CPUs, physical
 * memory is an anonymous mapping, a panic ends the process.  What must panic, and what
 * needs a fresh copy of static state, runs in a child.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Physical addresses [0, bytes); untouched parts cost nothing.  Zeroed. */
void fake_ram_create(uint64_t bytes);

/* The calling thread is this CPU from now on (0 at first). */
void fake_set_cpu(unsigned id);
void fake_set_cpu_count(unsigned count);
void fake_set_us(uint64_t us);
/* Waits that ran into their limit so far. */
unsigned fake_timeouts(void);

/* fn runs in a child; true when it returned and had not set fake_child_failed. */
bool fake_child(void (*fn)(void));
extern bool fake_child_failed;
/* fn runs in a child; true when it ended in a panic whose message has this text in it. */
bool fake_panics(void (*fn)(void), const char *text);

/* CHECK() of ktap.h for use in a child. */
#define EXPECT(cond)                                                              \
	do {                                                                      \
		if (!(cond)) {                                                    \
			ktap_fail(__FILE__, __LINE__, "not true: %s", #cond);     \
			fake_child_failed = true;                                 \
		}                                                                 \
	} while (0)
