/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypervisor's address space: the policy.
 *
 *   ffff8000_00000000  direct map of RAM and firmware tables: RW NX, read-only where
 *                      it shows the image's text and read-only data
 *   ffffc000_00000000  device registers: UC, NX; framebuffer: WC, NX
 *   ffffd000_00000000  stacks, each above an unmapped guard page
 *   ffffffff_80000000  the image: text RX, data RW, read-only data R
 *
 * Nothing else is mapped, page 0 and the rest of the lower half least of all.
 */
#pragma once

#include <stdint.h>

#include "arch/x86/percpu.h"

struct boot_info;

/* [LAYOUT_STACKS_BASE, LAYOUT_STACKS_END) is stack.c's to map and unmap. */
#define LAYOUT_STACKS_BASE 0xffffd00000000000ul
#define LAYOUT_STACKS_END  0xffffe00000000000ul
/* Write-combining, for framebuffers; else as machine_map_device(). */
void *layout_map_framebuffer(uint64_t pa, uint64_t size);
/*
 * For acpi_parse(): physical memory that the boot memory map knows (of whatever type), in the
 * direct map.  NULL when it does not, or no memory for the tables.
 */
const void *layout_map_firmware(void *boot_info, uint64_t pa, uint64_t size);
/*
 * Map pages at a place of the caller's; take the mapping away.  The processors' TLBs, this one's included,
 * may remember what was there: see stack.c.
 */
int layout_map(uint64_t va, uint64_t pa, uint64_t size);
void layout_unmap(uint64_t va, uint64_t size);
/* The stacks of the boot CPU, which lie in the image. */
void layout_boot_stacks(struct percpu *p);
