# SPDX-License-Identifier: GPL-2.0-only
#
# Building Phyllo.  `make help` lists what can be made; docs/ says more.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

ifeq ($(origin CC),default)
CC := gcc
endif
NASM    ?= nasm
OBJCOPY ?= objcopy
PYTHON  ?= python3
B       := build
DEBUG   ?= 1

.PHONY: all
all: $(B)/phyllo.elf guests

# ---- flags --------------------------------------------------------------------

WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef \
        -Wshadow -Wpointer-arith -Wno-unused-parameter
FREESTANDING := -std=gnu11 -ffreestanding -nostdinc -isystem $(shell $(CC) -print-file-name=include 2>/dev/null) \
        -fno-pic -fno-pie -fno-stack-protector -fcf-protection=none -mno-red-zone \
        -fno-strict-aliasing -fno-common -fno-delete-null-pointer-checks \
        -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections
DEFS := $(if $(filter 1,$(DEBUG)),-DPHYLLO_DEBUG=1,-DPHYLLO_DEBUG=0)
CFLAGS  := $(FREESTANDING) -mcmodel=kernel -mgeneral-regs-only -O2 -g $(WARN) $(DEFS) -I. -Iinclude
# Without the debug checks it is optimised as one program: a tenth fewer instructions, and ten seconds more.
LTO     := $(if $(filter 1,$(DEBUG))$(findstring clang,$(CC)),,-flto=auto)
ASFLAGS := -f elf64 -g -F dwarf -I./ -Wall -Werror
# GNU ld for both compilers: the link script is written for it.
LD := ld

# ---- the hypervisor --------------------------------------------------------------

