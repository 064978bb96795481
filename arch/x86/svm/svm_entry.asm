; SPDX-License-Identifier: GPL-2.0-only
;
; The world switch of AMD-V.
;
; void svm_enter(uint64_t gpr[16], uint64_t vmcb_pa, uint64_t host_vmcb_pa)
;
; VMRUN switches RAX, RSP, RIP, RFLAGS, CS/SS/DS/ES, descriptor tables and control
; registers; VMLOAD/VMSAVE switch FS, GS, TR, LDTR and the SYSCALL/SYSENTER MSRs;
; the other general registers are ours to move.
;
; Called and left with IF=0, GIF=1.  In between:
;   CLGI  nothing at all interrupts us, NMI and machine check included.  It has to come
;         before the guest's VMLOAD, after which GS and TR are not the host's.
;   STI   with V_INTR_MASKING the host's IF decides whether a physical interrupt
;         ends the guest; under CLGI it does so nowhere but in the guest.
;   STGI  last, when every register is the host's again: a pending NMI arrives here.

bits 64

GPR_RCX equ 1 * 8
GPR_RDX equ 2 * 8
GPR_RBX equ 3 * 8
GPR_RBP equ 5 * 8
GPR_RSI equ 6 * 8
GPR_RDI equ 7 * 8
%define GPR(n) ((n) * 8)

section .text

global svm_enter:function
svm_enter:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdi			; [rsp + 8]: gpr[]
	push	rdx			; [rsp]: the host's VMCB

	mov	rax, rsi
	clgi
	sti
	vmload
	mov	rcx, [rdi + GPR_RCX]
	mov	rdx, [rdi + GPR_RDX]
	mov	rbx, [rdi + GPR_RBX]
	mov	rbp, [rdi + GPR_RBP]
	mov	rsi, [rdi + GPR_RSI]
	mov	r8,  [rdi + GPR(8)]
	mov	r9,  [rdi + GPR(9)]
	mov	r10, [rdi + GPR(10)]
	mov	r11, [rdi + GPR(11)]
	mov	r12, [rdi + GPR(12)]
	mov	r13, [rdi + GPR(13)]
	mov	r14, [rdi + GPR(14)]
	mov	r15, [rdi + GPR(15)]
	mov	rdi, [rdi + GPR_RDI]

	vmrun				; rax: the guest's VMCB, before and after

	vmsave
	mov	rax, [rsp]
	vmload
	mov	rax, [rsp + 8]
	mov	[rax + GPR_RCX], rcx
	mov	[rax + GPR_RDX], rdx
	mov	[rax + GPR_RBX], rbx
	mov	[rax + GPR_RBP], rbp
	mov	[rax + GPR_RSI], rsi
	mov	[rax + GPR_RDI], rdi
	mov	[rax + GPR(8)],  r8
	mov	[rax + GPR(9)],  r9
	mov	[rax + GPR(10)], r10
	mov	[rax + GPR(11)], r11
	mov	[rax + GPR(12)], r12
	mov	[rax + GPR(13)], r13
	mov	[rax + GPR(14)], r14
	mov	[rax + GPR(15)], r15

	add	rsp, 16
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp			; before STGI: an NMI handler may walk the frames
	cli
	stgi
	ret

; void svm_vmsave(uint64_t vmcb_pa)
global svm_vmsave:function
svm_vmsave:
	mov	rax, rdi
	vmsave
	ret
