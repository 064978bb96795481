/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: the guest loaders on hostile images.
 *
 * The first byte of an input chooses the shape of guest memory and the modules, the rest
 * is the image.  A custom mutator starts inputs from well-formed images and repairs checksums
 * after most mutations: random bytes would hardly ever get past a header's checksum.
 *
 * Checked beside what the sanitizers see: every write lies in guest RAM, refusals come with a
 * sentence and write nothing, results point into memory that was written.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/load/load.h"

#define MIB       (1ul << 20)
#define MB1_MAGIC 0x1badb002u
#define MB2_MAGIC 0xe85250d6u
#define SEED_SIZE 0xe00 /* below the default -max_len */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* ---- the guest: only remembers where it was written ------------------------------- */

static struct load_request req;
static unsigned writes;
static struct load_range spans[256];
static unsigned span_count;

static void require(bool cond)
{
	if (!cond)
		abort();
}

static int note_write(uint64_t gpa, uint64_t size)
{
	bool inside = false;

	require(size > 0);
	for (unsigned i = 0; i < req.ram_count; i++)
		inside |= gpa >= req.ram[i].base && size <= req.ram[i].size &&
			  gpa - req.ram[i].base <= req.ram[i].size - size;
	require(inside);
	require(gpa + size <= 0x9fc00 || gpa >= MIB);
	if (span_count < 256)
		spans[span_count++] = (struct load_range){ gpa, size };
	writes++;
	return 0;
}

static int guest_write(void *ctx, uint64_t gpa, const void *from, uint64_t size)
{
	volatile uint8_t sum = 0;

	/* Read what would be copied: the sanitizer checks that it is there. */
	for (uint64_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)from)[i]);
	return note_write(gpa, size);
}

static int guest_zero(void *ctx, uint64_t gpa, uint64_t size)
{
	return note_write(gpa, size);
}

static bool was_written(uint64_t gpa)
{
	for (unsigned i = 0; i < span_count; i++)
		if (gpa >= spans[i].base && gpa - spans[i].base < spans[i].size)
			return true;
	return span_count == 256;
}

/* ---- one input --------------------------------------------------------------------- */

static void choose_guest(uint8_t choice)
{
	static const struct load_range shapes[4][3] = {
		{ { 0, 64 * MIB } },
		{ { 0, 0x80000 }, { MIB, MIB }, { 4096 * MIB, 64 * MIB } },
		{ { 0, 6144 * MIB } },
		{ { MIB, 0x2100 } }, /* the seeds fit, what goes with them does not always */
	};

	memcpy(req.ram, shapes[choice & 3], sizeof(shapes[0]));
	for (req.ram_count = 0; req.ram_count < 3 && req.ram[req.ram_count].size;)
		req.ram_count++;
	req.module_count = (choice >> 2) & 3;
	for (unsigned i = 0; i < req.module_count; i++)
		req.modules[i] = (struct load_module){ "module", i * 3, i ? "mod x" : NULL };
	req.cmdline = choice & 0x10 ? "k a=1" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct load_result result;
	char why[200];
	int err;

	if (!size)
		return 0;
	req = (struct load_request){
		.file = "k",
		.image = data + 1,
		.size = size - 1,
		.write = guest_write,
		.zero = guest_zero,
	};
	choose_guest(data[0]);
	writes = span_count = 0;
	memset(why, 0, sizeof(why));
	err = load_guest(&req, &result, why, sizeof(why));
	if (err) {
		require(err == -8 /* ENOEXEC */ || err == -7 /* E2BIG */);
		require(!strncmp(why, "k: ", 3) && strlen(why) > 10);
		require(!writes);
		return 0;
	}
	require(!why[0]);
	require(was_written(result.entry));
	require(was_written(result.ebx));
	require(result.eax == (result.protocol == LOAD_MULTIBOOT1 ? 0x2badb002u : 0x36d76289u));
	return 0;
}

/* ---- well-formed images to begin with --------------------------------------------------- */

static void put(uint8_t *at, uint64_t v, unsigned bytes)
{
	memcpy(at, &v, bytes);
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, 4);
	return v;
}

