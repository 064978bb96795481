; SPDX-License-Identifier: GPL-2.0-only
;
; The world switch.  RIP, RSP, RFLAGS and segments move through the VMCS; the
; other general registers are ours to load and store (SDM vol. 3C, 27.3 and 28.5).

bits 64

%define VMCS_HOST_RSP 0x6c14

; Offsets in struct vcpu_regs: gpr[] in encoding order.
%define RAX_ 0
%define RCX_ 8
%define RDX_ 16
%define RBX_ 24
%define RBP_ 40
%define RSI_ 48
%define RDI_ 56
%define R8_  64
%define R9_  72
%define R10_ 80
%define R11_ 88
%define R12_ 96
%define R13_ 104
%define R14_ 112
%define R15_ 120

section .text

; bool vmx_enter(struct vcpu_regs *regs, bool launched)
; false: the guest ran and exited.  true: VMLAUNCH/VMRESUME failed, nothing ran.
global vmx_enter
global vmx_exit_point
vmx_enter:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdi
	mov	eax, VMCS_HOST_RSP
	vmwrite	rax, rsp
	jbe	.failed
	test	sil, sil		; MOV leaves the flags alone until the jump below
	mov	rax, [rdi + RAX_]
	mov	rcx, [rdi + RCX_]
	mov	rdx, [rdi + RDX_]
	mov	rbx, [rdi + RBX_]
	mov	rbp, [rdi + RBP_]
	mov	rsi, [rdi + RSI_]
	mov	r8, [rdi + R8_]
	mov	r9, [rdi + R9_]
	mov	r10, [rdi + R10_]
	mov	r11, [rdi + R11_]
	mov	r12, [rdi + R12_]
	mov	r13, [rdi + R13_]
	mov	r14, [rdi + R14_]
	mov	r15, [rdi + R15_]
	mov	rdi, [rdi + RDI_]
	jnz	.resume
	vmlaunch
	jmp	.failed
.resume:
	vmresume
.failed:
	mov	eax, 1
	jmp	vmx_exit_point.return

; The processor comes here with the RSP that was written above.
vmx_exit_point:
	push	rdi
	mov	rdi, [rsp + 8]
	mov	[rdi + RAX_], rax
	mov	[rdi + RCX_], rcx
	mov	[rdi + RDX_], rdx
	mov	[rdi + RBX_], rbx
	mov	[rdi + RBP_], rbp
	mov	[rdi + RSI_], rsi
	pop	qword [rdi + RDI_]
	mov	[rdi + R8_], r8
	mov	[rdi + R9_], r9
	mov	[rdi + R10_], r10
	mov	[rdi + R11_], r11
	mov	[rdi + R12_], r12
	mov	[rdi + R13_], r13
	mov	[rdi + R14_], r14
	mov	[rdi + R15_], r15
	xor	eax, eax
.return:
	add	rsp, 8			; regs
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp
	ret
