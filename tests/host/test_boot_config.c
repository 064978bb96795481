/* SPDX-License-Identifier: GPL-2.0-only */
/* phyllo.cfg, and bundles that hold one. */
#include <stdio.h>

#include "boot/parse.h"
#include "tests/host/boot_bytes.h"

static struct boot_info bi;
static const char *why;

/* ---- phyllo.cfg ------------------------------------------------------------------- */

static char seen[256];

static int config_module(void *ctx, const char *file, size_t file_len, struct boot_module *m)
{
	snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "<%.*s>", (int)file_len, file);
	m->base = 1;
	return ctx && !strncmp(file, ctx, file_len) ? -5 : 0;
}

static int config_parse(const char *text, size_t size, char *refuse)
{
	char *copy = exact_copy(text, size);
	int err;

	memset(&bi, 0, sizeof(bi));
	seen[0] = '\0';
	why = NULL;
	err = boot_parse_config(copy, size, &bi, config_module, refuse, &why);
	free(copy);
	return err;
}

static int config(const char *text)
{
	return config_parse(text, strlen(text), NULL);
}

static void test_config_good(void)
{
	CHECK_EQ(config("\xef\xbb\xbf# a comment\r\n"
			"cmdline log=debug   # another\r\n"
			"\r\n"
			"  module /guest/hello.elf\tmem=64M -- a#b c \r\n"
			"module x\n"
			"cmdline smp=1"), 0);
	CHECK_STR(bi.cmdline, "log=debug smp=1");
	CHECK_EQ(bi.module_count, 2);
	CHECK_STR(bi.modules[0].cmdline, "/guest/hello.elf\tmem=64M -- a#b c");
	CHECK_STR(bi.modules[1].cmdline, "x");
	CHECK_STR(seen, "</guest/hello.elf><x>");
	CHECK_EQ(config(""), 0);
	CHECK_EQ(config("cmdline"), 0);
	CHECK_STR(bi.cmdline, "");
}

static void test_config_appends_to_cmdline(void)
{
	memset(&bi, 0, sizeof(bi));
	strcpy(bi.cmdline, "a=1");
	CHECK_EQ(boot_parse_config("cmdline b=2", 11, &bi, config_module, NULL, &why), 0);
	CHECK_STR(bi.cmdline, "a=1 b=2");
}

static void test_config_errors_name_the_line(void)
{
	CHECK_EQ(config("# x\n\nmodul hello.elf\n"), -22);
	CHECK_STR(why, "phyllo.cfg, line 3: 'modul' is neither 'cmdline' nor 'module'");
	CHECK_EQ(config("module\n"), -22);
	CHECK_STR(why, "phyllo.cfg, line 1: 'module' needs the name of a file");
	CHECK_EQ(config_parse("module a\0b", 10, NULL), -22);
	CHECK(why && strstr(why, "NUL"));
	CHECK_EQ(config_parse("cmdline x\nmodule bad", 20, "bad"), -5);
	CHECK_EQ(bi.module_count, 0);
	CHECK(!why);
}

static void test_config_limits(void)
{
	static char text[BOOT_CMDLINE_MAX + 64];
	size_t at = 0;

	memset(text, 'x', sizeof(text));
	memcpy(text, "module ", 7);
	CHECK_EQ(config_parse(text, 7 + BOOT_MODARG_MAX - 1, NULL), 0);
	CHECK_EQ(strlen(bi.modules[0].cmdline), BOOT_MODARG_MAX - 1);
	CHECK_EQ(config_parse(text, 7 + BOOT_MODARG_MAX, NULL), -22);
	memcpy(text, "cmdline ", 8);
	CHECK_EQ(config_parse(text, 8 + BOOT_CMDLINE_MAX - 1, NULL), 0);
	CHECK_EQ(strlen(bi.cmdline), BOOT_CMDLINE_MAX - 1);
	CHECK_EQ(config_parse(text, 8 + BOOT_CMDLINE_MAX, NULL), -22);
	for (unsigned i = 0; i < BOOT_MODULES_MAX + 1; i++, at += 9)
		memcpy(text + at, "module a\n", 9);
	CHECK_EQ(config_parse(text, at, NULL), -22);
	CHECK(why && strstr(why, "line 65"));
	CHECK_EQ(bi.module_count, BOOT_MODULES_MAX);
}

/* ---- bundles ---------------------------------------------------------------------- */

static void cpio_add(struct buf *b, const char *name, const void *data, uint32_t size)
{
	char header[111];

	snprintf(header, sizeof(header),
		 "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08x%08X", 1, 0100644, 0, 0, 1, 0, size, 0, 0, 0, 0, (unsigned)strlen(name) + 1, 0);
	put(b, header, 110);
	put(b, name, strlen(name) + 1);
	pad(b, 4);
	put(b, data, size);
	pad(b, 4);
}

