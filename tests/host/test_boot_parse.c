/* SPDX-License-Identifier: GPL-2.0-only */
/* What boot loaders hand over: multiboot2, PVH, our EFI loader; good, odd and hostile. */
#include "boot/efi/handoff.h"
#include "boot/parse.h"
#include "boot/parse_mmap.h"
#include "tests/host/boot_bytes.h"

static struct boot_info bi;
static const char *why;

/* ---- multiboot2 ------------------------------------------------------------------- */

static void mb2_begin(struct buf *b)
{
	b->size = 0;
	put64(b, 0);
}

static void mb2_tag(struct buf *b, uint32_t type, const void *data, size_t size)
{
	pad(b, 8);
	put32(b, type);
	put32(b, 8 + size);
	put(b, data, size);
}

static void mb2_text(struct buf *b, uint32_t type, const char *text)
{
	mb2_tag(b, type, text, strlen(text) + 1);
}

static void mb2_module(struct buf *b, uint32_t start, uint32_t end, const char *text)
{
	struct buf t = { .size = 0 };

	put32(&t, start);
	put32(&t, end);
	put(&t, text, strlen(text) + 1);
	mb2_tag(b, 3, t.data, t.size);
}

static void mb2_mmap(struct buf *b)
{
	struct buf t = { .size = 0 };

	put32(&t, 24);
	put32(&t, 0);
	put64(&t, 0x100000);
	put64(&t, 0x1000000);
	put64(&t, 1);
	put64(&t, 0);
	put64(&t, 0x9fc00);
	put64(&t, 1);
	put64(&t, 0x9fc00);
	put64(&t, 0x400);
	put64(&t, 2);
	mb2_tag(b, 6, t.data, t.size);
}

static void mb2_end(struct buf *b)
{
	uint32_t total;

	mb2_tag(b, 0, NULL, 0);
	total = b->size;
	memcpy(b->data, &total, 4);
}

static int mb2_parse_size(const struct buf *b, size_t size)
{
	void *info = exact_copy(b->data, size);
	int err;

	why = NULL;
	err = boot_parse_multiboot2(info, size, &bi, &why);
	free(info);
	CHECK(!err == !why);
	return err;
}

static int mb2_parse(const struct buf *b)
{
	return mb2_parse_size(b, b->size);
}

static void test_mb2_everything(void)
{
	static const uint8_t rgb[31] = {
		0, 0, 0, 0xc0, 0, 0, 0, 0,                   /* address */
		0, 0x10, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0,       /* 4096, 1024 x 768 */
		32, 1, 0, 0, 16, 8, 8, 8, 0, 8,
	};
	struct buf b, rsdp = { .size = 0 };

	for (unsigned i = 0; i < 36; i++)
		rsdp.data[i] = i;
	mb2_begin(&b);
	mb2_text(&b, 1, "log=debug smp=2");
	mb2_text(&b, 2, "GRUB 2.06");
	mb2_module(&b, 0x200000, 0x201234, "hello.elf mem=64M -- -v");
	mb2_module(&b, 0x300000, 0x300000, "");
	mb2_mmap(&b);
	mb2_tag(&b, 8, rgb, sizeof(rgb) - 1);
	mb2_tag(&b, 14, rsdp.data, 20);
	mb2_tag(&b, 15, rsdp.data, 36);
	mb2_tag(&b, 14, rsdp.data + 1, 20); /* does not replace the better one */
	mb2_tag(&b, 4711, "?", 1);
	mb2_end(&b);
	CHECK_EQ(mb2_parse(&b), 0);
	CHECK_EQ(bi.path, BOOT_PATH_GRUB_BIOS);
	CHECK_STR(bi.cmdline, "log=debug smp=2");
	CHECK_STR(bi.loader, "GRUB 2.06");
	CHECK_EQ(bi.module_count, 2);
	CHECK_EQ(bi.modules[0].base, 0x200000);
	CHECK_EQ(bi.modules[0].size, 0x1234);
	CHECK_STR(bi.modules[0].cmdline, "hello.elf mem=64M -- -v");
	CHECK_EQ(bi.modules[1].size, 0);
	CHECK_STR(bi.modules[1].cmdline, "module2");
	CHECK_EQ(bi.acpi_rsdp_size, 36);
	CHECK_EQ(bi.acpi_rsdp_copy[35], 35);
	CHECK_EQ(bi.acpi_rsdp_copy[0], 0);
	CHECK(bi.fb.present && !bi.fb.text);
	CHECK_EQ(bi.fb.base, 0xc0000000);
	CHECK_EQ(bi.fb.width, 1024);
	CHECK_EQ(bi.fb.height, 768);
	CHECK_EQ(bi.fb.pitch, 4096);
	CHECK_EQ(bi.fb.red_shift, 16);
	CHECK_EQ(bi.fb.blue_shift, 0);
	CHECK_EQ(bi.dropped, 0);
	CHECK_MAP(&bi, { 0, 0x9f000, 1 }, { 0x9fc00, 0x400, 2 }, { 0x100000, 0x1000000, 1 });
}

