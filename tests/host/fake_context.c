/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See fake_context.h.  A context that is in use has no stack pointer, so going on in it, on a stack
 * that another CPU is still on, is noticed at once.
 */
#include "tests/host/fake_context.h"

#include <stdbool.h>
#include <stddef.h>

#include "host/machine.h"
#include "mm/errno.h"
#include "tests/host/explore/coroutine.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_UNPOISON_MEMORY_REGION(p, size)
#endif

#define STACKS_MAX 160
#define STACK_SIZE (64ul << 10)

static unsigned char pool[STACKS_MAX][STACK_SIZE] __attribute__((aligned(64)));
static bool taken[STACKS_MAX];
static unsigned used, left = ~0u;

unsigned fake_stacks_used(void)
{
	return used;
}

void fake_stacks_reset(void)
{
	for (unsigned i = 0; i < STACKS_MAX; i++)
		taken[i] = false;
	used = 0;
	left = ~0u;
}

void fake_stacks_limit(unsigned n)
{
	left = n;
}

int machine_stack_alloc(struct stack *out)
{
	for (unsigned i = 0; i < STACKS_MAX && left; i++) {
		if (taken[i])
			continue;
		taken[i] = true;
		used++;
		left--;
		/* Whoever had it before never returned from its functions. */
		ASAN_UNPOISON_MEMORY_REGION(pool[i], STACK_SIZE);
		out->guard = (uintptr_t)pool[i];
		out->top = out->guard + STACK_SIZE;
		return 0;
	}
	return -ENOMEM;
}

void machine_stack_free(const struct stack *s)
{
	unsigned i = (unsigned)((s->guard - (uintptr_t)pool) / STACK_SIZE);

	if (i >= STACKS_MAX || !taken[i])
		panic("a stack is freed that is none, or no longer");
	taken[i] = false;
	used--;
}

void machine_context_init(struct context *c, const struct stack *s, void (*fn)(void *arg), void *arg)
{
	struct coroutine co;

	coroutine_prepare(&co, (void *)s->guard, s->top - s->guard, fn, arg);
	c->sp = co.sp;
}

void machine_context_switch(struct context *from, const struct context *to, const struct stack *s)
{
	struct context *entered = (struct context *)to;
	struct coroutine next = { .sp = to->sp };

	if (!next.sp)
		panic("a thread goes on while another CPU is on its stack");
	entered->sp = NULL;
	/* The stack pointer is a coroutine's first member, and all that the switch touches. */
	coroutine_switch((struct coroutine *)from, &next);
}
