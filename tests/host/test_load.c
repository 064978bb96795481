/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest loaders: images of every kind built here, loaded into a fake guest, and read back as
 * the guest would read them; then the ways in which an image can lie, each with its sentence.
 */
#include "vmm/load/load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/errno.h"
#include "tests/host/ktap.h"

#define MIB        (1ul << 20)
#define GUEST_SIZE (16 * MIB)
#define IMAGE_MAX  0x10000
#define MB1_MAGIC  0x1badb002u
#define MB2_MAGIC  0xe85250d6u

/* ---- the guest -------------------------------------------------------------------- */

static uint8_t guest[GUEST_SIZE];
static unsigned writes;
static int write_error; /* what write() and zero() return */

static bool in_ram(const struct load_request *req, uint64_t gpa, uint64_t size)
{
	for (unsigned i = 0; i < req->ram_count; i++)
		if (gpa >= req->ram[i].base && size <= req->ram[i].size &&
		    gpa - req->ram[i].base <= req->ram[i].size - size)
			return gpa + size <= 0x9fc00 || gpa >= MIB;
	return false;
}

static int guest_write(void *ctx, uint64_t gpa, const void *data, uint64_t size)
{
	CHECK(in_ram(ctx, gpa, size));
	writes++;
	if (!write_error && gpa + size <= GUEST_SIZE)
		memcpy(guest + gpa, data, size);
	return write_error;
}

static int guest_zero(void *ctx, uint64_t gpa, uint64_t size)
{
	CHECK(in_ram(ctx, gpa, size));
	writes++;
	if (!write_error && gpa + size <= GUEST_SIZE)
		memset(guest + gpa, 0, size);
	return write_error;
}

/* ---- images ------------------------------------------------------------------------- */

static uint8_t image[IMAGE_MAX];
static uint64_t image_size;
static struct load_request req;
static struct load_result result;
static char why[256];

static void put(uint64_t at, uint64_t v, unsigned bytes)
{
	memcpy(image + at, &v, bytes);
}

/* A fresh, empty image and a guest of 16 MiB that holds 0xaa everywhere. */
static void start(uint64_t size)
{
	memset(image, 0, sizeof(image));
	for (unsigned i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i * 7 + i / 256);
	memset(image, 0, 0x1000);
	memset(guest, 0xaa, sizeof(guest));
	image_size = size;
	writes = 0;
	write_error = 0;
	req = (struct load_request){
		.file = "k.elf",
		.cmdline = "k.elf a=1",
		.ram_count = 1,
		.ram = { { 0, GUEST_SIZE } },
		.write = guest_write,
		.zero = guest_zero,
		.ctx = &req,
	};
}

/* From a heap copy of exactly its size, so that ASan sees what reads beyond it. */
static int load(void)
{
	uint8_t *copy = malloc(image_size ? image_size : 1);
	int err;

	memcpy(copy, image, image_size);
	req.image = copy;
	req.size = image_size;
	why[0] = '\0';
	err = load_guest(&req, &result, why, sizeof(why));
	free(copy);
	CHECK_EQ(err != 0, why[0] != '\0');
	return err;
}

static void put_mb1(uint64_t at, uint32_t flags)
{
	put(at, MB1_MAGIC, 4);
	put(at + 4, flags, 4);
	put(at + 8, (uint32_t)-(MB1_MAGIC + flags), 4);
}

static void put_kludge(uint64_t at, uint32_t header, uint32_t load_addr, uint32_t load_end,
		       uint32_t bss_end, uint32_t entry)
{
	put_mb1(at, 0x10003);
	put(at + 12, header, 4);
	put(at + 16, load_addr, 4);
	put(at + 20, load_end, 4);
	put(at + 24, bss_end, 4);
	put(at + 28, entry, 4);
}

static uint64_t mb2_at, mb2_size;

