/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VT-x backend: what its files share.  Nobody outside arch/x86/vmx/ includes this.
 *
 *   vmx.c           probe, switching VT-x on and off, the table of operations
 *   vmx_controls.c  choice of the control words (pure)
 *   vmx_vcpu.c      life of a vCPU, loading it on a CPU, entering the guest
 *   vmx_host.c      the host's state, and its events that arrived in the guest
 *   vmx_log.c       the log of dirtied pages (PML)
 *   vmx_state.c     registers, segments and MSRs of the guest (pure, but for the last)
 *   vmx_paging.c    control registers as the processor has them, roots (pure)
 *   vmx_real.c      real mode as virtual-8086 mode, without unrestricted guests (pure)
 *   vmx_segment.c   what VM entry demands of segments (pure)
 *   vmx_event.c     injection, reinjection, interrupt window (pure)
 *   vmx_exit.c      from the processor's exit information to struct vm_exit (pure)
 *   vmx_check.c     which rule of VM entry a refused guest state breaks (pure)
 *   vmx_dump.c      reports (pure)
 *   vmx_entry.asm   the world switch
 *
 * Pure files reach the processor through vmcs_read() and vmcs_write() only, and are
 * linked into the hosted tests too.
 */
#pragma once

#include "arch/x86/vmx/vmcs.h"
#include "vmm/vcpu.h"

/* ---- this machine's VT-x (vmx_controls.c) -------------------------------------------- */

/* The capability MSRs as they read: low half "must be 1", high half "may be 1" for controls. */
struct vmx_cap {
	uint64_t basic, misc, ept_vpid;
	uint64_t pin, proc, proc2, exit, entry;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
};

/* What every vCPU starts with. */
struct vmx_controls {
	uint32_t pin, proc, proc2, exit, entry;
	const char *lacks;  /* for nested paging; NULL: EPT and unrestricted guests can be had */
	uint64_t eptp_bits; /* of EPTP, beside the root's address */
	bool pml;           /* PROC2_PML can be had; it is on only while wanted */
};

/* 0, or -ENODEV with the sentence in why. */
int vmx_controls_choose(const struct vmx_cap *cap, struct vmx_controls *out, char *why,
			size_t why_size);
void vmx_controls_describe(const struct vmx_cap *cap, const struct vmx_controls *ctl,
			   struct virt_caps *caps);

/* The VMCS of this processor has the field (SDM vol. 3D, appendix B). */
bool vmx_has_field(uint32_t field);

/* Of the CPU that was probed; cpu_enable() checks that every other one has the same. */
extern struct vmx_cap vmx_cap;
extern struct vmx_controls vmx_controls;

/* ---- a vCPU -------------------------------------------------------------------------- */

#define VMX_NO_CPU (~0u)
#define DR6_RESET 0xffff0ff0ul
#define PAT_RESET 0x0007040600070406ul

/* MSRs that VM entry and exit leave alone and the hypervisor itself has no use for. */
#define VMX_SWITCHED_MSRS 5

/* What the guest believes of what real mode cannot be without unrestricted guests (vmx_real.c). */
struct vmx_real {
	bool on; /* the guest is in real mode, the processor in virtual-8086 mode */
	bool nmi_blocked; /* while on: the guest has taken an NMI */
	uint64_t sysenter_cs; /* while on */
	struct vm_segment seg[SEG_COUNT]; /* as last written by us; TR only while on */
	uint16_t given[SEG_COUNT]; /* behind real mode: the selector that the VMCS got in its place */
	const char *obstacle; /* the guest cannot be entered like that */
};

struct vmx_vcpu {
	uint64_t vmcs_pa;         /* the three pages of the processor's structures */
	uint64_t msr_bitmap_pa;
	uint64_t virtual_apic_pa; /* only for its TPR: CR8 */
	bool launched;            /* VMRESUME is due, not VMLAUNCH */
	uint16_t vpid;            /* 0: none, entries and exits flush */
	unsigned last_cpu;        /* where its translations may be cached */
	bool flush_ept, flush_vpid; /* owed before the next entry */
	uint64_t eptp;
	bool shadow;              /* paging: no EPT, and so no unrestricted guest */
	uint64_t cr3;             /* the guest's, with shadow paging; else the VMCS has it */
	uint64_t efer;            /* the guest's */
	uint64_t pat;             /* the guest's; the processor has it with nested paging only */
	struct vmx_real real;
	uint64_t msr_lists_pa;    /* EFER, where the controls cannot load it; or PAGES_NONE */
	uint32_t proc, proc2, entry; /* control words that change, as they are in the VMCS */
	uint64_t log_pa;          /* 512 addresses; PAGES_NONE without PML */
	uint64_t msr[VMX_SWITCHED_MSRS];      /* the guest's, while not loaded */
	uint64_t host_msr[VMX_SWITCHED_MSRS]; /* the host's, while loaded */
	uint64_t dr[4], dr6;                  /* the guest's, while not loaded */
};

static inline struct vmx_vcpu *vmx_of(struct vcpu *vcpu)
{
	return vcpu->arch;
}

/* vmx_vcpu.c */
int vmx_vcpu_create(struct vcpu *vcpu);
void vmx_vcpu_destroy(struct vcpu *vcpu);
void vmx_vcpu_load(struct vcpu *vcpu);
void vmx_vcpu_put(struct vcpu *vcpu);
void vmx_clear_debug(struct vcpu *vcpu);
void vmx_vcpu_run(struct vcpu *vcpu);
uint64_t vmx_get_dr(struct vcpu *vcpu, unsigned n);
void vmx_set_dr(struct vcpu *vcpu, unsigned n, uint64_t value);

/* vmx_paging.c */
/* All that the processor needs to know of the guest's CR0, CR4, EFER and of real mode. */
void vmx_paging_update(struct vcpu *vcpu);
/* The VMCS is new: EFER moves with lists of MSRs, not with controls. */
void vmx_msr_lists_init(struct vmx_vcpu *v, uint64_t host_efer);
void vmx_set_root(struct vcpu *vcpu, hpa_t root);
void vmx_flush_tlb(struct vcpu *vcpu);

/* vmx_real.c */
extern const struct virt_real_ops vmx_real_ops;
/* The guest goes into or out of real mode; its CR0.PE says so already. */
void vmx_real_switch(struct vcpu *vcpu, bool on);
/* The same from nowhere: it is in real mode with these segments, or is not, and they are written already. */
void vmx_real_reset(struct vcpu *vcpu, bool on, const struct vm_segment seg[SEG_COUNT]);
/* What the VMCS says of a segment, made into what the guest believes. */
void vmx_real_see(const struct vmx_vcpu *v, enum vm_seg which, struct vm_segment *seg);
/* RFLAGS on its way to the processor, and back into flags. */
/* Exceptions that exit. */
uint32_t vmx_real_exceptions(const struct vmx_vcpu *v);
uint64_t vmx_real_flags_in(const struct vmx_vcpu *v, uint64_t flags);
uint64_t vmx_real_flags_out(const struct vmx_vcpu *v, uint64_t hw, uint64_t flags);

/* vmx_log.c */
/* Before each entry: the processor logs while some dirty log of the VM wants it. */
void vmx_log_prepare(struct vcpu *vcpu);
void vmx_log_drain(struct vcpu *vcpu);

/* vmx_entry.asm */
bool vmx_enter(struct vcpu_regs *regs, bool launched);
void vmx_exit_point(void);

