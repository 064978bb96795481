# SPDX-License-Identifier: GPL-2.0-only
#
# What users call: run, test, check and their relatives.  The work is done by tools/phyllo/;
# tools/setup.sh goes first because Python itself may be missing.

PHYLLO = PHYLLO_BUILD='$(B)' PYTHONPATH=tools $(PYTHON) -B -m phyllo

.PHONY: run
run:
	@tools/setup.sh --bootstrap build qemu
	@$(PHYLLO) run

.PHONY: iso
iso:
	@tools/setup.sh --bootstrap build iso
	@$(PHYLLO) iso

.PHONY: test
test:
	@tools/setup.sh --bootstrap $$(tools/setup.sh --needs)
	@$(PHYLLO) test

.PHONY: check
check:
	@tools/setup.sh --bootstrap build efi hosted clang lint
	@$(PHYLLO) check

.PHONY: fuzz
fuzz:
	@tools/setup.sh --bootstrap build fuzz
	@$(PHYLLO) fuzz

# Random scenarios on both vendors, or on one.
.PHONY: soak
soak:
	@tools/setup.sh --bootstrap build qemu
	@MINUTES='$(MINUTES)' $(PHYLLO) soak

# Without the debug checks, which fill each freed page, and so in a directory of its own.
BENCH_BUILD = $(MAKE) -s --no-print-directory B='$(B)/bench' DEBUG=0
.PHONY: bench
bench:
	@tools/setup.sh --bootstrap build qemu hosted
	@$(BENCH_BUILD) all '$(B)/bench/scale'
	@$(PHYLLO) bench

# The same kernels in Linux's KVM.
.PHONY: bench-kvm
bench-kvm:
	@tools/setup.sh --bootstrap build qemu linux
	@tools/setup.sh build qemu linux
	@tools/setup.sh --kernel '$(B)/linux-kvm/debian'
	@$(BENCH_BUILD) all
	@$(MAKE) -s --no-print-directory '$(B)/linux-kvm/init'
	@$(PHYLLO) bench-kvm

LINUX_KVM_SRCS := $(wildcard tools/linux-kvm/*.c)
$(B)/linux-kvm/init: $(LINUX_KVM_SRCS) tools/linux-kvm/vm.h include/phyllo/hypercall.h tests/guest/lib/call_port.h
	@mkdir -p $(@D)
	@echo "  HOSTCC $@"
	@$(HOSTED_CC) -std=gnu11 -O2 -D_GNU_SOURCE $(WARN) -I. -Iinclude -static -pthread -o $@ $(LINUX_KVM_SRCS)

.PHONY: profile
profile:
	@tools/setup.sh --bootstrap build qemu
	@$(BENCH_BUILD) all '$(B)/bench/insns.so'
	@OP='$(OP)' MMU='$(MMU)' $(PHYLLO) profile

$(B)/insns.so: tools/profile/insns.c
	@mkdir -p $(@D)
	@echo "  HOSTCC $<"
	@$(HOSTED_CC) -O2 $(WARN) -shared -fPIC -fvisibility=hidden -o $@ $<

.PHONY: doctor
doctor:
	@tools/setup.sh --bootstrap
	@$(PHYLLO) doctor

.PHONY: list-tests
list-tests:
	@$(PHYLLO) list

.PHONY: help
help:
	@tail -n +2 tools/make/help.txt

.PHONY: efi-loader
efi-loader: $(B)/BOOTX64.EFI

# ---- fuzz targets: the hosted sources once more, by clang with its fuzzer ---------------

FUZZ_CC      := clang
FUZZ_CFLAGS  := -std=gnu11 -O1 -g -Wall -Wextra -Werror -Wno-unused-parameter -DPHYLLO_HOSTED -DPHYLLO_DEBUG=1 \
                -I. -Iinclude -pthread -fno-omit-frame-pointer -fsanitize=address,undefined \
                -fno-sanitize-recover=all
FUZZ_OBJS    := $(HOSTED_SRCS:%.c=$(B)/fuzz/obj/%.o)
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

$(B)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  FUZZCC $<"
	@$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

$(B)/fuzz/libphyllo.a: $(FUZZ_OBJS)
	@rm -f $@ && ar rcs $@ $^

$(B)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(B)/fuzz/libphyllo.a
	@echo "  FUZZCC $<"
	@$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer -MMD -MP -MF $@.d -o $@ $< $(B)/fuzz/libphyllo.a

.PHONY: fuzz-targets
fuzz-targets: $(FUZZ_TARGETS)

-include $(wildcard $(B)/fuzz/*.d $(B)/fuzz/obj/*/*.d $(B)/fuzz/obj/*/*/*.d)

# The lints ask for flags.
print-%:
	@echo '$($*)'
