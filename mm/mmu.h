/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only door from vmm/ into mm/: a VM's guest-physical address space, the
 * pages behind it, and the tables that the processor walks.
 *
 * Everything here may be called by several CPUs at once unless said otherwise.
 * Lengths and addresses are bytes where a name says gpa/size, 4K pages where it
 * says gfn/npages.  Functions return 0 or a negative error of mm/errno.h.
 */
#pragma once

#include <stdatomic.h>

#include "mm/errno.h"
#include "mm/types.h"

struct mmu_vm; /* opaque: one per VM */
struct mmu_format;

/* ---- creation -------------------------------------------------------- */

enum mmu_format_id {
	MMU_FORMAT_EPT, /* SDM vol. 3C, 29.3 */
	MMU_FORMAT_NPT, /* APM vol. 2, 15.25: the host's own long-mode format */
};

struct mmu_config {
	const char *name;          /* the VM's, for reports; copied */
	enum mmu_format_id format;
	uint8_t root_level;        /* 4 or 5 */
	uint8_t max_leaf_level;    /* largest leaf: PG_LEVEL_4K, _2M or _1G */
	bool hw_ad;                /* the CPU sets Accessed/Dirty in this format */
	uint8_t maxphyaddr;        /* bits of a host physical address */
	uint64_t page_cap;         /* most host pages that may back it; 0: no cap */
};

/* NULL when memory is short.  The caller owns the VM; no vCPU exists yet. */
struct mmu_vm *mmu_vm_create(const struct mmu_config *cfg);
/* Every vCPU destroyed before.  All tables and all backing pages are freed. */
void mmu_vm_destroy(struct mmu_vm *vm);

/* ---- memory slots ---------------------------------------------------- */

enum {
	MMU_SLOT_READONLY = 1 << 0, /* guest writes are not mapped: MMU_PF_EMULATE */
};

struct mmu_slot_desc {
	gfn_t base_gfn;
	uint64_t npages;
	uint32_t flags;
};

/* -EINVAL: empty, overflow, beyond the guest-physical width; -EEXIST: overlap. */
int mmu_slot_create(struct mmu_vm *vm, const struct mmu_slot_desc *desc);
/* Largest gfn of any slot + 1. */
gfn_t mmu_slot_end(struct mmu_vm *vm);

/* ---- vCPUs ------------------------------------------------------------ */

/*
 * mm's part of a vCPU, embedded in struct vcpu.  mode and tlb_gen are the
 * flush handshake (mm/flush.c); the cache holds pages for tables, topped up
 * before any lock is taken.
 */
#define MMU_CACHE_PAGES 8

struct mmu_cache {
	unsigned count;
	hpa_t page[MMU_CACHE_PAGES];
};

struct mmu_vcpu {
	struct mmu_vm *vm;
	struct mmu_vcpu *next;      /* list of the VM's vCPUs */
	unsigned id;
	_Atomic uint32_t in_guest;  /* 1 from mmu_vcpu_enter() to mmu_vcpu_exit() */
	_Atomic uint64_t tlb_gen;   /* the VM's flush generation this vCPU has seen */
	hpa_t root;                 /* HPA_INVALID until mmu_vcpu_load_root() */
	struct mmu_cache cache;
};

int mmu_vcpu_init(struct mmu_vm *vm, struct mmu_vcpu *vcpu, unsigned id);
void mmu_vcpu_destroy(struct mmu_vcpu *vcpu);

/*
 * The root to put into EPTP / nCR3 (without attribute bits), of
 * cfg.root_level levels; HPA_INVALID when there is no memory for it.
 * Call when vcpu->root is HPA_INVALID.
 */
hpa_t mmu_vcpu_load_root(struct mmu_vcpu *vcpu);

/*
 * Around every entry to the guest, with interrupts off.  enter() returns true
 * when the caller must flush this vCPU's guest-physical TLB entries before it
 * runs; a flush requested after enter() kicks the vCPU out again.
 */
bool mmu_vcpu_enter(struct mmu_vcpu *vcpu);
void mmu_vcpu_exit(struct mmu_vcpu *vcpu);

/* ---- faults ------------------------------------------------------------ */

struct page_fault {
	/* inputs: what the processor said */
	gpa_t gpa;
	uint8_t access;     /* one of ACC_R, ACC_W, ACC_X */
	bool present;       /* the translation was present: a permission fault */
	bool gpt_walk;      /* while walking the guest's own page tables */
	bool reserved;      /* reserved bits / EPT misconfiguration */
	/* outputs, valid for MMU_PF_FIXED */
	uint8_t goal_level; /* level of the leaf that was installed */
};

enum mmu_pf_result {
	MMU_PF_FIXED,    /* mapped: run the guest again */
	MMU_PF_SPURIOUS, /* somebody else had mapped it: run again */
	MMU_PF_RETRY,    /* raced with an invalidation: run again */
	MMU_PF_EMULATE,  /* no slot there, or a write to a read-only slot: MMIO */
	MMU_PF_NOMEM,    /* no host page to back it, or none for a table */
};

/* No lock held, interrupts on. */
enum mmu_pf_result mmu_page_fault(struct mmu_vcpu *vcpu, struct page_fault *pf);

/* ---- operations on ranges (the mmu_notifier stand-ins) ------------------ */

