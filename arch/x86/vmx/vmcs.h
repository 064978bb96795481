/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VT-x as the manual numbers it: capability MSRs, VMCS fields, control bits, exit
 * reasons.  Sources: SDM vol. 3C chapters 25-28 and appendices A-C.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* ---- capability MSRs (appendix A) ---------------------------------------------------- */

#define MSR_VMX_BASIC 0x480
#define MSR_VMX_PIN 0x481 /* the same of processors without TRUE controls */
#define MSR_VMX_PROC 0x482
#define MSR_VMX_EXIT 0x483
#define MSR_VMX_ENTRY 0x484
#define MSR_VMX_MISC 0x485
#define MSR_VMX_CR0_FIXED0 0x486
#define MSR_VMX_CR0_FIXED1 0x487
#define MSR_VMX_CR4_FIXED0 0x488
#define MSR_VMX_CR4_FIXED1 0x489
#define MSR_VMX_PROC2 0x48b
#define MSR_VMX_EPT_VPID 0x48c
#define MSR_VMX_TRUE_PIN 0x48d
#define MSR_VMX_TRUE_PROC 0x48e
#define MSR_VMX_TRUE_EXIT 0x48f
#define MSR_VMX_TRUE_ENTRY 0x490

#define VMX_BASIC_REVISION(basic) ((uint32_t)(basic) & 0x7fffffff)
#define VMX_BASIC_TRUE_CONTROLS (1ul << 55)
#define VMX_MISC_TIMER_SHIFT(misc) ((unsigned)(misc) & 31)

#define EPT_CAP_4_LEVELS (1ul << 6)
#define EPT_CAP_WB (1ul << 14)
#define EPT_CAP_2M (1ul << 16)
#define EPT_CAP_1G (1ul << 17)
#define EPT_CAP_INVEPT (1ul << 20)
#define EPT_CAP_AD (1ul << 21)
#define EPT_CAP_INVEPT_SINGLE (1ul << 25)
#define EPT_CAP_INVEPT_ALL (1ul << 26)
#define EPT_CAP_INVVPID (1ul << 32)
#define EPT_CAP_INVVPID_SINGLE (1ul << 41)
#define EPT_CAP_INVVPID_ALL (1ul << 42)

#define FEATURE_CONTROL_LOCKED (1ul << 0)
#define FEATURE_CONTROL_VMX (1ul << 2) /* outside SMX */

/* ---- control bits (25.6 - 25.8) ------------------------------------------------------ */

#define PIN_EXT_INTR (1u << 0)
#define PIN_NMI (1u << 3)
#define PIN_VIRTUAL_NMI (1u << 5)
#define PIN_TIMER (1u << 6)

#define PROC_INTR_WINDOW (1u << 2)
#define PROC_HLT (1u << 7)
#define PROC_INVLPG (1u << 9)
#define PROC_MWAIT (1u << 10)
#define PROC_RDPMC (1u << 11)
#define PROC_CR3_LOAD (1u << 15)
#define PROC_CR3_STORE (1u << 16)
#define PROC_CR8_LOAD (1u << 19)
#define PROC_TPR_SHADOW (1u << 21)
#define PROC_NMI_WINDOW (1u << 22)
#define PROC_IO (1u << 24) /* unconditional */
#define PROC_MSR_BITMAP (1u << 28)
#define PROC_MONITOR (1u << 29)
#define PROC_SECONDARY (1u << 31)

#define PROC2_EPT (1u << 1)
#define PROC2_VPID (1u << 5)
#define PROC2_WBINVD (1u << 6)
#define PROC2_UNRESTRICTED (1u << 7)
#define PROC2_PML (1u << 17)

#define VMEXIT_SAVE_DEBUG (1u << 2)
#define VMEXIT_HOST_64BIT (1u << 9)
#define VMEXIT_LOAD_PAT (1u << 19)
#define VMEXIT_LOAD_EFER (1u << 21)

#define VMENTRY_LOAD_DEBUG (1u << 2)
#define VMENTRY_IA32E (1u << 9)
#define VMENTRY_LOAD_PAT (1u << 14)
#define VMENTRY_LOAD_EFER (1u << 15)

/* ---- other bit layouts --------------------------------------------------------------- */

#define EPTP_WB 6u
#define EPTP_LEVELS(n) (((uint64_t)(n) - 1) << 3)
#define EPTP_AD (1u << 6)

/* Event information, entry and exit alike (25.8.3, 25.9.2). */
#define EVENT_INFO_VECTOR 0xffu
#define EVENT_INFO_TYPE(info) ((info) >> 8 & 7)
#define EVENT_INFO_ERROR (1u << 11)
#define EVENT_INFO_NMI_UNBLOCKED (1u << 12) /* exit only: an IRET had just ended NMI blocking */
#define EVENT_INFO_VALID (1u << 31)

#define INTERRUPTIBILITY_STI (1u << 0)
#define INTERRUPTIBILITY_MOV_SS (1u << 1)
#define INTERRUPTIBILITY_NMI (1u << 3)

#define PENDING_DEBUG_SINGLE_STEP (1u << 14)

/* Exit qualification of an EPT violation (table 28-7). */
#define EPT_QUAL_WRITE (1ul << 1)
#define EPT_QUAL_FETCH (1ul << 2)
#define EPT_QUAL_PRESENT (7ul << 3)
#define EPT_QUAL_LINEAR (1ul << 7)     /* the access had a linear address ... */
#define EPT_QUAL_TRANSLATED (1ul << 8) /* ... and this is its translation, not the walk to it */
#define EPT_QUAL_NMI_UNBLOCKED (1ul << 12)

#define REASON_ENTRY_FAILED (1u << 31)

/* ---- exit reasons (appendix C): (name, number) --------------------------------------- */

#define VMX_REASONS(X)                                                                  \
	X(EXCEPTION_NMI, 0) X(EXTERNAL_INTERRUPT, 1) X(TRIPLE_FAULT, 2) X(INIT, 3)      \
	X(INTR_WINDOW, 7) X(NMI_WINDOW, 8) X(TASK_SWITCH, 9) X(CPUID, 10) X(GETSEC, 11) X(HLT, 12)       \
	X(INVD, 13) X(INVLPG, 14) X(RDPMC, 15) X(VMCALL, 18) X(VMCLEAR, 19) X(VMLAUNCH, 20)           \
	X(VMPTRLD, 21) X(VMPTRST, 22) X(VMREAD, 23) X(VMRESUME, 24) X(VMWRITE, 25)      \
	X(VMXOFF, 26) X(VMXON, 27) X(CR_ACCESS, 28) X(IO, 30) X(RDMSR, 31)              \
	X(WRMSR, 32) X(INVALID_STATE, 33) X(MSR_LOADING, 34) X(MWAIT, 36)               \
	X(MONITOR, 39) X(ENTRY_MACHINE_CHECK, 41) X(EPT_VIOLATION, 48)                  \
	X(EPT_MISCONFIG, 49) X(INVEPT, 50) X(PREEMPT_TIMER, 52) X(INVVPID, 53)          \
	X(WBINVD, 54) X(XSETBV, 55) X(PML_FULL, 62)

enum vmx_reason {
#define VMX_REASON_ENUM(name, number) REASON_##name = number,
	VMX_REASONS(VMX_REASON_ENUM)
#undef VMX_REASON_ENUM
	REASON_COUNT = 64,
	/* Ours: VMLAUNCH/VMRESUME itself failed, and hw_info[0] is the VM-instruction error. */
	REASON_VMFAIL = 0xffff,
};

/* ---- VMCS fields (appendix B) -------------------------------------------------------- */

/* Segments follow the instruction encoding, then LDTR and TR, two apart. */
#define VMCS_GUEST_SELECTOR(seg) (0x0800u + 2 * (seg))
#define VMCS_GUEST_LIMIT(seg) (0x4800u + 2 * (seg))
#define VMCS_GUEST_ATTR(seg) (0x4814u + 2 * (seg))
#define VMCS_GUEST_BASE(seg) (0x6806u + 2 * (seg))
#define VMCS_SEG_LDTR 6u
#define VMCS_SEG_TR 7u
#define VMCS_PDPTE(n) (0x280au + 2 * (n))

enum vmcs_field {
	VMCS_VPID = 0x0000,
	VMCS_PML_INDEX = 0x0812,
	VMCS_HOST_ES = 0x0c00,
	VMCS_HOST_CS = 0x0c02,
	VMCS_HOST_SS = 0x0c04,
	VMCS_HOST_DS = 0x0c06,
	VMCS_HOST_FS = 0x0c08,
	VMCS_HOST_GS = 0x0c0a,
	VMCS_HOST_TR = 0x0c0c,

