/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtual machine control block: one page that tells the processor what to
 * intercept and what the guest's registers are, and where it reports why the guest
 * stopped.  Layout: APM vol. 2, appendix B; exit codes: appendix C.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* ---- intercepts ------------------------------------------------------------- */

/* intercept_cr_write, intercept_exceptions: bit n is CRn, vector n. */

/* intercept_misc1; bit n exits with code 0x60 + n. */
#define INTERCEPT_INTR        (1u << 0)
#define INTERCEPT_NMI         (1u << 1)
#define INTERCEPT_INIT        (1u << 3)
#define INTERCEPT_VINTR       (1u << 4)
#define INTERCEPT_RDPMC       (1u << 15)
#define INTERCEPT_CPUID       (1u << 18)
#define INTERCEPT_RSM         (1u << 19)
#define INTERCEPT_IRET        (1u << 20)
#define INTERCEPT_INVD        (1u << 22)
#define INTERCEPT_HLT         (1u << 24)
#define INTERCEPT_INVLPG      (1u << 25)
#define INTERCEPT_INVLPGA     (1u << 26)
#define INTERCEPT_IOIO        (1u << 27)
#define INTERCEPT_MSR         (1u << 28)
#define INTERCEPT_TASK_SWITCH (1u << 29)
#define INTERCEPT_SHUTDOWN    (1u << 31)

/* intercept_misc2; bit n exits with code 0x80 + n. */
#define INTERCEPT_VMRUN   (1u << 0) /* VMRUN refuses to run without it */
#define INTERCEPT_VMMCALL (1u << 1)
#define INTERCEPT_VMLOAD  (1u << 2)
#define INTERCEPT_VMSAVE  (1u << 3)
#define INTERCEPT_STGI    (1u << 4)
#define INTERCEPT_CLGI    (1u << 5)
#define INTERCEPT_SKINIT  (1u << 6)
#define INTERCEPT_WBINVD  (1u << 9)
#define INTERCEPT_MONITOR (1u << 10)
#define INTERCEPT_MWAIT   (1u << 11)
#define INTERCEPT_XSETBV  (1u << 13)
#define INTERCEPT_RDPRU   (1u << 14)

/* ---- exit codes --------------------------------------------------------------- */

enum vmcb_exit_code {
	VMEXIT_CR0_READ = 0x00,
	VMEXIT_CR3_READ = 0x03,
	VMEXIT_CR4_READ = 0x04,
	VMEXIT_CR0_WRITE = 0x10,
	VMEXIT_CR3_WRITE = 0x13,
	VMEXIT_CR4_WRITE = 0x14,
	VMEXIT_CR8_WRITE = 0x18,
	VMEXIT_EXCP_BASE = 0x40,
	VMEXIT_EXCP_DB = 0x41,
	VMEXIT_EXCP_UD = 0x46,
	VMEXIT_EXCP_PF = 0x4e,
	VMEXIT_EXCP_AC = 0x51,
	VMEXIT_EXCP_MC = 0x52,
	VMEXIT_INTR = 0x60,
	VMEXIT_NMI = 0x61,
	VMEXIT_INIT = 0x63,
	VMEXIT_VINTR = 0x64,
	VMEXIT_RDPMC = 0x6f,
	VMEXIT_CPUID = 0x72,
	VMEXIT_RSM = 0x73,
	VMEXIT_IRET = 0x74,
	VMEXIT_INVD = 0x76,
	VMEXIT_HLT = 0x78,
	VMEXIT_INVLPG = 0x79,
	VMEXIT_INVLPGA = 0x7a,
	VMEXIT_IOIO = 0x7b,
	VMEXIT_MSR = 0x7c,
	VMEXIT_TASK_SWITCH = 0x7d,
	VMEXIT_SHUTDOWN = 0x7f,
	VMEXIT_VMRUN = 0x80,
	VMEXIT_VMMCALL = 0x81,
	VMEXIT_VMLOAD = 0x82,
	VMEXIT_VMSAVE = 0x83,
	VMEXIT_STGI = 0x84,
	VMEXIT_CLGI = 0x85,
	VMEXIT_SKINIT = 0x86,
	VMEXIT_WBINVD = 0x89,
	VMEXIT_MONITOR = 0x8a,
	VMEXIT_MWAIT = 0x8b,
	VMEXIT_MWAIT_ARMED = 0x8c,
	VMEXIT_XSETBV = 0x8d,
	VMEXIT_RDPRU = 0x8e,
	VMEXIT_NPF = 0x400,
};

