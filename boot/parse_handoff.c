/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From our own EFI loader: the structure is ours already, but it crosses from one
 * program to another, so it is checked like anybody's.
 */
#include "boot/efi/handoff.h"

#include "boot/parse_impl.h"
#include "boot/parse_mmap.h"
#include "lib/util.h"

static void text_terminate(struct boot_info *bi, char *text, size_t size)
{
	if (strnlen(text, size) == size) {
		text[size - 1] = '\0';
		bi->dropped++;
	}
}

/* A bool that is neither 0 nor 1 must not even be read as one. */
static bool is_bool(const bool *b)
{
	uint8_t v;

	memcpy(&v, b, sizeof(v));
	return v <= 1;
}

/* Once more through the normaliser: what the loader says about order is not relied on. */
static bool mmap_rebuild(struct boot_info *bi, const uint8_t *mmap, uint32_t count)
{
	bi->mmap_count = 0;
	for (unsigned pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < count; i++) {
			struct boot_mmap_entry e;

			memcpy(&e, mmap + i * sizeof(e), sizeof(e));
			if ((e.type == BOOT_MEM_RAM) == (pass == 0))
				boot_mmap_add(bi, e.base, e.size, e.type);
		}
	}
	return boot_mmap_finish(bi);
}

int boot_parse_handoff(const void *handoff, size_t size, struct boot_info *bi, const char **why)
{
	const uint8_t *p = handoff;
	const uint8_t *info = p + offsetof(struct boot_handoff, info);

	memset(bi, 0, sizeof(*bi));
	if (size < sizeof(struct boot_handoff) || boot_get32(p) != BOOT_HANDOFF_MAGIC)
		return boot_refuse(why, "EFI: the loader's handoff is not one");
	if (boot_get32(p + offsetof(struct boot_handoff, version)) != BOOT_HANDOFF_VERSION ||
	    boot_get32(p + offsetof(struct boot_handoff, size)) != sizeof(struct boot_handoff))
		return boot_refuse(why,
				"EFI: BOOTX64.EFI and phyllo.elf are of different versions");

	memcpy(bi, info, sizeof(*bi));
	bi->path = BOOT_PATH_EFI;
	if (bi->mmap_count > BOOT_MMAP_MAX || bi->module_count > BOOT_MODULES_MAX ||
	    !is_bool(&bi->fb.present) || !is_bool(&bi->fb.text))
		return boot_refuse(why, "EFI: the loader's handoff contradicts itself");
	bi->acpi_rsdp_size = 0;
	if (bi->fb.present && !boot_framebuffer_usable(&bi->fb))
		bi->fb.present = false;
	text_terminate(bi, bi->loader, sizeof(bi->loader));
	text_terminate(bi, bi->cmdline, sizeof(bi->cmdline));
	for (uint32_t i = 0; i < bi->module_count; i++) {
		struct boot_module *m = &bi->modules[i];

		text_terminate(bi, m->cmdline, sizeof(m->cmdline));
		if (m->base >= BOOT_PHYS_END || m->size > BOOT_PHYS_END - m->base)
			return boot_refuse(why,
					"EFI: module %u lies outside physical memory", i + 1);
	}
	if (!mmap_rebuild(bi, info + offsetof(struct boot_info, mmap), bi->mmap_count))
		return boot_refuse(why, "EFI: the memory map shows no RAM");
	return 0;
}