C_SRCS   := $(wildcard boot/*.c arch/x86/*.c arch/x86/svm/*.c arch/x86/vmx/*.c mm/*.c \
                       lib/*.c host/*.c vmm/*.c vmm/load/*.c)
ASM_SRCS := $(wildcard boot/*.asm arch/x86/*.asm arch/x86/svm/*.asm arch/x86/vmx/*.asm)
C_OBJS   := $(C_SRCS:%.c=$(B)/obj/%.o)
ASM_OBJS := $(ASM_SRCS:%.asm=$(B)/obj/%.asm.o)
OBJS     := $(if $(LTO),$(B)/phyllo.o,$(C_OBJS)) $(ASM_OBJS)

# Changes only when the commands change: everything depends on it.
FLAGS_STAMP := $(B)/flags
FLAGS_TEXT  := $(CC) $(CFLAGS) $(LTO) $(NASM) $(ASFLAGS)
$(shell mkdir -p $(B); echo '$(FLAGS_TEXT)' | cmp -s - $(FLAGS_STAMP) || echo '$(FLAGS_TEXT)' > $(FLAGS_STAMP))

$(B)/obj/%.o: %.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CFLAGS) $(LTO) -MMD -MP -c -o $@ $<

$(B)/phyllo.o: $(C_OBJS)
	@echo "  LTO   $@"
	@$(CC) $(CFLAGS) $(LTO) -r -nostdlib -flinker-output=nolto-rel -o $@ $^

$(B)/obj/%.asm.o: %.asm $(FLAGS_STAMP)
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	@$(NASM) $(ASFLAGS) -MD $(@:.o=.d) -MP -o $@ $<

# Two passes: the symbol table of the first is linked into the second.  The table lies
# behind everything else (linker.ld), so no address moves.
LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none --gc-sections \
           --no-warn-rwx-segments -T linker.ld

$(B)/phyllo.elf: $(OBJS) linker.ld tools/ksyms.py
	@echo "  LINK  $@"
	@$(PYTHON) tools/ksyms.py --empty > $(B)/ksyms0.s && $(CC) -c -o $(B)/ksyms0.o $(B)/ksyms0.s
	@$(LD) $(LDFLAGS) -o $(B)/phyllo.pass1 $(OBJS) $(B)/ksyms0.o
	@$(PYTHON) tools/ksyms.py $(B)/phyllo.pass1 > $(B)/ksyms.s && $(CC) -c -o $(B)/ksyms.o $(B)/ksyms.s
	@$(LD) $(LDFLAGS) -o $@ $(OBJS) $(B)/ksyms.o

# ---- test guests ---------------------------------------------------------------------
# Each tests/guest/NAME.c is one kernel; tests/guest/lib/ is linked into all of them.

GUEST_SRCS := $(wildcard tests/guest/*.c)
GUESTS     := $(GUEST_SRCS:tests/guest/%.c=$(B)/guest/%.elf)
GUEST_LIB  := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/guest/lib/*.c)) \
              $(patsubst %.asm,$(B)/obj/%.asm.o,$(wildcard tests/guest/lib/*.asm))
GUEST_CFLAGS := $(FREESTANDING) -mcmodel=small -mgeneral-regs-only -O2 -g $(WARN) -I. -Iinclude

$(B)/obj/tests/guest/%.o: tests/guest/%.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/guest/%.elf: $(B)/obj/tests/guest/%.o $(GUEST_LIB) tests/guest/guest.ld
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(LD) -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none \
		--no-warn-rwx-segments -T tests/guest/guest.ld -o $@ $(filter %.o,$^)

.PHONY: guests
guests: $(GUESTS)
.SECONDARY:

# ---- hosted tests -----------------------------------------------------------------------
# The same sources as a hosted library under ASan and UBSan.  Each tests/host/test_NAME.c
# is one program; the other files there are linked into all of them.

SCHED_SRCS  := $(foreach f,runqueue sched thread timer,host/$f.c)
HOSTED_SRCS := $(filter-out lib/string.c,$(wildcard lib/*.c)) $(wildcard mm/*.c) $(wildcard boot/parse*.c) \
               $(wildcard vmm/load/*.c) vmm/decode.c vmm/decode_table.c $(wildcard vmm/emulate*.c) vmm/insn.c vmm/inject.c vmm/realmode.c vmm/vm_config.c vmm/life.c vmm/guest_console.c vmm/latency_text.c vmm/intr.c vmm/ipi.c vmm/lapic.c vmm/lapic_timer.c vmm/pic.c vmm/signal.c \
               $(foreach f,controls state paging event exit dump,arch/x86/svm/svm_$f.c) \
               $(foreach f,controls exit segment event state paging real check dump log,arch/x86/vmx/vmx_$f.c) host/param.c host/log.c host/acpi.c host/pages.c host/object.c \
               $(SCHED_SRCS) tests/host/explore/coroutine.c \
               $(filter-out $(wildcard tests/host/test_*.c),$(wildcard tests/host/*.c))
HOSTED_OBJS := $(HOSTED_SRCS:%.c=$(B)/hosted/%.o)
HOST_TESTS  := $(patsubst tests/host/test_%.c,$(B)/hosted/test_%,$(wildcard tests/host/test_*.c))
HOSTED_CC     := gcc
HOSTED_CFLAGS := -std=gnu11 -O1 -g $(WARN) -DPHYLLO_HOSTED -DPHYLLO_DEBUG=1 -I. -Iinclude -pthread \
                 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

$(B)/hosted/%.o: %.c
	@mkdir -p $(@D)
	@echo "  HOSTCC $<"
	@$(HOSTED_CC) $(HOSTED_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/hosted/libphyllo.a: $(HOSTED_OBJS)
	@rm -f $@ && ar rcs $@ $^

$(B)/hosted/test_%: $(B)/hosted/tests/host/test_%.o $(B)/hosted/libphyllo.a
	@$(HOSTED_CC) $(HOSTED_CFLAGS) -o $@ $< $(B)/hosted/libphyllo.a $(HOSTED_LDLIBS)

# An independent decoder, to be compared with ours.
$(B)/hosted/test_decode_zydis: HOSTED_LDLIBS := -lZydis

.PHONY: host-tests
host-tests: $(HOST_TESTS)

# ---- the other rooms' own rules ------------------------------------------------------------

-include boot/efi/efi.mk tests/guest/guest.mk tools/make/run.mk tools/make/mm.mk tools/make/explore.mk

-include $(wildcard $(B)/obj/*.d $(B)/obj/*/*.d $(B)/obj/*/*/*.d $(B)/obj/*/*/*/*.d)
-include $(wildcard $(B)/hosted/*/*.d $(B)/hosted/*/*/*.d $(B)/hosted/*/*/*/*.d)

.PHONY: clean
clean:
	rm -rf $(B)
