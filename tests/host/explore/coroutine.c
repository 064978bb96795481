/* SPDX-License-Identifier: GPL-2.0-only */
/* Switching stacks by the System V ABI; see coroutine.h. */
#include "coroutine.h"

#include <stdint.h>

void coroutine_swap(void **save, void *sp);
void coroutine_start(void);

/* Saves what a called function has to keep, and takes up where the other one saved it. */
__asm__(".text\n"
	".globl coroutine_swap\n"
	"coroutine_swap:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".globl coroutine_start\n"
	"coroutine_start:\n"
	"	mov %rbx, %rdi\n"
	"	call *%r12\n"
	"	ud2\n");

void coroutine_prepare(struct coroutine *co, void *stack, size_t size, void (*fn)(void *arg),
		       void *arg)
{
	/* The ABI wants the stack aligned to 16 where a function is called. */
	uint64_t *top = (uint64_t *)(((uintptr_t)stack + size) & ~15ul);
	uint64_t frame[] = { 0, 0, 0, (uintptr_t)fn, (uintptr_t)arg, 0,
			     (uintptr_t)coroutine_start, 0, 0 };
	unsigned n = sizeof(frame) / sizeof(frame[0]);

	for (unsigned i = 0; i < n; i++)
		top[(int)i - (int)n] = frame[i];
	co->top = top;
	co->sp = top - n;
}

void coroutine_switch(struct coroutine *from, const struct coroutine *to)
{
	coroutine_swap(&from->sp, to->sp);
}
