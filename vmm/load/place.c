/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where things go in guest memory.  The order is the image (where it says), modules (above
 * it), information (in low memory, where kernels expect it to be out of the way):
 *
 *   0        9000          9fc00    100000
 *   | unused | information | hole   | image | modules ...
 */
#include "vmm/load/plan.h"

#include "lib/string.h"
#include "lib/util.h"
#include "mm/errno.h"
#include "mm/types.h"

/* Below lie the real-mode vectors, BIOS data, and where kernels like to put a trampoline. */
#define INFO_LOWEST 0x9000ul

static void take(struct load_plan *p, uint64_t base, uint64_t size)
{
	p->taken[p->free.taken_count++] = range_clamped(base, size);
}

/* ---- memory map ---------------------------------------------------------------- */

static void add_map_entry(struct load_plan *p, struct range r, uint32_t type)
{
	p->map[p->map_count++] = (struct load_map_entry){ r, type };
}

/* Before the image is taken out: all RAM, and the hole of a PC as reserved. */
static void build_map(struct load_plan *p)
{
	const struct range hole = { LOW_RAM_END, HIGH_RAM };
	struct range piece = { 0, 0 };
	bool hole_added = false;

	while (range_next_piece(&p->free, piece.end, &piece)) {
		if (piece.base >= HIGH_RAM && !hole_added) {
			add_map_entry(p, hole, LOAD_MAP_RESERVED);
			hole_added = true;
		}
		add_map_entry(p, piece, LOAD_MAP_RAM);
		if (piece.base == 0)
			p->mem_lower_kb = piece.end / 1024;
		if (piece.base == HIGH_RAM)
			p->mem_upper_kb = (piece.end - piece.base) / 1024;
	}
	if (!hole_added)
		add_map_entry(p, hole, LOAD_MAP_RESERVED);
}

static void find_ram(struct load_plan *p)
{
	for (unsigned i = 0; i < p->req->ram_count; i++)
		p->ram[i] = range_clamped(p->req->ram[i].base, p->req->ram[i].size);
	p->free = (struct range_set){
		.have = p->ram,
		.have_count = p->req->ram_count,
		.taken = p->taken,
	};
	take(p, LOW_RAM_END, HIGH_RAM - LOW_RAM_END);
	build_map(p);
}

/* ---- image ------------------------------------------------------------------------ */

static int check_addresses(struct load_plan *p)
{
	p->image = (struct range){ UINT64_MAX, 0 };
	for (unsigned i = 0; i < p->segment_count; i++) {
		const struct load_segment *s = &p->segments[i];
		uint64_t end;

		if (__builtin_add_overflow(s->gpa, s->mem_size, &end))
			return load_refuse(p, -ENOEXEC,
					   "segment %u at 0x%lx with 0x%lx bytes has no end in 64 bits",
					   s->number, s->gpa, s->mem_size);
		p->image.base = MIN(p->image.base, s->gpa);
		p->image.end = MAX(p->image.end, end);
	}
	return 0;
}

static bool image_fits(const struct load_plan *p, uint64_t base)
{
	for (unsigned i = 0; i < p->segment_count; i++) {
		const struct load_segment *s = &p->segments[i];
		uint64_t gpa = s->gpa - p->image.base + base;

		if (!range_inside(&p->free, range_clamped(gpa, s->mem_size)))
			return false;
	}
	return true;
}

/* The highest fitting place: the top of each piece is tried, the last that fits is taken. */
static bool find_highest(const struct load_plan *p, uint64_t limit, uint64_t *base)
{
	uint64_t size = p->image.end - p->image.base;
	struct range piece = { 0, p->reloc.min };
	bool found = false;

	while (piece.end < limit && range_next_piece(&p->free, piece.end, &piece)) {
		uint64_t end = MIN(piece.end, limit), at;

		if (end < size)
			continue;
		at = ALIGN_DOWN(end - size, p->reloc.align);
		if (at < piece.base)
			continue;
		*base = at;
		found = true;
	}
	return found;
}

