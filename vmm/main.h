/* SPDX-License-Identifier: GPL-2.0-only */
/* What boot/ calls when it has filled the boot information. */
#pragma once

#include "boot/boot_info.h"

/* On the boot CPU: long mode, early page tables, interrupts off.  Does not return. */
_Noreturn void phyllo_main(const struct boot_info *bi);