static void test_mb2_every_truncation(void)
{
	struct buf b;

	mb2_begin(&b);
	mb2_text(&b, 1, "x");
	mb2_module(&b, 0x200000, 0x201234, "a");
	mb2_mmap(&b);
	mb2_end(&b);
	CHECK_EQ(mb2_parse(&b), 0);
	for (size_t size = 0; size < b.size; size++) {
		uint32_t total = size;

		CHECK_EQ(mb2_parse_size(&b, size), -22); /* total_size lies */
		memcpy(b.data, &total, 4);
		CHECK_EQ(mb2_parse_size(&b, size), -22); /* it is honest, the tags are cut */
		total = b.size;
		memcpy(b.data, &total, 4);
	}
}

static void test_mb2_tag_sizes(void)
{
	static const uint32_t sizes[] = { 0, 7, 0x1000, 0x7fffffff, 0x80000000, 0xfffffff8, ~0u };
	struct buf b;

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		mb2_begin(&b);
		mb2_text(&b, 1, "x");
		memcpy(b.data + 12, &sizes[i], 4);
		mb2_mmap(&b);
		mb2_end(&b);
		CHECK_EQ(mb2_parse(&b), -22);
	}
	/* Each known tag, empty. */
	for (uint32_t type = 3; type <= 20; type++) {
		static const uint8_t known[] = { 3, 6, 8, 11, 12, 14, 15, 17, 19, 20 };

		mb2_begin(&b);
		mb2_tag(&b, type, NULL, 0);
		mb2_mmap(&b);
		mb2_end(&b);
		CHECK_EQ(mb2_parse(&b), memchr(known, type, sizeof(known)) ? -22 : 0);
	}
}

static void test_mb2_mmap_lies(void)
{
	static const uint32_t sizes[] = { 0, 1, 23 };
	struct buf b;

	for (unsigned i = 0; i < 3; i++) {
		mb2_begin(&b);
		mb2_mmap(&b);
		memcpy(b.data + 16, &sizes[i], 4);
		mb2_end(&b);
		CHECK_EQ(mb2_parse(&b), -22);
		CHECK(why && strstr(why, "24"));
	}
	mb2_begin(&b);
	mb2_end(&b);
	CHECK_EQ(mb2_parse(&b), -22);
	CHECK(why && strstr(why, "no RAM"));
}

static void test_mb2_module_backwards(void)
{
	struct buf b;

	mb2_begin(&b);
	mb2_module(&b, 0x2000, 0x1000, "x");
	mb2_mmap(&b);
	mb2_end(&b);
	CHECK_EQ(mb2_parse(&b), -22);
	CHECK(why && strstr(why, "module 1"));
}

static void test_mb2_too_much(void)
{
	char text[3000];
	struct buf b;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	mb2_begin(&b);
	mb2_text(&b, 1, text);
	mb2_text(&b, 2, text);
	for (unsigned i = 0; i < BOOT_MODULES_MAX + 3; i++)
		mb2_module(&b, 0x1000, 0x2000, i ? "m" : text + 1000);
	mb2_mmap(&b);
	mb2_end(&b);
	CHECK_EQ(mb2_parse(&b), 0);
	CHECK_EQ(bi.module_count, BOOT_MODULES_MAX);
	CHECK_EQ(bi.dropped, 3 + 3);
	CHECK_EQ(strlen(bi.cmdline), BOOT_CMDLINE_MAX - 1);
	CHECK_EQ(strlen(bi.loader), sizeof(bi.loader) - 1);
	CHECK_EQ(strlen(bi.modules[0].cmdline), BOOT_MODARG_MAX - 1);
}

