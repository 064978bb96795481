/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one normaliser of memory maps, used by every way of booting.
 *
 * Between calls bi->mmap is sorted by base, no two entries overlap, and neighbours
 * of one type are merged.  Where ranges overlap, the more cautious type wins:
 * bad over reserved over NVS over ACPI over RAM.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "boot/boot_info.h"

/* No processor has more physical address bits (APM vol. 2, 5.1); what lies above is ignored. */
#define BOOT_PHYS_END (1ul << 52)

/*
 * type is an e820 number; unknown ones count as reserved.  Add all RAM before all
 * else: an entry that finds no room is then dropped (and counted) without RAM
 * ever being claimed where something else was reported.
 */
void boot_mmap_add(struct boot_info *bi, uint64_t base, uint64_t size, uint32_t type);

/* An EFI memory map, as boot services leave it to us. desc_size: the firmware's, >= 40. */
void boot_mmap_add_efi(struct boot_info *bi, const void *map, size_t size, size_t desc_size);

/*
 * The last step: RAM shrinks to whole 4K pages, and what is empty then goes.  false when no
 * RAM is left.
 */
bool boot_mmap_finish(struct boot_info *bi);
