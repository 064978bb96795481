/* SPDX-License-Identifier: GPL-2.0-only */
/* Images and the fake guest of the loaders' tests; see load_images.h. */
#include "tests/host/load_images.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/ktap.h"

/* ---- the guest -------------------------------------------------------------------- */

uint8_t guest[GUEST_SIZE];
unsigned writes;
int write_error;

static bool in_ram(const struct load_request *r, uint64_t gpa, uint64_t size)
{
	for (unsigned i = 0; i < r->ram_count; i++)
		if (gpa >= r->ram[i].base && size <= r->ram[i].size &&
		    gpa - r->ram[i].base <= r->ram[i].size - size)
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

uint8_t image[0x10000];
uint64_t image_size;
struct load_request req;
struct load_result result;
char why[256];

void put(uint64_t at, uint64_t v, unsigned bytes)
{
	memcpy(image + at, &v, bytes);
}

void start(uint64_t size)
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

int load(void)
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

void put_mb1(uint64_t at, uint32_t flags)
{
	put(at, MB1_MAGIC, 4);
	put(at + 4, flags, 4);
	put(at + 8, (uint32_t)-(MB1_MAGIC + flags), 4);
}

void put_kludge(uint64_t at, uint32_t header, uint32_t load_addr, uint32_t load_end,
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

void mb2_start(uint64_t at)
{
	mb2_at = at;
	mb2_size = 16;
	put(at, MB2_MAGIC, 4);
	put(at + 4, 0, 4);
	mb2_end();
}

void mb2_tag(uint16_t type, uint16_t flags, unsigned n, ...)
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

void put_elf(unsigned bits, uint64_t entry)
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

uint64_t phdr_at(unsigned i)
{
	return elf_bits == 32 ? 52 + i * 32 : 64 + i * 56;
}

void add_phdr(uint32_t type, uint64_t offset, uint64_t vaddr, uint64_t paddr, uint64_t filesz,
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

void build_elf(unsigned bits)
{
	start(0x4000);
	put_elf(bits, MIB + 0x10);
	add_phdr(1, 0x1000, MIB, MIB, 0x2000, 0x2000);
	add_phdr(4, 0x200, 0, 0, 0x20, 0x20);
	add_phdr(1, 0x3000, 2 * MIB, 2 * MIB, 0x800, 0x3000);
	put_mb1(0x800, 3);
}
