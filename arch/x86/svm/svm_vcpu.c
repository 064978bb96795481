/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual CPU's VMCB: made, put on a CPU, run, taken off.
 *
 * The entry path is short on purpose: whatever can be done when something changes is
 * done there, and an exit costs little more than the world switch itself.
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/cpu.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/pages.h"
#include "lib/util.h"
#include "vmm/vm.h"

#define PAT_RESET 0x0007040600070406ul
#define DR6_RESET 0xffff0ff0ul
#define DR7_RESET 0x400ul

#define MSRPM_ORDER 1
_Static_assert(SVM_MSRPM_SIZE == 4096 << MSRPM_ORDER, "the MSR map is one allocation");

/* ---- create, destroy ------------------------------------------------------------- */

static void vmcb_init(struct svm_vcpu *svm)
{
	struct vmcb *vmcb = svm->vmcb;
	struct vmcb_control *c = &vmcb->control;

	svm_controls_init(vmcb);
	svm_msrpm_init(svm->msrpm);
	c->iopm_pa = machine_virt_to_phys(svm_iopm);
	c->msrpm_pa = machine_virt_to_phys(svm->msrpm);
	/* The guest's IF does not hold back the host's interrupts; CR8 is virtual. */
	c->int_ctl = VMCB_V_INTR_MASKING;
	vmcb->save.pat = PAT_RESET;
	vmcb->save.dr6 = DR6_RESET;
	vmcb->save.dr7 = DR7_RESET;
}

int svm_vcpu_create(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = object_alloc(sizeof(*svm));
	uint64_t vmcb_pa = pages_alloc(0, PAGES_ZERO);
	uint64_t msrpm_pa = pages_alloc(MSRPM_ORDER, 0);

	if (!svm || vmcb_pa == PAGES_NONE || msrpm_pa == PAGES_NONE) {
		if (vmcb_pa != PAGES_NONE)
			pages_free(vmcb_pa, 0);
		if (msrpm_pa != PAGES_NONE)
			pages_free(msrpm_pa, MSRPM_ORDER);
		object_free(svm, sizeof(*svm));
		return -ENOMEM;
	}
	svm->vmcb_pa = vmcb_pa;
	svm->vmcb = machine_phys_to_virt(vmcb_pa);
	svm->msrpm = machine_phys_to_virt(msrpm_pa);
	vmcb_init(svm);
	svm_paging_init(svm, vcpu->vm->shadow);
	vcpu->arch = svm;
	return 0;
}

void svm_vcpu_destroy(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	if (!svm)
		return;
	pages_free(svm->vmcb_pa, 0);
	pages_free(machine_virt_to_phys(svm->msrpm), MSRPM_ORDER);
	object_free(svm, sizeof(*svm));
	vcpu->arch = NULL;
}

/* ---- ASIDs -------------------------------------------------------------------------- */

/*
 * Each CPU hands its ASIDs out in order; when they run out, a new generation begins
 * with a flush of everything, and the ASIDs of the old one are worth nothing.  Only
 * the vCPU that is loaded takes ASIDs, so nobody's ASID expires while it runs.
 */
static void asid_assign(struct svm_vcpu *svm)
{
	struct vmcb_control *c = &svm->vmcb->control;
	struct svm_cpu *cpu = svm->cpu;

	if (cpu->asid_next >= cpu->asid_count) {
		cpu->asid_generation++;
		cpu->asid_next = 1; /* 0 is the host */
		c->tlb_control = VMCB_TLB_FLUSH_ALL;
	}
	c->asid = cpu->asid_next++;
	c->clean &= ~VMCB_CLEAN_ASID;
	svm->asid_generation = cpu->asid_generation;
}

void svm_flush_tlb(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	struct vmcb_control *c = &svm->vmcb->control;

	if (!svm->cpu || c->tlb_control != VMCB_TLB_NOTHING)
		return; /* it has no ASID yet, or the next entry flushes already */
	if (svm->features & SVM_FEATURE_FLUSH_BY_ASID)
		c->tlb_control = VMCB_TLB_FLUSH_ASID;
	else
		asid_assign(svm);
}

/* ---- load, put ---------------------------------------------------------------------- */

