# SPDX-License-Identifier: GPL-2.0-only
#
# What hammers mm/: mutants, the stress under ThreadSanitizer, branch coverage, and clang's
# thread-safety analysis.

.PHONY: mutants
mutants:
	@tools/setup.sh --bootstrap build hosted mutants
	@$(PHYLLO) mutants

MM_SRCS      := $(wildcard mm/*.c)
MM_HOST_SRCS := $(MM_SRCS) $(filter-out $(wildcard tests/host/test_*.c),$(wildcard tests/host/*.c))
MM_CFLAGS    := -std=gnu11 -g $(WARN) -DPHYLLO_HOSTED -DPHYLLO_DEBUG=1 -I. -Iinclude -pthread \
                -fno-omit-frame-pointer

# ---- the stress under ThreadSanitizer ------------------------------------------------------

TSAN_SRCS := $(filter mm/% tests/host/world.c tests/host/fake_cpu.c tests/host/ktap.c \
                      tests/host/port_pthread.c,$(MM_HOST_SRCS)) tests/host/test_mmu_stress.c

TSAN_CFLAGS := $(MM_CFLAGS) -O1 -fsanitize=thread

$(B)/tsan/%.o: %.c
	@mkdir -p $(@D)
	@echo "  TSANCC $<"
	@$(HOSTED_CC) $(TSAN_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tsan/test_mmu_stress: $(TSAN_SRCS:%.c=$(B)/tsan/%.o)
	@$(HOSTED_CC) $(MM_CFLAGS) -fsanitize=thread -o $@ $^

# Tests of threads that say of themselves when they are done.
TSAN_TESTS := $(B)/tsan/test_rmap $(B)/tsan/test_shadow_threads
TSAN_LIB   := $(filter mm/% tests/host/shadow_cpu.c tests/host/shadow_guest.c tests/host/ktap.c \
                       tests/host/port_pthread.c,$(MM_HOST_SRCS))

$(B)/tsan/libmm.a: $(TSAN_LIB:%.c=$(B)/tsan/%.o)
	@rm -f $@ && ar rcs $@ $^

$(TSAN_TESTS): $(B)/tsan/test_%: $(B)/tsan/tests/host/test_%.o $(B)/tsan/libmm.a
	@$(HOSTED_CC) $(TSAN_CFLAGS) -o $@ $^

.PHONY: stress-program
stress-program: $(B)/tsan/test_mmu_stress $(TSAN_TESTS)

.PHONY: stress
stress:
	@tools/setup.sh --bootstrap build hosted
	@STRESS_SECONDS='$(SECONDS)' $(PHYLLO) stress

# ---- faults of many at once, for `make bench` -------------------------------------------------

SCALE_SRCS := $(filter mm/% tests/host/fake_cpu.c tests/host/ktap.c tests/host/port_pthread.c,$(MM_HOST_SRCS)) \
              tests/host/test_mmu_scale.c

$(B)/scale: $(SCALE_SRCS)
	@mkdir -p $(@D)
	@echo "  HOSTCC $@"
	@$(HOSTED_CC) $(filter-out -DPHYLLO_DEBUG=1,$(MM_CFLAGS)) -DPHYLLO_DEBUG=0 -O2 -o $@ $^

# ---- branch coverage ---------------------------------------------------------------------------
# mm/ once more, with gcc's counters; the tests and their helpers without.

COVERAGE_OBJS     := $(MM_HOST_SRCS:%.c=$(B)/coverage/%.o)
COVERAGE_TESTS    := $(wildcard tests/host/test_mmu*.c tests/host/test_shadow*.c) \
                     tests/host/test_rmap.c tests/host/test_sync.c tests/host/test_gwalk.c
COVERAGE_PROGRAMS := $(COVERAGE_TESTS:tests/host/%.c=$(B)/coverage/%)

$(B)/coverage/mm/%.o: mm/%.c
	@mkdir -p $(@D)
	@echo "  COVCC $<"
	@$(HOSTED_CC) $(MM_CFLAGS) -O0 --coverage -fprofile-update=atomic -MMD -MP -c -o $@ $<

$(B)/coverage/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	@echo "  COVCC $<"
	@$(HOSTED_CC) $(MM_CFLAGS) -O1 -MMD -MP -c -o $@ $<

$(B)/coverage/libmm.a: $(COVERAGE_OBJS)
	@rm -f $@ && ar rcs $@ $^

$(B)/coverage/test_%: $(B)/coverage/tests/host/test_%.o $(B)/coverage/libmm.a
	@$(HOSTED_CC) $(MM_CFLAGS) --coverage -o $@ $^

.PHONY: coverage-programs coverage
coverage-programs: $(COVERAGE_PROGRAMS)
coverage:
	@tools/setup.sh --bootstrap build hosted
	@$(PHYLLO) coverage

# ---- clang's thread-safety analysis ---------------------------------------------------------------

$(B)/thread-safety/%.o: %.c
	@mkdir -p $(@D)
	@clang $(MM_CFLAGS) -Wthread-safety -O0 -MMD -MP -c -o $@ $<

.PHONY: thread-safety
thread-safety: $(patsubst %.c,$(B)/thread-safety/%.o,$(MM_SRCS) $(SCHED_SRCS))

-include $(wildcard $(B)/tsan/*/*.d $(B)/tsan/*/*/*.d $(B)/coverage/*/*.d $(B)/coverage/*/*/*.d $(B)/thread-safety/*/*.d)
