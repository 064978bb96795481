/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an entry looks like in each page-table format.
 *
 * A format is data: generic code asks for "a leaf of this page, at this level,
 * with this access" and never names a bit.  The bits that are ours in every
 * format, because no processor looks at them, are SPTE_* below.
 */
#pragma once

#include "mm/mmu.h"
#include "mm/port.h"
#include "mm/types.h"

/*
 * Software bits.  EPT ignores 11 and 62:52 (as long as the controls that give
 * meaning to 57, 58, 60 and 61 stay off), NPT leaves 11:9 and 58:52 alone.
 */
#define SPTE_PRESENT       (1ul << 11) /* a leaf or a table; nothing else has it */
#define SPTE_REFCOUNTED    (1ul << 52) /* the page is RAM that the backing owns */
#define SPTE_HOST_WRITABLE (1ul << 53) /* the slot and the backing permit writes */
#define SPTE_MMU_WRITABLE  (1ul << 54) /* and no tracking of ours forbids them */
#define SPTE_FROZEN_BIT    (1ul << 55) /* see SPTE_FROZEN in spte.h */
#define SPTE_AUDIT_MARK    (1ul << 56) /* set and cleared inside mmu_audit() */
#define SPTE_TRACKED       (1ul << 57) /* a leaf whose permissions are parked; see leaf.h */
#define SPTE_NX_SPLIT      (1ul << 58) /* a table where a huge leaf may not be executable */

#define SPTE_LEAF_SOFTWARE (SPTE_REFCOUNTED | SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE)
#define SPTE_SOFTWARE      (SPTE_PRESENT | SPTE_LEAF_SOFTWARE | SPTE_FROZEN_BIT | \
			    SPTE_AUDIT_MARK | SPTE_TRACKED | SPTE_NX_SPLIT)

/* In a tracked leaf only, of which the processor ignores everything: what it had. */
#define SPTE_SAVED_W (1ul << 59)
#define SPTE_SAVED_X (1ul << 60)
#define SPTE_SAVED   (SPTE_TRACKED | SPTE_SAVED_W | SPTE_SAVED_X)

struct mmu_format {
	const char *name;
	bool ad;            /* the processor sets Accessed and Dirty, and we rely on it */
	uint64_t present;   /* any of these set: the processor takes it for present */
	uint64_t allow_r;   /* set to permit … */
	uint64_t allow_w;
	uint64_t allow_x;
	uint64_t deny_x;    /* set to forbid */
	uint64_t huge;      /* makes a leaf above 4K; 0 in tables and 4K leaves */
	uint64_t accessed;  /* where the processor sets them, if it does: this bit … */
	uint64_t dirty;     /* … and the next … */
	uint8_t used_shift; /* … from here on */
	uint64_t leaf;      /* always in a leaf */
	uint64_t type;      /* the memory type of a leaf: these bits … */
	uint64_t type_ram;  /* … are so for RAM: write-back */
	uint64_t type_device; /* … and so for what is no RAM of ours: uncached */
	uint64_t table;     /* all that is in a table entry besides its address */
	uint64_t address;   /* the bits of the page's or table's address */
	uint64_t allow_u;   /* set to permit it to CPL 3; 0: what is mapped is for all */
	uint64_t software;  /* which of SPTE_LEAF_SOFTWARE a leaf has room for */
};

extern const struct mmu_format mmu_format_ept, mmu_format_ept_noad;
extern const struct mmu_format mmu_format_npt, mmu_format_npt_noad;
extern const struct mmu_format mmu_format_shadow, mmu_format_shadow_noad;

/* ad: with Accessed and Dirty from the processor. */
const struct mmu_format *format_select(enum mmu_format_id id, bool ad);

/* The entry that points to the table at hpa. */
static inline spte_t format_make_table(const struct mmu_format *fmt, hpa_t hpa)
{
	return (spte_t){ hpa | fmt->table | SPTE_PRESENT };
}

/*
 * The entry that maps a page; software is any of SPTE_LEAF_SOFTWARE.  What the backing owns
 * is RAM and cached; anything else belongs to a device.
 */
static inline spte_t format_make_leaf(const struct mmu_format *fmt, pfn_t pfn, unsigned level,
				      unsigned access, uint64_t software)
{
	uint64_t raw = (pfn.n << PAGE_SHIFT) | fmt->leaf | SPTE_PRESENT;

	raw |= software & fmt->software;
	raw |= software & SPTE_REFCOUNTED ? fmt->type_ram : fmt->type_device;
	raw |= level > PG_LEVEL_4K ? fmt->huge : 0;
	raw |= access & ACC_R ? fmt->allow_r : 0;
	raw |= access & ACC_W ? fmt->allow_w : 0;
	raw |= access & ACC_X ? fmt->allow_x : fmt->deny_x;
	raw |= access & ACC_USER ? fmt->allow_u : 0;
	return (spte_t){ raw };
}

/* ACC_* that the processor finds permitted in a leaf; leaf_access() also knows what is parked. */
static inline unsigned format_access(const struct mmu_format *fmt, spte_t spte)
{
	unsigned access = 0;

	if (!(spte.raw & fmt->present))
		return 0;
	access |= (spte.raw & fmt->allow_r) == fmt->allow_r ? ACC_R : 0;
	access |= (spte.raw & fmt->allow_w) == fmt->allow_w ? ACC_W : 0;
	if ((spte.raw & fmt->allow_x) == fmt->allow_x && !(spte.raw & fmt->deny_x))
		access |= ACC_X;
	return access;
}

/* Is this one access permitted? */
static inline bool format_permits(const struct mmu_format *fmt, spte_t spte, unsigned access)
{
	uint64_t needed = access & ACC_W ? fmt->allow_w : access & ACC_X ? fmt->allow_x : fmt->allow_r;

	return (spte.raw & fmt->present) && (spte.raw & needed) == needed &&
	       !((access & ACC_X) && (spte.raw & fmt->deny_x));
}

static inline bool format_is_leaf(const struct mmu_format *fmt, spte_t spte, unsigned level)
{
	return (spte.raw & SPTE_PRESENT) && (level == PG_LEVEL_4K || (spte.raw & fmt->huge));
}

static inline bool format_is_table(const struct mmu_format *fmt, spte_t spte, unsigned level)
{
	return (spte.raw & SPTE_PRESENT) && level > PG_LEVEL_4K && !(spte.raw & fmt->huge);
}

static inline hpa_t format_hpa(const struct mmu_format *fmt, spte_t spte)
{
	return spte.raw & fmt->address;
}

static inline pfn_t format_pfn(const struct mmu_format *fmt, spte_t spte)
{
	return (pfn_t){ format_hpa(fmt, spte) >> PAGE_SHIFT };
}
