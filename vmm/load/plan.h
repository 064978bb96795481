/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A load in the making, inside vmm/load/ only.  First the image is read and checked into
 * a plan, then places are chosen for what the loader adds, and only then is guest memory
 * written:
 *
 *   multiboot1.c, multiboot2.c   header -> plan         ) check,
 *   elf.c                        program headers -> plan ) write nothing
 *   place.c                      memory map, places of modules and information
 *   load.c                       the writing
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/range.h"
#include "vmm/load/load.h"

#define LOAD_SEGMENTS_MAX 32
/* A hole splits one range of RAM in two and is itself reported. */
#define LOAD_MAP_MAX (LOAD_RAM_MAX + 2)

/* A PC's low memory: EBDA, then video memory and firmware.  RAM ranges may cover it. */
#define LOW_RAM_END  0x9fc00ul
#define HIGH_RAM     0x100000ul
#define LOAD_4G      (4ul << 30)

#define LOAD_BOOT_LOADER_NAME "Phyllo"

/* E820 and multiboot agree on these. */
enum { LOAD_MAP_RAM = 1, LOAD_MAP_RESERVED = 2 };

struct load_map_entry {
	struct range range;
	uint32_t type;
};

/* mem_size bytes at gpa: file_size of them from the image, the rest zeroes. */
struct load_segment {
	unsigned number; /* of the program header, for sentences */
	uint64_t gpa, mem_size;
	uint64_t file_offset, file_size;
};

/* The multiboot2 relocatable tag. */
struct load_reloc {
	bool present;
	uint64_t min, max, align; /* max: the last byte may lie there */
	bool prefer_high;
};

struct load_plan {
	const struct load_request *req;
	char *why;
	size_t why_size;

	enum load_protocol protocol;
	bool flat; /* placed by addresses in the multiboot header, not by ELF */
	unsigned segment_count;
	struct load_segment segments[LOAD_SEGMENTS_MAX];
	uint64_t entry;
	struct load_reloc reloc;

	/* place.c */
	struct range ram[LOAD_RAM_MAX];
	struct range taken[1 + LOAD_SEGMENTS_MAX + LOAD_MODULES_MAX];
	struct range_set free; /* ram without taken */
	unsigned map_count;
	struct load_map_entry map[LOAD_MAP_MAX];
	uint64_t mem_lower_kb, mem_upper_kb;
	struct range image; /* from the lowest to the highest byte */
	uint64_t module_gpa[LOAD_MODULES_MAX];
	uint64_t info_gpa;
};

/* Write "FILE: sentence" to plan->why; returns err. */
__attribute__((format(printf, 3, 4))) int load_refuse(struct load_plan *p, int err,
						      const char *fmt, ...);

/* Little-endian fields of the image, which owes nobody alignment. */
uint32_t load_get32(const void *at);

/* ---- image -> plan ------------------------------------------------------------ */

bool elf_is_elf(const void *image, uint64_t size);
/* Segments and entry from the program headers. */
int elf_plan(struct load_plan *p);

/* The four addresses that the a.out kludge and the multiboot2 address tag share. */
struct flat_addresses {
	uint32_t header_addr, load_addr, load_end, bss_end;
};
int flat_plan(struct load_plan *p, const struct flat_addresses *a, uint64_t header_offset);

/*
 * *found tells whether the file holds such a header; then 0 or the refusal.  near_miss is set
 * to the offset of a magic number whose checksum is wrong.
 */
int multiboot1_plan(struct load_plan *p, bool *found, uint64_t *near_miss);
int multiboot2_plan(struct load_plan *p, bool *found, uint64_t *near_miss);

/* ---- places ---------------------------------------------------------------------- */

/* RAM, memory map, and the check that all segments lie in it; moves a relocatable image. */
int place_image(struct load_plan *p);
int place_modules(struct load_plan *p);
int place_info(struct load_plan *p, uint64_t size);

/* ---- information structures --------------------------------------------------------- */

/* Runs twice: dry, to learn the size, then writing at plan->info_gpa. */
struct info_writer {
	const struct load_plan *plan;
	bool dry;
	uint64_t pos; /* bytes so far */
	int err;      /* the first error of req->write() */
};
void info_put(struct info_writer *w, const void *data, uint64_t size);
void info_put32(struct info_writer *w, uint32_t v);
void info_put64(struct info_writer *w, uint64_t v);
void info_put_string(struct info_writer *w, const char *s); /* with its NUL; NULL is "" */
void info_align(struct info_writer *w, unsigned align);

void multiboot1_info(struct info_writer *w);
void multiboot2_info(struct info_writer *w);
