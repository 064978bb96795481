/* SPDX-License-Identifier: GPL-2.0-only */
/* What the boot parsers share: sentences, bounded copies, names. */
#include "boot/parse_impl.h"

#include "boot/parse_mmap.h"
#include "lib/printf.h"

int boot_refuse(const char **why, const char *fmt, ...)
{
	static char sentence[256];
	va_list ap;

	va_start(ap, fmt);
	lib_vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	*why = sentence;
	return -EINVAL;
}

void boot_copy_text(struct boot_info *bi, char *dst, size_t size, const char *src, size_t len)
{
	size_t n = strnlen(src, len);

	if (n > size - 1) {
		n = size - 1;
		bi->dropped++;
	}
	memcpy(dst, src, n);
	dst[n] = '\0';
}

struct boot_module *boot_new_module(struct boot_info *bi)
{
	struct boot_module *m;

	if (bi->module_count == BOOT_MODULES_MAX) {
		bi->dropped++;
		return NULL;
	}
	m = &bi->modules[bi->module_count++];
	memset(m, 0, sizeof(*m));
	return m;
}

bool boot_framebuffer_usable(const struct boot_framebuffer *fb)
{
	uint64_t line = (uint64_t)fb->width * (fb->bpp / 8);
	uint64_t size = (uint64_t)fb->pitch * fb->height;

	if (!fb->base || !fb->width || !fb->height || fb->pitch < line)
		return false;
	if (fb->base >= BOOT_PHYS_END || size > BOOT_PHYS_END - fb->base)
		return false;
	if (fb->text)
		return fb->bpp == 16;
	return (fb->bpp == 24 || fb->bpp == 32) && fb->red_shift <= fb->bpp - 8 &&
	       fb->green_shift <= fb->bpp - 8 && fb->blue_shift <= fb->bpp - 8;
}

const char *boot_path_name(enum boot_path path)
{
	switch (path) {
	case BOOT_PATH_PVH:
		return "pvh";
	case BOOT_PATH_GRUB_BIOS:
		return "grub-bios";
	case BOOT_PATH_GRUB_UEFI:
		return "grub-uefi";
	case BOOT_PATH_EFI:
		return "efi";
	}
	return "unknown";
}
