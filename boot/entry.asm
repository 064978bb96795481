; SPDX-License-Identifier: GPL-2.0-only
;
; From the boot loader to C.  Three doors lead into one 32-bit stub:
;
;   entry_pvh         32-bit, ebx = struct hvm_start_info      (QEMU -kernel)
;   entry_multiboot2  32-bit, eax = magic, ebx = information   (GRUB)
;   entry_efi         64-bit, rdi = struct boot_handoff        (boot/efi/)
;
; entry_efi leaves long mode again: the firmware's page tables, and whether they
; have four levels or five, are then no concern of ours, and there is one stub only.
;
; The image may lie at any 2 MiB-aligned address below 4 GiB, so the stub has no
; absolute addresses: esi holds the image's physical base, OFF(symbol) is the
; distance from there.  What it leaves behind for boot_main():
;
;   0                     first 4 GiB, the direct map once more (this stub runs there)
;   0xffff800000000000    first 4 GiB, the direct map
;   0xffffffff80000000    the image
;
; all writable and executable, in pages of 2 MiB; arch/x86 replaces them soon.

MULTIBOOT2_HEADER_MAGIC equ 0xe85250d6
PVH_MAGIC     equ 0x336ec578 ; what start_info begins with; boot.c knows both
HANDOFF_MAGIC equ 0x4f594850 ; "PHYO": boot/efi/handoff.h

COM1     equ 0x3f8
EXIT_QEMU     equ 0xf4   ; isa-debug-exit
EXIT_CODE     equ 0x14   ; BOOT_EXIT_CODE in boot/report.h
UART_SPINS    equ 100000

CR0_VALUE equ 0x80010033 ; PG WP NE ET MP PE
CR0_PG    equ 1 << 31
CR4_PAE   equ 1 << 5
CR4_PCIDE equ 1 << 17
CR4_CET   equ 1 << 23
EFLAGS_ID equ 1 << 21
MSR_EFER  equ 0xc0000080
EFER_LME  equ 1 << 8
EFER_NXE  equ 1 << 11
CPUID_LM  equ 1 << 29
CPUID_NX  equ 1 << 20

PTE_TABLE equ 0x003 ; present, writable
PTE_LARGE equ 0x083 ; and a 2 MiB page

SEL_CODE64 equ 0x08
SEL_CODE32 equ 0x10
SEL_DATA32 equ 0x18

; Link address - 0xffffffff80000000, written so that it fits a 32-bit relocation.
%define OFF(symbol) ((symbol) + 0x80000000)

extern bss_start, bss_end, image_start, image_end
extern boot_main

; ---- what loaders look for --------------------------------------------------------

section .boot progbits alloc exec nowrite align=16

align 8
multiboot2_header:
	dd MULTIBOOT2_HEADER_MAGIC
	dd 0 ; i386, 32-bit protected mode
	dd .end - multiboot2_header
	dd 0x100000000 - (MULTIBOOT2_HEADER_MAGIC + (.end - multiboot2_header))

	align 8 ; information we use; what is missing is missed by the parser
	dw 1, 1
	dd .requests_end - .requests
.requests equ $ - 8
	dd 1, 2, 3, 8, 12, 14, 15, 17, 20
.requests_end:
	align 8
	dw 1, 0
	dd 12
	dd 6
	; Console: EGA text will do.  There is deliberately no framebuffer tag: without one
	; GRUB keeps text mode on BIOS (with one it calls the video BIOS, which in
	; Bochs ends in a triple fault) and still hands over the framebuffer on UEFI.
	align 8
	dw 4, 1
	dd 12
	dd 2
	align 8 ; modules page-aligned
	dw 6, 0
	dd 8
	align 8 ; relocatable: 2 MiB ... 4 GiB, aligned to 2 MiB, the lower the better
	dw 10, 0
	dd 24
	dd 0x200000, 0xffffffff, 0x200000, 1
	align 8
	dw 0, 0
	dd 8
