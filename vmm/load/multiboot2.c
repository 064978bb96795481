/* SPDX-License-Identifier: GPL-2.0-only */
/* Multiboot2 specification 2.0: the header in the image and the information structure. */
#include "vmm/load/plan.h"

#include "lib/string.h"
#include "lib/util.h"
#include "mm/errno.h"

#define HEADER_MAGIC   0xe85250d6u
#define SEARCH_BYTES   32768
#define HEADER_SIZE    16
#define TAG_SIZE       8
#define TAG_OPTIONAL   1
#define ARCH_I386      0

enum header_tag {
	TAG_END,
	TAG_INFO_REQUEST,
	TAG_ADDRESS,
	TAG_ENTRY,
	TAG_CONSOLE,      /* there is a serial port only */
	TAG_FRAMEBUFFER,  /* there is none: the information has none */
	TAG_MODULE_ALIGN, /* always done */
	TAG_EFI_BS,       /* the EFI tags concern EFI machines, which a guest is not */
	TAG_EFI32_ENTRY,
	TAG_EFI64_ENTRY,
	TAG_RELOCATABLE,
	TAG_COUNT,
};

/* Smallest sizes of the tags that have contents. */
static const uint8_t tag_sizes[TAG_COUNT] = {
	[TAG_INFO_REQUEST] = 8, [TAG_ADDRESS] = 24, [TAG_ENTRY] = 12, [TAG_CONSOLE] = 12,
	[TAG_FRAMEBUFFER] = 20, [TAG_MODULE_ALIGN] = 8, [TAG_EFI_BS] = 8, [TAG_EFI32_ENTRY] = 12,
	[TAG_EFI64_ENTRY] = 12, [TAG_RELOCATABLE] = 24,
};

enum info_tag {
	INFO_END,
	INFO_CMDLINE,
	INFO_LOADER,
	INFO_MODULE,
	INFO_MEMORY,
	INFO_MAP = 6,
	INFO_LOAD_BASE = 21, /* the last one that the specification names */
};

/* ---- header ----------------------------------------------------------------------- */

/* What the tags said. */
struct header {
	const uint8_t *at;
	uint64_t offset, length;
	bool has_address, has_entry;
	struct flat_addresses address;
	uint32_t entry;
};

static bool find_header(const struct load_request *req, struct header *hd, uint64_t *near_miss)
{
	uint64_t end = MIN(req->size, (uint64_t)SEARCH_BYTES);

	for (uint64_t at = 0; at + HEADER_SIZE <= end; at += 8) {
		const uint8_t *h = (const uint8_t *)req->image + at;

		if (load_get32(h) != HEADER_MAGIC)
			continue;
		hd->at = h;
		hd->offset = at;
		hd->length = load_get32(h + 8);
		if (!(HEADER_MAGIC + load_get32(h + 4) + load_get32(h + 8) + load_get32(h + 12)))
			return true;
		*near_miss = at;
	}
	return false;
}

/*
 * "Required" asks the loader to know a tag, not to have the thing: a kernel that
 * asks for ACPI tables must cope with a machine that has none.
 */
static int check_info_request(struct load_plan *p, const uint8_t *tag, uint32_t size)
{
	for (uint32_t i = TAG_SIZE; i + 4 <= size; i += 4)
		if (load_get32(tag + i) > INFO_LOAD_BASE)
			return load_refuse(p, -ENOEXEC,
					   "requires multiboot2 information tag %u, which we do not know",
					   load_get32(tag + i));
	return 0;
}

static int read_relocatable(struct load_plan *p, const uint8_t *tag)
{
	p->reloc = (struct load_reloc){
		.present = true,
		.min = load_get32(tag + 8),
		.max = load_get32(tag + 12),
		.align = MAX(load_get32(tag + 16), 1u),
		.prefer_high = load_get32(tag + 20) == 2,
	};
	if (p->reloc.align & (p->reloc.align - 1))
		return load_refuse(p, -ENOEXEC,
				   "multiboot2 relocatable tag: alignment 0x%lx is not a power of two",
				   p->reloc.align);
	return 0;
}

static int read_tag(struct load_plan *p, struct header *hd, const uint8_t *tag, uint32_t size)
{
	uint16_t type = (uint16_t)load_get32(tag);
	bool optional = load_get32(tag) >> 16 & TAG_OPTIONAL;

	if (type >= TAG_COUNT)
		return optional ? 0
				: load_refuse(p, -ENOEXEC,
					      "requires multiboot2 header tag %u, which we do not know",
					      type);
	if (size < tag_sizes[type])
		return load_refuse(p, -ENOEXEC, "multiboot2 header tag %u of %u bytes is too small",
				   type, size);
	switch (type) {
	case TAG_INFO_REQUEST:
		return optional ? 0 : check_info_request(p, tag, size);
	case TAG_ADDRESS:
		hd->has_address = true;
		hd->address.header_addr = load_get32(tag + 8);
		hd->address.load_addr = load_get32(tag + 12);
		hd->address.load_end = load_get32(tag + 16);
		hd->address.bss_end = load_get32(tag + 20);
		return 0;
	case TAG_ENTRY:
		hd->has_entry = true;
		hd->entry = load_get32(tag + 8);
		return 0;
	case TAG_RELOCATABLE:
		return read_relocatable(p, tag);
	default:
		return 0;
	}
}

