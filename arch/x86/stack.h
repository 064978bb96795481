/* SPDX-License-Identifier: GPL-2.0-only */
/* Stacks of CPUs and threads, above host/machine.h. */
#pragma once

#include "mm/types.h"

#define STACK_ORDER 2
#define STACK_SIZE  (PAGE_SIZE << STACK_ORDER)

/* Before the first is allocated; 0 or -ENOMEM. */
int stack_init(void);
/* On each CPU, in its tick: forget where stacks have been. */
void stack_tick(void);