/* -1; the manual says 64 bits, QEMU writes 32: compare the low half only. */
#define VMEXIT_INVALID 0xffffffffu

/* EXITINFO1 of IOIO */
#define IOIO_IN         (1u << 0)
#define IOIO_STRING     (1u << 2)
#define IOIO_REP        (1u << 3)
#define IOIO_SIZE_SHIFT 4 /* one-hot: 1, 2 or 4 bytes */
#define IOIO_SIZE_MASK  7u
#define IOIO_PORT_SHIFT 16

/* EXITINFO1 of a nested page fault; EXITINFO2 is the guest-physical address. */
#define NPF_PRESENT  (1ul << 0)
#define NPF_WRITE    (1ul << 1)
#define NPF_RESERVED (1ul << 3)
#define NPF_FETCH    (1ul << 4)
#define NPF_GPT_WALK (1ul << 33) /* on the way through the guest's own tables */

/* EXITINFO1 of a CR access, with decode assists */
#define CR_INFO_MOV      (1ul << 63) /* MOV; clear for CLTS, LMSW and SMSW */
#define CR_INFO_GPR_MASK 0xful

/* ---- other fields ---------------------------------------------------------------- */

/* EVENTINJ and EXITINTINFO */
#define VMCB_EVENT_TYPE_SHIFT 8
#define VMCB_EVENT_TYPE_MASK  7u
#define VMCB_EVENT_HAS_ERROR  (1u << 11)
#define VMCB_EVENT_VALID      (1u << 31)

/* tlb_control */
#define VMCB_TLB_NOTHING    0
#define VMCB_TLB_FLUSH_ALL  1
#define VMCB_TLB_FLUSH_ASID 3 /* needs FlushByASID */

/* int_ctl */
#define VMCB_V_TPR_MASK     0xfu
#define VMCB_V_IRQ          (1u << 8)
#define VMCB_V_PRIO_MASK    (0xfu << 16)
#define VMCB_V_IGN_TPR      (1u << 20)
#define VMCB_V_INTR_MASKING (1u << 24)

#define VMCB_INT_SHADOW (1ul << 0)
#define VMCB_NP_ENABLE  (1ul << 0)

/* Clean bits: what the processor may take from its cache of the last VMRUN. */
#define VMCB_CLEAN_INTERCEPTS (1u << 0) /* and TSC offset */
#define VMCB_CLEAN_MAPS       (1u << 1)
#define VMCB_CLEAN_ASID       (1u << 2)
#define VMCB_CLEAN_INT_CTL    (1u << 3)
#define VMCB_CLEAN_NP         (1u << 4) /* nCR3, gPAT */
#define VMCB_CLEAN_CRX        (1u << 5) /* CR0, CR3, CR4, EFER */
#define VMCB_CLEAN_DRX        (1u << 6)
#define VMCB_CLEAN_DT         (1u << 7)
#define VMCB_CLEAN_SEG        (1u << 8) /* CS, DS, SS, ES, CPL */
#define VMCB_CLEAN_CR2        (1u << 9)

/* attr: the access byte in 7:0, then AVL, L, D/B, G in 11:8. */
#define VMCB_SEG_PRESENT (1u << 7)
#define VMCB_SEG_L       (1u << 9)
#define VMCB_SEG_DB      (1u << 10)

