# SPDX-License-Identifier: GPL-2.0-only
#
# BOOTX64.EFI, our own EFI loader (GNU-EFI).  Included by the Makefile; uses its B and WARN.
# Always gcc: gnu-efi's way of calling firmware (GNU_EFI_USE_MS_ABI) is built on
# -maccumulate-outgoing-args, which clang does not have.

EFI_CC      ?= gcc
EFI_INC     ?= /usr/include/efi
EFI_LIB     ?= /usr/lib
EFI_SRCS    := $(wildcard boot/efi/*.c) boot/parse.c boot/parse_config.c boot/parse_mmap.c \
               lib/printf.c lib/string.c
EFI_OBJS    := $(EFI_SRCS:%.c=$(B)/efi/%.o)
EFI_CFLAGS  := -std=gnu11 -O2 -g -fpic -ffreestanding -fno-stack-protector -fshort-wchar \
               -mno-red-zone -fcf-protection=none -maccumulate-outgoing-args \
               -fno-strict-aliasing -mgeneral-regs-only -DGNU_EFI_USE_MS_ABI $(WARN) -I. \
               -isystem $(EFI_INC) -isystem $(EFI_INC)/x86_64
# muldefs: our memcpy and memset come before those that libefi has for itself.
EFI_LDFLAGS := -nostdlib -znocombreloc -zmuldefs -znoexecstack -shared -Bsymbolic \
               -T $(EFI_LIB)/elf_x86_64_efi.lds
EFI_SECTIONS := .text .sdata .data .dynamic .dynsym .rodata .rel .rela .rel.* .rela.* .reloc

EFI_STAMP := $(B)/efi.flags
EFI_TEXT  := $(EFI_CC) $(EFI_CFLAGS) $(EFI_LDFLAGS)
$(shell mkdir -p $(B); echo '$(EFI_TEXT)' | cmp -s - $(EFI_STAMP) || \
        echo '$(EFI_TEXT)' > $(EFI_STAMP))

$(B)/efi/%.o: %.c $(EFI_STAMP)
	@mkdir -p $(@D)
	@echo "  EFICC $<"
	@$(EFI_CC) $(EFI_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/efi/loader.so: $(EFI_OBJS)
	@ld $(EFI_LDFLAGS) -o $@ $(EFI_LIB)/crt0-efi-x86_64.o $(EFI_OBJS) \
		-L$(EFI_LIB) -lefi -lgnuefi

$(B)/BOOTX64.EFI: $(B)/efi/loader.so
	@echo "  EFI   $@"
	@objcopy $(addprefix -j ,$(EFI_SECTIONS)) --target=efi-app-x86_64 --subsystem=10 $< $@

-include $(EFI_OBJS:.o=.d)
