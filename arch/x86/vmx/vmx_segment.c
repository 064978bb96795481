/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VM entry checks segment registers for states that no sequence of instructions
 * can produce (SDM vol. 3C, 27.3.1.2).  A caller that describes a segment by hand
 * need not know those rules: the bits that the processor would have set itself are set here.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/cpu.h"

#define ATTR_VALID 0x1f0ffu
#define ATTR_TYPE 0xfu
#define ATTR_ACCESSED (1u << 0)
#define ATTR_S (1u << 4)
#define ATTR_P (1u << 7)
#define ATTR_G (1u << 15)

#define TYPE_LDT 2u
#define TYPE_TSS_BUSY 2u /* this bit makes an available TSS (1, 9) a busy one (3, 11) */

/* With G the low 12 bits of a limit are ones; without, the high 12 are zeroes. */
static void fix_granularity(struct vm_segment *seg)
{
	if (seg->limit >> 20) {
		seg->attr |= ATTR_G;
		seg->limit |= 0xfff;
	} else if ((seg->limit & 0xfff) != 0xfff) {
		seg->attr &= ~ATTR_G;
	}
}

void vmx_segment_fix(enum vm_seg which, struct vm_segment *seg)
{
	seg->attr &= ATTR_VALID;
	if (which == SEG_TR) {
		/* There is always a task, and it is busy. */
		seg->attr &= ~(SEG_ATTR_UNUSABLE | ATTR_S);
		seg->attr |= TYPE_TSS_BUSY | 1 | ATTR_P;
	} else if (seg->attr & SEG_ATTR_UNUSABLE) {
		return;
	} else if (which == SEG_LDTR) {
		seg->attr = (seg->attr & ~(ATTR_TYPE | ATTR_S)) | TYPE_LDT | ATTR_P;
	} else {
		seg->attr |= ATTR_ACCESSED | ATTR_S | ATTR_P;
	}
	fix_granularity(seg);
}

/* Reserved: 2:1, 8:5 and everything above the physical address (SDM vol. 3A, table 4-8). */
bool vmx_pdpte_valid(uint64_t pdpte, unsigned maxphyaddr)
{
	uint64_t reserved = 0x1e6 | ~((1ul << maxphyaddr) - 1);

	return !(pdpte & 1) || !(pdpte & reserved);
}
