; SPDX-License-Identifier: GPL-2.0-only
;
; Out of long mode, a list of operations in 32-bit protected mode with any kind of paging or
; none, ring 3 included, and back.  An exception ends its operation and is noted there; the stack is
; simply reset, nothing is returned to.

%include "tests/guest/lib/segments.inc"

global mode_run, mode_stubs, mode_stack_top

EFER equ 0xc0000080
VEC_BP equ 3
CR0_PG equ 1 << 31

; struct mode_job of modes.h
struc job
.cr0:		resd 1
.cr3:		resd 1
.cr4:		resd 1
.efer:		resd 1
.op_count:	resd 1
.ops:		resd 1
.seen_cr0:	resd 1
.seen_cr4:	resd 1
.seen_efer:	resd 1
endstruc

; struct mode_op
struc op
.kind:		resd 1
.addr:		resd 1
.value:		resd 1
.vector:	resd 1
.error:		resd 1
.cr2:		resd 1
.eip:		resd 1
.user:		resd 1
endstruc

extern mode_idt_ptr

section .text progbits alloc exec nowrite align=16
bits 64
mode_run:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	mov [saved.rsp], rsp
	mov rax, cr0
	mov [saved.cr0], rax
	mov rax, cr3
	mov [saved.cr3], rax
	mov rax, cr4
	mov [saved.cr4], rax
	mov ecx, EFER
	rdmsr
	mov [saved.efer], eax
	sidt [saved.idt]
	mov [current_job], edi
	push SEL_CODE32
	push .compat
	o64 retf

bits 32
.compat:
	mov eax, SEL_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov esp, mode_stack_top
	mov eax, cr0
	and eax, ~CR0_PG
	mov cr0, eax                    ; this leaves long mode
	lidt [mode_idt_ptr]
	mov ebx, [current_job]
	mov ecx, EFER
	rdmsr
	mov eax, [ebx + job.efer]
	wrmsr
	mov eax, [ebx + job.cr4]
	mov cr4, eax
	mov eax, [ebx + job.cr3]
	mov cr3, eax
	mov eax, [ebx + job.cr0]
	mov cr0, eax
	jmp .paged
.paged:
	mov eax, cr0
	mov [ebx + job.seen_cr0], eax
	mov eax, cr4
	mov [ebx + job.seen_cr4], eax
	mov ecx, EFER
	rdmsr
	mov [ebx + job.seen_efer], eax
	mov ebp, [ebx + job.ops]

; ebp: the operation.  Nothing else lives in registers across one.
run_op:
	mov ebx, [current_job]
	mov eax, [ebx + job.op_count]
	shl eax, 5
	add eax, [ebx + job.ops]
	cmp ebp, eax
	jae leave
	mov dword [ebp + op.vector], 0xffffffff
	mov eax, [ebp + op.kind]
	mov edi, [ebp + op.addr]
	jmp [handlers + eax * 4]

op_read:
	mov eax, [edi]
	mov [ebp + op.value], eax
	jmp op_next
op_write:
	mov eax, [ebp + op.value]
	mov [edi], eax
	jmp op_next
op_call:
	call edi
	mov [ebp + op.value], eax
	jmp op_next
op_invlpg:
	invlpg [edi]
	jmp op_next
op_cr3:
	mov eax, [ebp + op.value]
	mov cr3, eax
	jmp op_next
op_cr4:
	mov eax, [ebp + op.value]
	mov cr4, eax
	jmp op_next
op_cr0:
	mov eax, [ebp + op.value]
	mov cr0, eax
	jmp op_next
; In ring 3, by the code that lies at this address (access.h); it ends with INT3 or an exception.
op_user:
	mov ecx, SEL_USER_DATA
	mov ds, ecx
	mov es, ecx
	mov eax, [ebp + op.value]
	push ecx
	mov ecx, [ebp + op.user]
	mov edx, ecx
	or edx, 0xfff
	inc edx
	push edx                        ; the stack: the end of the code's page
	push dword 2                    ; flags
	push dword SEL_USER_CODE32
	push ecx
	iretd
op_cpuid:
	mov eax, edi
	xor ecx, ecx
	cpuid
	mov [ebp + op.value], eax
	jmp op_next
op_hypercall:
	mov eax, edi
	xor ebx, ebx
	xor ecx, ecx
	xor edx, edx
	xor esi, esi
	vmmcall
	mov [ebp + op.value], eax
op_next:
	add ebp, op_size
	jmp run_op

; On the stack: vector, error code, EIP, CS, EFLAGS.
exception:
	mov ecx, SEL_DATA
	mov ds, ecx
	mov es, ecx
	pop ecx
	cmp ecx, VEC_BP
	je op_user_done
	mov [ebp + op.vector], ecx
	pop dword [ebp + op.error]
	pop dword [ebp + op.eip]
	mov eax, cr2
	mov [ebp + op.cr2], eax
	mov esp, mode_stack_top
	jmp op_next

op_user_done:
	mov [ebp + op.value], eax
	mov esp, mode_stack_top
	jmp op_next

leave:
	mov eax, cr0
	and eax, ~CR0_PG
	mov cr0, eax
	mov eax, [saved.cr4]
	mov cr4, eax
	mov eax, [saved.cr3]
	mov cr3, eax
	mov ecx, EFER
	rdmsr
	mov eax, [saved.efer]
	and eax, ~(1 << 10)             ; LMA is not ours to write
	wrmsr
	mov eax, [saved.cr0]
	mov cr0, eax
	jmp SEL_CODE64:.long

bits 64
.long:
	lidt [saved.idt]
	mov rsp, [saved.rsp]
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret

bits 32
; 32 stubs of 16 bytes each.
%define HAS_ERROR(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17 || (v) == 21)
	align 16
mode_stubs:
%assign v 0
%rep 32
	align 16
%if !HAS_ERROR(v)
	push byte 0
%endif
	push byte v
	jmp strict near exception
%assign v v + 1
%endrep

section .rodata progbits alloc noexec nowrite align=16
handlers:
	dd op_read, op_write, op_call, op_invlpg, op_cr3, op_cr4, op_cpuid, op_hypercall
	dd op_cr0, op_user

section .bss nobits alloc noexec write align=16
saved:
.rsp:	resq 1
.cr0:	resq 1
.cr3:	resq 1
.cr4:	resq 1
.efer:	resq 1
.idt:	resb 16
current_job: resd 3
	resb 4096
mode_stack_top:
