/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * AMD-V backend: what its files share.  Nobody outside arch/x86/svm/ includes this.
 *
 *   svm.c           probe, switching AMD-V on and off, the table of operations
 *   svm_controls.c  what the guest exits for (pure)
 *   svm_vcpu.c      life of a vCPU, loading it on a CPU, entering the guest
 *   svm_state.c     registers, segments and MSRs of the guest (pure, but for TSC_AUX)
 *   svm_paging.c    its control registers, nested or shadow paging (pure)
 *   svm_event.c     injection, reinjection, interrupt window (pure)
 *   svm_exit.c      from the VMCB to struct vm_exit (pure)
 *   svm_dump.c      reports (pure)
 *   svm_entry.asm   the world switch
 *
 * Pure files only touch the VMCB in memory and are linked into the hosted tests too.
 */
#pragma once

#include "arch/x86/svm/vmcb.h"
#include "vmm/vcpu.h"

/* CPUID 0x8000000A EDX */
#define SVM_FEATURE_NPT            (1u << 0)
#define SVM_FEATURE_NRIPS          (1u << 3)
#define SVM_FEATURE_CLEAN          (1u << 5)
#define SVM_FEATURE_FLUSH_BY_ASID  (1u << 6)
#define SVM_FEATURE_DECODE_ASSISTS (1u << 7)

/* This CPU, from cpu_enable() on; only this CPU touches it. */
struct svm_cpu {
	uint64_t hsave_pa;     /* where VMRUN parks the host */
	uint64_t host_vmcb_pa; /* what VMLOAD brings back: FS, GS, TR, LDTR, SYSCALL MSRs */
	uint32_t features;     /* SVM_FEATURE_* */
	bool has_tsc_aux;
	/* ASIDs asid_next … asid_count - 1 are unused in this generation. */
	uint32_t asid_count, asid_next;
	uint64_t asid_generation;
};

/* Control registers as the guest sees them; with nested paging its CR3 is the VMCB's. */
struct svm_paging {
	bool shadow;
	uint64_t cr0, cr3, cr4, efer;
};

struct svm_vcpu {
	struct vmcb *vmcb;
	uint64_t vmcb_pa;
	uint64_t host_vmcb_pa; /* of the CPU that has it loaded */
	uint32_t clean_mask;   /* clean bits after an exit; 0 when the CPU has none */
	uint32_t features;     /* SVM_FEATURE_* of that CPU */
	uint8_t *msrpm;
	struct svm_paging paging;

	/* An ASID is good on the CPU and in the generation that it was given in. */
	struct svm_cpu *cpu;
	uint64_t asid_generation;

	/* NMIs are blocked from their injection until the guest has done its IRET. */
	bool nmi_blocked;
	bool iret_seen;    /* it is at iret_rip, not done yet */
	uint64_t iret_rip;

	/* The shadow of STI or MOV SS: exits at this RIP that it is believed to have outlived. */
	unsigned shadow_exits;
	uint64_t shadow_rip;

	/* Neither VMRUN nor VMLOAD switches these: moved by load and put. */
	uint64_t dr[4];
	uint64_t tsc_aux;
	bool has_tsc_aux;
};

static inline struct svm_vcpu *svm_of(const struct vcpu *vcpu)
{
	return vcpu->arch;
}

/* ---- svm.c -------------------------------------------------------------------- */

struct svm_cpu *svm_cpu_this(void);

/* ---- svm_vcpu.c --------------------------------------------------------------- */

int svm_vcpu_create(struct vcpu *vcpu);
void svm_vcpu_destroy(struct vcpu *vcpu);
void svm_vcpu_load(struct vcpu *vcpu);
void svm_vcpu_put(struct vcpu *vcpu);
void svm_clear_debug(struct vcpu *vcpu);
void svm_vcpu_run(struct vcpu *vcpu);
void svm_flush_tlb(struct vcpu *vcpu);
/* The guest was stopped by a machine check, which no processor hands on to the host. */
void svm_host_machine_check(void);

/* svm_entry.asm: gpr[] in, guest, gpr[] out (all but rax and rsp, which the VMCB holds). */
void svm_enter(uint64_t gpr[16], uint64_t vmcb_pa, uint64_t host_vmcb_pa);
void svm_vmsave(uint64_t vmcb_pa);

