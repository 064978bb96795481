/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Multiboot2 boot information (specification 2.0, 3.6): a list of tags, each with a
 * type and a size, aligned to 8 bytes, ended by a tag of type 0.
 *
 * Handlers see a tag only after its whole size, and the minimum of its type,
 * were found to lie inside the information.
 */
#include "boot/parse.h"

#include "boot/parse_impl.h"
#include "boot/parse_mmap.h"
#include "lib/printf.h"
#include "lib/util.h"

struct blob {
	const uint8_t *data;
	size_t size, entry_size;
};

struct mb2 {
	struct boot_info *bi;
	const char **why;
	struct blob mmap, efi_mmap;
};

static int tag_cmdline(struct mb2 *mb, const uint8_t *tag, size_t size)
{
	boot_copy_text(mb->bi, mb->bi->cmdline, sizeof(mb->bi->cmdline), (const char *)tag + 8,
		       size - 8);
	return 0;
}

static int tag_loader(struct mb2 *mb, const uint8_t *tag, size_t size)
{
	boot_copy_text(mb->bi, mb->bi->loader, sizeof(mb->bi->loader), (const char *)tag + 8,
		       size - 8);
	return 0;
}

static int tag_module(struct mb2 *mb, const uint8_t *tag, size_t size)
{
	uint32_t start = boot_get32(tag + 8), end = boot_get32(tag + 12);
	struct boot_module *m;

	if (end < start)
		return boot_refuse(mb->why,
				"multiboot2: module %u ends (0x%x) before it begins (0x%x)",
				mb->bi->module_count + 1, end, start);
	m = boot_new_module(mb->bi);
	if (!m)
		return 0;
	m->base = start;
	m->size = end - start;
	boot_copy_text(mb->bi, m->cmdline, sizeof(m->cmdline), (const char *)tag + 16, size - 16);
	if (!m->cmdline[0])
		lib_snprintf(m->cmdline, sizeof(m->cmdline), "module%u", mb->bi->module_count);
	return 0;
}

static int tag_mmap(struct mb2 *mb, const uint8_t *tag, size_t size)
{
	mb->mmap = (struct blob){ tag + 16, size - 16, boot_get32(tag + 8) };
	if (mb->mmap.entry_size < 24)
		return boot_refuse(mb->why,
				"multiboot2: entries of the memory map have %u bytes, not 24",
				boot_get32(tag + 8));
	return 0;
}

static int tag_efi_mmap(struct mb2 *mb, const uint8_t *tag, size_t size)
{
	mb->bi->path = BOOT_PATH_GRUB_UEFI;
	mb->efi_mmap = (struct blob){ tag + 16, size - 16, boot_get32(tag + 8) };
	if (mb->efi_mmap.entry_size < 40)
		return boot_refuse(mb->why,
				"multiboot2: EFI memory descriptors have %u bytes, not 40",
				boot_get32(tag + 8));
	return 0;
}

/* Its presence is what we want to know. */
static int tag_efi(struct mb2 *mb, const uint8_t *tag, size_t size)
{
	mb->bi->path = BOOT_PATH_GRUB_UEFI;
	return 0;
}

static int tag_rsdp_old(struct mb2 *mb, const uint8_t *tag, size_t size)
{
	if (mb->bi->acpi_rsdp_size < 20) { /* the new one, with the XSDT, is better */
		memcpy(mb->bi->acpi_rsdp_copy, tag + 8, 20);
		mb->bi->acpi_rsdp_size = 20;
	}
	return 0;
}

static int tag_rsdp_new(struct mb2 *mb, const uint8_t *tag, size_t size)
{
	memcpy(mb->bi->acpi_rsdp_copy, tag + 8, 36);
	mb->bi->acpi_rsdp_size = 36;
	return 0;
}

enum { FB_INDEXED, FB_RGB, FB_TEXT };

