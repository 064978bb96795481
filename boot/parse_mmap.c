/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory maps as firmware reports them: unsorted, overlapping, in odd sizes.
 *
 * A range is added in two steps: lower ranks are cut out from under it, then the
 * gaps that higher or equal ranks leave in it are filled.
 *
 *   have   |-----RAM-----|  |--bad--|
 *   add          |------reserved-------|
 *   cut    |-RAM-|          |--bad--|
 *   fill   |-RAM-|-reserved-|--bad--|--|
 */
#include "boot/parse_mmap.h"

#include "boot/parse_impl.h"
#include "lib/string.h"
#include "lib/util.h"

struct range {
	uint64_t base, end;
	uint32_t type;
};

static unsigned type_rank(uint32_t type)
{
	static const uint8_t rank[] = {
		[BOOT_MEM_RAM] = 1, [BOOT_MEM_ACPI] = 2, [BOOT_MEM_NVS] = 3,
		[BOOT_MEM_RESERVED] = 4, [BOOT_MEM_BAD] = 5,
	};

	return rank[type];
}

static uint64_t entry_end(const struct boot_mmap_entry *e)
{
	return e->base + e->size;
}

static void entry_remove(struct boot_info *bi, uint32_t at)
{
	bi->mmap_count--;
	memmove(&bi->mmap[at], &bi->mmap[at + 1],
		(bi->mmap_count - at) * sizeof(bi->mmap[0]));
}

static void entry_insert(struct boot_info *bi, uint32_t at, const struct range *r)
{
	if (bi->mmap_count == BOOT_MMAP_MAX) {
		bi->dropped++;
		return;
	}
	memmove(&bi->mmap[at + 1], &bi->mmap[at], (bi->mmap_count - at) * sizeof(bi->mmap[0]));
	bi->mmap[at] = (struct boot_mmap_entry){ r->base, r->end - r->base, r->type };
	bi->mmap_count++;
}

/* Index of the first entry that ends above addr. */
static uint32_t entry_find(const struct boot_info *bi, uint64_t addr)
{
	uint32_t i = 0;

	while (i < bi->mmap_count && entry_end(&bi->mmap[i]) <= addr)
		i++;
	return i;
}

/* Take [r->base, r->end) out of entry i, which overlaps it.  Returns the index to go on with. */
static uint32_t entry_cut(struct boot_info *bi, uint32_t i, const struct range *r)
{
	struct boot_mmap_entry *e = &bi->mmap[i];
	struct range above = { r->end, entry_end(e), e->type };

	if (e->base >= r->base) {
		if (above.end <= above.base) {
			entry_remove(bi, i);
			return i;
		}
		*e = (struct boot_mmap_entry){ above.base, above.end - above.base, e->type };
		return i + 1;
	}
	e->size = r->base - e->base;
	if (above.end > above.base)
		entry_insert(bi, i + 1, &above); /* no room: that much less RAM */
	return i + 1;
}

static void range_cut(struct boot_info *bi, const struct range *r)
{
	uint32_t i = entry_find(bi, r->base);

	while (i < bi->mmap_count && bi->mmap[i].base < r->end) {
		if (type_rank(bi->mmap[i].type) < type_rank(r->type))
			i = entry_cut(bi, i, r);
		else
			i++;
	}
}

/* Nothing overlaps *r.  at: where it belongs. */
static void range_place(struct boot_info *bi, uint32_t at, const struct range *r)
{
	struct boot_mmap_entry *below = at > 0 ? &bi->mmap[at - 1] : NULL;
	struct boot_mmap_entry *above = at < bi->mmap_count ? &bi->mmap[at] : NULL;
	bool joins_below = below && entry_end(below) == r->base && below->type == r->type;
	bool joins_above = above && above->base == r->end && above->type == r->type;

	if (joins_below && joins_above) {
		below->size += r->end - r->base + above->size;
		entry_remove(bi, at);
	} else if (joins_below) {
		below->size += r->end - r->base;
	} else if (joins_above) {
		above->base = r->base;
		above->size += r->end - r->base;
	} else {
		entry_insert(bi, at, r);
	}
}

void boot_mmap_add(struct boot_info *bi, uint64_t base, uint64_t size, uint32_t type)
{
	struct range r = { base, 0, type };
	uint64_t cursor = base;

	if (base >= BOOT_PHYS_END || size == 0)
		return;
	r.end = size > BOOT_PHYS_END - base ? BOOT_PHYS_END : base + size;
	if (type < BOOT_MEM_RAM || type > BOOT_MEM_BAD)
		r.type = BOOT_MEM_RESERVED;
	range_cut(bi, &r);

	/* Each turn fills one gap and steps over the entry behind it. */
	while (cursor < r.end) {
		uint32_t at = entry_find(bi, cursor);
		bool last = at == bi->mmap_count || bi->mmap[at].base >= r.end;
		uint64_t gap_end = last ? r.end : bi->mmap[at].base;
		uint64_t next = last ? r.end : entry_end(&bi->mmap[at]);
		struct range gap = { cursor, gap_end, r.type };

		if (gap_end > cursor)
			range_place(bi, at, &gap);
		cursor = next;
	}
}

/* UEFI 2.10, 7.2.3: table of memory types after ExitBootServices(). */
static uint32_t efi_type(uint32_t type)
{
	switch (type) {
	case 1: /* loader code and data, boot services code and data, conventional */
	case 2:
	case 3:
	case 4:
	case 7:
		return BOOT_MEM_RAM;
	case 8:
		return BOOT_MEM_BAD;
	case 9:
		return BOOT_MEM_ACPI;
	case 10:
		return BOOT_MEM_NVS;
	default:
		return BOOT_MEM_RESERVED;
	}
}

void boot_mmap_add_efi(struct boot_info *bi, const void *map, size_t size, size_t desc_size)
{
	/* EFI_MEMORY_DESCRIPTOR: u32 type, pad, u64 start, virtual, pages, attributes */
	for (unsigned pass = 0; pass < 2; pass++) {
		for (size_t at = 0; desc_size >= 40 && size - at >= desc_size; at += desc_size) {
			const uint8_t *d = (const uint8_t *)map + at;
			uint32_t type = efi_type(boot_get32(d));
			uint64_t pages = MIN(boot_get64(d + 24), BOOT_PHYS_END >> 12);

			if ((type == BOOT_MEM_RAM) == (pass == 0))
				boot_mmap_add(bi, boot_get64(d + 8), pages << 12, type);
		}
	}
}

bool boot_mmap_finish(struct boot_info *bi)
{
	bool ram = false;

	for (uint32_t i = 0; i < bi->mmap_count;) {
		struct boot_mmap_entry *e = &bi->mmap[i];
		uint64_t base = ALIGN_UP(e->base, 4096);
		uint64_t end = ALIGN_DOWN(entry_end(e), 4096);

		if (e->type != BOOT_MEM_RAM) {
			i++;
		} else if (end <= base) {
			entry_remove(bi, i);
		} else {
			*e = (struct boot_mmap_entry){ base, end - base, e->type };
			ram = true;
			i++;
		}
	}
	return ram;
}
