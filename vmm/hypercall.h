/* SPDX-License-Identifier: GPL-2.0-only */
/* Features that CPUID and the hypercall of that name report. */
#pragma once

#include "phyllo/hypercall.h"

#define HYPERCALL_FEATURES                                                            \
	(PHYLLO_FEATURE_CONSOLE | PHYLLO_FEATURE_BALLOON | PHYLLO_FEATURE_UNMAP |    \
	 PHYLLO_FEATURE_STATS | PHYLLO_FEATURE_AUDIT | PHYLLO_FEATURE_PROTECT |       \
	 PHYLLO_FEATURE_AGE | PHYLLO_FEATURE_DIRTY | PHYLLO_FEATURE_SLOTS |          \
	 PHYLLO_FEATURE_MMU | PHYLLO_FEATURE_SMP | PHYLLO_FEATURE_VMS |           \
	 PHYLLO_FEATURE_LATENCY)