.end:

section .note.Xen note alloc noexec nowrite align=4
	dd 4, 8, 18 ; XEN_ELFNOTE_PHYS32_ENTRY
	db "Xen", 0
	; QEMU reads eight bytes whatever the size says.
	dq entry_pvh - 0xffffffff80000000 + 0x200000

; ---- the 32-bit stub ------------------------------------------------------------------

section .boot
bits 32

global entry_multiboot2, entry_efi

entry_pvh:
	mov eax, PVH_MAGIC
entry_multiboot2:
	cli
	cld
	mov ebp, eax

	; Where are we?  Only the information structure is known to be RAM: its first
	; word serves as stack for one call, and is put back.
	mov edx, [ebx]
	lea esp, [ebx + 4]
	call .here
.here:
	pop esi
	mov [ebx], edx
	sub esi, OFF(.here)

	; Most loaders zero it; the rule that says so is not followed by all.
	lea edi, [esi + OFF(bss_start)]
	lea ecx, [esi + OFF(bss_end)]
	sub ecx, edi
	shr ecx, 2
	xor eax, eax
	rep stosd
	lea esp, [esi + OFF(boot_stack_top)]

	lea edi, [esi + OFF(text_unaligned)]
	test esi, 0x1fffff
	jnz fail

	call efer_choose
	push eax
	call tables_fill

	mov eax, CR4_PAE
	mov cr4, eax
	lea eax, [esi + OFF(pml4)]
	mov cr3, eax
	pop eax
	xor edx, edx
	mov ecx, MSR_EFER
	wrmsr
	mov eax, CR0_VALUE
	mov cr0, eax

	lea eax, [esi + OFF(gdt)]
	push eax
	push word gdt_end - gdt - 1
	lgdt [esp]
	lea eax, [esi + OFF(.long_mode)]
	push dword SEL_CODE64
	push eax
	retf

bits 64
.long_mode:
	mov rax, entry_high
	jmp rax
bits 32

; eax = the EFER to run with.  Ends with a sentence where there is no long mode.
efer_choose:
	lea edi, [esi + OFF(text_no_long_mode)]
	pushfd ; CPUID exists where EFLAGS.ID can be changed
	pop eax
	mov ecx, eax
	xor eax, EFLAGS_ID
	push eax
	popfd
	pushfd
	pop eax
	xor eax, ecx
	test eax, EFLAGS_ID
	jz fail

	push ebx
	mov eax, 0x80000000
	cpuid
	cmp eax, 0x80000001
	jb fail
	mov eax, 0x80000001
	cpuid
	pop ebx
	test edx, CPUID_LM
	jz fail

	mov eax, EFER_LME
	test edx, CPUID_NX
	jz .done
	or eax, EFER_NXE
.done:
	ret

; The tables are in .bss, so zero.
tables_fill:
	lea eax, [esi + OFF(pdpt_low) + PTE_TABLE]
	mov [esi + OFF(pml4)], eax
	mov [esi + OFF(pml4) + 256 * 8], eax
	lea eax, [esi + OFF(pdpt_image) + PTE_TABLE]
	mov [esi + OFF(pml4) + 511 * 8], eax
	lea eax, [esi + OFF(pd_image) + PTE_TABLE]
	mov [esi + OFF(pdpt_image) + 510 * 8], eax

	lea eax, [esi + OFF(pd_low) + PTE_TABLE]
	lea edi, [esi + OFF(pdpt_low)]
	mov ecx, 4
	mov edx, 0x1000
	call .run

	mov eax, PTE_LARGE
	lea edi, [esi + OFF(pd_low)]
	mov ecx, 4 * 512
	mov edx, 0x200000
	call .run

	lea eax, [esi + PTE_LARGE]
	lea edi, [esi + OFF(pd_image)]
	mov ecx, OFF(image_end)
	add ecx, 0x1fffff
	shr ecx, 21
	; falls through

