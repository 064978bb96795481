; SPDX-License-Identifier: GPL-2.0-only
;
; The switch from one stack to another (stack.c).  The compiler keeps nothing in the other
; registers across a call.

bits 64

section .text

; void context_switch(void **save, void *sp)
global context_switch:function
context_switch:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	mov	[rdi], rsp
	mov	rsp, rsi
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp
	ret

; A new one returns to here: r12(rbx), with rbp = 0, where a backtrace ends.
global context_start:function
context_start:
	mov	rdi, rbx
	call	r12
	ud2