static void test_mb2_unterminated_text(void)
{
	struct buf b;

	mb2_begin(&b);
	mb2_tag(&b, 1, "abc", 3);
	mb2_mmap(&b);
	mb2_end(&b);
	CHECK_EQ(mb2_parse(&b), 0);
	CHECK_STR(bi.cmdline, "abc");
}

static void test_mb2_efi(void)
{
	struct buf b, t = { .size = 0 };

	put32(&t, 40);
	put32(&t, 1);
	put64(&t, 7);
	put64(&t, 0x100000);
	put64(&t, 0);
	put64(&t, 16);
	put64(&t, 0xf);
	mb2_begin(&b);
	mb2_tag(&b, 17, t.data, t.size);
	mb2_end(&b);
	CHECK_EQ(mb2_parse(&b), 0);
	CHECK_EQ(bi.path, BOOT_PATH_GRUB_UEFI);
	CHECK_MAP(&bi, { 0x100000, 0x10000, 1 });

	mb2_begin(&b); /* with both maps the first kind counts */
	mb2_tag(&b, 17, t.data, t.size);
	mb2_mmap(&b);
	mb2_end(&b);
	CHECK_EQ(mb2_parse(&b), 0);
	CHECK_EQ(bi.mmap_count, 3);
	CHECK_EQ(bi.path, BOOT_PATH_GRUB_UEFI);
}

static void test_mb2_framebuffers(void)
{
	static const struct {
		uint64_t base;
		uint32_t pitch, width, height;
		uint8_t bpp, type, red_size;
		bool usable;
	} cases[] = {
		{ 0xb8000, 160, 80, 25, 16, 2, 0, true },
		{ 0xb8000, 159, 80, 25, 16, 2, 0, false },
		{ 0xe0000000, 2400, 800, 600, 24, 1, 8, true },
		{ 0xe0000000, 2400, 800, 600, 16, 1, 5, false },
		{ 0xe0000000, 2400, 800, 600, 8, 0, 8, false },
		{ 0xe0000000, 2399, 800, 600, 24, 1, 8, false },
		{ 0xe0000000, ~0u, ~0u, ~0u, 32, 1, 8, false },
		{ ~0ull - 5, 3200, 800, 600, 32, 1, 8, false },
		{ 0, 3200, 800, 600, 32, 1, 8, false },
		{ 0xe0000000, 3200, 800, 0, 32, 1, 8, false },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b, t = { .size = 0 };
		uint8_t tail[] = { cases[i].bpp, cases[i].type, 0, 0, 16, cases[i].red_size, 8, 8,
				   0, 8 };

		put64(&t, cases[i].base);
		put32(&t, cases[i].pitch);
		put32(&t, cases[i].width);
		put32(&t, cases[i].height);
		put(&t, tail, sizeof(tail));
		mb2_begin(&b);
		mb2_tag(&b, 8, t.data, t.size);
		mb2_mmap(&b);
		mb2_end(&b);
		CHECK_EQ(mb2_parse(&b), 0);
		CHECK_EQ(bi.fb.present, cases[i].usable);
	}
}

/* ---- PVH: a small physical memory ------------------------------------------------- */

/* start_info at 0x1000, modules at 0x1100, map at 0x1200, texts at 0x1300. */
static void pvh_fill(struct ram *ram, uint32_t modules)
{
	struct buf b = { .size = 0 };

	put32(&b, 0x336ec578);
	put32(&b, 1);
	put32(&b, 0);
	put32(&b, modules);
	put64(&b, 0x1100);
	put64(&b, 0x1300);
	put64(&b, 0xf5000);
	put64(&b, 0x1200);
	put64(&b, 2);
	b.size = 0x100;
	for (unsigned i = 0; i < 4; i++) {
		put64(&b, 0x10000ull * (i + 1));
		put64(&b, 0x1000 + i);
		put64(&b, i == 1 ? 0x1310 : 0);
		put64(&b, 0);
	}
	b.size = 0x200;
	put64(&b, 0x100000);
	put64(&b, 0x100000);
	put64(&b, 1);
	put64(&b, 0x1f0000);
	put64(&b, 0x20000);
	put64(&b, 2);
	b.size = 0x300;
	put(&b, "log=debug", 10);
	b.size = 0x310;
	put(&b, "hello.elf -- x", 15);
	b.size = 0x320;
	ram->base = 0x1000;
	ram->size = b.size;
	ram->data = exact_copy(b.data, b.size);
}