/*
 * A relocatable image stays where it was linked when that suits it; else it moves as a
 * whole.  Its loader finds out from the load base tag.
 */
static int relocate_image(struct load_plan *p)
{
	uint64_t size = p->image.end - p->image.base, limit = p->reloc.max + 1, base;
	bool found;

	if (p->image.base >= p->reloc.min && p->image.end <= limit &&
	    !(p->image.base & (p->reloc.align - 1)) && image_fits(p, p->image.base))
		return 0;
	if (p->reloc.prefer_high)
		found = find_highest(p, limit, &base);
	else
		found = range_find_room(&p->free, size, p->reloc.align, p->reloc.min, limit, &base);
	if (!found)
		return load_refuse(p, -E2BIG,
				   "no room for the relocatable image of 0x%lx bytes in 0x%lx-0x%lx",
				   size, p->reloc.min, p->reloc.max);
	for (unsigned i = 0; i < p->segment_count; i++)
		p->segments[i].gpa += base - p->image.base;
	p->entry += base - p->image.base;
	p->image = (struct range){ base, base + size };
	return 0;
}

static int refuse_segment(struct load_plan *p, const struct load_segment *s)
{
	uint64_t last = s->gpa + s->mem_size - 1;

	if (p->flat)
		return load_refuse(p, -E2BIG, "the image (0x%lx-0x%lx) lies outside guest memory",
				   s->gpa, last);
	return load_refuse(p, -E2BIG, "segment %u (0x%lx-0x%lx) lies outside guest memory",
			   s->number, s->gpa, last);
}

static int take_segments(struct load_plan *p)
{
	bool entry_inside = false;

	for (unsigned i = 0; i < p->segment_count; i++) {
		const struct load_segment *s = &p->segments[i];
		struct range r = range_clamped(s->gpa, s->mem_size);

		for (unsigned j = 0; j < i; j++) {
			const struct load_segment *t = &p->segments[j];

			if (range_overlaps(r, range_clamped(t->gpa, t->mem_size)))
				return load_refuse(p, -ENOEXEC,
						   "segments %u and %u overlap at 0x%lx",
						   t->number, s->number, MAX(s->gpa, t->gpa));
		}
		if (!range_inside(&p->free, r))
			return refuse_segment(p, s);
		entry_inside |= p->entry - s->gpa < s->mem_size;
		take(p, s->gpa, s->mem_size);
	}
	if (!entry_inside)
		return load_refuse(p, -ENOEXEC, "entry point 0x%lx lies outside the image",
				   p->entry);
	if (p->entry >= LOAD_4G)
		return load_refuse(p, -ENOEXEC, "entry point 0x%lx lies above 4 GiB", p->entry);
	return 0;
}

int place_image(struct load_plan *p)
{
	int err;

	find_ram(p);
	err = check_addresses(p);
	if (!err && p->reloc.present)
		err = relocate_image(p);
	return err ? err : take_segments(p);
}

/* ---- what the loader adds ------------------------------------------------------------ */

int place_modules(struct load_plan *p)
{
	for (unsigned i = 0; i < p->req->module_count; i++) {
		const struct load_module *m = &p->req->modules[i];

		if (!range_find_room(&p->free, m->size, PAGE_SIZE, p->image.end, LOAD_4G,
				     &p->module_gpa[i]) &&
		    !range_find_room(&p->free, m->size, PAGE_SIZE, HIGH_RAM, LOAD_4G,
				     &p->module_gpa[i]))
			return load_refuse(p, -E2BIG,
					   "no room in guest memory for module %u of 0x%lx bytes", i + 1,
					   m->size);
		take(p, p->module_gpa[i], m->size);
	}
	return 0;
}

int place_info(struct load_plan *p, uint64_t size)
{
	if (range_find_room(&p->free, size, PAGE_SIZE, INFO_LOWEST, LOAD_4G, &p->info_gpa))
		return 0;
	return load_refuse(p, -E2BIG,
			   "no room in guest memory for the boot information of 0x%lx bytes",
			   size);
}
