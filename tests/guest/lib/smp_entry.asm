; SPDX-License-Identifier: GPL-2.0-only
;
; The way of another processor to smp_ap_main(): from the STARTUP IPI in real mode, or from
; vcpu_start in 32-bit protected mode.

%include "tests/guest/lib/segments.inc"

extern boot_gdt, boot_gdt_ptr, boot_pml4, smp_stack_top, smp_ap_main
global smp_blob, smp_blob_end, ap_entry32

section .rodata progbits alloc noexec nowrite align=16
; Copied below 1 MiB; CS:0 is its start.
bits 16
smp_blob:
	cli
	mov ax, cs
	mov ds, ax
	o32 lgdt [gdt_ptr - smp_blob]
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp dword SEL_CODE32:ap_entry32
	align 4
gdt_ptr:
	dw (SEL_TSS - 1)
	dd boot_gdt
smp_blob_end:

section .text progbits alloc exec nowrite align=16
bits 32
ap_entry32:
	cli
	cld
	lgdt [cs:boot_gdt_ptr]          ; DS still has its real-mode base
	jmp SEL_CODE32:.reloaded
.reloaded:
	mov eax, SEL_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov eax, 0x80000001
	cpuid
	mov esi, edx
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
	jmp SEL_CODE64:.long

bits 64
.long:
	xor eax, eax
	mov fs, eax
	mov gs, eax
	mov eax, 1
	cpuid
	shr ebx, 24                     ; the local APIC's ID
	mov rsp, [smp_stack_top + rbx * 8]
	test rsp, rsp
	jz .unknown
	mov edi, ebx
	xor ebp, ebp
	call smp_ap_main
.unknown:
	cli
	hlt
	jmp .unknown
