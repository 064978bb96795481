/* SPDX-License-Identifier: GPL-2.0-only */
/* The prompt on COM1 that end=prompt leads to. */
#pragma once

#include "boot/boot_info.h"

/* Returns when the user says quit. */
void monitor_run(const struct boot_info *bi);
