/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The seam between the run loop and a vendor's virtualisation extension.  Two
 * mirrored implementations: arch/x86/svm/ and arch/x86/vmx/.  VMCB and VMCS
 * names never leave their folder; what the guest did arrives here as one
 * struct vm_exit.
 *
 * Unless said otherwise the functions run on the CPU that has the vCPU loaded,
 * with interrupts off.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mm/mmu.h"

struct vcpu;

/* ---- what an exit was --------------------------------------------------------- */

/* (constant, name in reports) */
#define EXIT_REASONS(X)                                                            \
	X(EXIT_FAULT, "nested-fault")  /* .fault: EPT violation, nested page fault */  \
	X(EXIT_PF, "page-fault")       /* .pf, gva; shadow paging only: #PF, not in CR2 */ \
	X(EXIT_INVLPG, "invlpg")       /* gva, or decode; shadow paging only */        \
	X(EXIT_EXCEPTION, "exception") /* .exception: #DB, #AC; all, in virt_real_ops' real mode */ \
	X(EXIT_IO, "io")               /* .io */                                       \
	X(EXIT_CPUID, "cpuid")                                                         \
	X(EXIT_HYPERCALL, "hypercall") /* VMCALL or VMMCALL */                         \
	X(EXIT_RDMSR, "rdmsr")         /* index in rcx */                              \
	X(EXIT_WRMSR, "wrmsr")                                                         \
	X(EXIT_CR_WRITE, "cr-write")   /* .cr: MOV to CR0/CR3/CR4/CR8, CLTS, LMSW */   \
	X(EXIT_CR_READ, "cr-read")     /* .cr: MOV from CR0/CR3/CR4, SMSW */           \
	X(EXIT_XSETBV, "xsetbv")                                                       \
	X(EXIT_HLT, "hlt")                                                             \
	X(EXIT_INTR, "interrupt")      /* a host interrupt is pending */               \
	X(EXIT_NMI, "nmi")             /* a host NMI, already delivered to the host */ \
	X(EXIT_INTR_WINDOW, "intr-window")                                             \
	X(EXIT_NMI_WINDOW, "nmi-window")                                               \
	X(EXIT_TIMER, "preempt-timer") /* VMX only */                                  \
	X(EXIT_UD, "undefined")        /* #UD of an instruction that we emulate: .insn */ \
	X(EXIT_VIRT_INSN, "virt-insn") /* VMX/SVM instruction in the guest: #UD */     \
	X(EXIT_INVD, "invd")           /* INVD/WBINVD: skip */                         \
	X(EXIT_LOG_FULL, "log-full")   /* no room in the processor's dirty log: drained */ \
	X(EXIT_TRIPLE_FAULT, "triple-fault")                                           \
	X(EXIT_TASK_SWITCH, "task-switch") /* not emulated: stops the VM */            \
	X(EXIT_ENTRY_FAILED, "entry-failed") /* .hw: the processor refused the state */ \
	X(EXIT_UNKNOWN, "unknown")     /* .hw */

enum exit_reason {
#define EXIT_REASON_ENUM(id, name) id,
	EXIT_REASONS(EXIT_REASON_ENUM)
#undef EXIT_REASON_ENUM
	EXIT_REASON_COUNT
};

struct exit_io {
	uint16_t port;
	uint8_t size; /* 1, 2, 4 */
	bool in;
	bool string, rep;
};

struct exit_cr {
	uint8_t cr;         /* 0, 3, 4 or 8 */
	bool decoded;       /* false: the operand must be decoded from the instruction (SVM without decode assists) */
	bool has_value;     /* value is the operand itself (CLTS, LMSW); else it is in gpr; writes only */
	uint8_t gpr;        /* x86 encoding */
	uint64_t value;     /* the full new CR0 for CLTS and LMSW */
};

/* #PF that the guest's processor took on shadow tables; EXIT_PF only. */
struct exit_pf {
	uint32_t error; /* the code that it would have pushed */
};

/* An exception on its way into the guest, which has not seen it; the software ones have insn_len. */
struct exit_exception {
	uint8_t vector;
	uint8_t type; /* enum event_type */
	uint64_t dr6; /* VEC_DB: what it sets there; 0: the processor has done that */
};

struct vm_exit {
	enum exit_reason reason;
	uint8_t insn_len;   /* 0: not given by the processor, decode it */
	uint64_t hw_reason; /* the vendor's own number, for reports */
	uint64_t hw_info[2];
	bool gva_valid;     /* of .fault, .pf, EXIT_INVLPG: the processor said which linear address */
	gva_t gva;
	union {
		struct page_fault fault;
		struct exit_pf pf;
		struct exit_exception exception;
		struct exit_io io;
		struct exit_cr cr;
	};
};

/* ---- events -------------------------------------------------------------------- */

/* Numbers as both vendors encode them (VMX interruption type; SVM's differ only in 4). */
enum event_type {
	EVENT_INTR = 0,
	EVENT_NMI = 2,
	EVENT_EXCEPTION = 3,
	EVENT_SOFT_INT = 4,  /* INT n */
	EVENT_PRIV_TRAP = 5, /* INT1 */
	EVENT_SOFT_TRAP = 6, /* INT3, INTO */
};

struct vm_event {
	bool valid;
	uint8_t type;
	uint8_t vector;
	bool has_error;
	uint8_t insn_len; /* of the software interrupt, for reinjection */
	uint32_t error;
};

/* ---- guest state ------------------------------------------------------------------ */

/* x86 encoding order: it indexes vcpu_regs.gpr[]. */
enum { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI };

enum vm_seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_TR, SEG_LDTR, SEG_COUNT };

/*
 * attr: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16
 * (the VMX access-rights layout; SVM converts).
 */
struct vm_segment {
	uint16_t selector;
	uint32_t attr;
	uint32_t limit; /* in bytes, G already applied */
	uint64_t base;
};

#define SEG_ATTR_UNUSABLE (1u << 16)
#define SEG_ATTR_L (1u << 13)
#define SEG_ATTR_DB (1u << 14)
#define SEG_ATTR_DPL(a) (((a) >> 5) & 3)

struct vm_table {
	uint64_t base;
	uint16_t limit;
};

/* Where the next instruction lies, and all that decides how it is fetched and read. */
struct vm_code {
	uint64_t cr0, cr3, cr4, efer;
	gva_t gva;    /* CS:RIP */
	uint8_t size; /* 2, 4 or 8: the code segment's default operand and address size */
	uint8_t cpl;
};

/* What get_state/set_state move; the general registers live in vcpu->regs. */
struct vcpu_state {
	struct vm_segment seg[SEG_COUNT];
	struct vm_table gdt, idt;
	uint64_t cr0, cr3, cr4, efer, dr7; /* as the guest sees them */
};

/* ---- the operations ------------------------------------------------------------------ */

struct virt_caps {
	bool nested;            /* there is nested paging; else format … pml are of no use */
	enum mmu_format_id format;
	uint8_t root_level;     /* table levels the vendor will use */
	uint8_t max_leaf_level; /* PG_LEVEL_2M, PG_LEVEL_1G */
	uint8_t gpa_bits;       /* of a guest-physical address */
	uint8_t maxphyaddr;     /* of a host-physical address */
	bool hw_ad;
	bool pml;               /* the processor logs the guest-physical addresses it dirties */
	bool nmi_kicks;         /* an interrupt may fail to end guest mode while its IF is 0 (Bochs) */
	bool nrips;             /* exits carry instruction lengths */
	unsigned asids;         /* VPIDs or ASIDs */
	char text[96];          /* features for the log: "NPT, 16 ASIDs, no NRIPS" */
};

/*
 * Real mode, where the processor cannot have a guest in it: it is in virtual-8086 mode then, all
 * exceptions exit as EXIT_EXCEPTION (but #UD and #PF, which do as always), no event may be in vcpu->inject at
 * an entry, and realmode.c does what is missing.
 */
struct virt_real_ops {
	/* It is like that now; and, if so, what makes the guest's state impossible in that mode, or NULL. */
	bool (*active)(struct vcpu *vcpu);
	const char *(*obstacle)(struct vcpu *vcpu);
	void (*load_cs)(struct vcpu *vcpu, uint16_t selector);
	void (*get_table)(struct vcpu *vcpu, bool idt, struct vm_table *out);
	void (*set_table)(struct vcpu *vcpu, bool idt, const struct vm_table *table);
	void (*block_nmis)(struct vcpu *vcpu, bool on);
	void (*shadow_sti)(struct vcpu *vcpu);
};

struct virt_ops {
	const char *name; /* "svm" or "vmx" */

	/*
	 * Can this CPU do it?  0, or -ENODEV with one sentence in why that names the
	 * reason and, where there is one, the remedy.  Touches no state.
	 */
	int (*probe)(struct virt_caps *caps, char *why, size_t why_size);
	/* On each CPU, once. */
	int (*cpu_enable)(void);
	void (*cpu_disable)(void);

	/* Any CPU, interrupts on. 0 or -ENOMEM. */
	int (*vcpu_create)(struct vcpu *vcpu);
	void (*vcpu_destroy)(struct vcpu *vcpu);

	/*
	 * Make the vCPU current on this CPU / take it off it again: VMPTRLD, host state,
	 * lazily switched MSRs.  The FPU is moved by the caller.
	 */
	void (*vcpu_load)(struct vcpu *vcpu);
	void (*vcpu_put)(struct vcpu *vcpu);

