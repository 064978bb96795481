/* SPDX-License-Identifier: GPL-2.0-only */
/* Shadow paging's share of the run loop; see paging.h. */
#include "vmm/paging.h"

#include "arch/x86/cpu.h"
#include "host/machine.h"
#include "lib/string.h"
#include "vmm/emulate.h"
#include "vmm/exit.h"
#include "vmm/inject.h"
#include "vmm/insn.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

#define PF_WRITE (1u << 1)
#define PF_FETCH (1u << 4)
#define PF_PRESENT (1u << 0)

/* ---- registers ------------------------------------------------------------------------ */

/* A root that it had before is there at once; another is made by the run loop. */
static void use_root(struct vcpu *vcpu)
{
	if (vcpu->mmu.root != HPA_INVALID)
		virt->set_root(vcpu, vcpu->mmu.root);
}

void paging_loaded(struct vcpu *vcpu)
{
	struct mmu_paging_regs regs;

	if (!vcpu->vm->shadow)
		return;
	regs.cr0 = virt->get_cr(vcpu, 0);
	regs.cr3 = virt->get_cr(vcpu, 3);
	regs.cr4 = virt->get_cr(vcpu, 4);
	regs.efer = virt->get_efer(vcpu);
	memcpy(regs.pdpte, vcpu->pdpte, sizeof(regs.pdpte));
	machine_irq_enable();
	mmu_vcpu_set_paging(&vcpu->mmu, &regs);
	machine_irq_save();
	use_root(vcpu);
}

void paging_cr3_loaded(struct vcpu *vcpu, uint64_t cr3)
{
	machine_irq_enable();
	mmu_vcpu_set_cr3(&vcpu->mmu, cr3, vcpu->pdpte);
	machine_irq_save();
	use_root(vcpu);
}

/* ---- INVLPG ----------------------------------------------------------------------------- */

static bool invlpg_address(struct vcpu *vcpu, gva_t *gva)
{
	struct insn room;

	*gva = vcpu->exit.gva;
	if (vcpu->exit.gva_valid)
		return true;
	const struct insn *insn = insn_get(vcpu, &room);

	if (!insn || insn->kind != INSN_INVLPG) {
		insn_stop(vcpu, insn ? insn : &room,
			  "cannot decode the instruction that exited as INVLPG");
		return false;
	}
	*gva = insn_linear_in(vcpu, insn->code_size, insn->segment,
			      decode_offset(insn, vcpu->regs.gpr, vcpu->regs.rip));
	vcpu->exit.insn_len = insn->len;
	return true;
}

void exit_invlpg(struct vcpu *vcpu)
{
	gva_t gva;

	if (!invlpg_address(vcpu, &gva))
		return;
	machine_irq_enable();
	mmu_vcpu_invlpg(&vcpu->mmu, gva);
	machine_irq_save();
	insn_skip(vcpu);
}

/* ---- faults ------------------------------------------------------------------------------- */

/* What reports, devices and #VE go by: as if nested paging had told it. */
static void tell_fault(struct vm_exit *exit, const struct shadow_fault *f)
{
	exit->fault = (struct page_fault){
		.gpa = f->gpa,
		.access = f->error & PF_WRITE ? ACC_W : f->error & PF_FETCH ? ACC_X : ACC_R,
		.present = f->error & PF_PRESENT,
	};
}

/* A write that no mapping permits, mostly to one of the guest's own page tables. */
static void write_memory(struct vcpu *vcpu, const struct shadow_fault *f)
{
	struct insn insn = { 0 };

	if (emulate_memory_write(vcpu, &vcpu->exit.fault))
		return;
	machine_irq_enable();
	bool again = mmu_shadow_unprotect(&vcpu->mmu, f);
	machine_irq_save();
	if (again)
		return;
	(void)insn_fetch(vcpu, &insn);
	insn_stop(vcpu, &insn, "cannot emulate the instruction that wrote to a page table, nor let it run");
}

void exit_page_fault(struct vcpu *vcpu)
{
	struct vm_exit *exit = &vcpu->exit;
	struct shadow_fault f = {
		.gva = exit->gva,
		.error = exit->pf.error,
		/* EFLAGS.AC is the supervisor's; what it does implicitly for the user has none. */
		.ac = (vcpu->regs.rflags & RFLAGS_AC) && virt->get_cpl(vcpu) < 3,
	};

	machine_irq_enable();
	enum mmu_pf_result result = mmu_shadow_fault(&vcpu->mmu, &f);
	machine_irq_save();
	if (result == MMU_PF_INJECT) {
		inject_page_fault(vcpu, f.gva, f.inject);
		return;
	}
	if (result == MMU_PF_FIXED || result == MMU_PF_SPURIOUS)
		return;
	tell_fault(exit, &f);
	if (result == MMU_PF_EMULATE && f.memory_write)
		write_memory(vcpu, &f);
	else
		exit_fault_done(vcpu, result);
}
