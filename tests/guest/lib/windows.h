/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Windows of time that all VMs of one host share: the time-stamp counter is the host's, neither offset
 * nor scaled.  Window n is from n * mcycles=N million cycles on.
 */
#pragma once

#include <stdint.h>

/* The length in cycles: of the word mcycles=. */
uint64_t window_cycles(void);
/* The window that it is now. */
uint64_t window_now(void);
/* Sleeps until window n begins; interrupts are off before and after.  For kernels with smp.h. */
void window_sleep(uint64_t n);
