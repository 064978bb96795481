/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The PVH start-of-day structure (xen/include/public/arch-x86/hvm/start_info.h):
 * pointers into physical memory, each of which may point anywhere.
 */
#include "boot/parse.h"

#include "boot/parse_impl.h"
#include "boot/parse_mmap.h"
#include "lib/printf.h"

#define PVH_MAGIC 0x336ec578u

/* Offsets in struct hvm_start_info; the memory map came with version 1. */
enum {
	INFO_VERSION = 4,
	INFO_NR_MODULES = 12,
	INFO_MODLIST = 16,
	INFO_CMDLINE = 24,
	INFO_RSDP = 32,
	INFO_MEMMAP = 40,
	INFO_MEMMAP_ENTRIES = 48,
	INFO_SIZE = 56,
};

#define MODLIST_ENTRY_SIZE 32 /* u64 address, size, command line, reserved */
#define MEMMAP_ENTRY_SIZE  24 /* u64 address, size, u32 type, reserved */

/* A NUL-terminated string of unknown length: what lies behind it may not be memory. */
static bool text_read(const struct boot_phys *phys, uint64_t pa, struct boot_info *bi, char *dst,
		      size_t size)
{
	for (size_t i = 0; i < size; i++) {
		const char *c = phys->map(phys->ctx, pa + i, 1);

		if (!c)
			return false;
		dst[i] = *c;
		if (!*c)
			return true;
	}
	dst[size - 1] = '\0';
	bi->dropped++;
	return true;
}

static int modules_read(const struct boot_phys *phys, const uint8_t *info, struct boot_info *bi,
			const char **why)
{
	uint32_t count = boot_get32(info + INFO_NR_MODULES);
	uint64_t list = boot_get64(info + INFO_MODLIST);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t at = list + (uint64_t)i * MODLIST_ENTRY_SIZE;
		const uint8_t *e = phys->map(phys->ctx, at, MODLIST_ENTRY_SIZE);
		struct boot_module *m = boot_new_module(bi);
		uint64_t cmdline;

		if (!m) {
			bi->dropped += count - i - 1;
			return 0;
		}
		if (!e)
			return boot_refuse(why,
					"PVH: entry %u of the module list is not in memory", i + 1);
		m->base = boot_get64(e);
		m->size = boot_get64(e + 8);
		cmdline = boot_get64(e + 16);
		if (m->base >= BOOT_PHYS_END || m->size > BOOT_PHYS_END - m->base)
			return boot_refuse(why,
					"PVH: module %u lies outside physical memory", i + 1);
		if (cmdline && !text_read(phys, cmdline, bi, m->cmdline, sizeof(m->cmdline)))
			return boot_refuse(why,
					"PVH: the command line of module %u is not in memory",
					i + 1);
		if (!m->cmdline[0])
			lib_snprintf(m->cmdline, sizeof(m->cmdline), i ? "module%u" : "initrd",
				     i + 1);
	}
	return 0;
}

static int memmap_read(const struct boot_phys *phys, const uint8_t *info, struct boot_info *bi,
		       const char **why)
{
	uint32_t count = boot_get32(info + INFO_MEMMAP_ENTRIES);
	const uint8_t *map = phys->map(phys->ctx, boot_get64(info + INFO_MEMMAP),
				       (uint64_t)count * MEMMAP_ENTRY_SIZE);

	if (!map)
		return boot_refuse(why,
				"PVH: the memory map of %u entries is not in memory", count);
	for (unsigned pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < count; i++) {
			const uint8_t *e = map + (size_t)i * MEMMAP_ENTRY_SIZE;
			uint32_t type = boot_get32(e + 16);

			if ((type == BOOT_MEM_RAM) == (pass == 0))
				boot_mmap_add(bi, boot_get64(e), boot_get64(e + 8), type);
		}
	}
	if (!boot_mmap_finish(bi))
		return boot_refuse(why, "PVH: the memory map shows no RAM");
	return 0;
}

int boot_parse_pvh(uint64_t start_info_pa, const struct boot_phys *phys, struct boot_info *bi,
		   const char **why)
{
	const uint8_t *info = phys->map(phys->ctx, start_info_pa, INFO_SIZE);
	uint64_t cmdline;
	int err;

	memset(bi, 0, sizeof(*bi));
	bi->path = BOOT_PATH_PVH;
	memcpy(bi->loader, "PVH", 4);
	if (!info)
		return boot_refuse(why, "PVH: the start information is not in memory");
	if (boot_get32(info) != PVH_MAGIC)
		return boot_refuse(why, "PVH: the start information has a wrong magic number, 0x%x",
				   boot_get32(info));
	if (boot_get32(info + INFO_VERSION) < 1)
		return boot_refuse(why,
				"PVH: the start information is of version 0, without a memory map");

	bi->acpi_rsdp = boot_get64(info + INFO_RSDP);
	cmdline = boot_get64(info + INFO_CMDLINE);
	if (cmdline && !text_read(phys, cmdline, bi, bi->cmdline, sizeof(bi->cmdline)))
		return boot_refuse(why, "PVH: the command line is not in memory");
	err = modules_read(phys, info, bi, why);
	return err ? err : memmap_read(phys, info, bi, why);
}
