; SPDX-License-Identifier: GPL-2.0-only
;
; The multiboot2 header: asks for the command line, the modules and the memory map.

MB2_MAGIC equ 0xe85250d6

section .multiboot2 progbits alloc noexec write align=8
mb2_header:
	dd MB2_MAGIC
	dd 0                            ; i386, protected mode
	dd mb2_end - mb2_header
	dd -(MB2_MAGIC + (mb2_end - mb2_header)) & 0xffffffff

	align 8, db 0
.request:                               ; information request
	dw 1, 0
	dd .request_end - .request
	dd 1, 3, 6                      ; command line, modules, memory map
.request_end:
	align 8, db 0
	dw 6, 0                         ; modules on page boundaries
	dd 8
	dw 0, 0                         ; end
	dd 8
mb2_end:
