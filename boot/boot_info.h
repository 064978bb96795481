/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every way of booting hands to the hypervisor: one structure, filled by
 * boot/ (PVH, multiboot2, own EFI loader) and read by everybody else.
 *
 * Addresses are host physical.  Strings are NUL-terminated and owned by this
 * structure.  Everything that boot/ copies is checked against the sizes here;
 * what does not fit is dropped and counted in `dropped`, never overrun.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BOOT_MMAP_MAX    512
#define BOOT_MODULES_MAX 64
#define BOOT_CMDLINE_MAX 2048
#define BOOT_MODARG_MAX  512

enum boot_path {
	BOOT_PATH_PVH,
	BOOT_PATH_GRUB_BIOS,
	BOOT_PATH_GRUB_UEFI,
	BOOT_PATH_EFI,
};

/* Memory types; the values are those of e820 and multiboot. */
enum boot_mem_type {
	BOOT_MEM_RAM = 1,
	BOOT_MEM_RESERVED = 2,
	BOOT_MEM_ACPI = 3, /* reclaimable; we keep it */
	BOOT_MEM_NVS = 4,
	BOOT_MEM_BAD = 5,
};

struct boot_mmap_entry {
	uint64_t base;
	uint64_t size;
	uint32_t type;
};

struct boot_module {
	uint64_t base;
	uint64_t size;
	/* "FILE [vm options] [-- guest command line]", as docs/boot.md says. */
	char cmdline[BOOT_MODARG_MAX];
};

struct boot_framebuffer {
	bool present;
	uint64_t base;
	uint32_t pitch, width, height; /* bytes, pixels, pixels */
	uint8_t bpp;
	uint8_t red_shift, green_shift, blue_shift; /* 8 bits each */
	bool text; /* EGA text of width x height cells; bpp 16 */
};

struct boot_info {
	enum boot_path path;
	uint64_t image_base, image_end; /* the hypervisor itself, 4K aligned */
	uint64_t acpi_rsdp;             /* 0: not handed over (the BIOS area is then searched) */
	/*
	 * Multiboot2 hands over a copy of the RSDP inside memory that is not kept: the
	 * parser moves it here, and acpi_rsdp then becomes the address of this.
	 */
	uint8_t acpi_rsdp_copy[36];
	uint32_t acpi_rsdp_size; /* of the copy: 0 (none), 20 or 36 */
	uint32_t mmap_count;
	uint32_t module_count;
	uint32_t dropped; /* entries that had no room here */
	struct boot_framebuffer fb;
	char loader[64]; /* name of the boot loader, for the log */
	char cmdline[BOOT_CMDLINE_MAX];
	struct boot_mmap_entry mmap[BOOT_MMAP_MAX];
	struct boot_module modules[BOOT_MODULES_MAX];
};

/* The name users know, as in BOOT=: "pvh", "grub-bios", "grub-uefi", "efi". */
const char *boot_path_name(enum boot_path path);
