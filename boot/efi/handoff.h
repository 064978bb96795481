/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What our EFI loader and the hypervisor say to each other.
 *
 * phyllo.elf carries an ELF note that names its 64-bit entry and the layout it
 * expects: the loader can refuse a file of another version while there is still a
 * console to say so on.  The loader puts the PT_LOAD segments at any 2 MiB-aligned
 * address below 4 GiB, fills a struct boot_handoff below 4 GiB, leaves boot services,
 * and calls the entry with the handoff's address in rdi, interrupts off, still on
 * the firmware's page tables.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "boot/boot_info.h"

#define BOOT_HANDOFF_MAGIC   0x4f594850u /* "PHYO"; boot/entry.asm knows it */
#define BOOT_HANDOFF_VERSION 1u

/* path, image_base and image_end of the info are set by the hypervisor. */
struct boot_handoff {
	uint32_t magic;
	uint32_t version;
	uint32_t size; /* of this structure */
	uint32_t reserved;
	struct boot_info info;
};

#define BOOT_NOTE_NAME "Phyllo"
#define BOOT_NOTE_TYPE 1u

/* One ELF note, header included; in a PT_NOTE segment of phyllo.elf. */
struct __attribute__((packed, aligned(4))) boot_handoff_note {
	uint32_t name_size, desc_size, type;
	char name[8];
	/* the descriptor */
	uint32_t version;
	uint32_t size;  /* of struct boot_handoff */
	uint64_t entry; /* as linked, like the segments' p_vaddr */
};

#define BOOT_NOTE_DESC_SIZE 16

/* bi from a handoff of at most size bytes.  Errors as in boot/parse.h. */
int boot_parse_handoff(const void *handoff, size_t size, struct boot_info *bi, const char **why);