static int unbundle(const struct buf *b, size_t size)
{
	struct ram ram = { 0x7000, size, exact_copy(b->data, size) };
	struct boot_phys phys = { ram_map, &ram };
	int err;

	memset(&bi, 0, sizeof(bi));
	bi.module_count = 1;
	bi.modules[0].base = ram.base;
	bi.modules[0].size = ram.size;
	strcpy(bi.modules[0].cmdline, "initrd");
	why = NULL;
	err = boot_unbundle(&phys, &bi, &why);
	CHECK(!err == !why);
	free(ram.data);
	return err;
}

static const char bundle_config[] = "cmdline log=debug\nmodule /hello.elf mem=1M\nmodule ./sub/b\n";

static void bundle_fill(struct buf *b)
{
	b->size = 0;
	cpio_add(b, ".", "", 0);
	cpio_add(b, "hello.elf", "HELLO", 5);
	cpio_add(b, "./phyllo.cfg", bundle_config, sizeof(bundle_config) - 1);
	cpio_add(b, "sub/b", "BEE", 3);
	cpio_add(b, "unused", "x", 1);
	cpio_add(b, "TRAILER!!!", "", 0);
}

static void test_bundle_good(void)
{
	struct buf b;

	bundle_fill(&b);
	CHECK_EQ(unbundle(&b, b.size), 0);
	CHECK_STR(bi.cmdline, "log=debug");
	CHECK_EQ(bi.module_count, 2);
	CHECK_STR(bi.modules[0].cmdline, "/hello.elf mem=1M");
	CHECK_EQ(bi.modules[0].size, 5);
	CHECK(!memcmp(b.data + (bi.modules[0].base - 0x7000), "HELLO", 5));
	CHECK_EQ(bi.modules[1].size, 3);
	CHECK(!memcmp(b.data + (bi.modules[1].base - 0x7000), "BEE", 3));
}

static void test_bundle_every_truncation(void)
{
	struct buf b;

	bundle_fill(&b);
	for (size_t size = 0; size < b.size; size++) {
		int err = unbundle(&b, size);

		/* Too short for a header: not a bundle; else all that it names must be there. */
		if (size < 110)
			CHECK(!err && bi.module_count == 1);
		else
			CHECK(err == -22 || bi.module_count == 2);
	}
}

static void test_bundle_names_the_missing_file(void)
{
	struct buf b = { .size = 0 };

	cpio_add(&b, "phyllo.cfg", "module nope.elf", 15);
	cpio_add(&b, "TRAILER!!!", "", 0);
	CHECK_EQ(unbundle(&b, b.size), -22);
	CHECK_STR(why, "phyllo.cfg names 'nope.elf', which is not in the bundle");
	CHECK_EQ(unbundle(&b, b.size - 4), -22);
	CHECK_STR(why, "the bundle is truncated or broken before 'nope.elf'");
}

static void test_bundle_is_none(void)
{
	struct buf b = { .size = 0 };

	cpio_add(&b, "init", "#!", 2); /* somebody's initramfs */
	cpio_add(&b, "TRAILER!!!", "", 0);
	CHECK_EQ(unbundle(&b, b.size), 0);
	CHECK_EQ(bi.module_count, 1);
	CHECK_STR(bi.modules[0].cmdline, "initrd");
	memset(b.data, 0x7f, 200);
	CHECK_EQ(unbundle(&b, 200), 0);
	CHECK_EQ(bi.module_count, 1);
}

static void test_bundle_hostile_headers(void)
{
	static const char *const values[] = { "FFFFFFFF", "00000000", "7FFFFFFF", "0000000g",
					      "00001000" };
	struct buf b;

	for (unsigned field = 0; field < 13; field++) {
		for (unsigned i = 0; i < 5; i++) {
			bundle_fill(&b);
			memcpy(b.data + 6 + 8 * field, values[i], 8);
			unbundle(&b, b.size);
			bundle_fill(&b);
			/* the third member is the configuration */
			memcpy(b.data + 112 + 120 + 8 + 6 + 8 * field, values[i], 8);
			unbundle(&b, b.size);
		}
	}
}

static void test_bundle_unmapped(void)
{
	struct ram none = { 0, 0, NULL };
	struct boot_phys phys = { ram_map, &none };

	memset(&bi, 0, sizeof(bi));
	bi.module_count = 1;
	bi.modules[0].base = 1ull << 40;
	bi.modules[0].size = 4096;
	CHECK_EQ(boot_unbundle(&phys, &bi, &why), 0);
	CHECK_EQ(bi.module_count, 1);
}

static const struct ktap_test tests[] = {
	KTAP(test_config_good),
	KTAP(test_config_appends_to_cmdline),
	KTAP(test_config_errors_name_the_line),
	KTAP(test_config_limits),
	KTAP(test_bundle_good),
	KTAP(test_bundle_every_truncation),
	KTAP(test_bundle_names_the_missing_file),
	KTAP(test_bundle_is_none),
	KTAP(test_bundle_hostile_headers),
	KTAP(test_bundle_unmapped),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
