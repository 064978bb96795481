# SPDX-License-Identifier: GPL-2.0-only
#
# The interleaving explorer: mm/ and the scheduler once more, with every atomic operation a scheduling point
# (tests/host/explore/README.md).

EXPLORE_DIR    := tests/host/explore
EXPLORE_CC     := gcc
EXPLORE_PLAIN_CFLAGS := -std=gnu11 -O2 -g $(WARN) -Wno-shadow -DPHYLLO_HOSTED -DPHYLLO_DEBUG=1 -DITER_RUN=2u -I. -Iinclude \
                  -fno-strict-aliasing -fno-omit-frame-pointer -fno-pie -fcf-protection=none -U_FORTIFY_SOURCE
EXPLORE_CFLAGS := $(EXPLORE_PLAIN_CFLAGS) -include $(EXPLORE_DIR)/explore_atomics.h
EXPLORE_MM     := $(wildcard mm/*.c)
EXPLORE_SRCS   := $(EXPLORE_MM) $(SCHED_SRCS) vmm/signal.c tests/host/fake_cpu.c tests/host/fake_context.c \
                  tests/host/shadow_cpu.c $(wildcard $(EXPLORE_DIR)/*.c tests/models/*.c)
EXPLORE_OBJS   := $(EXPLORE_SRCS:%.c=$(B)/explore/obj/%.o)
EXPLORE_PLAIN  := $(EXPLORE_MM:%.c=$(B)/explore/plain/%.o)

$(B)/explore/obj/%.o: %.c tools/make/explore.mk
	@mkdir -p $(@D)
	@echo "  EXPLCC $<"
	@$(EXPLORE_CC) $(EXPLORE_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/explore/plain/%.o: %.c tools/make/explore.mk
	@mkdir -p $(@D)
	@echo "  EXPLCC $< (plain)"
	@$(EXPLORE_CC) $(EXPLORE_PLAIN_CFLAGS) -MMD -MP -c -o $@ $<

# mm/ without scheduling points, beside the other: its names begin with plain_.
$(B)/explore/plain.o: $(EXPLORE_PLAIN)
	@ld -r -o $@.all $^
	@nm --defined-only -g $@.all | awk '{ print $$3, "plain_" $$3 }' > $@.names
	@objcopy --redefine-syms=$@.names $@.all $@

$(B)/explore/explore: $(EXPLORE_OBJS) $(B)/explore/plain.o
	@echo "  LINK  $@"
	@$(EXPLORE_CC) -no-pie -g -o $@ $^

.PHONY: explorer
explorer: $(B)/explore/explore

# The long run.
.PHONY: explore
explore: explorer
	@$(B)/explore/explore run --seconds $(or $(SECONDS),600)

# Does it find the races that are put in on purpose?
.PHONY: explore-seeded
explore-seeded:
	@tools/setup.sh --bootstrap build hosted mutants
	@$(PHYLLO) explore-seeded

-include $(wildcard $(B)/explore/*/*/*.d $(B)/explore/*/*/*/*.d $(B)/explore/*/*/*/*/*.d)