static void mb2_end(void)
{
	put(mb2_at + mb2_size, 0, 4);
	put(mb2_at + mb2_size + 4, 8, 4);
	put(mb2_at + 8, mb2_size + 8, 4);
	put(mb2_at + 12, (uint32_t)-(MB2_MAGIC + mb2_size + 8), 4);
}

static void mb2_start(uint64_t at)
{
	mb2_at = at;
	mb2_size = 16;
	put(at, MB2_MAGIC, 4);
	put(at + 4, 0, 4);
	mb2_end();
}

/* A tag with n 32-bit words of contents. */
static void mb2_tag(uint16_t type, uint16_t flags, unsigned n, ...)
{
	uint64_t at = mb2_at + mb2_size;
	va_list ap;

	put(at, type, 2);
	put(at + 2, flags, 2);
	put(at + 4, 8 + n * 4, 4);
	va_start(ap, n);
	for (unsigned i = 0; i < n; i++)
		put(at + 8 + i * 4, va_arg(ap, unsigned), 4);
	va_end(ap);
	mb2_size += (8 + n * 4 + 7) & ~7u;
	mb2_end();
}

static unsigned elf_bits;

static void put_elf(unsigned bits, uint64_t entry)
{
	elf_bits = bits;
	memcpy(image, "\177ELF", 4);
	image[4] = bits == 32 ? 1 : 2;
	image[5] = 1;
	put(16, 2, 2);
	put(18, bits == 32 ? 3 : 62, 2);
	if (bits == 32) {
		put(24, entry, 4);
		put(28, 52, 4);
		put(42, 32, 2);
		put(44, 0, 2);
	} else {
		put(24, entry, 8);
		put(32, 64, 8);
		put(54, 56, 2);
		put(56, 0, 2);
	}
}

static uint64_t phdr_at(unsigned i)
{
	return elf_bits == 32 ? 52 + i * 32 : 64 + i * 56;
}

static void add_phdr(uint32_t type, uint64_t offset, uint64_t vaddr, uint64_t paddr, uint64_t filesz,
		     uint64_t memsz)
{
	unsigned count_at = elf_bits == 32 ? 44 : 56;
	uint64_t at = phdr_at(image[count_at]++);

	put(at, type, 4);
	if (elf_bits == 32) {
		put(at + 4, offset, 4);
		put(at + 8, vaddr, 4);
		put(at + 12, paddr, 4);
		put(at + 16, filesz, 4);
		put(at + 20, memsz, 4);
	} else {
		put(at + 8, offset, 8);
		put(at + 16, vaddr, 8);
		put(at + 24, paddr, 8);
		put(at + 32, filesz, 8);
		put(at + 40, memsz, 8);
	}
}

/* Text at 1 MiB, data and bss at 2 MiB; multiboot1. */
static void build_elf(unsigned bits)
{
	start(0x4000);
	put_elf(bits, MIB + 0x10);
	add_phdr(1, 0x1000, MIB, MIB, 0x2000, 0x2000);
	add_phdr(4, 0x200, 0, 0, 0x20, 0x20);
	add_phdr(1, 0x3000, 2 * MIB, 2 * MIB, 0x800, 0x3000);
	put_mb1(0x800, 3);
}

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

/* ---- images that are refused -------------------------------------------------------------- */

static void check_refused(int err, const char *sentence)
{
	writes = 0;
	CHECK_EQ(load(), err);
	CHECK(!strncmp(why, "k.elf: ", 7));
	CHECK_STR(why + 7, sentence);
	CHECK_EQ(writes, 0);
}

