/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Control registers of the guest, and those that the processor runs with in their place.
 *
 * With nested paging they are the same, but for EFER.SVME.  With shadow paging the processor walks
 * our tables by the rules of struct mmu_paging_regs (mm/mmu.h): always PG, WP, PAE and NXE.  A guest
 * without paging runs that way, too; in real mode that is "paged real mode", CR0.PG without PE, which
 * VMRUN alone can bring about (APM vol. 2, 15.19).
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/cpu.h"
#include "lib/util.h"

/* Bits whose change makes translations stale (APM vol. 2, 5.5.2). */
#define CR0_PAGING (CR0_PE | CR0_PG | CR0_WP)
#define CR4_PAGING                                                                   \
	(CR4_PSE | CR4_PAE | CR4_PGE | CR4_LA57 | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE)
#define EFER_PAGING (EFER_LME | EFER_LMA | EFER_NXE)

/* ---- what the processor runs with ---------------------------------------------------- */

static uint64_t real_cr4(const struct svm_paging *p)
{
	uint64_t cr4 = (p->cr4 | CR4_PAE) & ~(uint64_t)(CR4_PGE | CR4_PCIDE | CR4_PKE);

	/* The tables of a guest without paging say "user" of everything. */
	return p->cr0 & CR0_PG ? cr4 : cr4 & ~(uint64_t)(CR4_SMEP | CR4_SMAP);
}

/* LME comes with LMA: long mode begins when the guest's paging does, and ours is on before. */
static uint64_t real_efer(const struct svm_paging *p)
{
	uint64_t efer = (p->efer & ~(uint64_t)EFER_LME) | EFER_NXE;

	return efer & EFER_LMA ? efer | EFER_LME : efer;
}

/* Reads exit where they would tell what is not the guest's. */
static void intercept_reads(struct vmcb *vmcb, const struct svm_paging *p)
{
	struct vmcb_control *c = &vmcb->control;
	uint16_t exits = (uint16_t)(BIT(3) | (vmcb->save.cr0 != p->cr0 ? BIT(0) : 0) |
				    (vmcb->save.cr4 != p->cr4 ? BIT(4) : 0));

	if (c->intercept_cr_read == exits)
		return;
	c->intercept_cr_read = exits;
	c->clean &= ~VMCB_CLEAN_INTERCEPTS;
}

static void apply(struct svm_vcpu *svm)
{
	const struct svm_paging *p = &svm->paging;
	struct vmcb_save *save = &svm->vmcb->save;

	save->cr0 = p->shadow ? p->cr0 | CR0_PG | CR0_WP : p->cr0;
	save->cr4 = p->shadow ? real_cr4(p) : p->cr4;
	save->efer = (p->shadow ? real_efer(p) : p->efer) | EFER_SVME;
	svm->vmcb->control.clean &= ~VMCB_CLEAN_CRX;
	if (p->shadow)
		intercept_reads(svm->vmcb, p);
}

void svm_paging_init(struct svm_vcpu *svm, bool shadow)
{
	struct vmcb_control *c = &svm->vmcb->control;

	svm->paging = (struct svm_paging){ .shadow = shadow };
	c->np_control = shadow ? 0 : VMCB_NP_ENABLE;
	if (shadow) {
		c->intercept_cr_write |= BIT(3);
		c->intercept_exceptions |= BIT(VEC_PF);
		c->intercept_misc1 |= INTERCEPT_INVLPG;
	}
	apply(svm);
}

/* ---- as the guest sees them ------------------------------------------------------------- */

void svm_paging_load(struct svm_vcpu *svm, const struct vcpu_state *st)
{
	struct svm_paging *p = &svm->paging;

	p->cr0 = st->cr0;
	p->cr4 = st->cr4;
	p->efer = st->efer;
	*svm_guest_cr3(svm) = st->cr3;
	apply(svm);
}

uint64_t *svm_guest_cr3(struct svm_vcpu *svm)
{
	return svm->paging.shadow ? &svm->paging.cr3 : &svm->vmcb->save.cr3;
}

uint64_t svm_get_cr(struct vcpu *vcpu, unsigned cr)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	return cr == 0 ? svm->paging.cr0 : cr == 3 ? *svm_guest_cr3(svm) : svm->paging.cr4;
}

/* With shadow paging only the guest sees it: what the processor walks comes with svm_set_root(). */
static void set_cr3(struct vcpu *vcpu, uint64_t value)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	*svm_guest_cr3(svm) = value;
	if (svm->paging.shadow)
		return;
	svm->vmcb->control.clean &= ~VMCB_CLEAN_CRX;
	svm_flush_tlb(vcpu);
}

void svm_set_cr(struct vcpu *vcpu, unsigned cr, uint64_t value)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	uint64_t *reg = cr == 0 ? &svm->paging.cr0 : &svm->paging.cr4;
	uint64_t paging = cr == 0 ? CR0_PAGING : CR4_PAGING;

	if (cr == 3) {
		set_cr3(vcpu, value);
		return;
	}
	if ((*reg ^ value) & paging)
		svm_flush_tlb(vcpu);
	*reg = value;
	apply(svm);
}

/* VMRUN insists on SVME; the guest has no SVM and must not see it. */
uint64_t svm_get_efer(struct vcpu *vcpu)
{
	return svm_of(vcpu)->paging.efer;
}

void svm_set_efer(struct vcpu *vcpu, uint64_t efer)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	if ((svm->paging.efer ^ efer) & EFER_PAGING)
		svm_flush_tlb(vcpu);
	svm->paging.efer = efer;
	apply(svm);
}

/* ---- the tables ---------------------------------------------------------------------------- */

/* Entries are tagged with the ASID, and with nothing else. */
void svm_set_root(struct vcpu *vcpu, hpa_t root)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	struct vmcb_control *c = &svm->vmcb->control;

	if (svm->paging.shadow) {
		/* PAE's four entries are read when CR3 is loaded: also when it stays what it is. */
		svm->vmcb->save.cr3 = root;
		c->clean &= ~VMCB_CLEAN_CRX;
	} else if (c->ncr3 != root) {
		c->ncr3 = root;
		c->clean &= ~VMCB_CLEAN_NP;
	} else {
		return;
	}
	svm_flush_tlb(vcpu);
}
