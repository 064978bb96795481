; SPDX-License-Identifier: GPL-2.0-only
;
; Entry of a kernel that stays in the state in which multiboot starts it: 32-bit
; protected mode, paging off, the loader's segments.  Nothing is set up but a stack; bss is
; as the loader left it, so that the kernel can look.

extern guest_main, guest_start, guest_exit
global guest_entry, boot_state

section .text.boot progbits alloc exec nowrite align=16
bits 32
guest_entry:
	mov [boot_state.eax], eax
	mov [boot_state.ebx], ebx
	mov esp, stack_top
	pushfd
	pop dword [boot_state.eflags]
	cld
	mov eax, cr0
	mov [boot_state.cr0], eax
	mov eax, cr4
	mov [boot_state.cr4], eax
	mov [boot_state.cs], cs
	mov [boot_state.ds], ds
	mov [boot_state.es], es
	mov [boot_state.ss], ss
	mov [boot_state.fs], fs
	mov [boot_state.gs], gs
	xor ebp, ebp
	call guest_start
	call guest_main
	push eax
	call guest_exit
	ud2

section .data progbits alloc noexec write align=16
; struct boot_state of guest.h
boot_state:
.eax:	dd 0
.ebx:	dd 0
.eflags: dd 0
.cr0:	dd 0
.cr4:	dd 0
.cs:	dw 0
.ds:	dw 0
.es:	dw 0
.ss:	dw 0
.fs:	dw 0
.gs:	dw 0

section .stack nobits alloc noexec write align=16
	resb 32768
stack_top:
