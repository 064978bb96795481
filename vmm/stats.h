/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM's statistics as (name, value) pairs: one order for the hypercall, the
 * summary and the monitor, made from the tables in mm/mmu.h and virt_ops.h.
 */
#pragma once

#include "phyllo/hypercall.h"
#include "vmm/vm.h"

/* Calls emit for each; returns how many there are. */
unsigned stats_each(struct vm *vm, void (*emit)(void *ctx, const struct phyllo_stat *s), void *ctx);