	VMCS_MSR_BITMAP = 0x2004,
	VMCS_EXIT_MSR_LOAD_ADDR = 0x2008,
	VMCS_ENTRY_MSR_LOAD_ADDR = 0x200a,
	VMCS_PML = 0x200e,
	VMCS_VIRTUAL_APIC = 0x2012,
	VMCS_EPTP = 0x201a,
	VMCS_GUEST_PHYSICAL = 0x2400,
	VMCS_LINK = 0x2800,
	VMCS_GUEST_DEBUGCTL = 0x2802,
	VMCS_GUEST_PAT = 0x2804,
	VMCS_GUEST_EFER = 0x2806,
	VMCS_HOST_PAT = 0x2c00,
	VMCS_HOST_EFER = 0x2c02,

	VMCS_PIN = 0x4000,
	VMCS_PROC = 0x4002,
	VMCS_EXCEPTIONS = 0x4004,
	VMCS_PF_ERROR_MASK = 0x4006,
	VMCS_PF_ERROR_MATCH = 0x4008,
	VMCS_CR3_TARGETS = 0x400a,
	VMCS_EXIT = 0x400c,
	VMCS_EXIT_MSR_STORES = 0x400e,
	VMCS_EXIT_MSR_LOADS = 0x4010,
	VMCS_ENTRY = 0x4012,
	VMCS_ENTRY_MSR_LOADS = 0x4014,
	VMCS_ENTRY_EVENT = 0x4016,
	VMCS_ENTRY_ERROR = 0x4018,
	VMCS_ENTRY_INSN_LEN = 0x401a,
	VMCS_TPR_THRESHOLD = 0x401c,
	VMCS_PROC2 = 0x401e,
	VMCS_INSN_ERROR = 0x4400,
	VMCS_EXIT_REASON = 0x4402,
	VMCS_EXIT_EVENT = 0x4404,
	VMCS_EXIT_EVENT_ERROR = 0x4406,
	VMCS_IDT_EVENT = 0x4408,
	VMCS_IDT_EVENT_ERROR = 0x440a,
	VMCS_EXIT_INSN_LEN = 0x440c,
	VMCS_GUEST_GDT_LIMIT = 0x4810,
	VMCS_GUEST_IDT_LIMIT = 0x4812,
	VMCS_GUEST_INTERRUPTIBILITY = 0x4824,
	VMCS_GUEST_ACTIVITY = 0x4826,
	VMCS_GUEST_SYSENTER_CS = 0x482a,
	VMCS_TIMER = 0x482e,
	VMCS_HOST_SYSENTER_CS = 0x4c00,

	VMCS_CR0_MASK = 0x6000,
	VMCS_CR4_MASK = 0x6002,
	VMCS_CR0_SHADOW = 0x6004,
	VMCS_CR4_SHADOW = 0x6006,
	VMCS_QUALIFICATION = 0x6400,
	VMCS_GUEST_LINEAR = 0x640a,
	VMCS_GUEST_CR0 = 0x6800,
	VMCS_GUEST_CR3 = 0x6802,
	VMCS_GUEST_CR4 = 0x6804,
	VMCS_GUEST_GDT_BASE = 0x6816,
	VMCS_GUEST_IDT_BASE = 0x6818,
	VMCS_GUEST_DR7 = 0x681a,
	VMCS_GUEST_RSP = 0x681c,
	VMCS_GUEST_RIP = 0x681e,
	VMCS_GUEST_RFLAGS = 0x6820,
	VMCS_GUEST_PENDING_DEBUG = 0x6822,
	VMCS_GUEST_SYSENTER_ESP = 0x6824,
	VMCS_GUEST_SYSENTER_EIP = 0x6826,
	VMCS_HOST_CR0 = 0x6c00,
	VMCS_HOST_CR3 = 0x6c02,
	VMCS_HOST_CR4 = 0x6c04,
	VMCS_HOST_FS_BASE = 0x6c06,
	VMCS_HOST_GS_BASE = 0x6c08,
	VMCS_HOST_TR_BASE = 0x6c0a,
	VMCS_HOST_GDT_BASE = 0x6c0c,
	VMCS_HOST_IDT_BASE = 0x6c0e,
	VMCS_HOST_SYSENTER_ESP = 0x6c10,
	VMCS_HOST_SYSENTER_EIP = 0x6c12,
	VMCS_HOST_RSP = 0x6c14, /* vmx_entry.asm has this number too */
	VMCS_HOST_RIP = 0x6c16,
};

