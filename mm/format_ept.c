/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * EPT entries (SDM vol. 3C, 29.3.2): permissions in 2:0, memory type of leaves in
 * 5:3, a leaf above 4K marked by bit 7, Accessed 8 and Dirty 9 where EPTP enables
 * them (ignored otherwise).
 */
#include "mm/format.h"
#include "mm/spte.h"

#define EPT_R        (1ul << 0)
#define EPT_W        (1ul << 1)
#define EPT_X        (1ul << 2)
#define EPT_TYPE     (7ul << 3)
#define EPT_TYPE_WB  (6ul << 3)
#define EPT_HUGE     (1ul << 7)
#define EPT_ACCESSED (1ul << 8)
#define EPT_DIRTY    (1ul << 9)
#define EPT_ADDRESS  0x000ffffffffff000ul

#define EPT_RWX (EPT_R | EPT_W | EPT_X)

/*
 * Guest RAM is write-back whatever the guest's MTRRs say: it is RAM of the host,
 * and the host's own mapping of it is write-back too.  Uncached is type 0.
 */
#define EPT_FIELDS                                                                    \
	.name = "ept", .present = EPT_RWX, .allow_r = EPT_R, .allow_w = EPT_W,        \
	.allow_x = EPT_X, .huge = EPT_HUGE, .accessed = EPT_ACCESSED,                 \
	.dirty = EPT_DIRTY, .used_shift = 8, .type = EPT_TYPE, .type_ram = EPT_TYPE_WB,                \
	.table = EPT_RWX, .address = EPT_ADDRESS, .software = SPTE_LEAF_SOFTWARE

const struct mmu_format mmu_format_ept = { EPT_FIELDS, .ad = true };
const struct mmu_format mmu_format_ept_noad = { EPT_FIELDS };

_Static_assert(EPT_ACCESSED == 1 << 8 && EPT_DIRTY == 2 << 8, "used_shift");
_Static_assert(!(SPTE_FROZEN & EPT_RWX), "a frozen entry is not present in EPT");
_Static_assert(!(SPTE_SOFTWARE & (EPT_RWX | EPT_TYPE | EPT_HUGE | EPT_ACCESSED | EPT_DIRTY |
				  EPT_ADDRESS)),
	       "EPT ignores our software bits");

const struct mmu_format *format_select(enum mmu_format_id id, bool ad)
{
	if (id == MMU_FORMAT_EPT)
		return ad ? &mmu_format_ept : &mmu_format_ept_noad;
	if (id == MMU_FORMAT_SHADOW)
		return ad ? &mmu_format_shadow : &mmu_format_shadow_noad;
	return ad ? &mmu_format_npt : &mmu_format_npt_noad;
}
