/* SPDX-License-Identifier: GPL-2.0-only */
/* The run loop and the life of a vCPU; see vcpu.h. */
#include "vmm/vcpu.h"

#include "arch/x86/cpu.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/param.h"
#include "lib/string.h"
#include "vmm/exit.h"
#include "vmm/intr.h"
#include "vmm/report.h"
#include "vmm/ve.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

/* Attributes of a present segment: type, S, DPL 0, P, D/B and G (SDM vol. 3A, 3.4.5). */
#define ATTR_CODE32 0xc09b
#define ATTR_DATA32 0xc093
#define ATTR_TSS32_BUSY 0x008b
#define ATTR_LDT 0x0082

/* Of mmu_work_step(), each of which is bounded. */
#define WORK_STEPS_PER_EXIT 8
#define WORK_PERIOD_US 1000000

void vcpu_reset_protected(struct vcpu *vcpu, uint32_t eip, uint32_t eax, uint32_t ebx)
{
	struct vcpu_state *st = &vcpu->reset;

	memset(&vcpu->regs, 0, sizeof(vcpu->regs));
	vcpu->regs.rip = eip;
	vcpu->regs.rflags = RFLAGS_FIXED;
	vcpu->regs.gpr[GPR_RAX] = eax;
	vcpu->regs.gpr[GPR_RBX] = ebx;

	memset(st, 0, sizeof(*st));
	for (unsigned i = 0; i < SEG_COUNT; i++)
		st->seg[i] = (struct vm_segment){ .selector = 0x10,
						  .attr = ATTR_DATA32,
						  .limit = 0xffffffff };
	st->seg[SEG_CS].selector = 0x08;
	st->seg[SEG_CS].attr = ATTR_CODE32;
	st->seg[SEG_TR] = (struct vm_segment){ .attr = ATTR_TSS32_BUSY, .limit = 0xffff };
	st->seg[SEG_LDTR] = (struct vm_segment){ .attr = ATTR_LDT, .limit = 0xffff };
	st->gdt.limit = st->idt.limit = 0xffff;
	st->cr0 = CR0_PE | CR0_ET;
	st->dr7 = 0x400;
	vcpu->xcr0 = 1;
	vcpu->reset_pending = true;
}

int vcpu_create(struct vm *vm, unsigned id, struct vcpu **out)
{
	struct vcpu *vcpu = object_alloc(sizeof(*vcpu));

	if (!vcpu)
		return -ENOMEM;
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->ve_gpa = VE_NO_PAGE;
	intr_init(vcpu);
	vcpu->fpu = fpu_area_alloc();
	if (!vcpu->fpu)
		goto no_fpu;
	if (mmu_vcpu_init(vm->mmu, &vcpu->mmu, id))
		goto no_mmu;
	if (virt->vcpu_create(vcpu))
		goto no_arch;
	vcpu_reset_protected(vcpu, 0, 0, 0);
	*out = vcpu;
	return 0;

no_arch:
	mmu_vcpu_destroy(&vcpu->mmu);
no_mmu:
	fpu_area_free(vcpu->fpu);
no_fpu:
	object_free(vcpu, sizeof(*vcpu));
	return -ENOMEM;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	virt->vcpu_destroy(vcpu);
	mmu_vcpu_destroy(&vcpu->mmu);
	fpu_area_free(vcpu->fpu);
	object_free(vcpu, sizeof(*vcpu));
}

void vcpu_skip(struct vcpu *vcpu, unsigned len)
{
	vcpu->regs.rip += len;
	vcpu->regs.rflags &= ~RFLAGS_RF;
	virt->clear_intr_shadow(vcpu);
	if (vcpu->regs.rflags & RFLAGS_TF)
		virt->pend_single_step(vcpu);
}

