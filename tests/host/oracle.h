/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random programs of everything that mmu.h offers, on one thread, against a flat model
 * of what must come out: which gfns are memory, what each word holds, what is
 * forbidden, ballooned, possibly young, certainly dirty.
 *
 * A program is a string of bytes: two for the kind of VM, then operations with
 * their arguments.  Any string is a program, so the fuzzer and a random generator can write them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Run one in a fresh arena, with audits in between and at the end.  The first
 * contradiction is a port_bug() that says what was expected.
 */
void oracle_run(const uint8_t *data, size_t size);
