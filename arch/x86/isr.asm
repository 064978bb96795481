; SPDX-License-Identifier: GPL-2.0-only
;
; 256 entry stubs of ISR_STUB_SIZE bytes, and the way to trap_handle() and back.
; What is pushed here is struct trap_frame (trap.h), last member first.

bits 64
default rel

extern trap_handle

ISR_STUB_SIZE equ 16 ; trap.h
; Exceptions that push an error code themselves: 8, 10-14, 17, 21, 29, 30.
HAS_ERROR equ 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | \
	1 << 21 | 1 << 29 | 1 << 30

section .text

global isr_stubs:function
align 16
isr_stubs:
%assign vector 0
%rep 256
	align ISR_STUB_SIZE
%if vector >= 32
	push	qword 0
%elif (HAS_ERROR >> vector) & 1 == 0
	push	qword 0
%endif
	push	qword vector
	jmp	isr_common
%assign vector vector + 1
%endrep

isr_common:
	push	rax
	push	rcx
	push	rdx
	push	rbx
	push	rbp
	push	rsi
	push	rdi
	push	r8
	push	r9
	push	r10
	push	r11
	push	r12
	push	r13
	push	r14
	push	r15
	cld

	; A frame record, so that a backtrace goes on in the interrupted function.
	mov	rdi, rsp
	push	qword [rdi + 17 * 8]	; rip
	push	rbp
	mov	rbp, rsp
	; The processor aligned the stack before it pushed; 5 + 2 + 15 + 2 words since.
	call	trap_handle
	add	rsp, 16

	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	r11
	pop	r10
	pop	r9
	pop	r8
	pop	rdi
	pop	rsi
	pop	rbp
	pop	rbx
	pop	rdx
	pop	rcx
	pop	rax
	add	rsp, 16			; vector, error code
	iretq
