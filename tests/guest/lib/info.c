/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the boot loader left in memory, multiboot1 or 2, copied into one struct; and the
 * RAM that is left over.
 */
#include "tests/guest/lib/guest.h"

#define MULTIBOOT_RAM 1 /* type of available memory, in both protocols */

struct mb1_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
	uint32_t mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr;
};

#define MB1_HAS_MEMORY (1u << 0)
#define MB1_HAS_CMDLINE (1u << 2)
#define MB1_HAS_MODULES (1u << 3)
#define MB1_HAS_MMAP (1u << 6)

struct mb1_module {
	uint32_t start, end, string, reserved;
};

struct mb1_mmap {
	uint32_t size; /* of what follows it */
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

struct mb2_tag {
	uint32_t type, size;
};

enum { MB2_END = 0, MB2_CMDLINE = 1, MB2_MODULE = 3, MB2_MEMINFO = 4, MB2_MMAP = 6 };

struct mb2_mmap_entry {
	uint64_t base, length;
	uint32_t type, reserved;
};

void info_parse(void);

struct guest_info info;
extern char image_start[], image_end[];

static void *at(uint32_t pa)
{
	return (void *)(uintptr_t)pa;
}

static void keep(uint64_t start, uint64_t end)
{
	start &= ~(uint64_t)(PAGE_SIZE - 1);
	end = (end + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
	if (info.keep_count < ARRAY_SIZE(info.keep))
		info.keep[info.keep_count++] = (struct ram_range){ start, end - start };
	else
		guest_die("the loader's structures lie in too many places");
}

static void copy_text(char *dst, size_t size, const char *src)
{
	size_t n = strlen(src);

	if (n > size - 1)
		n = size - 1;
	memcpy(dst, src, n);
	dst[n] = 0;
}

static void add_memory(uint64_t base, uint64_t size, uint32_t type)
{
	if (type != MULTIBOOT_RAM)
		info.other_count++;
	else if (info.ram_count < ARRAY_SIZE(info.ram))
		info.ram[info.ram_count++] = (struct ram_range){ base, size };
}

static void add_module(uint32_t start, uint32_t end, const char *string)
{
	struct boot_module *m = &info.modules[info.module_count];

	if (info.module_count == ARRAY_SIZE(info.modules))
		return;
	info.module_count++;
	m->start = start;
	m->end = end;
	copy_text(m->cmdline, sizeof(m->cmdline), string);
	keep(start, end);
}

static void parse_mb1_modules(const struct mb1_info *mbi)
{
	const struct mb1_module *m = at(mbi->mods_addr);

	if (mbi->mods_count)
		keep(mbi->mods_addr, mbi->mods_addr + mbi->mods_count * sizeof(*m));
	for (uint32_t i = 0; i < mbi->mods_count; i++)
		add_module(m[i].start, m[i].end, m[i].string ? at(m[i].string) : "");
}

static void parse_mb1(uint32_t pa)
{
	const struct mb1_info *mbi = at(pa);
	const struct mb1_mmap *e;

	keep(pa, pa + sizeof(*mbi));
	if (mbi->flags & MB1_HAS_CMDLINE) {
		copy_text(info.cmdline, sizeof(info.cmdline), at(mbi->cmdline));
		keep(mbi->cmdline, mbi->cmdline + strlen(at(mbi->cmdline)) + 1);
	}
	if (mbi->flags & MB1_HAS_MEMORY)
		info.mem_lower_kb = mbi->mem_lower;
	if (mbi->flags & MB1_HAS_MODULES)
		parse_mb1_modules(mbi);
	if (!(mbi->flags & MB1_HAS_MMAP))
		return;
	keep(mbi->mmap_addr, mbi->mmap_addr + mbi->mmap_length);
	for (uint32_t off = 0; off < mbi->mmap_length; off += e->size + 4) {
		e = at(mbi->mmap_addr + off);
		add_memory(e->base, e->length, e->type);
	}
}

static void parse_mb2_mmap(const uint32_t *tag)
{
	uint32_t entry_size = tag[2];

	if (entry_size < sizeof(struct mb2_mmap_entry))
		guest_die("multiboot2 memory map entries of %u bytes", entry_size);
	for (uint32_t off = 16; off + entry_size <= tag[1]; off += entry_size) {
		const struct mb2_mmap_entry *e = (const void *)((const char *)tag + off);

		add_memory(e->base, e->length, e->type);
	}
}

static void parse_mb2_tag(const uint32_t *tag)
{
	switch (tag[0]) {
	case MB2_CMDLINE:
		copy_text(info.cmdline, sizeof(info.cmdline), (const char *)&tag[2]);
		break;
	case MB2_MODULE:
		add_module(tag[2], tag[3], (const char *)&tag[4]);
		break;
	case MB2_MEMINFO:
		info.mem_lower_kb = tag[2];
		break;
	case MB2_MMAP:
		parse_mb2_mmap(tag);
		break;
	}
}

static void parse_mb2(uint32_t pa)
{
	const uint32_t *mbi = at(pa);
	const struct mb2_tag *tag;

	keep(pa, pa + mbi[0]);
	for (uint32_t off = 8; off + sizeof(*tag) <= mbi[0]; off += (tag->size + 7) & ~7u) {
		tag = at(pa + off);
		if (tag->type == MB2_END || tag->size < sizeof(*tag))
			return;
		parse_mb2_tag((const uint32_t *)tag);
	}
}

void info_parse(void)
{
	keep((uintptr_t)image_start, (uintptr_t)image_end);
	if (boot_state.eax == MB1_MAGIC_EAX)
		parse_mb1(boot_state.ebx);
	else if (boot_state.eax == MB2_MAGIC_EAX)
		parse_mb2(boot_state.ebx);
	else
		return;
	info.valid = true;
}

const char *info_option(const char *name)
{
	size_t n = strlen(name);
	const char *s = info.cmdline;

	for (; (s = strstr(s, name)); s += n)
		if (s[n] == '=' && (s == info.cmdline || s[-1] == ' '))
			return s + n + 1;
	return NULL;
}

bool info_option_is(const char *name, const char *value)
{
	const char *s = info_option(name);
	size_t n = strlen(value);

	return s && !strncmp(s, value, n) && (!s[n] || s[n] == ' ');
}

bool info_number(const char *name, uint32_t *out)
{
	const char *s = info_option(name);

	if (!s || *s < '0' || *s > '9')
		return false;
	for (*out = 0; *s >= '0' && *s <= '9'; s++)
		*out = *out * 10 + (*s - '0');
	return true;
}

uint32_t info_number_or(const char *name, uint32_t otherwise)
{
	uint32_t value;

	return info_number(name, &value) ? value : otherwise;
}
