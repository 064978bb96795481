/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest loaders: the ways in which an image can lie, each with its sentence. */
#include <string.h>

#include "mm/errno.h"
#include "tests/host/ktap.h"
#include "tests/host/load_images.h"

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
	KTAP(test_not_a_kernel), KTAP(test_header_places),
	KTAP(test_multiboot1_refusals), KTAP(test_flat_refusals),
	KTAP(test_multiboot2_refusals), KTAP(test_elf_header_refusals),
	KTAP(test_elf_segment_refusals), KTAP(test_entry_above_4g),
	KTAP(test_short_why),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
