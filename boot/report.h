/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The last words of a boot that fails before the hypervisor has a log: a sentence on
 * COM1, then the end of the machine where it can be ended.
 */
#pragma once

#include <stdint.h>

/* For isa-debug-exit: QEMU exits with 41.  boot/entry.asm uses it too. */
#define BOOT_EXIT_CODE 0x14

_Noreturn void boot_report_failure(const char *why);
