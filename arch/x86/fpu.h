/* SPDX-License-Identifier: GPL-2.0-only */
/* The FPU is the guests': see also fpu_* in vmm/vcpu.h. */
#pragma once

/* On each CPU, after paging_load(). */
void fpu_cpu_init(void);