	/*
	 * Enter the guest once.  vcpu->regs is loaded before and stored after; vcpu->exit says what
	 * ended it; vcpu->inject is injected and cleared.  An event whose delivery the exit cut short is put back into
	 * vcpu->inject.  Host exceptions and NMIs that arrived have been delivered
	 * when it returns; interrupts are left pending.
	 */
	void (*vcpu_run)(struct vcpu *vcpu);

	/*
	 * After every vcpu_run(), when caps.pml: hand what the processor logged to
	 * mmu_dirty_logged().  NULL where there is no such log.
	 */
	void (*drain_log)(struct vcpu *vcpu);

	/* While loaded and not in guest mode.  set_state: also, no shadow, no NMI in service. */
	void (*get_state)(struct vcpu *vcpu, struct vcpu_state *st);
	void (*set_state)(struct vcpu *vcpu, const struct vcpu_state *st);
	/* DR0-3 and DR6 as after INIT. */
	void (*clear_debug)(struct vcpu *vcpu);
	/*
	 * n is 0 … 3, 6 or 7; 32 bits, and what is reserved in them is as the processor has it. NULL
	 * where nothing needs them: no virt_real_ops, and an exit for #DB has set DR6 and DR7.
	 */
	uint64_t (*get_dr)(struct vcpu *vcpu, unsigned n);
	void (*set_dr)(struct vcpu *vcpu, unsigned n, uint64_t value);
	/*
	 * As the guest sees them; cr is 0, 3 or 4.  Values were checked by the caller.  Where the
	 * processor has to run with others (host-owned bits; of a VM with shadow paging all that
	 * struct mmu_paging_regs says), the backend sees to it.
	 */
	uint64_t (*get_cr)(struct vcpu *vcpu, unsigned cr);
	void (*set_cr)(struct vcpu *vcpu, unsigned cr, uint64_t value);
	uint64_t (*get_efer)(struct vcpu *vcpu);
	/* LMA included; the caller has computed it. */
	void (*set_efer)(struct vcpu *vcpu, uint64_t efer);
	unsigned (*get_cpl)(struct vcpu *vcpu);
	void (*get_segment)(struct vcpu *vcpu, enum vm_seg seg, struct vm_segment *out);
	void (*get_code)(struct vcpu *vcpu, struct vm_code *out);
	/* MSRs that the vendor keeps (FS/GS base, SYSENTER, STAR …, PAT). -ENOENT: not one of them. */
	int (*get_msr)(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
	int (*set_msr)(struct vcpu *vcpu, uint32_t msr, uint64_t value);

	/*
	 * From mmu_vcpu_load_root(): the nested root or, of a VM with shadow paging, what the
	 * processor's CR3 is, also when only what lies there has changed.
	 */
	void (*set_root)(struct vcpu *vcpu, hpa_t root);
	/* Before the next entry, drop all translations of this vCPU. */
	void (*flush_tlb)(struct vcpu *vcpu);

	/* The guest can take an interrupt right now (IF, STI/MOV SS shadow). */
	bool (*intr_allowed)(struct vcpu *vcpu);
	/*
	 * Exit with EXIT_INTR_WINDOW as soon as it can.  false: the vendor cannot tell when the
	 * shadow that it is in ends; the caller looks again soon.
	 */
	bool (*request_intr_window)(struct vcpu *vcpu, bool on);
	/*
	 * The guest can take an NMI right now: none is being handled, no shadow.  A window exits
	 * with EXIT_NMI_WINDOW (or EXIT_INTR_WINDOW) when that may have changed; the caller looks
	 * again, and where it still cannot, looks again soon.
	 */
	bool (*nmi_allowed)(struct vcpu *vcpu);
	void (*request_nmi_window)(struct vcpu *vcpu, bool on);
	/*
	 * The priority class in CR8, which the guest reads and writes without an exit; while
	 * trapped, MOV to CR8 exits with EXIT_CR_WRITE before it is done.
	 */
	unsigned (*get_cr8)(struct vcpu *vcpu);
	void (*set_cr8)(struct vcpu *vcpu, unsigned priority);
	void (*trap_cr8_write)(struct vcpu *vcpu, bool on);
	/* After an instruction was skipped: the STI/MOV SS shadow ends. */
	void (*clear_intr_shadow)(struct vcpu *vcpu);
	/*
	 * After an instruction was skipped with RFLAGS.TF set: the single-step trap is due
	 * (DR6.BS and #DB at the next entry, before the next instruction).
	 */
	void (*pend_single_step)(struct vcpu *vcpu);

	/* NULL: real mode is real mode. */
	const struct virt_real_ops *real;

	/* Everything the processor's structure says, line by line, for a report. */
	void (*dump)(struct vcpu *vcpu, void (*emit)(const char *line));
};

/* NULL-terminated, in the order in which they are tried. */
extern const struct virt_ops *const virt_backends[];
extern const struct virt_ops svm_ops, vmx_ops;

const char *exit_reason_name(enum exit_reason reason);