static int pvh_parse(struct ram *ram, uint64_t pa)
{
	struct boot_phys phys = { ram_map, ram };
	int err;

	why = NULL;
	err = boot_parse_pvh(pa, &phys, &bi, &why);
	CHECK(!err == !why);
	return err;
}

static void test_pvh_everything(void)
{
	struct ram ram;

	pvh_fill(&ram, 2);
	CHECK_EQ(pvh_parse(&ram, 0x1000), 0);
	CHECK_EQ(bi.path, BOOT_PATH_PVH);
	CHECK_EQ(bi.acpi_rsdp, 0xf5000);
	CHECK_STR(bi.cmdline, "log=debug");
	CHECK_EQ(bi.module_count, 2);
	CHECK_EQ(bi.modules[0].base, 0x10000);
	CHECK_EQ(bi.modules[0].size, 0x1000);
	CHECK_STR(bi.modules[0].cmdline, "initrd");
	CHECK_STR(bi.modules[1].cmdline, "hello.elf -- x");
	CHECK_MAP(&bi, { 0x100000, 0xf0000, 1 }, { 0x1f0000, 0x20000, 2 });
	free(ram.data);
}

/* Every 32-bit word of the structure replaced by hostile values. */
static void test_pvh_hostile_words(void)
{
	static const uint32_t values[] = { 0, 1, 0x1000, 0x131f, 0x1320, 0x7fffffff, ~0u };

	for (unsigned at = 0; at < 0x230; at += 4) {
		for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
			struct ram ram;

			pvh_fill(&ram, 2);
			memcpy(ram.data + at, &values[i], 4);
			pvh_parse(&ram, 0x1000);
			CHECK(bi.module_count <= BOOT_MODULES_MAX);
			CHECK(bi.mmap_count <= BOOT_MMAP_MAX);
			free(ram.data);
		}
	}
}

static void test_pvh_refusals(void)
{
	static const struct {
		unsigned at;
		uint32_t value;
		const char *says;
	} cases[] = {
		{ 0, 0x12345678, "magic" },
		{ 4, 0, "version 0" },
		{ 12, 9999, "module" },
		{ 16, 0x5000, "module list" },
		{ 24, 0x131f, "command line" }, /* the last byte is not a NUL */
		{ 44, 1, "memory map" },
		{ 48, 0, "no RAM" },
		{ 48, ~0u, "memory map" },
		{ 0x10c, 0xffff0000, "physical memory" },
		{ 0x130, 0x1320, "module 2" },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ram ram;

		pvh_fill(&ram, 2);
		ram.data[0x31f] = 'x';
		memcpy(ram.data + cases[i].at, &cases[i].value, 4);
		CHECK_EQ(pvh_parse(&ram, 0x1000), -22);
		if (!why || !strstr(why, cases[i].says))
			ktap_fail(__FILE__, __LINE__, "case %u says '%s'", i,
				  why ? why : "nothing");
		free(ram.data);
	}
}

static void test_pvh_start_info_outside(void)
{
	struct ram ram;

	pvh_fill(&ram, 0);
	CHECK_EQ(pvh_parse(&ram, 0), -22);
	CHECK_EQ(pvh_parse(&ram, 0x1320 - 55), -22);
	CHECK_EQ(pvh_parse(&ram, ~0ull), -22);
	free(ram.data);
}

static void test_pvh_too_many_modules(void)
{
	struct ram ram = { 0x1000, 0x10000, NULL };
	uint32_t count = BOOT_MODULES_MAX + 10;
	uint64_t list = 0x4000, map = 0x3000;
	struct ram small;

	pvh_fill(&small, 0);
	ram.data = calloc(1, ram.size);
	memcpy(ram.data, small.data, small.size);
	memcpy(ram.data + 0x2000, small.data + 0x200, 48);
	memcpy(ram.data + 12, &count, 4);
	memcpy(ram.data + 16, &list, 8);
	memcpy(ram.data + 40, &map, 8);
	CHECK_EQ(pvh_parse(&ram, 0x1000), 0);
	CHECK_EQ(bi.module_count, BOOT_MODULES_MAX);
	CHECK_EQ(bi.dropped, 10);
	free(small.data);
	free(ram.data);
}