static int read_tags(struct load_plan *p, struct header *hd)
{
	uint64_t at = HEADER_SIZE;

	if (load_get32(hd->at + 4) != ARCH_I386)
		return load_refuse(p, -ENOEXEC, "multiboot2 header is for architecture %u, not x86",
				   load_get32(hd->at + 4));
	if (hd->length > MIN(p->req->size, (uint64_t)SEARCH_BYTES) - hd->offset)
		return load_refuse(p, -ENOEXEC,
				   "multiboot2 header at 0x%lx of 0x%lx bytes runs out of the file or its first 32 KiB",
				   hd->offset, hd->length);
	while (at + TAG_SIZE <= hd->length) {
		const uint8_t *tag = hd->at + at;
		uint32_t size = load_get32(tag + 4);
		int err;

		if (size < TAG_SIZE || size > hd->length - at)
			return load_refuse(p, -ENOEXEC,
					   "multiboot2 header tag at offset 0x%lx has a size of %u bytes",
					   hd->offset + at, size);
		if ((uint16_t)load_get32(tag) == TAG_END)
			return 0;
		err = read_tag(p, hd, tag, size);
		if (err)
			return err;
		at += ALIGN_UP((uint64_t)size, 8);
	}
	return load_refuse(p, -ENOEXEC, "multiboot2 header at 0x%lx has no end tag", hd->offset);
}

int multiboot2_plan(struct load_plan *p, bool *found, uint64_t *near_miss)
{
	struct header hd = { 0 };
	int err;

	*found = find_header(p->req, &hd, near_miss);
	if (!*found)
		return 0;
	p->protocol = LOAD_MULTIBOOT2;
	err = read_tags(p, &hd);
	if (err)
		return err;
	if (hd.has_address && !hd.has_entry)
		return load_refuse(p, -ENOEXEC,
				   "multiboot2 header has load addresses but no entry address");
	if (!hd.has_address && !elf_is_elf(p->req->image, p->req->size))
		return load_refuse(p, -ENOEXEC,
				   "multiboot2 header without load addresses in a file that is not ELF");
	err = hd.has_address ? flat_plan(p, &hd.address, hd.offset) : elf_plan(p);
	if (!err && hd.has_entry)
		p->entry = hd.entry;
	return err;
}

/* ---- information --------------------------------------------------------------------- */

#define MAP_ENTRY_SIZE 24

static void put_tag(struct info_writer *w, enum info_tag type, uint64_t contents)
{
	info_align(w, 8);
	info_put32(w, type);
	info_put32(w, (uint32_t)(TAG_SIZE + contents));
}

static void put_string_tag(struct info_writer *w, enum info_tag type, const char *s)
{
	put_tag(w, type, s ? strlen(s) + 1 : 1);
	info_put_string(w, s);
}

static void put_modules(struct info_writer *w)
{
	const struct load_plan *p = w->plan;

	for (unsigned i = 0; i < p->req->module_count; i++) {
		const struct load_module *m = &p->req->modules[i];

		put_tag(w, INFO_MODULE, 8 + (m->cmdline ? strlen(m->cmdline) + 1 : 1));
		info_put32(w, (uint32_t)p->module_gpa[i]);
		info_put32(w, (uint32_t)(p->module_gpa[i] + m->size));
		info_put_string(w, m->cmdline);
	}
}

static void put_map(struct info_writer *w)
{
	const struct load_plan *p = w->plan;

	put_tag(w, INFO_MAP, 8 + (uint64_t)p->map_count * MAP_ENTRY_SIZE);
	info_put32(w, MAP_ENTRY_SIZE);
	info_put32(w, 0); /* entry version */
	for (unsigned i = 0; i < p->map_count; i++) {
		info_put64(w, p->map[i].range.base);
		info_put64(w, p->map[i].range.end - p->map[i].range.base);
		info_put32(w, p->map[i].type);
		info_put32(w, 0);
	}
}

static void put_tags(struct info_writer *w, uint32_t total)
{
	const struct load_plan *p = w->plan;

	info_put32(w, total);
	info_put32(w, 0);
	put_string_tag(w, INFO_CMDLINE, p->req->cmdline);
	put_string_tag(w, INFO_LOADER, LOAD_BOOT_LOADER_NAME);
	put_modules(w);
	put_tag(w, INFO_MEMORY, 8);
	info_put32(w, (uint32_t)p->mem_lower_kb);
	info_put32(w, (uint32_t)MIN(p->mem_upper_kb, (uint64_t)UINT32_MAX));
	put_map(w);
	put_tag(w, INFO_LOAD_BASE, 4);
	info_put32(w, (uint32_t)p->image.base);
	put_tag(w, INFO_END, 0);
}

void multiboot2_info(struct info_writer *w)
{
	struct info_writer measure = { .plan = w->plan, .dry = true };

	/* The total comes first. */
	put_tags(&measure, 0);
	put_tags(w, (uint32_t)measure.pos);
}
