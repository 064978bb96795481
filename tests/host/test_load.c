/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest loaders: images of every kind built here, loaded into a fake guest, and read back as
 * the guest would read them.
 */
#include <stdlib.h>
#include <string.h>

#include "mm/errno.h"
#include "tests/host/ktap.h"
#include "tests/host/load_images.h"

/* ---- what the guest sees ------------------------------------------------------------- */

static uint32_t get32(uint64_t gpa)
{
	uint32_t v;

	memcpy(&v, guest + gpa, 4);
	return v;
}

static uint64_t get64(uint64_t gpa)
{
	return get32(gpa) | (uint64_t)get32(gpa + 4) << 32;
}

static const char *text_at(uint64_t gpa)
{
	return (const char *)guest + gpa;
}

static void check_segment(uint64_t gpa, uint64_t offset, uint64_t filesz, uint64_t memsz)
{
	CHECK(!memcmp(guest + gpa, image + offset, filesz));
	for (uint64_t i = filesz; i < memsz; i++)
		CHECK_EQ(guest[gpa + i], 0);
	CHECK_EQ(guest[gpa - 1], 0xaa);
}

static void check_elf_loaded(void)
{
	check_segment(MIB, 0x1000, 0x2000, 0x2000);
	check_segment(2 * MIB, 0x3000, 0x800, 0x3000);
	CHECK_EQ(result.entry, MIB + 0x10);
}

/* 24-byte entries at gpa: base, length, type. */
static void check_map(uint64_t gpa, unsigned count)
{
	CHECK_EQ(count, 3);
	CHECK_EQ(get64(gpa), 0);
	CHECK_EQ(get64(gpa + 8), 0x9fc00);
	CHECK_EQ(get32(gpa + 16), 1);
	CHECK_EQ(get64(gpa + 24), 0x9fc00);
	CHECK_EQ(get64(gpa + 32), MIB - 0x9fc00);
	CHECK_EQ(get32(gpa + 40), 2);
	CHECK_EQ(get64(gpa + 48), MIB);
	CHECK_EQ(get64(gpa + 56), GUEST_SIZE - MIB);
	CHECK_EQ(get32(gpa + 64), 1);
}

static void check_info1(void)
{
	uint32_t info = result.ebx;

	CHECK_EQ(result.protocol, LOAD_MULTIBOOT1);
	CHECK_EQ(result.eax, 0x2badb002);
	CHECK(info >= 0x9000 && info < 0x9fc00);
	CHECK_EQ(get32(info), 0x24d);
	CHECK_EQ(get32(info + 4), 639);
	CHECK_EQ(get32(info + 8), 15 * 1024);
	CHECK_STR(text_at(get32(info + 16)), "k.elf a=1");
	CHECK_EQ(get32(info + 20), req.module_count);
	/* Multiboot1 entries begin with their size, which does not count itself. */
	CHECK_EQ(get32(info + 44), 3 * 24);
	CHECK_EQ(get32(get32(info + 48)), 20);
	CHECK_EQ(get64(get32(info + 48) + 4), 0);
	CHECK_EQ(get64(get32(info + 48) + 12), 0x9fc00);
	CHECK_EQ(get32(get32(info + 48) + 20), 1);
	CHECK_EQ(get64(get32(info + 48) + 24 + 4), 0x9fc00);
	CHECK_EQ(get64(get32(info + 48) + 48 + 12), GUEST_SIZE - MIB);
	CHECK_STR(text_at(get32(info + 64)), "Phyllo");
}

/* The n-th multiboot2 information tag of this type, 0: none. */
static uint64_t find_tag(uint32_t type, unsigned n)
{
	uint64_t at = result.ebx + 8, end = result.ebx + get32(result.ebx);

	while (at < end) {
		CHECK(get32(at + 4) >= 8);
		CHECK(at % 8 == 0);
		if (get32(at) == type && !n--)
			return at;
		if (get32(at) == 0)
			break;
		at = (at + get32(at + 4) + 7) & ~7ul;
	}
	/* A walk that met no tag of the type must have met the end tag, at the end. */
	CHECK_EQ(at + 8, end);
	return 0;
}

