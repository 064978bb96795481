; SPDX-License-Identifier: GPL-2.0-only
;
; Exception stubs, the way to ring 3 and back, and calls that need every register.

%include "tests/guest/lib/segments.inc"

extern trap_handle, trap_tss
global trap_stubs, user_return_entry, user_call, stack_call, hypercall_regs

bits 64
section .text progbits alloc exec nowrite align=16

; struct trap_frame of trap.h, from the bottom up.
trap_common:
	push rax
	push rcx
	push rdx
	push rbx
	push rbp
	push rsi
	push rdi
	push r8
	push r9
	push r10
	push r11
	push r12
	push r13
	push r14
	push r15
	cld
	mov rdi, rsp
	mov rbp, rsp
	and rsp, -16
	call trap_handle
	mov rsp, rbp
	pop r15
	pop r14
	pop r13
	pop r12
	pop r11
	pop r10
	pop r9
	pop r8
	pop rdi
	pop rsi
	pop rbp
	pop rbx
	pop rdx
	pop rcx
	pop rax
	add rsp, 16
	iretq

; 256 stubs of 16 bytes each: error code (0 where the CPU pushes none), then vector.
%define HAS_ERROR(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17 || (v) == 21)
	align 16
trap_stubs:
%assign v 0
%rep 256
	align 16
%if !HAS_ERROR(v)
	push strict byte 0
%endif
	push strict dword v
	jmp strict near trap_common
%assign v v + 1
%endrep

; void user_call(void (*fn)(void *), void *arg)
	align 16
user_call:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	mov [user_saved_rsp], rsp
	lea rax, [rsp - 128]
	mov [trap_tss + 4], rax         ; RSP0: exceptions in ring 3 continue this stack
	mov rax, rdi
	mov rdi, rsi
	push SEL_USER_DATA
	push user_stack_top
	push 2                          ; flags: IF 0, IOPL 0
	push SEL_USER_CODE
	push .in_user
	iretq
.in_user:
	call rax
	int VEC_USER_RETURN
user_return_entry:
	mov eax, SEL_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov rsp, [user_saved_rsp]
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret

; void stack_call(void (*fn)(void *), void *arg, void *stack_top)
	align 16
stack_call:
	push rbp
	mov rbp, rsp
	mov rsp, rdx
	mov rax, rdi
	mov rdi, rsi
	call rax
	mov rsp, rbp
	pop rbp
	ret

; void hypercall_regs(uint64_t regs[16], bool vmcall)
; Loads every register but rsp (x86 order) from the array, calls, stores them back; slot 4
; takes the flags.
	align 16
hypercall_regs:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	push rdi
	push rsi
	mov rax, rdi
	mov rcx, [rax + 8]
	mov rdx, [rax + 16]
	mov rbx, [rax + 24]
	mov rbp, [rax + 40]
	mov rsi, [rax + 48]
	mov rdi, [rax + 56]
	mov r8, [rax + 64]
	mov r9, [rax + 72]
	mov r10, [rax + 80]
	mov r11, [rax + 88]
	mov r12, [rax + 96]
	mov r13, [rax + 104]
	mov r14, [rax + 112]
	mov r15, [rax + 120]
	mov rax, [rax]
	cmp byte [rsp], 0
	jz .vmmcall
	vmcall
	jmp .done
.vmmcall:
	vmmcall
.done:
	pushfq
	push rax
	mov rax, [rsp + 24]             ; the array
	mov [rax + 8], rcx
	pop rcx
	mov [rax], rcx
	pop rcx
	mov [rax + 32], rcx
	mov [rax + 16], rdx
	mov [rax + 24], rbx
	mov [rax + 40], rbp
	mov [rax + 48], rsi
	mov [rax + 56], rdi
	mov [rax + 64], r8
	mov [rax + 72], r9
	mov [rax + 80], r10
	mov [rax + 88], r11
	mov [rax + 96], r12
	mov [rax + 104], r13
	mov [rax + 112], r14
	mov [rax + 120], r15
	add rsp, 16
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret

section .bss nobits alloc noexec write align=16
	resb 8192
user_stack_top:
user_saved_rsp: resq 1
