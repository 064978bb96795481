/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Phyllo's hypercalls, for guests of any kind: copy this file.
 *
 * Find the hypervisor: CPUID leaf 0x40000000 gives the highest leaf in eax and
 * the signature "PhylloPhyllo" in ebx, ecx, edx; leaf 0x40000001 gives the ABI version
 * in eax and the feature bits (PHYLLO_FEATURE_*) in ebx.
 *
 * Call: VMCALL or VMMCALL, either works on either vendor.  Number in rax,
 * arguments in rbx, rcx, rdx, rsi, result in rax; no other register changes.
 * In 32-bit mode the low halves of the registers are used and the result is
 * truncated.  Results below zero are errors:
 *
 *   PHYLLO_ENOSYS (-1000)  no such call (KVM's number for it)
 *   PHYLLO_EPERM     (-1)  from CPL > 0, or another VM was named without the right
 *   PHYLLO_EINVAL   (-22)  an argument is malformed: alignment, empty, overflow, unknown flag
 *   PHYLLO_ENOENT    (-2)  the range leaves guest memory
 *   PHYLLO_EFAULT   (-14)  a buffer is not guest memory
 *   PHYLLO_ENOMEM   (-12)  the host has no memory for it
 *
 * A call that fails has changed nothing, unless its comment says otherwise.
 * Addresses are guest physical; ranges are in bytes, 4096-aligned.
 *
 * ABI changes: new calls get new numbers and a feature bit; a number never
 * changes its meaning.
 */
#ifndef PHYLLO_HYPERCALL_H
#define PHYLLO_HYPERCALL_H

#define PHYLLO_ABI_VERSION 1

#define PHYLLO_CPUID_BASE     0x40000000u
#define PHYLLO_CPUID_FEATURES 0x40000001u
#define PHYLLO_SIGNATURE      "PhylloPhyllo"

#define PHYLLO_HC_BASE 0x50480000u /* "PH": KVM's and Xen's numbers are far below */

/* -> PHYLLO_ABI_VERSION of the running hypervisor. */
#define PHYLLO_HC_VERSION       (PHYLLO_HC_BASE + 0)
/* -> PHYLLO_FEATURE_* bits. */
#define PHYLLO_HC_FEATURES      (PHYLLO_HC_BASE + 1)
/* rbx = gpa, rcx = bytes (at most PHYLLO_CONSOLE_MAX).  -> bytes written. */
#define PHYLLO_HC_CONSOLE_WRITE (PHYLLO_HC_BASE + 2)
/* rbx = code; 0 is success.  Ends the whole VM; does not return. */
#define PHYLLO_HC_EXIT          (PHYLLO_HC_BASE + 3)
/*
 * rbx = gpa, rcx = bytes, rdx = PHYLLO_MAY_BLOCK or 0, rsi = VM (0: the caller's).
 * OUT gives pages back to the host; their contents are gone and a touch is a
 * touch of nothing until IN, after which they read as zeroes.
 * -> pages that really went or came.
 */
#define PHYLLO_HC_BALLOON_OUT   (PHYLLO_HC_BASE + 4)
#define PHYLLO_HC_BALLOON_IN    (PHYLLO_HC_BASE + 5)
/*
 * rbx = gpa, rcx = bytes, rdx = PHYLLO_MAY_BLOCK or 0, rsi = VM (0: the caller's).
 * Removes the mappings; contents stay and come back at the next touch.  -> 0.
 */
#define PHYLLO_HC_UNMAP         (PHYLLO_HC_BASE + 6)
/*
 * rbx = gpa of an array of struct phyllo_stat, rcx = its size in bytes,
 * rdx = 0, rsi = VM (0: the caller's).  -> number of statistics there are; as
 * many as fit were written (size 0 asks for the number only).
 */
#define PHYLLO_HC_STATS_READ    (PHYLLO_HC_BASE + 7)
/* rsi = VM (0: the caller's).  -> 0, or the number of errors the MMU audit found. */
#define PHYLLO_HC_AUDIT         (PHYLLO_HC_BASE + 8)

#define PHYLLO_FEATURE_CONSOLE (1u << 0)
#define PHYLLO_FEATURE_BALLOON (1u << 1)
#define PHYLLO_FEATURE_UNMAP   (1u << 2)
#define PHYLLO_FEATURE_STATS   (1u << 3)
#define PHYLLO_FEATURE_AUDIT   (1u << 4)

#define PHYLLO_MAY_BLOCK   1u /* the operation may let others run in between */
#define PHYLLO_CONSOLE_MAX 4096u

#define PHYLLO_EPERM  (-1)
#define PHYLLO_ENOENT (-2)
#define PHYLLO_ENOMEM (-12)
#define PHYLLO_EFAULT (-14)
#define PHYLLO_EINVAL (-22)
#define PHYLLO_ENOSYS (-1000)

#ifndef __ASSEMBLER__
struct phyllo_stat {
	char name[24]; /* NUL-terminated */
	unsigned long long value;
};
#endif

#endif