static void check_info2(void)
{
	uint64_t map;

	CHECK_EQ(result.protocol, LOAD_MULTIBOOT2);
	CHECK_EQ(result.eax, 0x36d76289);
	CHECK_EQ(result.ebx % 8, 0);
	CHECK_STR(text_at(find_tag(1, 0) + 8), "k.elf a=1");
	CHECK_STR(text_at(find_tag(2, 0) + 8), "Phyllo");
	CHECK_EQ(get32(find_tag(4, 0) + 8), 639);
	CHECK_EQ(get32(find_tag(4, 0) + 12), 15 * 1024);
	map = find_tag(6, 0);
	CHECK_EQ(get32(map + 8), 24);
	check_map(map + 16, (get32(map + 4) - 16) / 24);
	CHECK(find_tag(21, 0));
	CHECK(!find_tag(99, 0));
}

/* ---- images that load ------------------------------------------------------------------ */

static void test_elf_multiboot1(void)
{
	for (unsigned bits = 32; bits <= 64; bits += 32) {
		build_elf(bits);
		CHECK_EQ(load(), 0);
		check_elf_loaded();
		check_info1();
	}
}

static void test_elf_multiboot2(void)
{
	for (unsigned bits = 32; bits <= 64; bits += 32) {
		build_elf(bits);
		mb2_start(0x900);
		mb2_tag(1, 0, 3, 1, 6, 21);
		mb2_tag(4, 0, 1, 3);
		mb2_tag(5, 1, 3, 800, 600, 32);
		mb2_tag(6, 0, 0);
		mb2_tag(7, 0, 0);
		mb2_tag(8, 0, 1, 0x1234);
		mb2_tag(9, 0, 1, 0x1234);
		mb2_tag(4711, 1, 1, 5); /* optional: no matter */
		CHECK_EQ(load(), 0);
		check_elf_loaded();
		check_info2();
		CHECK_EQ(get32(find_tag(21, 0) + 8), MIB);
	}
}

static void test_entry_tag(void)
{
	build_elf(64);
	mb2_start(0x900);
	mb2_tag(3, 0, 1, 2 * MIB + 4);
	CHECK_EQ(load(), 0);
	CHECK_EQ(result.entry, 2 * MIB + 4);
}

static void test_flat_multiboot1(void)
{
	/* File offset 0x100 goes to 1 MiB. */
	start(0x3000);
	put_kludge(0x200, MIB + 0x100, MIB, MIB + 0x2000, MIB + 0x5000, MIB + 0x44);
	CHECK_EQ(load(), 0);
	check_segment(MIB, 0x100, 0x2000, 0x5000);
	CHECK_EQ(result.entry, MIB + 0x44);
	check_info1();
	/* To the end of the file, no bss. */
	put_kludge(0x200, MIB + 0x200, MIB, 0, 0, MIB);
	memset(guest, 0xaa, sizeof(guest));
	CHECK_EQ(load(), 0);
	check_segment(MIB, 0, 0x3000, 0x3000);
	CHECK_EQ(guest[MIB + 0x3000], 0xaa);
}

/* The kludge wins over the ELF header, whose program headers would be refused. */
static void test_kludge_over_elf(void)
{
	build_elf(64);
	put(phdr_at(0) + 24, 77 * MIB, 8);
	put_kludge(0x800, MIB + 0x800, MIB, MIB + 0x4000, 0, MIB + 0x1000);
	CHECK_EQ(load(), 0);
	check_segment(MIB, 0, 0x4000, 0x4000);
	CHECK_EQ(result.entry, MIB + 0x1000);
}

