/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Address and table-entry types of the MMU manager.
 *
 * gva/gpa/hpa are plain integers (they are added to all day); pfn_t and spte_t
 * are one-member structs, so that handing one where the other is due does not
 * compile.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t gva_t; /* guest virtual address */
typedef uint64_t gpa_t; /* guest physical address */
typedef uint64_t hpa_t; /* host physical address */
typedef uint64_t gfn_t; /* gpa >> PAGE_SHIFT */

typedef struct {
	uint64_t n; /* hpa >> PAGE_SHIFT */
} pfn_t;

typedef struct {
	uint64_t raw; /* a shadow page-table entry of whatever format */
} spte_t;

#define PAGE_SHIFT 12
#define PAGE_SIZE  (1ul << PAGE_SHIFT)
#define PAGE_MASK  (~(PAGE_SIZE - 1))

#define HPA_INVALID (~(hpa_t)0)
#define GPA_INVALID (~(gpa_t)0)
#define GFN_INVALID (~(gfn_t)0)

/* Page-table levels; the number is how many tables lie between entry and page. */
enum pg_level {
	PG_LEVEL_NONE,
	PG_LEVEL_4K,
	PG_LEVEL_2M,
	PG_LEVEL_1G,
	PG_LEVEL_512G,
	PG_LEVEL_256T,
};

#define PT_ENTRIES 512u

static inline unsigned level_shift(unsigned level)
{
	return PAGE_SHIFT + 9 * (level - 1);
}

/* Number of 4K pages that one entry at this level spans. */
static inline uint64_t level_pages(unsigned level)
{
	return 1ul << (9 * (level - 1));
}

static inline unsigned level_index(gfn_t gfn, unsigned level)
{
	return (gfn >> (9 * (level - 1))) & (PT_ENTRIES - 1);
}

static inline gfn_t level_gfn_base(gfn_t gfn, unsigned level)
{
	return gfn & ~(level_pages(level) - 1);
}

static inline gfn_t max_gfn(gfn_t a, gfn_t b)
{
	return a > b ? a : b;
}

static inline gfn_t min_gfn(gfn_t a, gfn_t b)
{
	return a < b ? a : b;
}

/* What an access does; also what a mapping permits. */
enum {
	ACC_R = 1 << 0,
	ACC_W = 1 << 1,
	ACC_X = 1 << 2,
	ACC_RW = ACC_R | ACC_W,
	ACC_RWX = ACC_R | ACC_W | ACC_X,
	ACC_USER = 1 << 3, /* guest walks only: the access comes from CPL 3 */
};
