/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the EFI loader share. */
#pragma once

#include <efi.h>
#include <efilib.h>

#include "boot/efi/handoff.h"

/* Everything the hypervisor gets lies below 4 GiB: it is entered through 32-bit code. */
#define LOADER_MAX_ADDRESS 0xffffffffull

/* Pages below 4 GiB, remembered until loader_free_all(); 0 when there are none. */
EFI_PHYSICAL_ADDRESS loader_alloc(EFI_MEMORY_TYPE type, UINT64 bytes);
void loader_free_all(void);

struct loader_file {
	const char *path; /* for sentences; '/' or '\', relative to the root of the volume */
	const UINT8 *data;
	UINT64 size;
};

/* The volume that this program was started from. */
EFI_STATUS volume_open(EFI_HANDLE program);
void volume_close(void);
/* Reads a whole file; failures are reported here. */
EFI_STATUS volume_read(const char *path, struct loader_file *file);

struct loader_image {
	EFI_PHYSICAL_ADDRESS base; /* 2 MiB aligned */
	EFI_PHYSICAL_ADDRESS entry;
};

/* Loads the segments of phyllo.elf; failures are reported here. */
EFI_STATUS image_load(const struct loader_file *file, struct loader_image *image);

EFI_STATUS efi_main(EFI_HANDLE program, EFI_SYSTEM_TABLE *table);
