/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads of a scenario: stacks, and a switch of a few nanoseconds. */
#pragma once

#include <stddef.h>

struct coroutine {
	void *sp; /* where it goes on, while it does not run */
	void *top;
};

/* The next switch to it calls fn(arg) on this stack; fn never returns. */
void coroutine_prepare(struct coroutine *co, void *stack, size_t size, void (*fn)(void *arg),
		       void *arg);
void coroutine_switch(struct coroutine *from, const struct coroutine *to);
