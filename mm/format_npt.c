/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nested page tables (APM vol. 2, 15.25): the host's long-mode format, walked as
 * a user access, so U is set everywhere.  Accessed 5 and Dirty 6 are always
 * maintained by the processor.  PWT and PCD choose the cache type from the host's PAT:
 * entry 0 (write-back) for RAM.
 */
#include "mm/format.h"
#include "mm/spte.h"

#define NPT_P        (1ul << 0)
#define NPT_W        (1ul << 1)
#define NPT_U        (1ul << 2)
#define NPT_TYPE     (3ul << 3) /* PWT, PCD */
#define NPT_ACCESSED (1ul << 5)
#define NPT_DIRTY    (1ul << 6)
#define NPT_HUGE     (1ul << 7)
#define NPT_NX       (1ul << 63)
#define NPT_ADDRESS  0x000ffffffffff000ul

/*
 * Without ad the processor sets the bits all the same; nobody reads them then.  PWT and PCD
 * select PAT entry 3, uncached.
 */
#define NPT_FIELDS                                                                    \
	.name = "npt", .present = NPT_P, .allow_r = NPT_P, .allow_w = NPT_W,          \
	.deny_x = NPT_NX, .huge = NPT_HUGE, .accessed = NPT_ACCESSED,                 \
	.dirty = NPT_DIRTY, .used_shift = 5, .leaf = NPT_U, .type = NPT_TYPE, .type_device = NPT_TYPE, \
	.table = NPT_P | NPT_W | NPT_U, .address = NPT_ADDRESS,           \
	.software = SPTE_LEAF_SOFTWARE

const struct mmu_format mmu_format_npt = { NPT_FIELDS, .ad = true };
const struct mmu_format mmu_format_npt_noad = { NPT_FIELDS };

_Static_assert(NPT_ACCESSED == 1 << 5 && NPT_DIRTY == 2 << 5, "used_shift");
_Static_assert(!(SPTE_FROZEN & NPT_P), "a frozen entry is not present in NPT");
_Static_assert(!(SPTE_SOFTWARE & (NPT_P | NPT_W | NPT_U | NPT_TYPE | NPT_ACCESSED | NPT_DIRTY |
				  NPT_HUGE | NPT_NX | NPT_ADDRESS)),
	       "NPT leaves our software bits alone");