static void put_words(uint8_t *at, const uint32_t *words, unsigned count)
{
	memcpy(at, words, count * sizeof(*words));
}

static void make_elf(uint8_t *f, bool is64)
{
	unsigned at = is64 ? 64 : 52, step = is64 ? 56 : 32;

	memcpy(f, "\177ELF", 4);
	f[4] = is64 ? 2 : 1;
	f[5] = 1;
	put(f + 16, 2, 2);
	put(f + 18, is64 ? 62 : 3, 2);
	put(f + 24, MIB + 8, is64 ? 8 : 4);
	put(f + (is64 ? 32 : 28), at, is64 ? 8 : 4);
	put(f + (is64 ? 54 : 42), step, 2);
	put(f + (is64 ? 56 : 44), 2, 2);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *p = f + at + i * step;
		uint64_t base = MIB + i * 0x2000;

		put(p, 1, 4);
		if (is64) {
			put(p + 8, 0xc00, 8);
			put(p + 16, base, 8);
			put(p + 24, base, 8);
			put(p + 32, 0x80, 8);
			put(p + 40, 0x100, 8);
		} else {
			const uint32_t words[] = { 0xc00, base, base, 0x80, 0x100 };

			put_words(p + 4, words, 5);
		}
	}
}

static void make_multiboot1(uint8_t *f, bool kludge)
{
	const uint32_t words[] = {
		MB1_MAGIC,   kludge ? 0x10007 : 3,	0, MIB + 0x200, MIB, kludge ? MIB + 0x800 : 0,
		MIB + 0x1000, MIB + 4,
	};

	put_words(f + 0x200, words, 8);
}

static void make_multiboot2(uint8_t *f, bool flat, bool reloc)
{
	static const uint32_t request[] = { 1, 16, 6, 21 };
	const uint32_t address[] = { 2, 24, MIB + 0x200, MIB, MIB + 0x800, 0 };
	const uint32_t entry[] = { 3, 12, MIB + 4, 0 };
	const uint32_t moved[] = { 10, 24, 0x180000, 0x3fffffff, 0x1000, reloc ? 2 : 0 };
	const uint32_t end[] = { 0, 8 };
	uint8_t *p = f + 0x210;

	put_words(p, request, 4);
	p += 16;
	if (flat) {
		put_words(p, address, 6);
		put_words(p + 24, entry, 4);
		p += 40;
	}
	if (reloc) {
		put_words(p, moved, 6);
		p += 24;
	}
	put_words(p, end, 2);
	put(f + 0x200, MB2_MAGIC, 4);
	put(f + 0x204, 0, 4);
	put(f + 0x208, p + 8 - (f + 0x200), 4);
}

static void repair_checksums(uint8_t *f, size_t size)
{
	for (size_t at = 0; at + 16 <= size && at < 32768; at += 4) {
		if (get32(f + at) == MB1_MAGIC)
			put(f + at + 8, -(MB1_MAGIC + get32(f + at + 4)), 4);
		if (get32(f + at) == MB2_MAGIC)
			put(f + at + 12, -(MB2_MAGIC + get32(f + at + 4) + get32(f + at + 8)), 4);
	}
}

static size_t make_image(uint8_t *data, unsigned kind)
{
	memset(data, 0, SEED_SIZE + 1);
	data[0] = (uint8_t)(kind >> 4);
	switch (kind % 8) {
	case 0:
	case 1:
		make_elf(data + 1, kind & 1);
		make_multiboot1(data + 1, false);
		break;
	case 2:
		make_multiboot1(data + 1, true);
		break;
	case 3:
	case 4:
	case 5:
		make_elf(data + 1, kind & 1);
		make_multiboot2(data + 1, false, kind % 8 == 5);
		break;
	default:
		make_multiboot2(data + 1, true, kind & 1);
		break;
	}
	repair_checksums(data + 1, SEED_SIZE);
	return SEED_SIZE + 1;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	if (seed % 64 == 0 && max_size > SEED_SIZE)
		size = make_image(data, seed / 64);
	size = LLVMFuzzerMutate(data, size, max_size);
	/* Now and then the checksum itself is to be wrong. */
	if (seed % 16 && size)
		repair_checksums(data + 1, size - 1);
	return size;
}
