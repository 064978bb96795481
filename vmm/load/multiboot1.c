/* SPDX-License-Identifier: GPL-2.0-only */
/* Multiboot specification 0.6.96: the header in the image and the information structure. */
#include "vmm/load/plan.h"

#include "lib/string.h"
#include "lib/util.h"
#include "mm/errno.h"

#define HEADER_MAGIC  0x1badb002u
#define SEARCH_BYTES  8192
#define HEADER_SIZE   12
#define KLUDGE_SIZE   32 /* with the address fields */

#define FLAG_PAGE_ALIGN  (1u << 0) /* modules: always done */
#define FLAG_MEMORY_INFO (1u << 1) /* always given */
#define FLAG_VIDEO       (1u << 2) /* there is no screen: the information has none */
#define FLAG_KLUDGE      (1u << 16)
#define FLAGS_REQUIRED   0xffffu /* a loader that does not know one of these must fail */
#define FLAGS_KNOWN      (FLAG_PAGE_ALIGN | FLAG_MEMORY_INFO | FLAG_VIDEO)

/* ---- header ------------------------------------------------------------------- */

static bool find_header(const struct load_request *req, uint64_t *offset, uint64_t *near_miss)
{
	uint64_t end = MIN(req->size, (uint64_t)SEARCH_BYTES);

	for (uint64_t at = 0; at + HEADER_SIZE <= end; at += 4) {
		const uint8_t *h = (const uint8_t *)req->image + at;

		if (load_get32(h) != HEADER_MAGIC)
			continue;
		*offset = at;
		if (!(HEADER_MAGIC + load_get32(h + 4) + load_get32(h + 8)))
			return true;
		*near_miss = at;
	}
	return false;
}

static int plan_kludge(struct load_plan *p, uint64_t offset)
{
	const uint8_t *h = (const uint8_t *)p->req->image + offset;
	struct flat_addresses a;

	if (offset + KLUDGE_SIZE > MIN(p->req->size, (uint64_t)SEARCH_BYTES))
		return load_refuse(p, -ENOEXEC, "truncated in the multiboot header at 0x%lx",
				   offset);
	a.header_addr = load_get32(h + 12);
	a.load_addr = load_get32(h + 16);
	a.load_end = load_get32(h + 20);
	a.bss_end = load_get32(h + 24);
	p->entry = load_get32(h + 28);
	return flat_plan(p, &a, offset);
}

int multiboot1_plan(struct load_plan *p, bool *found, uint64_t *near_miss)
{
	uint32_t flags, unknown;
	uint64_t offset;

	*found = find_header(p->req, &offset, near_miss);
	if (!*found)
		return 0;
	p->protocol = LOAD_MULTIBOOT1;
	flags = load_get32((const uint8_t *)p->req->image + offset + 4);
	unknown = flags & FLAGS_REQUIRED & ~FLAGS_KNOWN;
	if (unknown)
		return load_refuse(p, -ENOEXEC,
				   "requires multiboot feature %d, which does not exist",
				   __builtin_ctz(unknown));
	/* The kludge wins over an ELF header, as the specification says. */
	if (flags & FLAG_KLUDGE)
		return plan_kludge(p, offset);
	if (elf_is_elf(p->req->image, p->req->size))
		return elf_plan(p);
	return load_refuse(p, -ENOEXEC,
			   "multiboot header without load addresses in a file that is not ELF");
}

/* ---- information ----------------------------------------------------------------- */

#define INFO_SIZE    120
#define MODULE_SIZE  16
#define MAP_SIZE     24 /* with its size field, which does not count itself */

#define INFO_MEMORY  (1u << 0)
#define INFO_CMDLINE (1u << 2)
#define INFO_MODULES (1u << 3)
#define INFO_MAP     (1u << 6)
#define INFO_LOADER  (1u << 9)

struct info {
	uint32_t flags, mem_lower, mem_upper, boot_device;
	uint32_t cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr, drives_length, drives_addr;
	uint32_t config_table, boot_loader_name, apm_table;
	uint32_t unused[12]; /* VBE and framebuffer: their flag bits are clear */
};
_Static_assert(sizeof(struct info) == INFO_SIZE, "multiboot information layout");

static uint64_t string_size(const char *s)
{
	return s ? strlen(s) + 1 : 1;
}

static void put_map(struct info_writer *w)
{
	for (unsigned i = 0; i < w->plan->map_count; i++) {
		const struct load_map_entry *e = &w->plan->map[i];

		info_put32(w, MAP_SIZE - 4);
		info_put64(w, e->range.base);
		info_put64(w, e->range.end - e->range.base);
		info_put32(w, e->type);
	}
}

static void put_modules(struct info_writer *w, uint32_t strings)
{
	const struct load_plan *p = w->plan;

	for (unsigned i = 0; i < p->req->module_count; i++) {
		info_put32(w, (uint32_t)p->module_gpa[i]);
		info_put32(w, (uint32_t)(p->module_gpa[i] + p->req->modules[i].size));
		info_put32(w, strings);
		info_put32(w, 0);
		strings += string_size(p->req->modules[i].cmdline);
	}
}

/*
 *   struct info | memory map | modules | command line | modules' strings | loader's name
 *
 * place_info() put all of it below 4 GiB, so 32 bits hold every address.
 */
void multiboot1_info(struct info_writer *w)
{
	const struct load_plan *p = w->plan;
	const struct load_request *req = p->req;
	uint32_t map = (uint32_t)p->info_gpa + INFO_SIZE;
	uint32_t modules = map + p->map_count * MAP_SIZE;
	uint32_t cmdline = modules + req->module_count * MODULE_SIZE;
	uint32_t strings = cmdline + string_size(req->cmdline), loader = strings;
	struct info info = {
		.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MAP | INFO_LOADER,
		.mem_lower = (uint32_t)p->mem_lower_kb,
		.mem_upper = (uint32_t)MIN(p->mem_upper_kb, (uint64_t)UINT32_MAX),
		.cmdline = cmdline,
		.mods_count = req->module_count,
		.mods_addr = modules,
		.mmap_length = p->map_count * MAP_SIZE,
		.mmap_addr = map,
	};

	for (unsigned i = 0; i < req->module_count; i++)
		loader += string_size(req->modules[i].cmdline);
	info.boot_loader_name = loader;
	info_put(w, &info, sizeof(info));
	put_map(w);
	put_modules(w, strings);
	info_put_string(w, req->cmdline);
	for (unsigned i = 0; i < req->module_count; i++)
		info_put_string(w, req->modules[i].cmdline);
	info_put_string(w, LOAD_BOOT_LOADER_NAME);
}