#define DR_ACCESSORS(n)                                                           \
	static inline uint64_t read_dr##n(void)                                   \
	{                                                                         \
		uint64_t v;                                                       \
		__asm__ volatile("mov %%db" #n ", %0" : "=r"(v));                 \
		return v;                                                         \
	}                                                                         \
	static inline void write_dr##n(uint64_t v)                                \
	{                                                                         \
		__asm__ volatile("mov %0, %%db" #n : : "r"(v));                   \
	}
DR_ACCESSORS(0)
DR_ACCESSORS(1)
DR_ACCESSORS(2)
DR_ACCESSORS(3)

void svm_vcpu_load(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	struct svm_cpu *cpu = svm_cpu_this();

	if (svm->cpu != cpu) {
		svm->cpu = cpu;
		svm->features = cpu->features;
		svm->has_tsc_aux = cpu->has_tsc_aux;
		svm->host_vmcb_pa = cpu->host_vmcb_pa;
		svm->clean_mask = cpu->features & SVM_FEATURE_CLEAN ? ~0u : 0;
		svm->asid_generation = 0;
		svm->vmcb->control.clean = 0; /* this CPU may have cached an older VMCB here */
	}
	if (svm->asid_generation != cpu->asid_generation)
		asid_assign(svm);
	write_dr0(svm->dr[0]);
	write_dr1(svm->dr[1]);
	write_dr2(svm->dr[2]);
	write_dr3(svm->dr[3]);
	write_cr2(vcpu->regs.cr2);
	if (svm->has_tsc_aux)
		wrmsr(MSR_TSC_AUX, svm->tsc_aux);
}

void svm_vcpu_put(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	svm->dr[0] = read_dr0();
	svm->dr[1] = read_dr1();
	svm->dr[2] = read_dr2();
	svm->dr[3] = read_dr3();
	/*
	 * A generation whose opening flush never reached a VMRUN is void: the next taker
	 * has to open another one.
	 */
	if (svm->vmcb->control.tlb_control == VMCB_TLB_FLUSH_ALL) {
		svm->cpu->asid_next = svm->cpu->asid_count;
		svm->asid_generation = 0;
		svm->vmcb->control.tlb_control = VMCB_TLB_NOTHING;
	}
}

void svm_clear_debug(struct vcpu *vcpu)
{
	struct vmcb *vmcb = svm_of(vcpu)->vmcb;

	write_dr0(0);
	write_dr1(0);
	write_dr2(0);
	write_dr3(0);
	vmcb->save.dr6 = DR6_RESET;
	vmcb->control.clean &= ~VMCB_CLEAN_DRX;
}

/* ---- run ---------------------------------------------------------------------------- */

void svm_host_machine_check(void)
{
	__asm__ volatile("int %0" : : "i"(VEC_MC));
}

/*
 * CR2: real hardware and QEMU load VMCB.CR2, Bochs leaves the register alone, so both are set
 * when it was changed from outside.  All three store the register into VMCB.CR2 at the exit,
 * and the host, which takes no page faults, does not change it until the next entry.
 */
static void entry_cr2(struct vmcb *vmcb, uint64_t cr2)
{
	vmcb->save.cr2 = cr2;
	vmcb->control.clean &= ~VMCB_CLEAN_CR2;
	write_cr2(cr2);
}

void svm_vcpu_run(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	struct vcpu_regs *regs = &vcpu->regs;

	vmcb->save.rax = regs->gpr[GPR_RAX];
	vmcb->save.rsp = regs->gpr[GPR_RSP];
	vmcb->save.rip = regs->rip;
	vmcb->save.rflags = regs->rflags;
	if (vmcb->save.cr2 != regs->cr2)
		entry_cr2(vmcb, regs->cr2);
	vmcb->control.event_inj = 0;
	if (vcpu->inject.valid)
		svm_event_inject(vcpu);

	svm_enter(regs->gpr, svm->vmcb_pa, svm->host_vmcb_pa);

	regs->gpr[GPR_RAX] = vmcb->save.rax;
	regs->gpr[GPR_RSP] = vmcb->save.rsp;
	regs->rip = vmcb->save.rip;
	regs->rflags = vmcb->save.rflags;
	regs->cr2 = vmcb->save.cr2;
	vmcb->control.tlb_control = VMCB_TLB_NOTHING;
	vmcb->control.clean = svm->clean_mask;
	if (svm->shadow_exits || vmcb->control.int_state & VMCB_INT_SHADOW)
		svm_shadow_track(vcpu);
	if (vmcb->control.exit_int_info & VMCB_EVENT_VALID)
		svm_event_recover(vcpu);
	if (svm->nmi_blocked)
		svm_nmi_track(vcpu);
	svm_exit_decode(svm, &vcpu->exit);
}
