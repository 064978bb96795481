/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nested page tables (APM vol. 2, 15.25): the host's long-mode format, walked as
 * a user access, so U is set everywhere.  Accessed 5 and Dirty 6 are always
 * maintained by the processor.  The cache type comes from PAT entry 0 (write-back).
 */
#include "mm/format.h"
#include "mm/spte.h"

#define NPT_P        (1ul << 0)
#define NPT_W        (1ul << 1)
#define NPT_U        (1ul << 2)
#define NPT_ACCESSED (1ul << 5)
#define NPT_DIRTY    (1ul << 6)
#define NPT_HUGE     (1ul << 7)
#define NPT_NX       (1ul << 63)
#define NPT_ADDRESS  0x000ffffffffff000ul

const struct mmu_format mmu_format_npt = {
	.name = "npt",
	.present = NPT_P,
	.allow_r = NPT_P,
	.allow_w = NPT_W,
	.deny_x = NPT_NX,
	.huge = NPT_HUGE,
	.accessed = NPT_ACCESSED,
	.dirty = NPT_DIRTY,
	.leaf = NPT_U,
	.table = NPT_P | NPT_W | NPT_U,
	.address = NPT_ADDRESS,
};

_Static_assert(!(SPTE_FROZEN & NPT_P), "a frozen entry is not present in NPT");
_Static_assert(!(SPTE_SOFTWARE & (NPT_P | NPT_W | NPT_U | NPT_ACCESSED | NPT_DIRTY | NPT_HUGE |
				  NPT_NX | NPT_ADDRESS)),
	       "NPT leaves our software bits alone");