static void test_flat_multiboot2(void)
{
	start(0x3000);
	mb2_start(0x100);
	mb2_tag(2, 0, 4, MIB + 0x100, MIB, MIB + 0x1800, MIB + 0x2000);
	mb2_tag(3, 0, 1, MIB + 0x20);
	CHECK_EQ(load(), 0);
	check_segment(MIB, 0, 0x1800, 0x2000);
	CHECK_EQ(result.entry, MIB + 0x20);
	check_info2();
}

/* Linked at -2 GiB, loaded at 1 MiB; the entry virtual or physical. */
static void test_high_half(void)
{
	uint64_t high = 0xffffffff80000000;

	for (unsigned physical = 0; physical < 2; physical++) {
		start(0x3000);
		put_elf(64, (physical ? 0 : high) + MIB + 0x123);
		add_phdr(1, 0x1000, high + MIB, MIB, 0x1000, 0x1000);
		put_mb1(0x800, 0);
		CHECK_EQ(load(), 0);
		CHECK_EQ(result.entry, MIB + 0x123);
	}
}

static void test_modules(void)
{
	static const char first[] = "first module", second[] = "2nd";

	for (unsigned protocol = 1; protocol <= 2; protocol++) {
		uint32_t mods, at[3];

		build_elf(32);
		if (protocol == 2)
			mb2_start(0x900);
		req.module_count = 3;
		req.modules[0] = (struct load_module){ first, sizeof(first), "mod one" };
		req.modules[1] = (struct load_module){ NULL, 0, NULL };
		req.modules[2] = (struct load_module){ second, sizeof(second), "mod three" };
		CHECK_EQ(load(), 0);
		check_elf_loaded();
		mods = get32(result.ebx + 24);
		for (unsigned i = 0; i < 3; i++) {
			uint64_t m = protocol == 1 ? mods + i * 16 : find_tag(3, i) + 8;

			at[i] = get32(m);
			CHECK_EQ(get32(m + 4) - at[i], req.modules[i].size);
			CHECK_STR(text_at(protocol == 1 ? get32(m + 8) : m + 8),
				  req.modules[i].cmdline ? req.modules[i].cmdline : "");
			CHECK_EQ(at[i] % 4096, 0);
			CHECK(at[i] >= 2 * MIB + 0x3000);
		}
		CHECK_STR(text_at(at[0]), first);
		CHECK_STR(text_at(at[2]), second);
	}
}

/* The image takes what is above 1 MiB; modules and information go where there is room. */
static void test_tight_memory(void)
{
	char *cmdline = malloc(0x98000);

	build_elf(32);
	req.ram[0].size = 2 * MIB + 0x3000;
	req.module_count = 1;
	req.modules[0] = (struct load_module){ "x", 2, "m" };
	CHECK_EQ(load(), 0);
	CHECK_EQ(get32(get32(result.ebx + 24)), MIB + 0x2000);
	req.modules[0].size = MIB;
	CHECK_EQ(load(), -E2BIG);
	CHECK_STR(why, "k.elf: no room in guest memory for module 1 of 0x100000 bytes");
	/* A command line that does not fit into low memory. */
	build_elf(32);
	memset(cmdline, 'c', 0x98000);
	cmdline[0x98000 - 1] = '\0';
	req.cmdline = cmdline;
	CHECK_EQ(load(), 0);
	CHECK(result.ebx > MIB);
	CHECK_STR(text_at(get32(result.ebx + 16)), cmdline);
	req.ram[0].size = 2 * MIB + 0x3000;
	put(phdr_at(0) + 20, 0x100000, 4);
	writes = 0;
	CHECK_EQ(load(), -E2BIG);
	CHECK(strstr(why, "no room in guest memory for the boot information of 0x98"));
	CHECK_EQ(writes, 0);
	free(cmdline);
}

