# SPDX-License-Identifier: GPL-2.0-only
#
# Test kernels that are not just one C file and the library.

GUEST_LINK = $(LD) -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none \
             --no-warn-rwx-segments -T tests/guest/guest.ld

# A multiboot2 header only.
$(B)/guest/mb2.elf: $(B)/obj/tests/guest/mb2.o $(filter-out %/mb1.asm.o,$(GUEST_LIB)) tests/guest/guest.ld
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(GUEST_LINK) -o $@ $(filter %.o,$^)

# A multiboot1 header only.
$(B)/guest/envkernel.elf: $(B)/obj/tests/guest/envkernel.o $(filter-out %/mb2.asm.o,$(GUEST_LIB)) tests/guest/guest.ld
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(GUEST_LINK) -o $@ $(filter %.o,$^)

# 16- and 32-bit code of its own.
$(B)/guest/realmode.elf: $(B)/obj/tests/guest/realmode_entry.asm.o

# ELF32, from the parts of the library that know no long mode.
GUEST32_C    := tests/guest/boot32.c $(addprefix tests/guest/lib/,bootcheck.c console.c info.c ktap.c \
                phyllo.c printf.c string.c)
GUEST32_ASM  := tests/guest/boot32_entry.asm tests/guest/lib/mb1.asm
GUEST32_OBJS := $(GUEST32_C:%.c=$(B)/obj/guest32/%.o) $(GUEST32_ASM:%.asm=$(B)/obj/guest32/%.asm.o)
GUEST32_CFLAGS := $(filter-out -mcmodel=small,$(GUEST_CFLAGS)) -m32

$(B)/obj/guest32/%.o: %.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	@echo "  CC32  $<"
	@$(CC) $(GUEST32_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/obj/guest32/%.asm.o: %.asm $(FLAGS_STAMP)
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	@$(NASM) -f elf32 -I./ -Wall -Werror -MD $(@:.o=.d) -MP -o $@ $<

$(B)/guest/boot32.elf: $(GUEST32_OBJS) tests/guest/guest.ld
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(GUEST_LINK) -m elf_i386 -o $@ $(filter %.o,$^)

# No ELF at all: loaded by the address fields of its only header, multiboot1's.
$(B)/obj/guest/hello_flat.elf: $(B)/obj/tests/guest/hello.o $(filter-out %/mb2.asm.o,$(GUEST_LIB)) tests/guest/guest.ld
	@mkdir -p $(@D)
	@$(GUEST_LINK) -o $@ $(filter %.o,$^)

$(B)/guest/hello.bin: $(B)/obj/guest/hello_flat.elf
	@mkdir -p $(@D)
	@echo "  BIN   $@"
	@$(OBJCOPY) -O binary $< $@

GUESTS += $(B)/guest/hello.bin
guests: $(B)/guest/hello.bin

-include $(wildcard $(B)/obj/guest32/tests/guest/*.d $(B)/obj/guest32/tests/guest/lib/*.d)
