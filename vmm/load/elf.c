/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ELF32 and ELF64 executables: PT_LOAD segments by physical address.  Section
 * headers are not read: multiboot lets a loader leave them out of the information.
 */
#include "vmm/load/plan.h"

#include "lib/string.h"
#include "lib/util.h"
#include "mm/errno.h"

#define EI_CLASS   4
#define EI_DATA    5
#define IDENT_SIZE 16
#define E_TYPE     16
#define E_MACHINE  18

#define ELFDATA2LSB 1
#define ET_EXEC     2
#define ET_DYN      3
#define EM_386      3
#define EM_X86_64   62
#define PT_LOAD     1

struct field {
	uint8_t offset, size;
};

/* Where the two classes keep what we read. */
struct elf_class {
	uint16_t machine;
	uint8_t ehdr_size, phdr_size;
	struct field entry, phoff, phentsize, phnum;
	struct field type, file_offset, vaddr, paddr, filesz, memsz;
};

static const struct elf_class classes[] = {
	{
		.machine = EM_386, .ehdr_size = 52, .phdr_size = 32,
		.entry = { 24, 4 }, .phoff = { 28, 4 }, .phentsize = { 42, 2 }, .phnum = { 44, 2 },
		.type = { 0, 4 }, .file_offset = { 4, 4 }, .vaddr = { 8, 4 }, .paddr = { 12, 4 },
		.filesz = { 16, 4 }, .memsz = { 20, 4 },
	},
	{
		.machine = EM_X86_64, .ehdr_size = 64, .phdr_size = 56,
		.entry = { 24, 8 }, .phoff = { 32, 8 }, .phentsize = { 54, 2 }, .phnum = { 56, 2 },
		.type = { 0, 4 }, .file_offset = { 8, 8 }, .vaddr = { 16, 8 }, .paddr = { 24, 8 },
		.filesz = { 32, 8 }, .memsz = { 40, 8 },
	},
};

static uint64_t get(const uint8_t *base, struct field f)
{
	uint64_t v = 0;

	memcpy(&v, base + f.offset, f.size); /* little-endian, as we are */
	return v;
}

bool elf_is_elf(const void *image, uint64_t size)
{
	return size >= IDENT_SIZE && !memcmp(image, "\177ELF", 4);
}

static int check_header(struct load_plan *p, const uint8_t *image, const struct elf_class **class)
{
	const struct field type = { E_TYPE, 2 }, machine = { E_MACHINE, 2 };
	unsigned bits = image[EI_CLASS] == 1 ? 32 : 64;
	const struct elf_class *c = &classes[bits / 64];

	if (image[EI_CLASS] != 1 && image[EI_CLASS] != 2)
		return load_refuse(p, -ENOEXEC, "ELF class %u is neither 32 nor 64 bits",
				   image[EI_CLASS]);
	if (p->req->size < c->ehdr_size)
		return load_refuse(p, -ENOEXEC, "truncated in the ELF header");
	if (image[EI_DATA] != ELFDATA2LSB)
		return load_refuse(p, -ENOEXEC, "ELF file is not little-endian");
	if (get(image, machine) != c->machine)
		return load_refuse(p, -ENOEXEC, "ELF%u file is for machine %u, not x86", bits,
				   (unsigned)get(image, machine));
	if (get(image, type) != ET_EXEC && get(image, type) != ET_DYN)
		return load_refuse(p, -ENOEXEC, "ELF file of type %u is not an executable",
				   (unsigned)get(image, type));
	*class = c;
	return 0;
}

static int add_segment(struct load_plan *p, const struct elf_class *c, const uint8_t *phdr,
		       unsigned number)
{
	struct load_segment s = {
		.number = number,
		.gpa = get(phdr, c->paddr),
		.mem_size = get(phdr, c->memsz),
		.file_offset = get(phdr, c->file_offset),
		.file_size = get(phdr, c->filesz),
	};
	uint64_t end;

	if (s.file_size > s.mem_size)
		return load_refuse(p, -ENOEXEC,
				   "segment %u has more bytes in the file (0x%lx) than in memory (0x%lx)",
				   number, s.file_size, s.mem_size);
	if (!s.mem_size)
		return 0;
	if (__builtin_add_overflow(s.file_offset, s.file_size, &end) || end > p->req->size)
		return load_refuse(p, -ENOEXEC,
				   "segment %u (file offset 0x%lx, 0x%lx bytes) lies outside the file of 0x%lx bytes",
				   number, s.file_offset, s.file_size, p->req->size);
	if (p->segment_count == LOAD_SEGMENTS_MAX)
		return load_refuse(p, -ENOEXEC, "more than %d segments to load", LOAD_SEGMENTS_MAX);
	p->segments[p->segment_count++] = s;
	return 0;
}

/*
 * Entry points come in two kinds: virtual ones, as the linker left them, in a
 * segment's p_vaddr range (translated, as GRUB does), and physical ones of kernels that are
 * linked high but name their 32-bit entry by its load address.
 */
static void find_entry(struct load_plan *p, const struct elf_class *c, const uint8_t *phdrs,
		       uint64_t phentsize, uint64_t entry)
{
	p->entry = entry;
	for (unsigned i = 0; i < p->segment_count; i++) {
		const struct load_segment *s = &p->segments[i];
		uint64_t offset = entry - get(phdrs + s->number * phentsize, c->vaddr);

		if (offset >= s->mem_size)
			continue;
		/* Wraps only if the segment does, which place.c refuses. */
		p->entry = s->gpa + offset;
		return;
	}
}

int elf_plan(struct load_plan *p)
{
	const uint8_t *image = p->req->image;
	const struct elf_class *c = NULL;
	uint64_t phoff, phentsize, phnum, end;
	int err = check_header(p, image, &c);

	if (err)
		return err;
	phoff = get(image, c->phoff);
	phentsize = get(image, c->phentsize);
	phnum = get(image, c->phnum);
	if (phentsize < c->phdr_size)
		return load_refuse(p, -ENOEXEC, "program headers of %u bytes are too small",
				   (unsigned)phentsize);
	/* Two 16-bit factors cannot overflow. */
	if (__builtin_add_overflow(phoff, phnum * phentsize, &end) || end > p->req->size)
		return load_refuse(p, -ENOEXEC,
				   "%u program headers at 0x%lx lie outside the file of 0x%lx bytes",
				   (unsigned)phnum, phoff, p->req->size);
	for (unsigned i = 0; i < phnum; i++) {
		const uint8_t *phdr = image + phoff + i * phentsize;

		if (get(phdr, c->type) != PT_LOAD)
			continue;
		err = add_segment(p, c, phdr, i);
		if (err)
			return err;
	}
	if (!p->segment_count)
		return load_refuse(p, -ENOEXEC, "ELF file has no segment to load");
	find_entry(p, c, image + phoff, phentsize, get(image, c->entry));
	return 0;
}
