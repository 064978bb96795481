/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target for the boot parsers.  The first byte chooses the parser, the rest
 * is its input; whatever it says, the boot information must keep its invariants.
 */
#include <stdlib.h>
#include <string.h>

#include "boot/efi/handoff.h"
#include "boot/parse.h"
#include "boot/parse_mmap.h"

/* Physical memory: the input, from here on. */
#define RAM_BASE 0x1000u

struct ram {
	const uint8_t *data;
	size_t size;
};

static struct boot_info bi;

static void require(bool ok)
{
	if (!ok)
		abort();
}

static const void *ram_map(void *ctx, uint64_t pa, uint64_t size)
{
	const struct ram *ram = ctx;

	if (pa < RAM_BASE || pa - RAM_BASE > ram->size || size > ram->size - (pa - RAM_BASE))
		return NULL;
	return ram->data + (pa - RAM_BASE);
}

static void text_check(const char *text, size_t size)
{
	require(strnlen(text, size) < size);
}

static void info_check(bool refused, const char *why)
{
	uint64_t end = 0;

	require(!refused == !why);
	if (refused)
		return;
	require(bi.mmap_count <= BOOT_MMAP_MAX && bi.module_count <= BOOT_MODULES_MAX);
	text_check(bi.cmdline, sizeof(bi.cmdline));
	text_check(bi.loader, sizeof(bi.loader));
	for (uint32_t i = 0; i < bi.module_count; i++)
		text_check(bi.modules[i].cmdline, sizeof(bi.modules[i].cmdline));
	for (uint32_t i = 0; i < bi.mmap_count; i++) {
		const struct boot_mmap_entry *e = &bi.mmap[i];

		require(e->size && e->base >= end && e->base + e->size <= BOOT_PHYS_END);
		require(e->type >= BOOT_MEM_RAM && e->type <= BOOT_MEM_BAD);
		require(e->type != BOOT_MEM_RAM || !((e->base | e->size) & 4095));
		end = e->base + e->size;
	}
}

/* Takes every file, for the fuzzer has none. */
static int any_module(void *ctx, const char *file, size_t file_len, struct boot_module *m)
{
	require(file == m->cmdline && file_len && file_len < sizeof(m->cmdline));
	m->base = RAM_BASE;
	return 0;
}

static int bundle_parse(const struct boot_phys *phys, size_t size, const char **why)
{
	int err;

	bi.module_count = 1;
	bi.modules[0].base = RAM_BASE;
	bi.modules[0].size = size;
	err = boot_unbundle(phys, &bi, why);
	for (uint32_t i = 0; !err && i < bi.module_count; i++)
		require(ram_map(phys->ctx, bi.modules[i].base, bi.modules[i].size) != NULL);
	return err;
}

/* A handoff is tens of kilobytes: the input becomes its beginning, or parts of it. */
static int handoff_parse(const uint8_t *data, size_t size, const char **why)
{
	struct boot_handoff *h = calloc(1, sizeof(*h));
	int err;

	h->magic = BOOT_HANDOFF_MAGIC;
	h->version = BOOT_HANDOFF_VERSION;
	h->size = sizeof(*h);
	if (size > 4) {
		size_t at = (data[0] | data[1] << 8 | data[2] << 16) % sizeof(*h);
		size_t n = size - 3 < sizeof(*h) - at ? size - 3 : sizeof(*h) - at;

		h->info.mmap_count = data[0];
		h->info.module_count = data[1] & 63;
		memcpy((uint8_t *)h + at, data + 3, n);
	}
	err = boot_parse_handoff(h, sizeof(*h), &bi, why);
	free(h);
	return err;
}

static int mmap_parse(const uint8_t *data, size_t size)
{
	for (; size >= 17; data += 17, size -= 17) {
		uint64_t base, length;

		memcpy(&base, data, 8);
		memcpy(&length, data + 8, 8);
		boot_mmap_add(&bi, base, length, data[16]);
	}
	boot_mmap_finish(&bi);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ram ram = { data + 1, size - 1 };
	struct boot_phys phys = { ram_map, &ram };
	const char *why = NULL;
	int err = 0;

	if (!size)
		return 0;
	memset(&bi, 0, sizeof(bi));
	switch (data[0] % 6) {
	case 0:
		err = boot_parse_multiboot2(ram.data, ram.size, &bi, &why);
		break;
	case 1:
		err = boot_parse_pvh(RAM_BASE, &phys, &bi, &why);
		break;
	case 2:
		err = bundle_parse(&phys, ram.size, &why);
		break;
	case 3:
		err = boot_parse_config((const char *)ram.data, ram.size, &bi, any_module, NULL,
					&why);
		break;
	case 4:
		err = handoff_parse(ram.data, ram.size, &why);
		break;
	case 5:
		err = mmap_parse(ram.data, ram.size);
		break;
	}
	info_check(err != 0, why);
	return 0;
}
