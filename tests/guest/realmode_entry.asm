; SPDX-License-Identifier: GPL-2.0-only
;
; From long mode to real mode and back.  The 16-bit part runs at REAL_BASE, where the kernel
; has copied it; the vector table at 0 is filled by the 16-bit part itself.

%include "tests/guest/lib/segments.inc"

global real_run, real_job, real_blob, real_blob_end

REAL_BASE equ 0x8000                    ; realmode.h
EFER equ 0xc0000080
CR0_PG equ 1 << 31
HC_VERSION equ 0x50480000               ; include/phyllo/hypercall.h
BAD_MSR equ 0x12345678
APIC equ 0xfee00000
APIC_EOI equ 0xb0
APIC_ICR_LOW equ 0x300
ICR_SELF equ 0x44000                    ; to itself, fixed, assert
IRQ equ 0x61

section .text progbits alloc exec nowrite align=16
bits 64
real_run:
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
	and eax, ~(1 << 10)             ; LMA is not ours to write
	mov [saved.efer], eax
	sidt [saved.idt]
	push SEL_CODE32
	push .compat
	o64 retf

bits 32
.compat:
	mov eax, SEL_DATA
	mov ss, eax
	mov ds, eax
	mov es, eax
	mov gs, eax                     ; keeps its 4 GiB limit in real mode
	mov eax, cr0
	and eax, ~CR0_PG
	mov cr0, eax
	mov ecx, EFER
	xor eax, eax
	xor edx, edx
	wrmsr
	mov cr4, eax
	lidt [real_idt]
	; results and requests travel in the blob
	mov esi, real_job
	mov edi, REAL_BASE + (job - real_blob)
	mov ecx, job_size / 4
	rep movsd
	mov eax, SEL_DATA16
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	jmp SEL_CODE16:REAL_BASE

; Back here from real mode, PE just set.
return32:
	mov eax, SEL_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	mov gs, eax
	mov esi, REAL_BASE + (job - real_blob)
	mov edi, real_job
	mov ecx, job_size / 4
	rep movsd
	mov eax, [saved.cr4]
	mov cr4, eax
	mov eax, [saved.cr3]
	mov cr3, eax
	mov ecx, EFER
	mov eax, [saved.efer]
	xor edx, edx
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

; ---- the 16-bit part: addresses are REAL_BASE + (label - real_blob) -----------------------

%define AT(label) (REAL_BASE + (label) - real_blob)

section .rodata progbits alloc noexec nowrite align=16
bits 16
real_blob:
	mov eax, cr0
	and al, 0xfe
	mov cr0, eax
	jmp (REAL_BASE >> 4):(.real - real_blob)
.real:
	mov [cs:job.cs - real_blob], cs ; CS has another base than the rest
	jmp 0:AT(.flat)
.flat:
	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov fs, ax
	mov sp, REAL_BASE

	mov eax, cr0
	mov [AT(job.cr0)], eax
	smsw ax
	mov [AT(job.msw)], ax
	mov word [0], 0xcafe
	mov ax, [0]
	mov [AT(job.low)], ax

	; vectors: divide error, undefined, protection, INT 60h
	mov word [0 * 4], AT(on_de)
	mov word [0 * 4 + 2], 0
	mov word [6 * 4], AT(on_ud)
	mov word [6 * 4 + 2], 0
	mov word [13 * 4], AT(on_gp)
	mov word [13 * 4 + 2], 0
	mov word [0x60 * 4], (on_int - real_blob)
	mov word [0x60 * 4 + 2], REAL_BASE >> 4

	mov ax, 0xffff
	mov es, ax
	mov eax, [es:0x10]              ; 1 MiB: A20 is on
	mov [AT(job.wrap)], eax
	xor ax, ax
	mov es, ax

	mov ebx, [AT(job.big_addr)]
	mov eax, [gs:ebx]
	mov [AT(job.big)], eax

	int 0x60
	int 0x60

	xor eax, eax
	cpuid
	mov [AT(job.cpuid_eax)], eax
	xor eax, eax
	in al, 0x80
	mov [AT(job.port)], eax

	xor dx, dx
	mov ax, 1
	xor cx, cx
	div cx                          ; the handler steps over these two bytes
	ud2
	cmp dword [AT(job.phyllo)], 0
	je .no_hypercall
	mov ecx, BAD_MSR
	mov [AT(job.gp_sp_ok)], sp
	rdmsr
	mov eax, HC_VERSION
	xor ebx, ebx
	xor ecx, ecx
	xor edx, edx
	xor esi, esi
	vmmcall
	mov [AT(job.hypercall)], eax
.no_hypercall:
	call interrupts
	push word 0x7202
	popf
	pushf
	cli
	pop word [AT(job.flags)]
	push dword 0x43000
	popfd
	pushfd
	pop dword [AT(job.eflags)]
	push word 2
	popf
	mov eax, 0x12345678
	mov dr1, eax
	mov eax, 0x700
	mov dr7, eax
	xor eax, eax
	mov eax, dr1
	mov [AT(job.dr1)], eax
	mov eax, dr7
	mov [AT(job.dr7)], eax
	mov eax, 0x400
	mov dr7, eax
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp dword SEL_CODE32:return32

; Two interrupts to itself: one waits for STI, one ends HLT.  The APIC is reached through gs.
interrupts:
	mov word [IRQ * 4], AT(on_irq)
	mov word [IRQ * 4 + 2], 0
	mov ebx, APIC
	mov dword [gs:ebx + APIC_ICR_LOW], ICR_SELF | IRQ
	times 8 nop
	mov eax, [AT(job.irq_count)]
	mov [AT(job.irq_masked)], eax
	sti
	nop
	nop
	cli
	mov dword [gs:ebx + APIC_ICR_LOW], ICR_SELF | IRQ
	sti
	hlt
	cli
	ret

on_irq:
	inc dword [AT(job.irq_count)]
	mov dword [gs:ebx + APIC_EOI], 0
	iret

on_int:
	inc dword [AT(job.int_count)]
	iret

; A fault's frame: IP, CS, FLAGS.  All three instructions have two bytes.
on_de:
	inc dword [AT(job.de_count)]
	jmp step_over
on_ud:
	inc dword [AT(job.ud_count)]
	jmp step_over
on_gp:
	inc dword [AT(job.gp_count)]
	mov bp, sp
	add bp, 6
	cmp bp, [AT(job.gp_sp_ok)]
	sete [AT(job.gp_sp_ok)]
	mov byte [AT(job.gp_sp_ok) + 1], 0
step_over:
	mov bp, sp
	add word [bp], 2
	iret

	align 4, db 0
; struct real_job of realmode.h
job:
.phyllo:	dd 0
.big_addr:	dd 0
.cr0:		dd 0
.msw:		dd 0
.cs:		dd 0
.wrap:		dd 0
.low:		dd 0
.big:		dd 0
.int_count:	dd 0
.cpuid_eax:	dd 0
.port:		dd 0
.hypercall:	dd 0
.de_count:	dd 0
.ud_count:	dd 0
.gp_count:	dd 0
.gp_sp_ok:	dd 0
.irq_masked:	dd 0
.irq_count:	dd 0
.flags:		dd 0
.eflags:	dd 0
.dr1:		dd 0
.dr7:		dd 0
job_size equ $ - job
real_blob_end:

real_idt:
	dw 0x3ff
	dd 0

section .bss nobits alloc noexec write align=16
saved:
.rsp:	resq 1
.cr0:	resq 1
.cr3:	resq 1
.cr4:	resq 1
.efer:	resq 1
.idt:	resb 16
real_job: resb job_size