enum {
	MMU_MAY_BLOCK = 1 << 0, /* the walk may drop its lock and let others run */
};

/*
 * Drop every mapping of the range; contents stay.  When it returns, no vCPU
 * can touch the pages without faulting again.  Not an error where nothing is
 * mapped.  -EINVAL: empty, overflow; -ENOENT: any gfn outside the slots.
 */
int mmu_unmap(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags);

/*
 * Balloon: out takes the pages away from the guest and frees them (a later
 * touch faults in a zeroed page after balloon in; before that it gives
 * MMU_PF_EMULATE); in makes the range usable again.  Errors as mmu_unmap().
 * *changed counts the pages that really went or came.
 */
int mmu_balloon_out(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags,
		    uint64_t *changed);
int mmu_balloon_in(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, uint64_t *changed);

/* ---- the hypervisor's own access to guest memory ------------------------ */

/*
 * Through the backing, which is faulted in as a guest access would be.  All or
 * nothing is not promised: -EFAULT (outside slots, ballooned; a write to a
 * read-only slot) or -ENOMEM may come after a prefix was copied.  Ranges may
 * cross pages and slots; overflow is -EFAULT.
 */
int mmu_read_guest(struct mmu_vm *vm, gpa_t gpa, void *buf, uint64_t size);
int mmu_write_guest(struct mmu_vm *vm, gpa_t gpa, const void *buf, uint64_t size);
/* As mmu_write_guest(), for whoever fills memory before the guest runs: read-only slots too. */
int mmu_load_guest(struct mmu_vm *vm, gpa_t gpa, const void *buf, uint64_t size);

/* The registers that decide how a guest virtual address translates. */
struct mmu_guest_paging {
	uint64_t cr0, cr3, cr4, efer;
	bool user; /* CPL 3, or an implicit user access */
	bool ac;   /* EFLAGS.AC, for SMAP */
};

struct mmu_guest_walk {
	gpa_t gpa;          /* result, on success */
	uint32_t pf_error;  /* #PF error code, on -EFAULT */
	uint8_t level;      /* level of the guest's leaf, 0 with paging off */
};

/*
 * Walk the guest's page tables (off, 32-bit, PSE, PAE, 4- and 5-level) for one
 * access; never sets A/D.  -EFAULT: the guest would take #PF with pf_error;
 * -EIO: a table lies outside guest memory; -ENOMEM: no host page for one; -EINVAL:
 * the address is not canonical, which is #GP or #SS and not #PF.
 */
int mmu_guest_translate(struct mmu_vm *vm, const struct mmu_guest_paging *p, gva_t gva,
			unsigned access, struct mmu_guest_walk *out);

/* ---- statistics and audit ------------------------------------------------ */

/* One table gives names to hypercalls, monitor and docs: (field, name, help). */
#define MMU_STATS(X)                                                              \
	X(pf_taken, "pf_taken", "nested page faults handled")                     \
	X(pf_fixed, "pf_fixed", "faults that installed a mapping")                \
	X(pf_spurious, "pf_spurious", "faults that found the mapping in place")   \
	X(pf_retry, "pf_retry", "faults that raced with an invalidation")         \
	X(pf_emulate, "pf_emulate", "faults outside memory or on read-only slots") \
	X(pf_nomem, "pf_nomem", "faults that found no host memory")               \
	X(tlb_flush, "tlb_flush", "flushes requested of the VM's vCPUs")          \
	X(tlb_kick, "tlb_kick", "vCPUs kicked out of guest mode for a flush")     \
	X(zap_leaf, "zap_leaf", "leaf entries removed")                           \
	X(zap_yield, "zap_yield", "times a walk dropped mmu_lock to let others in") \
	X(cmpxchg_fail, "cmpxchg_fail", "entries that another CPU changed first") \
	X(ballooned_out, "ballooned_out", "pages taken by the balloon, ever")     \
	X(ballooned_in, "ballooned_in", "pages given back by the balloon, ever")

/* Current amounts, not counts of events. */
#define MMU_GAUGES(X)                                                             \
	X(pages_4k, "pages_4k", "4K leaf mappings")                               \
	X(pages_2m, "pages_2m", "2M leaf mappings")                               \
	X(pages_1g, "pages_1g", "1G leaf mappings")                               \
	X(tables, "mmu_tables", "page-table pages, roots included")               \
	X(backing_pages, "backing_pages", "host pages (4K) that back the VM")     \
	X(ballooned_pages, "ballooned_pages", "pages now held by the balloon")

struct mmu_stats {
#define MMU_STAT_FIELD(field, name, help) uint64_t field;
	MMU_STATS(MMU_STAT_FIELD)
	MMU_GAUGES(MMU_STAT_FIELD)
#undef MMU_STAT_FIELD
};

void mmu_stats_read(struct mmu_vm *vm, struct mmu_stats *out);

struct mmu_audit_report {
	uint64_t errors;
	uint64_t tables, leaves; /* what the walk saw */
	char first[160];         /* the first offending path, as a sentence */
};

/*
 * Walk everything and compare it with the counters and the backing.  Takes
 * mmu_lock for write.  Returns 0, or -EIO with report->errors > 0.
 */
int mmu_audit(struct mmu_vm *vm, struct mmu_audit_report *report);