/* ---- the handoff of the EFI loader ------------------------------------------------ */

static struct boot_handoff *handoff_new(void)
{
	struct boot_handoff *h = calloc(1, sizeof(*h));

	h->magic = BOOT_HANDOFF_MAGIC;
	h->version = BOOT_HANDOFF_VERSION;
	h->size = sizeof(*h);
	h->info.mmap_count = 2;
	h->info.mmap[0] = (struct boot_mmap_entry){ 0x300000, 0x1000, BOOT_MEM_RESERVED };
	h->info.mmap[1] = (struct boot_mmap_entry){ 0x100000, 0x400000, BOOT_MEM_RAM };
	h->info.module_count = 1;
	h->info.modules[0] = (struct boot_module){ 0x200000, 0x1234, "hello.elf" };
	return h;
}

static void test_handoff_good(void)
{
	struct boot_handoff *h = handoff_new();

	CHECK_EQ(boot_parse_handoff(h, sizeof(*h), &bi, &why), 0);
	CHECK_EQ(bi.path, BOOT_PATH_EFI);
	CHECK_STR(bi.modules[0].cmdline, "hello.elf");
	CHECK_MAP(&bi, { 0x100000, 0x200000, 1 }, { 0x300000, 0x1000, 2 },
		  { 0x301000, 0x1ff000, 1 });
	free(h);
}

static void test_handoff_refusals(void)
{
	for (unsigned i = 0; i < 8; i++) {
		struct boot_handoff *h = handoff_new();
		size_t size = sizeof(*h);

		switch (i) {
		case 0:
			h->magic++;
			break;
		case 1:
			h->version++;
			break;
		case 2:
			h->size++;
			break;
		case 3:
			h->info.mmap_count = BOOT_MMAP_MAX + 1;
			break;
		case 4:
			h->info.module_count = BOOT_MODULES_MAX + 1;
			break;
		case 5:
			h->info.modules[0].size = ~0ull;
			break;
		case 6:
			h->info.mmap_count = 1;
			break;
		case 7:
			size--;
			break;
		}
		why = NULL;
		CHECK_EQ(boot_parse_handoff(h, size, &bi, &why), -22);
		CHECK(why != NULL);
		free(h);
	}
}

static void test_handoff_unterminated_texts(void)
{
	struct boot_handoff *h = handoff_new();

	memset(h->info.cmdline, 'x', sizeof(h->info.cmdline));
	memset(h->info.loader, 'x', sizeof(h->info.loader));
	memset(h->info.modules[0].cmdline, 'x', sizeof(h->info.modules[0].cmdline));
	CHECK_EQ(boot_parse_handoff(h, sizeof(*h), &bi, &why), 0);
	CHECK_EQ(strlen(bi.cmdline), BOOT_CMDLINE_MAX - 1);
	CHECK_EQ(strlen(bi.modules[0].cmdline), BOOT_MODARG_MAX - 1);
	CHECK_EQ(bi.dropped, 3);
	free(h);
}

static void test_path_names(void)
{
	CHECK_STR(boot_path_name(BOOT_PATH_PVH), "pvh");
	CHECK_STR(boot_path_name(BOOT_PATH_GRUB_BIOS), "grub-bios");
	CHECK_STR(boot_path_name(BOOT_PATH_GRUB_UEFI), "grub-uefi");
	CHECK_STR(boot_path_name(BOOT_PATH_EFI), "efi");
}

static const struct ktap_test tests[] = {
	KTAP(test_mb2_everything),
	KTAP(test_mb2_every_truncation),
	KTAP(test_mb2_tag_sizes),
	KTAP(test_mb2_mmap_lies),
	KTAP(test_mb2_module_backwards),
	KTAP(test_mb2_too_much),
	KTAP(test_mb2_unterminated_text),
	KTAP(test_mb2_efi),
	KTAP(test_mb2_framebuffers),
	KTAP(test_pvh_everything),
	KTAP(test_pvh_hostile_words),
	KTAP(test_pvh_refusals),
	KTAP(test_pvh_start_info_outside),
	KTAP(test_pvh_too_many_modules),
	KTAP(test_handoff_good),
	KTAP(test_handoff_refusals),
	KTAP(test_handoff_unterminated_texts),
	KTAP(test_path_names),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
