/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow tables: what the processor walks instead of the guest's own tables, with nested paging
 * off.  The mode that the guest is in decides how: long-mode tables of 4 or 5 levels (SDM vol. 3A,
 * 4.5), else PAE (4.4), which 32-bit and unpaged guests get too.
 *
 * An entry is the same in both.  In PAE the processor demands that bits 62:52 are 0, so there is
 * no room for our bits there, and so there is none of them in any shadow table; what they
 * would say is in the slot (whose page is it?) or looked at again with every fault (who may
 * write?).  Bits 11:9 are free in both: SPTE_PRESENT is one of them.  A leaf whose permissions
 * are parked is not present for the processor, which then ignores all its bits.
 *
 * The four entries at the top of PAE are another matter, see shadow_root.c.
 */
#include "mm/format.h"
#include "mm/spte.h"

#define X86_P        (1ul << 0)
#define X86_W        (1ul << 1)
#define X86_U        (1ul << 2)
#define X86_TYPE     (3ul << 3) /* PWT, PCD: entry 0 of the PAT is write-back, entry 3 uncached */
#define X86_ACCESSED (1ul << 5)
#define X86_DIRTY    (1ul << 6)
#define X86_HUGE     (1ul << 7)
#define X86_NX       (1ul << 63)
#define X86_ADDRESS  0x000ffffffffff000ul

#define SHADOW_FIELDS                                                                 \
	.name = "shadow", .present = X86_P, .allow_r = X86_P, .allow_w = X86_W,       \
	.allow_u = X86_U, .deny_x = X86_NX, .huge = X86_HUGE,                         \
	.accessed = X86_ACCESSED, .dirty = X86_DIRTY, .used_shift = 5, .type = X86_TYPE, \
	.type_device = X86_TYPE, .table = X86_P | X86_W | X86_U, .address = X86_ADDRESS

const struct mmu_format mmu_format_shadow = { SHADOW_FIELDS, .ad = true };
const struct mmu_format mmu_format_shadow_noad = { SHADOW_FIELDS };

_Static_assert(X86_ACCESSED == 1 << 5 && X86_DIRTY == 2 << 5, "used_shift");
_Static_assert(!(SPTE_FROZEN & X86_P), "a frozen entry is not present");
_Static_assert(!(SPTE_PRESENT & ~0xe00ul), "ours in an entry that is present: bits 11:9 only");