struct vmcb_seg {
	uint16_t selector;
	uint16_t attr;
	uint32_t limit; /* in bytes */
	uint64_t base;
};

struct vmcb_control {
	uint16_t intercept_cr_read;
	uint16_t intercept_cr_write;
	uint16_t intercept_dr_read;
	uint16_t intercept_dr_write;
	uint32_t intercept_exceptions;
	uint32_t intercept_misc1;
	uint32_t intercept_misc2;
	uint32_t intercept_misc3;
	uint8_t reserved_018[0x03c - 0x018];
	uint16_t pause_threshold;
	uint16_t pause_count;
	uint64_t iopm_pa;
	uint64_t msrpm_pa;
	uint64_t tsc_offset;
	uint32_t asid;
	uint8_t tlb_control;
	uint8_t reserved_05d[3];
	uint32_t int_ctl;
	uint32_t int_vector;
	uint64_t int_state;
	uint64_t exit_code;
	uint64_t exit_info[2];
	uint32_t exit_int_info;
	uint32_t exit_int_error;
	uint64_t np_control;
	uint8_t reserved_098[0x0a8 - 0x098];
	uint32_t event_inj;
	uint32_t event_error;
	uint64_t ncr3;
	uint64_t lbr_control;
	uint32_t clean;
	uint32_t reserved_0c4;
	uint64_t next_rip; /* with NRIPS */
	uint8_t insn_count;
	uint8_t insn_bytes[15];
	uint8_t reserved_0e0[0x400 - 0x0e0];
};

struct vmcb_save {
	struct vmcb_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved_0a0[0x0cb - 0x0a0];
	uint8_t cpl;
	uint32_t reserved_0cc;
	uint64_t efer;
	uint8_t reserved_0d8[0x148 - 0x0d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved_180[0x1d8 - 0x180];
	uint64_t rsp;
	uint8_t reserved_1e0[0x1f8 - 0x1e0];
	uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip, cr2;
	uint8_t reserved_248[0x268 - 0x248];
	uint64_t pat;
	uint8_t reserved_270[0xc00 - 0x270];
};

struct vmcb {
	struct vmcb_control control;
	struct vmcb_save save;
};

#define VMCB_AT(member, offset) \
	_Static_assert(offsetof(struct vmcb, member) == (offset), #member)

VMCB_AT(control.intercept_exceptions, 0x008);
VMCB_AT(control.intercept_misc2, 0x010);
VMCB_AT(control.pause_count, 0x03e);
VMCB_AT(control.iopm_pa, 0x040);
VMCB_AT(control.asid, 0x058);
VMCB_AT(control.tlb_control, 0x05c);
VMCB_AT(control.int_ctl, 0x060);
VMCB_AT(control.int_state, 0x068);
VMCB_AT(control.exit_code, 0x070);
VMCB_AT(control.exit_int_info, 0x088);
VMCB_AT(control.np_control, 0x090);
VMCB_AT(control.event_inj, 0x0a8);
VMCB_AT(control.ncr3, 0x0b0);
VMCB_AT(control.clean, 0x0c0);
VMCB_AT(control.next_rip, 0x0c8);
VMCB_AT(control.insn_bytes, 0x0d1);
VMCB_AT(save.es, 0x400);
VMCB_AT(save.gdtr, 0x460);
VMCB_AT(save.tr, 0x490);
VMCB_AT(save.cpl, 0x4cb);
VMCB_AT(save.efer, 0x4d0);
VMCB_AT(save.cr4, 0x548);
VMCB_AT(save.rip, 0x578);
VMCB_AT(save.rsp, 0x5d8);
VMCB_AT(save.rax, 0x5f8);
VMCB_AT(save.cr2, 0x640);
VMCB_AT(save.pat, 0x668);
_Static_assert(sizeof(struct vmcb) == 4096, "a VMCB is one page");

#undef VMCB_AT
