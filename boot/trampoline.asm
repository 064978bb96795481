; SPDX-License-Identifier: GPL-2.0-only
;
; The start code of every processor but the first; see boot/trampoline.h.
;
; A SIPI with vector V starts it at CS = V << 8, IP = 0, in real mode.  It enters
; long mode in one step: with EFER.LME and CR4.PAE set, writing PE and PG together is
; allowed (SDM vol. 3, 9.8.5; APM vol. 2, 14.6), so there is no 32-bit leg to write.
;
; Nothing here may hold an absolute address: offsets are taken from
; trampoline_start, and the linear base is CS << 4.

MSR_EFER equ 0xc0000080
EFER_LME equ 1 << 8

STAGE_REAL_MODE equ 1
STAGE_LONG_MODE equ 2

; Offsets in struct trampoline_params.
P_CR3   equ 0
P_CR0   equ 8
P_CR4   equ 16
P_EFER  equ 24
P_STACK equ 32
P_ENTRY equ 40
P_ARG   equ 48
P_STAGE equ 56

%define OFF(label) (label - trampoline_start)

; Read-only data for the hypervisor: only the copy is ever executed.
section .rodata.trampoline progbits alloc noexec nowrite align=16

global trampoline_start, trampoline_end, trampoline_params

bits 16
trampoline_start:
	cli
	cld
	mov ax, cs
	mov ds, ax
	mov dword [OFF(trampoline_params) + P_STAGE], STAGE_REAL_MODE

	; The GDT's base and the jump's target are linear addresses.
	movzx ebx, ax
	shl ebx, 4
	lea eax, [ebx + OFF(gdt)]
	mov [OFF(gdt_pointer) + 2], eax
	lea eax, [ebx + OFF(long_mode)]
	mov [OFF(long_mode_pointer)], eax
	o32 lgdt [OFF(gdt_pointer)]

	mov eax, [OFF(trampoline_params) + P_CR4]
	mov cr4, eax
	mov eax, [OFF(trampoline_params) + P_CR3]
	mov cr3, eax

	mov ecx, MSR_EFER
	mov eax, [OFF(trampoline_params) + P_EFER]
	or eax, EFER_LME
	mov edx, [OFF(trampoline_params) + P_EFER + 4]
	wrmsr

	mov eax, [OFF(trampoline_params) + P_CR0]
	mov cr0, eax
	jmp dword far [OFF(long_mode_pointer)]

bits 64
default rel
long_mode:
	; Flat data segments are not needed in long mode, but SS must not hold what
	; real mode left there.
	xor eax, eax
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	mov gs, eax

	mov dword [trampoline_params + P_STAGE], STAGE_LONG_MODE
	mov rsp, [trampoline_params + P_STACK]
	mov rdi, [trampoline_params + P_ARG]
	mov rax, [trampoline_params + P_ENTRY]
	xor ebp, ebp ; the end of a backtrace
	call rax
.stop:	; the entry does not return
	cli
	hlt
	jmp .stop

align 8
gdt:
	dq 0
	dq 0x00af9b000000ffff ; 64-bit code, accessed: the CPU need not write here
gdt_end:

gdt_pointer:
	dw gdt_end - gdt - 1
	dd 0
long_mode_pointer:
	dd 0
	dw 8

align 8
trampoline_params:
	times 64 db 0
trampoline_end:

%if trampoline_end - trampoline_start > 4096
%error "the trampoline must fit into one page"
%endif