/* ---- svm_controls.c ---------------------------------------------------------- */

#define SVM_IOPM_SIZE  (3 * 4096)
#define SVM_MSRPM_SIZE (2 * 4096)

extern const uint8_t svm_iopm[SVM_IOPM_SIZE];
void svm_controls_init(struct vmcb *vmcb);
void svm_msrpm_init(uint8_t map[SVM_MSRPM_SIZE]);
/* As the processor reads the map. */
bool svm_msrpm_exits(const uint8_t map[SVM_MSRPM_SIZE], uint32_t msr, bool write);

/* ---- svm_state.c -------------------------------------------------------------- */

uint16_t svm_attr_pack(uint32_t attr);   /* virt_ops layout -> VMCB */
uint32_t svm_attr_unpack(uint16_t attr); /* VMCB -> virt_ops layout */
void svm_get_state(struct vcpu *vcpu, struct vcpu_state *st);
void svm_set_state(struct vcpu *vcpu, const struct vcpu_state *st);
unsigned svm_get_cpl(struct vcpu *vcpu);
void svm_get_code(struct vcpu *vcpu, struct vm_code *out);
void svm_get_segment(struct vcpu *vcpu, enum vm_seg seg, struct vm_segment *out);
int svm_get_msr(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
int svm_set_msr(struct vcpu *vcpu, uint32_t msr, uint64_t value);
bool svm_pat_valid(uint64_t pat);

/* ---- svm_paging.c -------------------------------------------------------------- */

/* A new VMCB, whose intercepts are there. */
void svm_paging_init(struct svm_vcpu *svm, bool shadow);
/* CR0, CR3, CR4 and EFER at once; the caller flushes. */
void svm_paging_load(struct svm_vcpu *svm, const struct vcpu_state *st);
uint64_t *svm_guest_cr3(struct svm_vcpu *svm);
uint64_t svm_get_cr(struct vcpu *vcpu, unsigned cr);
void svm_set_cr(struct vcpu *vcpu, unsigned cr, uint64_t value);
uint64_t svm_get_efer(struct vcpu *vcpu);
void svm_set_efer(struct vcpu *vcpu, uint64_t efer);
void svm_set_root(struct vcpu *vcpu, hpa_t root);

/* ---- svm_exit.c --------------------------------------------------------------- */

void svm_exit_decode(const struct svm_vcpu *svm, struct vm_exit *exit);

/* ---- svm_event.c -------------------------------------------------------------- */

/* vcpu->inject -> EVENTINJ; clears vcpu->inject. */
void svm_event_inject(struct vcpu *vcpu);
/* A valid EXITINTINFO -> vcpu->inject. */
void svm_event_recover(struct vcpu *vcpu);
/* After an exit while NMIs are blocked: has the IRET been reached, has it been done? */
void svm_nmi_track(struct vcpu *vcpu);
/* As if nothing had ever been delivered. */
void svm_event_reset(struct svm_vcpu *svm);
/* After an exit: has the shadow, if there was one, ended? */
void svm_shadow_track(struct vcpu *vcpu);
bool svm_intr_allowed(struct vcpu *vcpu);
bool svm_request_intr_window(struct vcpu *vcpu, bool on);
bool svm_nmi_allowed(struct vcpu *vcpu);
void svm_request_nmi_window(struct vcpu *vcpu, bool on);
unsigned svm_get_cr8(struct vcpu *vcpu);
void svm_set_cr8(struct vcpu *vcpu, unsigned priority);
void svm_trap_cr8_write(struct vcpu *vcpu, bool on);
void svm_clear_intr_shadow(struct vcpu *vcpu);
void svm_pend_single_step(struct vcpu *vcpu);

/* ---- svm_dump.c --------------------------------------------------------------- */

void svm_dump(struct vcpu *vcpu, void (*emit)(const char *line));
/* The rule of APM vol. 2, 15.5.1 that makes VMRUN refuse this VMCB; NULL: none that we know. */
const char *svm_broken_rule(const struct vmcb *vmcb);