/* vmx_state.c */
void vmx_state_init(struct vcpu *vcpu);
void vmx_get_state(struct vcpu *vcpu, struct vcpu_state *st);
void vmx_set_state(struct vcpu *vcpu, const struct vcpu_state *st);
uint64_t vmx_get_cr(struct vcpu *vcpu, unsigned cr);
void vmx_set_cr(struct vcpu *vcpu, unsigned cr, uint64_t value);
uint64_t vmx_get_efer(struct vcpu *vcpu);
void vmx_set_efer(struct vcpu *vcpu, uint64_t efer);
unsigned vmx_get_cpl(struct vcpu *vcpu);
void vmx_get_code(struct vcpu *vcpu, struct vm_code *out);
void vmx_write_segment(enum vm_seg seg, struct vm_segment s);
void vmx_get_segment(struct vcpu *vcpu, enum vm_seg seg, struct vm_segment *out);
int vmx_get_msr(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
int vmx_set_msr(struct vcpu *vcpu, uint32_t msr, uint64_t value);
void vmx_msrs_load(struct vmx_vcpu *v);
void vmx_msrs_put(struct vmx_vcpu *v);
void vmx_msr_bitmap_init(uint8_t *bitmap);
bool vmx_pat_valid(uint64_t pat);

static inline bool vmx_canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

/* vmx_segment.c */
void vmx_segment_fix(enum vm_seg which, struct vm_segment *seg);
bool vmx_pdpte_valid(uint64_t pdpte, unsigned maxphyaddr);

/* vmx_event.c */
uint32_t vmx_event_encode(const struct vm_event *event, bool protected_mode);
void vmx_event_inject(struct vcpu *vcpu);
void vmx_event_recover(struct vcpu *vcpu, uint32_t info);
bool vmx_intr_allowed(struct vcpu *vcpu);
bool vmx_request_intr_window(struct vcpu *vcpu, bool on);
bool vmx_nmi_allowed(struct vcpu *vcpu);
void vmx_request_nmi_window(struct vcpu *vcpu, bool on);
unsigned vmx_get_cr8(struct vcpu *vcpu);
void vmx_set_cr8(struct vcpu *vcpu, unsigned priority);
void vmx_trap_cr8_write(struct vcpu *vcpu, bool on);
void vmx_clear_intr_shadow(struct vcpu *vcpu);
void vmx_pend_single_step(struct vcpu *vcpu);

/* vmx_check.c */
/* The first rule of SDM vol. 3C, 27.3.1 that the VMCS breaks; NULL: none that we know. */
const char *vmx_broken_rule(void);

/* vmx_dump.c */
void vmx_dump(struct vcpu *vcpu, void (*emit)(const char *line));

/* ---- exits (vmx_exit.c) -------------------------------------------------------------- */

/* The exit information fields that a reason fills; others are not worth a VMREAD. */
enum {
	EXIT_NEEDS_QUALIFICATION = 1 << 0,
	EXIT_NEEDS_INSN_LEN = 1 << 1,
	EXIT_NEEDS_GPA = 1 << 2,
	EXIT_NEEDS_EVENT = 1 << 3,
	EXIT_NEEDS_CR0 = 1 << 4, /* as the guest sees it */
	EXIT_NEEDS_GVA = 1 << 5,
	EXIT_NEEDS_ERROR = 1 << 6,
};

struct vmx_exit_info {
	uint32_t reason; /* or REASON_VMFAIL, with the VM-instruction error as qualification */
	uint32_t insn_len;
	uint32_t event; /* exit interruption information */
	uint32_t error; /* its error code */
	uint64_t qualification;
	uint64_t gpa;
	uint64_t gva; /* meaningless unless the qualification says that there is one */
	uint64_t cr0;
};

/* vmx_host.c */
void vmx_host_save(void);
void vmx_host_deliver(const struct vmx_exit_info *info);

unsigned vmx_exit_needs(uint32_t reason);
void vmx_exit_decode(const struct vmx_exit_info *info, struct vm_exit *exit);
/* The exit says that an IRET had just unblocked NMIs when it failed: they are blocked again. */
bool vmx_exit_nmi_unblocked(const struct vmx_exit_info *info);
/* Not something that an instruction did: it came from outside, at an instruction boundary. */
bool vmx_exit_between_insns(const struct vmx_exit_info *info);
