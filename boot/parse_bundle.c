/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bundles: several modules in the one initrd that QEMU's -initrd can hand over.
 * A bundle is a cpio archive in the "newc" format with a phyllo.cfg in it; members
 * are used where they lie.
 *
 *   110 bytes: "070701" and 13 numbers of 8 hex digits; name; pad to 4; data; pad to 4
 */
#include "boot/parse.h"

#include "boot/parse_impl.h"
#include "lib/util.h"

#define CPIO_HEADER 110
#define CPIO_MAGIC  "070701"

/* Which of the 13 numbers. */
enum { CPIO_FILESIZE = 6, CPIO_NAMESIZE = 11 };

struct archive {
	const uint8_t *data;
	uint64_t base; /* physical address of data */
	uint64_t size;
};

struct member {
	const char *name; /* without its NUL */
	size_t name_len;
	uint64_t offset, size; /* of the contents */
	uint64_t next;         /* offset of the next header */
};

static bool hex_number(const uint8_t *s, uint32_t *out)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 8; i++) {
		uint8_t c = s[i] | 0x20; /* lower case; digits stay as they are */

		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (c - 'a' + 10);
		else
			return false;
	}
	*out = v;
	return true;
}

/* false: there is no whole member at this offset. */
static bool member_read(const struct archive *a, uint64_t at, struct member *m)
{
	const uint8_t *h = a->data + at;
	uint32_t name_size, size;

	if (a->size - at < CPIO_HEADER || memcmp(h, CPIO_MAGIC, 6))
		return false;
	if (!hex_number(h + 6 + 8 * CPIO_NAMESIZE, &name_size) ||
	    !hex_number(h + 6 + 8 * CPIO_FILESIZE, &size))
		return false;
	if (name_size == 0 || name_size > a->size - at - CPIO_HEADER)
		return false;
	m->name = (const char *)h + CPIO_HEADER;
	m->name_len = strnlen(m->name, name_size);
	m->offset = ALIGN_UP(at + CPIO_HEADER + name_size, 4);
	m->size = size;
	if (m->offset > a->size || size > a->size - m->offset)
		return false;
	m->next = MIN(ALIGN_UP(m->offset + size, 4), a->size);
	return true;
}

/* "./NAME" and "/NAME" are NAME: archivers and users write all three. */
static void name_strip(const char **name, size_t *len)
{
	for (;;) {
		size_t n = 0;

		if (*len >= 2 && !memcmp(*name, "./", 2))
			n = 2;
		else if (*len >= 1 && **name == '/')
			n = 1;
		else
			return;
		*name += n;
		*len -= n;
	}
}

/* 0, -ENOENT, or -EIO when the archive is broken before the name is found. */
static int member_find(const struct archive *a, const char *name, size_t len, struct member *m)
{
	name_strip(&name, &len);
	for (uint64_t at = 0;; at = m->next) {
		const char *have;
		size_t have_len;

		if (!member_read(a, at, m))
			return -EIO;
		have = m->name;
		have_len = m->name_len;
		if (have_len == 10 && !memcmp(have, "TRAILER!!!", 10))
			return -ENOENT;
		name_strip(&have, &have_len);
		if (have_len == len && !memcmp(have, name, len))
			return 0;
	}
}

struct unbundle {
	const struct archive *archive;
	const char **why;
};

static int module_from_bundle(void *ctx, const char *file, size_t file_len, struct boot_module *m)
{
	const struct unbundle *u = ctx;
	struct member found;
	int err = member_find(u->archive, file, file_len, &found);

	if (err == -EIO)
		return boot_refuse(u->why, "the bundle is truncated or broken before '%.*s'",
				(int)file_len, file);
	if (err)
		return boot_refuse(u->why, "phyllo.cfg names '%.*s', which is not in the bundle",
				   (int)file_len, file);
	m->base = u->archive->base + found.offset;
	m->size = found.size;
	return 0;
}

int boot_unbundle(const struct boot_phys *phys, struct boot_info *bi, const char **why)
{
	struct archive a;
	struct unbundle u = { .archive = &a, .why = why };
	struct member config;
	const uint8_t *magic;
	int err;

	if (bi->module_count != 1 || bi->modules[0].size < CPIO_HEADER)
		return 0;
	a.base = bi->modules[0].base;
	a.size = bi->modules[0].size;
	magic = phys->map(phys->ctx, a.base, sizeof(CPIO_MAGIC) - 1);
	if (!magic || memcmp(magic, CPIO_MAGIC, sizeof(CPIO_MAGIC) - 1))
		return 0;
	a.data = phys->map(phys->ctx, a.base, a.size);
	if (!a.data)
		return boot_refuse(why,
				"the bundle (0x%lx bytes at 0x%lx) does not lie in the first 4 GiB",
				a.size, a.base);
	err = member_find(&a, "phyllo.cfg", 10, &config);
	if (err == -ENOENT)
		return 0; /* somebody's initramfs */
	if (err)
		return boot_refuse(why,
				"the bundle is truncated or broken before its phyllo.cfg");
	bi->module_count = 0;
	return boot_parse_config((const char *)a.data + config.offset, config.size, bi,
				 module_from_bundle, &u, why);
}