void vcpu_check_limits(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	uint64_t now = machine_us();

	/* Some of mm/'s work is due by the clock alone. */
	if (now - vcpu->work_us > WORK_PERIOD_US) {
		vcpu->work_us = now;
		vm_work_kick();
	}
	if (param.guest_timeout && now - vm->start_us > param.guest_timeout * 1000000)
		vm_stop_report(vcpu, "it did not end within guest_timeout=%lu seconds",
			       param.guest_timeout);
	else if (param.end == 1 && machine_getchar() == 3)
		vm_stop(vm, VM_END_USER);
}

static void record_exit(struct vcpu *vcpu)
{
	struct exit_record *r = &vcpu->history[vcpu->history_next++ % VCPU_EXIT_HISTORY];

	r->rip = vcpu->regs.rip;
	r->hw_info = vcpu->exit.hw_info[0];
	r->reason = (uint16_t)vcpu->exit.reason;
	r->hw_reason = (uint16_t)vcpu->exit.hw_reason;
}

/* With interrupts off; false: the VM was stopped for want of a table. */
static bool load_root(struct vcpu *vcpu)
{
	machine_irq_enable();
	hpa_t root = mmu_vcpu_load_root(&vcpu->mmu);
	machine_irq_save();
	if (root == HPA_INVALID) {
		vm_stop_report(vcpu, "no host memory left for a root table");
		return false;
	}
	virt->set_root(vcpu, root);
	return true;
}

/*
 * The log is drained while the vCPU still counts as in guest mode: whoever flushes it, so as
 * to read a dirty log that is complete, waits for that.  false: not entered, it needs another root.
 */
static bool enter_guest(struct vcpu *vcpu)
{
	switch (mmu_vcpu_enter(&vcpu->mmu)) {
	case MMU_ENTER_RELOAD:
		return false;
	case MMU_ENTER_FLUSH:
		virt->flush_tlb(vcpu);
		break;
	case MMU_ENTER_GO:
		break;
	}
	virt->vcpu_run(vcpu, &vcpu->exit);
	if (virt_caps.pml)
		virt->drain_log(vcpu);
	mmu_vcpu_exit(&vcpu->mmu);
	return true;
}

/*
 * The VM's deferred work, between two exits: a few bounded steps, then the guest goes on.  With
 * interrupts off.
 */
static void do_work(struct vcpu *vcpu, uint64_t kicks)
{
	bool more = true;

	machine_irq_enable();
	for (unsigned i = 0; i < WORK_STEPS_PER_EXIT && more; i++)
		more = mmu_work_step(vcpu->vm->mmu);
	machine_irq_save();
	if (!more)
		vcpu->work_seen = kicks;
}

/*
 * The loop that everything here is about.  Interrupts stay off between exits
 * that need no time; a pending one ends guest mode at once.
 */
void vcpu_run(struct vcpu *vcpu)
{
	uint64_t flags = machine_irq_save();

	vcpu->cpu = machine_cpu_id();
	virt->vcpu_load(vcpu);
	if (vcpu->reset_pending) {
		virt->set_state(vcpu, &vcpu->reset);
		vcpu->reset_pending = false;
	}
	fpu_guest_load(vcpu->fpu, vcpu->xcr0);
	intr_load(vcpu);
	report_set_current(vcpu);
	while (vm_is_running(vcpu->vm)) {
		uint64_t kicks = vm_work_kicks();

		if (vcpu->work_seen != kicks)
			do_work(vcpu, kicks);
		if (vcpu->mmu.root == HPA_INVALID && !load_root(vcpu))
			break;
		/* Last before the entry: nothing opens interrupts between here and there. */
		if (atomic_load_explicit(&vcpu->events, memory_order_relaxed))
			intr_prepare(vcpu);
		if (!enter_guest(vcpu)) {
			if (!load_root(vcpu))
				break;
			continue;
		}
		record_exit(vcpu);
		exit_handle(vcpu);
	}
	report_set_current(NULL);
	intr_put(vcpu);
	fpu_guest_save(vcpu->fpu, &vcpu->xcr0);
	virt->vcpu_put(vcpu);
	machine_irq_restore(flags);
}
