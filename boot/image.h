/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the hypervisor's own image is: boundaries from linker.ld (virtual, all
 * 4K aligned) and the physical address at which a loader happened to put it.
 */
#pragma once

#include <stdint.h>

/* image = text (R X), data and bss (RW), rodata (R), in this order, without gaps. */
extern char image_start[], image_end[];
extern char text_start[], text_end[];
extern char data_start[], bss_start[], bss_end[];
extern char rodata_start[], rodata_end[];

/* Physical address of image_start, 2 MiB aligned; set by boot/entry.asm. */
extern uint64_t image_phys_base;

/* The stack of boot_main() and of what it calls: boot_stack ... boot_stack_top. */
extern char boot_stack[], boot_stack_top[];

static inline uint64_t image_virt_to_phys(const void *va)
{
	return (uint64_t)va - (uint64_t)image_start + image_phys_base;
}
