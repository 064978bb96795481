/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loads phyllo.elf: an ELF64 file whose PT_LOAD segments keep their distances and
 * may be put at any 2 MiB-aligned address, and whose PT_NOTE holds the entry
 * (boot/efi/handoff.h).  Every number in the file is checked before it is used.
 */
#include "boot/efi/loader.h"

#define IMAGE_ALIGN    0x200000ull
#define IMAGE_SIZE_MAX 0x40000000ull

#define ELF_MAGIC     0x464c457fu
#define ELF_CLASS64   2
#define ELF_X86_64    62
#define ELF_PHENTSIZE 56
#define PT_LOAD       1
#define PT_NOTE       4

/* Offsets in the ELF header. */
enum { EH_CLASS = 4, EH_MACHINE = 18, EH_PHOFF = 32, EH_PHENTSIZE = 54, EH_PHNUM = 56 };

struct segment {
	UINT32 type, flags;
	UINT64 offset, vaddr, paddr, file_size, mem_size, align;
};

struct elf {
	const struct loader_file *file;
	const UINT8 *table;
	UINT16 count;
	UINT64 first, end; /* linked addresses of the PT_LOAD segments */
};

static EFI_STATUS refuse(const struct loader_file *file, const CHAR16 *why)
{
	Print(L"phyllo: %a is not a usable image: %s\r\n", file->path, why);
	return EFI_LOAD_ERROR;
}

static UINT64 get(const UINT8 *p, unsigned bytes)
{
	UINT64 v = 0;

	CopyMem(&v, p, bytes);
	return v;
}

static struct segment segment_get(const struct elf *elf, UINT16 i)
{
	struct segment s;

	CopyMem(&s, elf->table + (UINTN)i * ELF_PHENTSIZE, sizeof(s));
	return s;
}

static EFI_STATUS header_check(const struct loader_file *f, struct elf *elf)
{
	UINT64 phoff;

	elf->file = f;
	if (f->size < 64 || get(f->data, 4) != ELF_MAGIC)
		return refuse(f, L"no ELF header");
	if (f->data[EH_CLASS] != ELF_CLASS64 || get(f->data + EH_MACHINE, 2) != ELF_X86_64)
		return refuse(f, L"not ELF64 for x86-64");
	phoff = get(f->data + EH_PHOFF, 8);
	elf->count = get(f->data + EH_PHNUM, 2);
	if (get(f->data + EH_PHENTSIZE, 2) != ELF_PHENTSIZE || phoff > f->size ||
	    (UINT64)elf->count * ELF_PHENTSIZE > f->size - phoff)
		return refuse(f, L"its program headers lie outside the file");
	elf->table = f->data + phoff;
	return EFI_SUCCESS;
}

/* After this every segment lies inside the file and inside first ... end. */
static EFI_STATUS segments_check(struct elf *elf)
{
	elf->first = ~0ull;
	elf->end = 0;
	for (UINT16 i = 0; i < elf->count; i++) {
		struct segment s = segment_get(elf, i);

		if (s.type != PT_LOAD && s.type != PT_NOTE)
			continue;
		if (s.offset > elf->file->size || s.file_size > elf->file->size - s.offset)
			return refuse(elf->file,
					L"a segment lies outside the file (is it truncated?)");
		if (s.type != PT_LOAD)
			continue;
		if (s.mem_size < s.file_size || s.vaddr + s.mem_size < s.vaddr)
			return refuse(elf->file, L"a segment has an impossible size");
		if (s.vaddr < elf->first)
			elf->first = s.vaddr;
		if (s.vaddr + s.mem_size > elf->end)
			elf->end = s.vaddr + s.mem_size;
	}
	if (elf->end <= elf->first || elf->end - elf->first > IMAGE_SIZE_MAX ||
	    elf->first & (IMAGE_ALIGN - 1))
		return refuse(elf->file,
				L"its segments are empty, too large or not aligned to 2 MiB");
	return EFI_SUCCESS;
}

/* Notes are name and descriptor, each padded to 4 bytes. */
static BOOLEAN note_find(const UINT8 *p, UINT64 size, struct boot_handoff_note *out)
{
	while (size >= 12) {
		UINT64 name = (get(p, 4) + 3) & ~3ull;
		UINT64 total = 12 + name + ((get(p + 4, 4) + 3) & ~3ull);

		if (total > size)
			return FALSE;
		CopyMem(out, (void *)p, total < sizeof(*out) ? total : sizeof(*out));
		if (total == sizeof(*out) && out->type == BOOT_NOTE_TYPE &&
		    out->name_size == sizeof(BOOT_NOTE_NAME) &&
		    !CompareMem(out->name, BOOT_NOTE_NAME, sizeof(BOOT_NOTE_NAME)))
			return TRUE;
		p += total;
		size -= total;
	}
	return FALSE;
}

static EFI_STATUS entry_find(const struct elf *elf, UINT64 *entry)
{
	struct boot_handoff_note note;
	BOOLEAN found = FALSE;

	for (UINT16 i = 0; !found && i < elf->count; i++) {
		struct segment s = segment_get(elf, i);

		if (s.type == PT_NOTE)
			found = note_find(elf->file->data + s.offset, s.file_size, &note);
	}
	if (!found)
		return refuse(elf->file, L"it has no note from Phyllo's linker script");
	if (note.version != BOOT_HANDOFF_VERSION || note.size != sizeof(struct boot_handoff))
		return refuse(elf->file,
				L"it is of another version than this loader (BOOTX64.EFI)");
	if (note.entry < elf->first || note.entry >= elf->end)
		return refuse(elf->file, L"its entry lies outside its segments");
	*entry = note.entry;
	return EFI_SUCCESS;
}

EFI_STATUS image_load(const struct loader_file *file, struct loader_image *image)
{
	struct elf elf;
	UINT64 entry;
	EFI_PHYSICAL_ADDRESS room;
	EFI_STATUS status = header_check(file, &elf);

	if (!EFI_ERROR(status))
		status = segments_check(&elf);
	if (!EFI_ERROR(status))
		status = entry_find(&elf, &entry);
	if (EFI_ERROR(status))
		return status;

	/* Code: firmware may have made its data pages non-executable. */
	room = loader_alloc(EfiLoaderCode, elf.end - elf.first + IMAGE_ALIGN);
	if (!room) {
		Print(L"phyllo: no memory below 4 GiB for %a\r\n", file->path);
		return EFI_OUT_OF_RESOURCES;
	}
	image->base = (room + IMAGE_ALIGN - 1) & ~(IMAGE_ALIGN - 1);
	image->entry = image->base + (entry - elf.first);
	SetMem((void *)image->base, elf.end - elf.first, 0);
	for (UINT16 i = 0; i < elf.count; i++) {
		struct segment s = segment_get(&elf, i);

		if (s.type == PT_LOAD)
			CopyMem((void *)(image->base + (s.vaddr - elf.first)),
				(void *)(file->data + s.offset), s.file_size);
	}
	return EFI_SUCCESS;
}