static void test_not_a_kernel(void)
{
	start(0);
	check_refused(-ENOEXEC, "the file is empty");
	start(0x9000);
	check_refused(-ENOEXEC, "not a multiboot kernel (no multiboot header in the first 32 KiB, "
				"not an ELF file)");
	start(3);
	check_refused(-ENOEXEC, "not a multiboot kernel (no multiboot header in the first 32 KiB, "
				"not an ELF file)");
	build_elf(64);
	memset(image + 0x800, 0, 12);
	check_refused(-ENOEXEC, "ELF file, but not a multiboot kernel "
				"(no multiboot header in the first 32 KiB)");
	build_elf(64);
	image[0x808]++;
	check_refused(-ENOEXEC,
		      "not a multiboot kernel (multiboot header at 0x800 with a wrong checksum)");
	build_elf(64);
	mb2_start(0x900);
	image[0x90c]++;
	memset(image + 0x800, 0, 12);
	check_refused(-ENOEXEC,
		      "not a multiboot kernel (multiboot2 header at 0x900 with a wrong checksum)");
}

/* Where a header may be: aligned, and wholly inside the first 8 or 32 KiB. */
static void test_header_places(void)
{
	build_elf(32);
	memset(image + 0x800, 0, 12);
	put_mb1(8192 - 12, 0);
	CHECK_EQ(load(), 0);
	memset(image + 8192 - 12, 0, 12);
	put_mb1(8192 - 8, 0);
	CHECK_EQ(load(), -ENOEXEC);
	memset(image + 8192 - 8, 0, 12);
	put_mb1(0x802, 0);
	CHECK_EQ(load(), -ENOEXEC);
	build_elf(32);
	image_size = 0x9000;
	memset(image + 0x800, 0, 12);
	mb2_start(32768 - 24);
	CHECK_EQ(load(), 0);
	CHECK_EQ(result.protocol, LOAD_MULTIBOOT2);
	memset(image + 32768 - 24, 0, 24);
	mb2_start(32768 - 16);
	check_refused(-ENOEXEC, "multiboot2 header at 0x7ff0 of 0x18 bytes runs out of the file or its "
				"first 32 KiB");
	/* Cut off with the file. */
	start(0x208);
	put_mb1(0x200, 0x10000);
	CHECK_EQ(load(), -ENOEXEC);
	image_size = 0x210;
	check_refused(-ENOEXEC, "truncated in the multiboot header at 0x200");
}

static void test_multiboot1_refusals(void)
{
	build_elf(32);
	put_mb1(0x800, 1 << 5 | 1 << 9);
	check_refused(-ENOEXEC, "requires multiboot feature 5, which does not exist");
	put_mb1(0x800, 0x7ffe0007); /* upper bits and video are fine */
	CHECK_EQ(load(), 0);
	start(0x3000);
	put_mb1(0x200, 3);
	check_refused(-ENOEXEC, "multiboot header without load addresses in a file that is not ELF");
}

static void test_flat_refusals(void)
{
	start(0x3000);
	put_kludge(0x200, MIB, MIB + 1, 0, 0, MIB);
	check_refused(-ENOEXEC, "load address 0x100001 does not go with the header, at file offset "
				"0x200 for 0x100000");
	put_kludge(0x200, MIB + 0x201, MIB, 0, 0, MIB);
	check_refused(-ENOEXEC, "load address 0x100000 does not go with the header, at file offset "
				"0x200 for 0x100201");
	put_kludge(0x200, MIB + 0x200, MIB, MIB - 1, 0, MIB);
	check_refused(-ENOEXEC, "load end 0xfffff lies outside the file, which ends at 0x103000");
	put_kludge(0x200, MIB + 0x200, MIB, MIB + 0x3001, 0, MIB);
	check_refused(-ENOEXEC, "load end 0x103001 lies outside the file, which ends at 0x103000");
	put_kludge(0x200, MIB + 0x200, MIB, MIB + 0x3000, MIB + 0x2fff, MIB);
	check_refused(-ENOEXEC, "bss end 0x102fff lies below the load end 0x103000");
	put_kludge(0x200, MIB + 0x200, MIB, MIB, 0, MIB);
	check_refused(-ENOEXEC, "the multiboot header loads nothing");
	put_kludge(0x200, MIB + 0x200, MIB, 0, 0xffffffff, MIB);
	check_refused(-E2BIG, "the image (0x100000-0xfffffffe) lies outside guest memory");
	put_kludge(0x200, 0x9f200, 0x9f000, 0, 0, 0x9f000);
	check_refused(-E2BIG, "the image (0x9f000-0xa1fff) lies outside guest memory");
	put_kludge(0x200, MIB + 0x200, MIB, 0, 0, MIB + 0x3000);
	check_refused(-ENOEXEC, "entry point 0x103000 lies outside the image");
	put_kludge(0x200, 0xfffff200, 0xfffff000, 0, 0, 0xfffff000);
	CHECK_EQ(load(), -E2BIG);
}