static void test_ram_shapes(void)
{
	uint64_t map;

	/* Without low memory, in two pieces, and with some above 4 GiB. */
	build_elf(32);
	mb2_start(0x900);
	req.ram_count = 3;
	req.ram[0] = (struct load_range){ MIB, 2 * MIB };
	req.ram[1] = (struct load_range){ 8 * MIB, 4 * MIB };
	req.ram[2] = (struct load_range){ 4096 * MIB, 64 * MIB };
	CHECK_EQ(load(), 0);
	CHECK_EQ(result.ebx, MIB + 0x2000);
	CHECK_EQ(get32(find_tag(4, 0) + 8), 0);
	CHECK_EQ(get32(find_tag(4, 0) + 12), 2048);
	map = find_tag(6, 0);
	CHECK_EQ((get32(map + 4) - 16) / 24, 4);
	CHECK_EQ(get64(map + 16), 0x9fc00);
	CHECK_EQ(get32(map + 16 + 16), 2);
	CHECK_EQ(get64(map + 16 + 72), 4096 * MIB);
	CHECK_EQ(get64(map + 16 + 80), 64 * MIB);
	/* Low memory only, which no kernel of ours fits into, but a map must come out. */
	start(0x2000);
	put_kludge(0x200, 0x20200, 0x20000, 0, 0, 0x20000);
	req.ram[0].size = 0x80000;
	CHECK_EQ(load(), 0);
	CHECK_EQ(get32(result.ebx + 4), 512);
	CHECK_EQ(get32(result.ebx + 8), 0);
	CHECK_EQ(get32(result.ebx + 44), 2 * 24);
}

static void build_relocatable(uint32_t min, uint32_t max, uint32_t align, uint32_t preference)
{
	build_elf(64);
	mb2_start(0x900);
	mb2_tag(10, 0, 4, min, max, align, preference);
}

static void test_relocatable(void)
{
	build_relocatable(0, 0xffffffff, 0x1000, 0);
	CHECK_EQ(load(), 0);
	check_elf_loaded();
	build_relocatable(4 * MIB + 1, 12 * MIB, 0x10000, 1);
	CHECK_EQ(load(), 0);
	CHECK_EQ(result.entry, 4 * MIB + 0x10000 + 0x10);
	CHECK_EQ(get32(find_tag(21, 0) + 8), 4 * MIB + 0x10000);
	check_segment(4 * MIB + 0x10000, 0x1000, 0x2000, 0x2000);
	check_segment(5 * MIB + 0x10000, 0x3000, 0x800, 0x3000);
	build_relocatable(4 * MIB, 12 * MIB - 1, 0x1000, 2);
	CHECK_EQ(load(), 0);
	CHECK_EQ(get32(find_tag(21, 0) + 8), 12 * MIB - MIB - 0x3000);
	build_relocatable(4 * MIB, 5 * MIB, 0, 2);
	CHECK_EQ(load(), -E2BIG);
	CHECK_STR(why, "k.elf: no room for the relocatable image of 0x103000 bytes in 0x400000-0x500000");
	build_relocatable(4 * MIB, 5 * MIB, 0, 1);
	CHECK_EQ(load(), -E2BIG);
	build_relocatable(4 * MIB, 5 * MIB, 3, 0);
	CHECK_EQ(load(), -ENOEXEC);
	CHECK(strstr(why, "not a power of two"));
}

static void test_write_error(void)
{
	build_elf(32);
	write_error = -ENOMEM;
	CHECK_EQ(load(), -ENOMEM);
	CHECK_STR(why, "k.elf: writing to guest memory failed (error -12)");
	CHECK_EQ(writes, 1);
}

static const struct ktap_test tests[] = {
	KTAP(test_elf_multiboot1), KTAP(test_elf_multiboot2),
	KTAP(test_entry_tag), KTAP(test_flat_multiboot1),
	KTAP(test_kludge_over_elf), KTAP(test_flat_multiboot2),
	KTAP(test_high_half), KTAP(test_modules),
	KTAP(test_tight_memory), KTAP(test_ram_shapes),
	KTAP(test_relocatable), KTAP(test_write_error),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
