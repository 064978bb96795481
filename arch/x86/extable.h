/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instructions of the hypervisor that are allowed to fault, and where to go on when
 * they did.  There are two of them: RDMSR and WRMSR of registers that not every
 * machine has, and no CPUID bit tells (Bochs has SVM but no VM_CR).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * For the #GP handler.  When *rip is such an instruction, set *rip to its
 * continuation and return true: the handler then returns there with the
 * interrupted registers unchanged.  Any other *rip: false, and the fault is a bug.
 */
bool extable_fixup(uint64_t *rip);

/* 0, or -EIO when the processor raised #GP; *v is then untouched.  Needs a loaded IDT. */
int rdmsr_safe(uint32_t msr, uint64_t *v);
int wrmsr_safe(uint32_t msr, uint64_t v);