static void test_multiboot2_refusals(void)
{
	build_elf(32);
	mb2_start(0x900);
	mb2_tag(11, 0, 0);
	check_refused(-ENOEXEC, "requires multiboot2 header tag 11, which we do not know");
	mb2_start(0x900);
	mb2_tag(1, 0, 2, 6, 22);
	check_refused(-ENOEXEC, "requires multiboot2 information tag 22, which we do not know");
	mb2_start(0x900);
	mb2_tag(1, 1, 2, 6, 22);
	CHECK_EQ(load(), 0);
	mb2_start(0x900);
	mb2_tag(3, 0, 0);
	check_refused(-ENOEXEC, "multiboot2 header tag 3 of 8 bytes is too small");
	mb2_start(0x900);
	mb2_tag(2, 0, 4, MIB + 0x900, MIB, 0, 0);
	check_refused(-ENOEXEC, "multiboot2 header has load addresses but no entry address");
	mb2_start(0x900);
	mb2_tag(6, 0, 0);
	put(0x914, 4, 4);
	check_refused(-ENOEXEC, "multiboot2 header tag at offset 0x910 has a size of 4 bytes");
	put(0x914, 0xffffffff, 4);
	check_refused(-ENOEXEC, "multiboot2 header tag at offset 0x910 has a size of 4294967295 bytes");
	mb2_start(0x900);
	put(0x910, 6, 4); /* where the end tag was */
	check_refused(-ENOEXEC, "multiboot2 header at 0x900 has no end tag");
	mb2_start(0x900);
	put(0x904, 4, 4);
	put(0x90c, (uint32_t)-(MB2_MAGIC + 4 + 24), 4);
	check_refused(-ENOEXEC, "multiboot2 header is for architecture 4, not x86");
	start(0x1000);
	mb2_start(0x100);
	check_refused(-ENOEXEC, "multiboot2 header without load addresses in a file that is not ELF");
}

static void test_elf_header_refusals(void)
{
	build_elf(64);
	image[4] = 3;
	check_refused(-ENOEXEC, "ELF class 3 is neither 32 nor 64 bits");
	build_elf(64);
	image[5] = 2;
	check_refused(-ENOEXEC, "ELF file is not little-endian");
	build_elf(64);
	put(18, 183, 2);
	check_refused(-ENOEXEC, "ELF64 file is for machine 183, not x86");
	build_elf(32);
	put(16, 1, 2);
	check_refused(-ENOEXEC, "ELF file of type 1 is not an executable");
	build_elf(64);
	put(54, 55, 2);
	check_refused(-ENOEXEC, "program headers of 55 bytes are too small");
	build_elf(64);
	put(56, 0xffff, 2);
	check_refused(-ENOEXEC,
		      "65535 program headers at 0x40 lie outside the file of 0x4000 bytes");
	build_elf(64);
	put(32, ~0ul - 3, 8);
	check_refused(-ENOEXEC, "3 program headers at 0xfffffffffffffffc lie outside the file of "
				"0x4000 bytes");
	build_elf(64);
	put(56, 0, 2);
	check_refused(-ENOEXEC, "ELF file has no segment to load");
	/* Too short for its header, which then also is the multiboot header's home. */
	start(36);
	put_elf(64, MIB);
	put_mb1(24, 0);
	check_refused(-ENOEXEC, "truncated in the ELF header");
}