; ecx entries at edi: eax, eax + edx, ...
.run:
	mov [edi], eax
	add edi, 8
	add eax, edx
	loop .run
	ret

; Print the text at edi on COM1 and stop.
fail:
	lea ebx, [esi + OFF(uart_setup)]
	mov ecx, UART_SETUP_COUNT
.setup:
	movzx edx, byte [ebx]
	add edx, COM1
	mov al, [ebx + 1]
	out dx, al
	add ebx, 2
	loop .setup
.next:
	mov bl, [edi]
	inc edi
	test bl, bl
	jz .end
	mov ecx, UART_SPINS
.wait:	; for the transmitter, but not for ever: there may be no UART
	mov edx, COM1 + 5
	in al, dx
	test al, 0x20
	loopz .wait
	mov al, bl
	mov edx, COM1
	out dx, al
	jmp .next
.end:
	mov al, EXIT_CODE
	out EXIT_QEMU, al
.stop:
	cli
	hlt
	jmp .stop

; ---- from our EFI loader ----------------------------------------------------------------

bits 64
default rel
; Interrupts off, boot services gone, this page identity-mapped by the firmware.
entry_efi:
	cli
	cld
	mov ebx, edi
	mov rax, cr4 ; PG cannot be cleared while PCIDE is set
	and rax, ~(CR4_PCIDE | CR4_CET)
	mov cr4, rax

	lea rsp, [boot_stack_top]
	lea rax, [gdt]
	push rax
	sub rsp, 8
	mov word [rsp + 6], gdt_end - gdt - 1
	lgdt [rsp + 6]
	push SEL_CODE32
	lea rax, [.compatibility_mode]
	push rax
	o64 retf

bits 32
.compatibility_mode:
	mov eax, SEL_DATA32
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov eax, cr0
	and eax, ~CR0_PG
	mov cr0, eax
	mov eax, HANDOFF_MAGIC
	jmp entry_multiboot2

; ---- constants of the stub ------------------------------------------------------------------

align 8
gdt: ; accessed bits set: the processor need not write to it
	dq 0
	dq 0x00af9b000000ffff ; 64-bit code
	dq 0x00cf9b000000ffff ; 32-bit code
	dq 0x00cf93000000ffff ; data
gdt_end:

uart_setup: ; register, value: 115200 8n1, FIFOs, no interrupts
	db 1, 0x00, 3, 0x80, 0, 0x01, 1, 0x00, 3, 0x03, 2, 0x07, 4, 0x03
UART_SETUP_COUNT equ ($ - uart_setup) / 2

text_no_long_mode:
	db "phyllo: boot: this processor has no 64-bit mode (long mode), which Phyllo needs"
	db 13, 10, 0
text_unaligned:
	db "phyllo: boot: the boot loader did not put the image at a multiple of 2 MiB"
	db 13, 10, 0

; ---- in the higher half -------------------------------------------------------------------

section .text.entry progbits alloc exec nowrite align=16
bits 64

; ebp = magic, ebx = information, esi = physical base of the image
entry_high:
	lgdt [gdt_pointer]
	xor eax, eax
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	mov gs, eax
	mov rsp, boot_stack_top

	mov eax, esi
	mov [image_phys_base], rax
	mov edi, ebp
	mov esi, ebx
	xor ebp, ebp ; the end of a backtrace
	call boot_main
.stop:	; boot_main() does not return
	cli
	hlt
	jmp .stop

align 8
gdt_pointer:
	dw gdt_end - gdt - 1
	dq gdt

section .bss nobits alloc noexec write align=4096
global image_phys_base, boot_stack, boot_stack_top

pml4:       resb 4096
pdpt_low:   resb 4096
pdpt_image: resb 4096
pd_image:   resb 4096
pd_low:     resb 4 * 4096

boot_stack: resb 32768
boot_stack_top:

image_phys_base: resq 1