/* A framebuffer that we cannot draw on is the same as none. */
static int tag_framebuffer(struct mb2 *mb, const uint8_t *tag, size_t size)
{
	uint8_t type = tag[29];
	struct boot_framebuffer fb = {
		.present = true,
		.base = boot_get64(tag + 8),
		.pitch = boot_get32(tag + 16),
		.width = boot_get32(tag + 20),
		.height = boot_get32(tag + 24),
		.bpp = tag[28],
		.text = type == FB_TEXT,
	};

	if (type == FB_RGB) {
		/* each colour: position, size; all of 8 bits or we do not bother */
		if (size < 38 || tag[33] != 8 || tag[35] != 8 || tag[37] != 8)
			return 0;
		fb.red_shift = tag[32];
		fb.green_shift = tag[34];
		fb.blue_shift = tag[36];
	} else if (type == FB_TEXT) {
		fb.bpp = 16;
	} else {
		return 0;
	}
	if (boot_framebuffer_usable(&fb))
		mb->bi->fb = fb;
	return 0;
}

static const struct {
	uint32_t type, min_size;
	int (*handle)(struct mb2 *mb, const uint8_t *tag, size_t size);
} handlers[] = {
	{ 1, 8, tag_cmdline },
	{ 2, 8, tag_loader },
	{ 3, 16, tag_module },
	{ 6, 16, tag_mmap },
	{ 8, 32, tag_framebuffer },
	{ 11, 12, tag_efi }, /* EFI system table, 32 and 64 bits */
	{ 12, 16, tag_efi },
	{ 14, 28, tag_rsdp_old },
	{ 15, 44, tag_rsdp_new },
	{ 17, 16, tag_efi_mmap },
	{ 18, 8, tag_efi },  /* boot services still there */
	{ 19, 12, tag_efi }, /* EFI image handle, 32 and 64 bits */
	{ 20, 16, tag_efi },
};

static int tag_handle(struct mb2 *mb, const uint8_t *tag, uint32_t size)
{
	uint32_t type = boot_get32(tag);

	for (unsigned i = 0; i < ARRAY_SIZE(handlers); i++) {
		if (handlers[i].type != type)
			continue;
		if (size < handlers[i].min_size)
			return boot_refuse(mb->why,
					"multiboot2: a tag of type %u has %u bytes, not %u or more",
					type, size, handlers[i].min_size);
		return handlers[i].handle(mb, tag, size);
	}
	return 0;
}

/* The map proper is preferred; firmware's own serves when there is none. */
static int mmap_convert(struct mb2 *mb)
{
	const struct blob *map = &mb->mmap;

	for (unsigned pass = 0; map->data && pass < 2; pass++) {
		for (size_t at = 0; map->size - at >= map->entry_size; at += map->entry_size) {
			const uint8_t *e = map->data + at;
			uint32_t type = boot_get32(e + 16);

			if ((type == BOOT_MEM_RAM) == (pass == 0))
				boot_mmap_add(mb->bi, boot_get64(e), boot_get64(e + 8), type);
		}
	}
	if (!map->data && mb->efi_mmap.data)
		boot_mmap_add_efi(mb->bi, mb->efi_mmap.data, mb->efi_mmap.size,
				  mb->efi_mmap.entry_size);
	if (!boot_mmap_finish(mb->bi))
		return boot_refuse(mb->why,
				"multiboot2: the boot loader's memory map shows no RAM");
	return 0;
}

int boot_parse_multiboot2(const void *info, size_t size, struct boot_info *bi, const char **why)
{
	struct mb2 mb = { .bi = bi, .why = why };
	const uint8_t *base = info;
	size_t total, at = 8;

	memset(bi, 0, sizeof(*bi));
	bi->path = BOOT_PATH_GRUB_BIOS;
	total = size >= 8 ? boot_get32(base) : 0;
	if (total < 16 || total > size)
		return boot_refuse(why,
				"multiboot2: information of %zu bytes claims to have %zu",
				size, total);
	for (;;) {
		uint32_t type, tag_size;
		int err;

		if (at > total || total - at < 8)
			return boot_refuse(why, "multiboot2: the information has no end tag");
		type = boot_get32(base + at);
		tag_size = boot_get32(base + at + 4);
		if (type == 0)
			return mmap_convert(&mb);
		if (tag_size < 8 || tag_size > total - at)
			return boot_refuse(why,
					"multiboot2: tag of type %u at %zu: impossible size, %u",
					type, at, tag_size);
		err = tag_handle(&mb, base + at, tag_size);
		if (err)
			return err;
		at += ALIGN_UP((size_t)tag_size, 8);
	}
}