static void test_elf_segment_refusals(void)
{
	build_elf(64);
	put(phdr_at(2) + 32, 0x3001, 8);
	check_refused(-ENOEXEC,
		      "segment 2 has more bytes in the file (0x3001) than in memory (0x3000)");
	build_elf(64);
	put(phdr_at(2) + 8, 0x3801, 8);
	check_refused(-ENOEXEC, "segment 2 (file offset 0x3801, 0x800 bytes) lies outside the file of "
				"0x4000 bytes");
	put(phdr_at(2) + 8, ~0ul - 0x7f, 8);
	check_refused(-ENOEXEC, "segment 2 (file offset 0xffffffffffffff80, 0x800 bytes) lies outside "
				"the file of 0x4000 bytes");
	build_elf(64);
	put(phdr_at(2) + 24, GUEST_SIZE - 0x2fff, 8);
	check_refused(-E2BIG, "segment 2 (0xffd001-0x1000000) lies outside guest memory");
	put(phdr_at(2) + 24, ~0ul - 0xfff, 8);
	check_refused(-ENOEXEC,
		      "segment 2 at 0xfffffffffffff000 with 0x3000 bytes has no end in 64 bits");
	put(phdr_at(2) + 24, 0x9f000, 8);
	check_refused(-E2BIG, "segment 2 (0x9f000-0xa1fff) lies outside guest memory");
	put(phdr_at(2) + 24, MIB + 0x1fff, 8);
	check_refused(-ENOEXEC, "segments 0 and 2 overlap at 0x101fff");
	build_elf(64);
	put(24, 3 * MIB, 8);
	check_refused(-ENOEXEC, "entry point 0x300000 lies outside the image");
	start(0x4000);
	put_elf(64, MIB);
	put_mb1(0xc00, 0);
	for (unsigned i = 0; i < 33; i++)
		add_phdr(1, 0, 0, MIB + i * 0x1000, 1, 1);
	check_refused(-ENOEXEC, "more than 32 segments to load");
	put(56, 32, 2);
	CHECK_EQ(load(), 0);
}

static void test_entry_above_4g(void)
{
	build_elf(64);
	req.ram_count = 2;
	req.ram[1] = (struct load_range){ 4096 * MIB, 16 * MIB };
	put(phdr_at(0) + 24, 4096 * MIB, 8);
	check_refused(-ENOEXEC, "entry point 0x100000010 lies above 4 GiB");
	put(24, 2 * MIB, 8);
	CHECK_EQ(load(), 0);
	CHECK_EQ(result.entry, 2 * MIB);
}

/* A sentence that does not fit is cut. */
static void test_short_why(void)
{
	char tiny[8];

	start(0);
	req.image = image;
	CHECK_EQ(load_guest(&req, &result, tiny, sizeof(tiny)), -ENOEXEC);
	CHECK_STR(tiny, "k.elf: ");
	req.file = "a-long-file-name";
	CHECK_EQ(load_guest(&req, &result, tiny, sizeof(tiny)), -ENOEXEC);
	CHECK_STR(tiny, "a-long-");
}

static const struct ktap_test tests[] = {
	KTAP(test_elf_multiboot1),	KTAP(test_elf_multiboot2),
	KTAP(test_entry_tag),		KTAP(test_flat_multiboot1),
	KTAP(test_kludge_over_elf),	KTAP(test_flat_multiboot2),
	KTAP(test_high_half),		KTAP(test_modules),
	KTAP(test_tight_memory),	KTAP(test_ram_shapes),
	KTAP(test_relocatable),		KTAP(test_write_error),
	KTAP(test_not_a_kernel),	KTAP(test_header_places),
	KTAP(test_multiboot1_refusals), KTAP(test_flat_refusals),
	KTAP(test_multiboot2_refusals), KTAP(test_elf_header_refusals),
	KTAP(test_elf_segment_refusals), KTAP(test_entry_above_4g),
	KTAP(test_short_why),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
