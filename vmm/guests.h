/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guests of this boot: one per boot module, but for those that belong to another guest.
 */
#pragma once

#include "boot/boot_info.h"
#include "vmm/vms.h"

/* Put them on the list of VMs.  A bad line is refused by name, and counts as a failure. */
void guests_add(const struct boot_info *bi);
/*
 * Run them all, as guests= says, each with its report, and wait until all have ended, those that were
 * started meanwhile by others included.
 */
void guests_run(void);
