; SPDX-License-Identifier: GPL-2.0-only
;
; The multiboot1 header.  ELF64 kernels carry the a.out-kludge, because a
; multiboot1 loader need not know ELF64; the ELF32 build leaves it out, so that the
; loader has to read the program headers.

MB1_MAGIC   equ 0x1badb002
MB1_ALIGN   equ 1 << 0          ; modules on page boundaries
MB1_MEMINFO equ 1 << 1          ; wants the memory map
MB1_KLUDGE  equ 1 << 16         ; the address fields are valid

%ifidn __?OUTPUT_FORMAT?__, elf32
MB1_FLAGS equ MB1_ALIGN | MB1_MEMINFO
%else
MB1_FLAGS equ MB1_ALIGN | MB1_MEMINFO | MB1_KLUDGE
%endif

extern guest_entry, image_start, image_load_end, image_end

section .multiboot1 progbits alloc noexec write align=4
mb1_header:
	dd MB1_MAGIC
	dd MB1_FLAGS
	dd -(MB1_MAGIC + MB1_FLAGS) & 0xffffffff
%if MB1_FLAGS & MB1_KLUDGE
	dd mb1_header
	dd image_start
	dd image_load_end
	dd image_end
	dd guest_entry
%endif
