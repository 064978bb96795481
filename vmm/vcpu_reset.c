/* SPDX-License-Identifier: GPL-2.0-only */
/* The states that a vCPU begins in; see vcpu.h. */
#include "vmm/vcpu.h"

#include "arch/x86/cpu.h"
#include "lib/string.h"
#include "vmm/intr.h"
#include "vmm/paging.h"
#include "vmm/virt.h"

/* Attributes of a present segment: type, S, DPL 0, P, D/B and G (SDM vol. 3A, 3.4.5). */
#define ATTR_CODE32 0xc09b
#define ATTR_DATA32 0xc093
#define ATTR_CODE16 0x009b
#define ATTR_DATA16 0x0093
#define ATTR_TSS32_BUSY 0x008b
#define ATTR_LDT 0x0082

/* What all of them have in common; data is the attribute of the data segments. */
static void reset_common(struct vcpu *vcpu, uint32_t data, uint32_t limit)
{
	struct vcpu_state *st = &vcpu->reset;

	memset(&vcpu->regs, 0, sizeof(vcpu->regs));
	vcpu->regs.rflags = RFLAGS_FIXED;
	vcpu->inject.valid = false;
	memset(st, 0, sizeof(*st));
	for (unsigned i = 0; i < SEG_COUNT; i++)
		st->seg[i] = (struct vm_segment){ .attr = data, .limit = limit };
	st->seg[SEG_TR] = (struct vm_segment){ .attr = ATTR_TSS32_BUSY, .limit = 0xffff };
	st->seg[SEG_LDTR] = (struct vm_segment){ .attr = ATTR_LDT, .limit = 0xffff };
	st->gdt.limit = st->idt.limit = 0xffff;
	st->cr0 = CR0_ET;
	st->dr7 = 0x400;
	vcpu->reset_pending = true;
}

void vcpu_reset_protected(struct vcpu *vcpu, uint32_t eip, uint32_t eax, uint32_t ebx)
{
	struct vcpu_state *st = &vcpu->reset;

	reset_common(vcpu, ATTR_DATA32, 0xffffffff);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		st->seg[i].selector = 0x10;
	st->seg[SEG_CS].selector = 0x08;
	st->seg[SEG_CS].attr = ATTR_CODE32;
	st->cr0 |= CR0_PE;
	vcpu->regs.rip = eip;
	vcpu->regs.gpr[GPR_RAX] = eax;
	vcpu->regs.gpr[GPR_RBX] = ebx;
}

/* SDM vol. 3A, table 10-1, and 9.4.3; edx has the processor's signature. */
void vcpu_reset_startup(struct vcpu *vcpu, uint8_t vector)
{
	reset_common(vcpu, ATTR_DATA16, 0xffff);
	vcpu->reset.seg[SEG_CS] = (struct vm_segment){ .selector = (uint16_t)(vector << 8),
						       .attr = ATTR_CODE16,
						       .base = (uint64_t)vector << 12,
						       .limit = 0xffff };
	vcpu->regs.gpr[GPR_RDX] = cpuid(1, 0).eax;
}

/* INIT leaves XCR0, the FPU and most MSRs as they are; the debug registers go with the rest. */
void vcpu_reset_apply(struct vcpu *vcpu)
{
	virt->set_state(vcpu, &vcpu->reset);
	paging_loaded(vcpu);
	virt->clear_debug(vcpu);
	virt->request_intr_window(vcpu, false);
	virt->request_nmi_window(vcpu, false);
	virt->set_cr8(vcpu, vcpu->lapic.tpr >> 4);
	virt->trap_cr8_write(vcpu, false);
	vcpu->reset_pending = false;
}
