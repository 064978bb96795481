; SPDX-License-Identifier: GPL-2.0-only
;
; From the multiboot entry state (32-bit protected mode, paging off) to long mode with
; the first 4 GiB mapped one to one, and on to guest_main() in C.

%include "tests/guest/lib/segments.inc"

extern guest_main, guest_start, guest_exit
extern bss_start, bss_end
global guest_entry, boot_state, boot_pml4, boot_gdt, boot_gdt_ptr, boot_stack_top

PTE_BOOT equ 0x7                        ; present, writable, user: ring 3 runs here too
PTE_2M   equ 0x80

section .text.boot progbits alloc exec nowrite align=16
bits 32
; EAX, EBX and the flags are evidence: store them before anything changes them.
guest_entry:
	mov [boot_state.eax], eax
	mov [boot_state.ebx], ebx
	mov esp, boot_stack_top
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

	mov edi, bss_start
	mov ecx, bss_end
	sub ecx, edi
	shr ecx, 2
	xor eax, eax
	rep stosd

	mov eax, 0x80000000
	cpuid
	cmp eax, 0x80000001
	jb .no_long_mode
	mov eax, 0x80000001
	cpuid
	bt edx, 29
	jnc .no_long_mode
	mov esi, edx
	call build_tables

	mov eax, cr4
	or eax, 1 << 5                  ; PAE
	mov cr4, eax
	mov eax, boot_pml4
	mov cr3, eax
	mov ecx, 0xc0000080             ; EFER
	rdmsr
	or eax, 1 << 8                  ; LME
	bt esi, 20
	jnc .no_nx
	or eax, 1 << 11                 ; NXE
.no_nx:
	wrmsr
	mov eax, cr0
	and eax, ~(1 << 30 | 1 << 29)   ; CD, NW
	or eax, 1 << 31 | 1 << 16 | 1   ; PG, WP, PE
	mov cr0, eax
	lgdt [boot_gdt_ptr]
	jmp SEL_CODE64:entry64

.no_long_mode:
	mov esi, no_long_mode_text
.next:
	lodsb
	test al, al
	jz .stop
	out 0xe9, al
	mov dx, 0x3f8
	out dx, al
	jmp .next
.stop:
	mov al, 1
	out 0xf4, al
.halt:
	cli
	hlt
	jmp .halt

; PML4[0] -> PDPT -> four directories of 2M pages.
build_tables:
	mov dword [boot_pml4], boot_pdpt + PTE_BOOT
	mov eax, boot_pd + PTE_BOOT
	mov edi, boot_pdpt
	mov ecx, 4
.pdpt:
	mov [edi], eax
	add eax, 0x1000
	add edi, 8
	loop .pdpt
	mov eax, PTE_BOOT | PTE_2M
	mov edi, boot_pd
	mov ecx, 4 * 512
.pd:
	mov [edi], eax
	add eax, 0x200000
	add edi, 8
	loop .pd
	ret

bits 64
entry64:
	mov eax, SEL_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	xor eax, eax
	mov fs, eax
	mov gs, eax
	mov esp, boot_stack_top         ; clears the upper half
	xor ebp, ebp
	call guest_start
	call guest_main
	mov edi, eax
	call guest_exit
	ud2

section .rodata progbits alloc noexec nowrite align=4
no_long_mode_text:
	db "guest: this kernel needs a processor with long mode", 10, 0

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

	align 16
boot_gdt:
	dq 0
	dq 0x00af9b000000ffff           ; SEL_CODE64
	dq 0x00cf93000000ffff           ; SEL_DATA
	dq 0x00cf9b000000ffff           ; SEL_CODE32
	dq 0x00cff3000000ffff           ; SEL_USER_DATA
	dq 0x00affb000000ffff           ; SEL_USER_CODE
	dq 0x00009b000000ffff           ; SEL_CODE16
	dq 0x000093000000ffff           ; SEL_DATA16
	dq 0, 0                         ; SEL_TSS, filled by trap.c
	dq 0x00cffb000000ffff           ; SEL_USER_CODE32
boot_gdt_end:
boot_gdt_ptr:
	dw boot_gdt_end - boot_gdt - 1
	dq boot_gdt

section .bss nobits alloc noexec write align=4096
boot_pml4: resb 4096
boot_pdpt: resb 4096
boot_pd:   resb 4 * 4096
           resb 32768
boot_stack_top:
