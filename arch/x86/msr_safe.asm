; SPDX-License-Identifier: GPL-2.0-only
;
; MSR accesses that survive a #GP, and the table by which the #GP handler finds
; where they go on (extable.h).  System V calling convention.

bits 64
default rel

EIO equ 5

section .text

; int rdmsr_safe(uint32_t msr, uint64_t *v)
global rdmsr_safe:function
rdmsr_safe:
	mov	ecx, edi
.insn:	rdmsr
	shl	rdx, 32
	or	rax, rdx
	mov	[rsi], rax
	xor	eax, eax
	ret

; int wrmsr_safe(uint32_t msr, uint64_t v)
global wrmsr_safe:function
wrmsr_safe:
	mov	ecx, edi
	mov	eax, esi
	mov	rdx, rsi
	shr	rdx, 32
.insn:	wrmsr
	xor	eax, eax
	ret

; Nothing was pushed yet: both functions fail the same way.
msr_failed:
	mov	eax, -EIO
	ret

section .rodata
align 8
global extable_start:data, extable_end:data
extable_start:
	dq	rdmsr_safe.insn, msr_failed
	dq	wrmsr_safe.insn, msr_failed
extable_end:
