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
 *   PHYLLO_ENOENT    (-2)  the range leaves guest memory; no such slot; no dirty log on it; no
 *                          such vCPU or VM
 *   PHYLLO_EFAULT   (-14)  a buffer is not guest memory
 *   PHYLLO_ENOMEM   (-12)  the host has no memory for it
 *   PHYLLO_EBUSY    (-16)  the slot has a dirty log already; the vCPU is started already
 *   PHYLLO_EEXIST   (-17)  the slot's id is taken, or something is at its addresses
 *
 * A call that fails has changed nothing, unless its comment says otherwise.
 * Addresses are guest physical; ranges are in bytes, 4096-aligned.  A register that
 * a call does not name is not looked at.
 *
 * Some calls take a structure: rbx is its address (any alignment), rcx its size, which must be
 * what this header says.  "VM" is 0 for the caller's; its own id is accepted, too.  A privileged VM
 * may give the id of any other that runs: ranges, slots and results are that one's then, while
 * structures and buffers are still the caller's memory.
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


/* ---- protection (PHYLLO_FEATURE_PROTECT) -------------------------------------------- */

/*
 * rbx = gpa, rcx = bytes, rdx = one of PHYLLO_PROTECT_*, with PHYLLO_MAY_BLOCK or without,
 * rsi = VM.  What the guest may do with the pages from now on, until the next such call.  An
 * access that is forbidden is delivered to its vCPU as exception 20 (#VE), see PHYLLO_HC_VE_SETUP.
 * The hypervisor's own accesses (buffers of hypercalls) are not affected.  -> 0.
 */
#define PHYLLO_HC_PROTECT       (PHYLLO_HC_BASE + 9)
/*
 * rbx = gpa of a struct phyllo_ve, 4096-aligned, in a page that the guest may write; or
 * PHYLLO_VE_OFF.  rcx = 0.  The structure of the calling vCPU from now on; it is zeroed.
 * Without one a forbidden access stops the VM.  -> 0.
 */
#define PHYLLO_HC_VE_SETUP      (PHYLLO_HC_BASE + 10)

/* ---- ageing (PHYLLO_FEATURE_AGE) -------------------------------------------------------- */

/*
 * A page is young when it was accessed since it was aged last; a page that is not mapped is old,
 * and pages that are mapped together are young together.
 */
/* rbx = gpa, rcx = bytes, rdx = 0, rsi = VM.  -> pages that were young; all are old now. */
#define PHYLLO_HC_AGE           (PHYLLO_HC_BASE + 11)
/* The same arguments.  -> 1 when any page is young, else 0.  Changes nothing. */
#define PHYLLO_HC_TEST_AGE      (PHYLLO_HC_BASE + 12)
/*
 * rbx = gpa of a struct phyllo_age_bitmap, rcx = its size, rdx = 0, rsi = VM.  -> number of bits
 * set.  PHYLLO_EFAULT may come after the bitmap's beginning was written (and aged).
 */
#define PHYLLO_HC_AGE_BITMAP    (PHYLLO_HC_BASE + 13)

/* ---- dirty log (PHYLLO_FEATURE_DIRTY) ---------------------------------------------------- */

/*
 * rbx = slot, rcx = PHYLLO_DIRTY_STYLE_*, rdx = PHYLLO_DIRTY_ALL_SET, PHYLLO_DIRTY_NO_SPLIT, both
 * or 0, rsi = VM.  Writes to the slot's pages are noted from now on.  A style that this MMU does
 * not have is PHYLLO_EINVAL (PHYLLO_HC_MMU_MODE says which it has).  -> 0.
 */
#define PHYLLO_HC_DIRTY_START   (PHYLLO_HC_BASE + 14)
/*
 * rbx = gpa of a struct phyllo_dirty, rcx = its size, rdx = 0, rsi = VM.  Writes one bit per page.
 * With PHYLLO_DIRTY_GET_CLEAR the pages reported are clean when it returns: a later write sets them
 * again.  -> number of bits set.  PHYLLO_EFAULT may come after the beginning was written
 * and cleared; what was not reported is never cleared.
 */
#define PHYLLO_HC_DIRTY_GET     (PHYLLO_HC_BASE + 15)
/*
 * The same structure, flags 0: the pages whose bits are set are clean when it returns.  -> 0.
 * PHYLLO_EFAULT may come after the beginning was cleared.
 */
#define PHYLLO_HC_DIRTY_CLEAR   (PHYLLO_HC_BASE + 16)
/* rbx = slot, rsi = VM.  -> 0. */
#define PHYLLO_HC_DIRTY_STOP    (PHYLLO_HC_BASE + 17)

/* ---- memory slots (PHYLLO_FEATURE_SLOTS) ---------------------------------------------------- */

/*
 * Slots are the places where a VM has memory.  Those that it starts with have the ids 0, 1 …; a
 * VM may change and remove those as well, and is on its own then.
 *
 * rbx = gpa of a struct phyllo_slot, rcx = its size, rdx = 0, rsi = VM.  New memory, which reads
 * as zeroes.  PHYLLO_EINVAL also: id >= PHYLLO_SLOT_IDS, larger than the memory the VM started with,
 * beyond the guest-physical addresses, unknown flag.  It is address space: all pages that are ever
 * in use together stay within twice the memory that the VM started with.  -> 0.
 */
#define PHYLLO_HC_SLOT_CREATE   (PHYLLO_HC_BASE + 18)
/* rbx = id, rsi = VM.  Pages and contents are gone when it returns.  -> 0. */
#define PHYLLO_HC_SLOT_DELETE   (PHYLLO_HC_BASE + 19)
/* rbx = id, rcx = new gpa, rsi = VM.  The same pages at another place.  -> 0. */
#define PHYLLO_HC_SLOT_MOVE     (PHYLLO_HC_BASE + 20)
/* rbx = id, rcx = PHYLLO_SLOT_READONLY or 0, rsi = VM.  -> 0. */
#define PHYLLO_HC_SLOT_FLAGS    (PHYLLO_HC_BASE + 21)
/* rbx = gpa of a struct phyllo_slot whose id is filled in, rcx = its size, rdx = 0, rsi = VM.
 * Fills in the rest.  -> 0. */
#define PHYLLO_HC_SLOT_INFO     (PHYLLO_HC_BASE + 22)

/* ---- the MMU (PHYLLO_FEATURE_MMU) --------------------------------------------------------- */

/* rbx = gpa of a struct phyllo_mmu_mode to fill in, rcx = its size, rdx = 0, rsi = VM.  -> 0. */
#define PHYLLO_HC_MMU_MODE      (PHYLLO_HC_BASE + 23)
/*
 * rbx = gpa, rcx = bytes, rdx = PHYLLO_MAY_BLOCK or 0, rsi = VM.  Puts other host pages behind the
 * range, with the same contents.  -> pages exchanged.  PHYLLO_ENOMEM may come after the beginning
 * was exchanged.
 */
#define PHYLLO_HC_MIGRATE       (PHYLLO_HC_BASE + 24)
/* rsi = VM.  Every mapping goes at once; contents stay.  -> 0. */
#define PHYLLO_HC_ZAP_ALL       (PHYLLO_HC_BASE + 25)
/*
 * rbx = gpa, rcx = bytes (at most PHYLLO_DUMP_MAX), rdx = 0, rsi = VM.  The tables over the range
 * as text, to the hypervisor's console; what exceeds PHYLLO_DUMP_TEXT characters is left out.
 * -> lines printed.
 */
#define PHYLLO_HC_DUMP          (PHYLLO_HC_BASE + 26)

/*
 * rsi = VM.  Large mappings that were split because they were executed (PHYLLO_MODE_NX_HUGE_PAGES)
 * come back soon; by itself that happens every minute or so.  -> 0.
 */
#define PHYLLO_HC_NX_RECOVER    (PHYLLO_HC_BASE + 27)

/* ---- virtual CPUs (PHYLLO_FEATURE_SMP) ------------------------------------------------------ */

/*
 * rbx = id of a vCPU of this VM, rcx = address below 4 GiB, rdx = any 32-bit value.  Starts a vCPU
 * that waits (all but vCPU 0 do at first, and after an INIT), in the state in which multiboot
 * enters a kernel: 32-bit protected mode without paging, flat segments, interrupts off; eip = rcx,
 * eax = ebx = rdx, the other registers 0.  PHYLLO_ENOENT: no such vCPU; PHYLLO_EBUSY: it does not
 * wait.  -> 0; it may run already.
 */
#define PHYLLO_HC_VCPU_START    (PHYLLO_HC_BASE + 28)
/* rbx = 0: -> id of the calling vCPU, its APIC ID.  rbx = PHYLLO_VCPU_COUNT: -> vCPUs of this VM. */
#define PHYLLO_HC_VCPU_ID       (PHYLLO_HC_BASE + 29)
/* The rest of this time slice goes to others.  -> 0. */
#define PHYLLO_HC_YIELD         (PHYLLO_HC_BASE + 30)

/* ---- latencies (PHYLLO_FEATURE_LATENCY) ----------------------------------------------------- */

/*
 * rbx = gpa of a struct phyllo_latency whose kind and flags are filled in, rcx = its size, rdx = 0,
 * rsi = VM.  Fills in the rest: how long things of that kind took since the VM began or it was last
 * reset.  Kinds are numbered from 0; PHYLLO_EINVAL: no such kind.  -> 0.
 */
#define PHYLLO_HC_LATENCY       (PHYLLO_HC_BASE + 31)

/* ---- VMs (PHYLLO_FEATURE_VMS) --------------------------------------------------------------- */

/*
 * rbx = gpa of a struct phyllo_vm_info to fill in, rcx = its size, rdx = 0, rsi = VM.  A
 * privileged VM may ask for any id, also of one that has ended or was not started yet: the first
 * VM has the id 1, and `next` leads from one to the other.  -> 0.
 */
#define PHYLLO_HC_VM_INFO       (PHYLLO_HC_BASE + 32)
/*
 * rbx = PHYLLO_VM_*, rsi = VM.  For privileged VMs only.  Asks for it and returns at once: VM_INFO
 * tells when it is done.  PAUSE: its vCPUs leave the guest and wait.  RESUME: they go on.
 * DESTROY: it ends, and its memory goes back to the host.  RESTART: the same, and it starts
 * afresh; also one that has ended.  PHYLLO_ENOENT: no such VM, or (but for RESTART) it does not
 * run.  -> 0.
 */
#define PHYLLO_HC_VM_CONTROL    (PHYLLO_HC_BASE + 33)

#define PHYLLO_HC_COUNT         34

#define PHYLLO_FEATURE_CONSOLE (1u << 0)
#define PHYLLO_FEATURE_BALLOON (1u << 1)
#define PHYLLO_FEATURE_UNMAP   (1u << 2)
#define PHYLLO_FEATURE_STATS   (1u << 3)
#define PHYLLO_FEATURE_AUDIT   (1u << 4)
#define PHYLLO_FEATURE_PROTECT (1u << 5)
#define PHYLLO_FEATURE_AGE     (1u << 6)
#define PHYLLO_FEATURE_DIRTY   (1u << 7)
#define PHYLLO_FEATURE_SLOTS   (1u << 8)
#define PHYLLO_FEATURE_MMU     (1u << 9)
#define PHYLLO_FEATURE_SMP     (1u << 10)
#define PHYLLO_FEATURE_VMS     (1u << 11)
#define PHYLLO_FEATURE_LATENCY (1u << 12)

#define PHYLLO_MAY_BLOCK   1u /* the operation may let others run in between */
#define PHYLLO_CONSOLE_MAX 4096u

/* Never 0: a forgotten argument is an error and not a protection. */
#define PHYLLO_PROTECT_RW   0x100u /* what the slot allows: read, write, execute */
#define PHYLLO_PROTECT_RO   0x200u /* read and execute */
#define PHYLLO_PROTECT_NONE 0x300u

#define PHYLLO_VE_OFF   (~0ul)
#define PHYLLO_VE_VECTOR 20

#define PHYLLO_AGE_CLEAR 1u /* what is reported young is old afterwards */

#define PHYLLO_DIRTY_STYLE_DEFAULT 0u
#define PHYLLO_DIRTY_STYLE_WRPROT  1u /* by write protection */
#define PHYLLO_DIRTY_STYLE_DBIT    2u /* by the Dirty bits of the nested tables */
#define PHYLLO_DIRTY_STYLE_PML     3u /* by the processor's log */

#define PHYLLO_DIRTY_ALL_SET   1u /* everything counts as dirty at the start */
#define PHYLLO_DIRTY_NO_SPLIT  2u /* large mappings are split when written, not at the start */
#define PHYLLO_DIRTY_GET_CLEAR 1u

#define PHYLLO_SLOT_IDS      512u
#define PHYLLO_SLOT_READONLY 1u /* a write stops the VM: there are no devices to take it */

#define PHYLLO_LATENCY_BUCKETS 40
#define PHYLLO_LATENCY_WORST   6
#define PHYLLO_LATENCY_RESET   1u /* begin anew behind this read */

#define PHYLLO_DUMP_MAX  (16ul << 20)
#define PHYLLO_DUMP_TEXT 16384u

#define PHYLLO_VCPU_COUNT 1u

/* What PHYLLO_HC_VM_CONTROL does. */
#define PHYLLO_VM_PAUSE   1u
#define PHYLLO_VM_RESUME  2u
#define PHYLLO_VM_DESTROY 3u
#define PHYLLO_VM_RESTART 4u

/* States of a VM. */
#define PHYLLO_VM_OFF     0u /* not started, or it has ended and nothing is left of it */
#define PHYLLO_VM_RUNNING 1u
#define PHYLLO_VM_PAUSED  2u /* no vCPU of it runs any more */
#define PHYLLO_VM_ENDING  3u

#define PHYLLO_VM_PRIVILEGED 1u /* of phyllo_vm_info.flags */

#define PHYLLO_EPERM  (-1)
#define PHYLLO_ENOENT (-2)
#define PHYLLO_ENOMEM (-12)
#define PHYLLO_EFAULT (-14)
#define PHYLLO_EBUSY  (-16)
#define PHYLLO_EEXIST (-17)
#define PHYLLO_EINVAL (-22)
#define PHYLLO_ENOSYS (-1000)

#ifndef __ASSEMBLER__
struct phyllo_stat {
	char name[24]; /* NUL-terminated */
	unsigned long long value;
};

/*
 * What a #VE was for.  The first five members lie as in Intel's own #VE page (SDM vol. 3C,
 * 26.5.7.2).  The hypervisor sets busy to all ones when it delivers one; the guest clears it when
 * it has read the rest.  A forbidden access while busy is set stops the VM, as does one in real mode.
 */
struct phyllo_ve {
	unsigned int reason; /* 48, EPT violation, on either vendor */
	unsigned int busy;
	unsigned long long access; /* PHYLLO_VE_* */
	unsigned long long gva;    /* valid with PHYLLO_VE_GVA */
	unsigned long long gpa;
	unsigned long long rip;    /* of the instruction; the exception's frame has it too */
};

#define PHYLLO_VE_READ  (1u << 0)
#define PHYLLO_VE_WRITE (1u << 1)
#define PHYLLO_VE_FETCH (1u << 2)
#define PHYLLO_VE_GVA   (1u << 7)
#define PHYLLO_VE_DATA  (1u << 8) /* clear: by the walk of the guest's own page tables */

/* Bit i of the bitmap is page i of the range, lowest bit of the lowest byte first. */
struct phyllo_age_bitmap {
	unsigned long long gpa, bytes;
	unsigned long long bitmap; /* gpa, 8-aligned; its size is rounded up to 8 bytes */
	unsigned long long flags;  /* PHYLLO_AGE_CLEAR or 0 */
};

struct phyllo_dirty {
	unsigned long long slot;
	unsigned long long first, pages; /* of the slot, counted in 4K pages from its start */
	unsigned long long bitmap;       /* as above */
	unsigned long long flags;        /* PHYLLO_DIRTY_GET_CLEAR or 0 */
};

struct phyllo_slot {
	unsigned long long id;
	unsigned long long gpa, bytes;
	unsigned long long flags; /* PHYLLO_SLOT_READONLY or 0 */
};

struct phyllo_mmu_mode {
	char format[16];             /* "ept", "npt", "shadow" */
	unsigned char root_level;    /* levels of the tables */
	unsigned char max_level;     /* of the largest mapping: 1 is 4K, 2 is 2M, 3 is 1G */
	unsigned char fault_around;  /* most pages that one fault maps */
	unsigned char dirty_default; /* what PHYLLO_DIRTY_STYLE_DEFAULT stands for */
	unsigned int flags;          /* PHYLLO_MODE_* */
	unsigned int dirty_styles;   /* bit n: style n can be had */
	unsigned int physical_bits;  /* of guest-physical addresses */
};

struct phyllo_vm_info {
	unsigned long long id;
	unsigned long long next;       /* the next VM's id, 0: there is none; 0 without privilege */
	char name[32];
	unsigned int state;            /* PHYLLO_VM_OFF ... */
	unsigned int flags;            /* PHYLLO_VM_PRIVILEGED */
	unsigned int vcpus;
	unsigned int starts;           /* how often it was started */
	unsigned long long memory;     /* bytes */
	unsigned long long used_pages; /* host pages (4K) behind its memory, and its tables */
	unsigned long long exit_code;  /* of its last run; all ones: it did not end by itself */
};

struct phyllo_latency_event {
	unsigned long long ticks, when; /* how long, and the hypervisor's clock when it was over */
	unsigned long long gpa, bytes;  /* what it was about; bytes 0: no range */
	unsigned long long with_gpa;    /* where the other was; for "vCPU in guest mode" its number */
	char what[24], with[24];        /* operations; with: what was in the way, or empty */
};

struct phyllo_latency {
	unsigned int kind, flags;        /* given by the caller; flags: PHYLLO_LATENCY_RESET or 0 */
	char name[24];
	unsigned long long ticks_per_us; /* 0: not known */
	unsigned long long count, sum, max; /* events, and their ticks */
	/* n counts events of 2^n … 2^(n+1) - 1 ticks; the first those of 0, too, the last all above */
	unsigned long long bucket[PHYLLO_LATENCY_BUCKETS];
	unsigned long long worst_count;
	struct phyllo_latency_event worst[PHYLLO_LATENCY_WORST]; /* longest first */
};

#define PHYLLO_MODE_AD            (1u << 0) /* the processor sets Accessed and Dirty */
#define PHYLLO_MODE_NX_HUGE_PAGES (1u << 1) /* what is executed is mapped in 4K pages */
#endif

#endif
