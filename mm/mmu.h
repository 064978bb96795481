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
struct mmu_root;
struct mmu_format;

/* ---- latencies --------------------------------------------------------- */

/* What is measured, in port_clock() ticks: (NAME, name, help).  The first are of vCPUs, too. */
#define MMU_LATENCIES(X)                                                          \
	X(FAULT, "fault", "a nested page fault, from beginning to end")           \
	X(READ_WAIT, "read_wait", "waiting for mmu_lock for read, by who had to") \
	X(READ_HOLD, "read_hold", "holding mmu_lock for read; of faults, one in sixteen")                    \
	X(WRITE_WAIT, "write_wait", "waiting for mmu_lock for write, by who had to") \
	X(WRITE_HOLD, "write_hold", "holding mmu_lock for write, from taking it to letting go") \
	X(SHOOTDOWN, "shootdown", "waiting for vCPUs that a flush kicked out of guest mode") \
	X(YIELD, "yield", "between looks of a walk whether somebody waits; 64 that follow each other are one")

enum mmu_latency_kind {
#define MMU_LATENCY_KIND(NAME, name, help) MMU_LATENCY_##NAME,
	MMU_LATENCIES(MMU_LATENCY_KIND)
#undef MMU_LATENCY_KIND
	MMU_LATENCY_COUNT,
	MMU_LATENCY_VCPU_COUNT = MMU_LATENCY_WRITE_WAIT
};

/* Who holds mmu_lock, or waits for it: (NAME, name). */
#define MMU_OPS(X)                                                                \
	X(NONE, "nobody")                                                         \
	X(FAULT, "fault")                                                         \
	X(GUEST, "vCPU in guest mode")                                            \
	X(MMIO, "MMIO entry")                                                     \
	X(COPY, "access by the host")                                             \
	X(UNMAP, "unmap")                                                         \
	X(PROTECT, "protect")                                                     \
	X(BALLOON_OUT, "balloon out")                                             \
	X(BALLOON_IN, "balloon in")                                               \
	X(MIGRATE, "migrate")                                                     \
	X(ZAP_ALL, "zap of everything")                                           \
	X(TEARDOWN, "zap worker")                                                 \
	X(RECOVER, "recovery")                                                    \
	X(NX_RECOVER, "NX recovery")                                              \
	X(SPLIT, "split")                                                         \
	X(DIRTY_START, "dirty start")                                             \
	X(DIRTY_GET, "dirty get")                                                 \
	X(DIRTY_CLEAR, "dirty clear")                                             \
	X(DIRTY_STOP, "dirty stop")                                               \
	X(SLOT_CREATE, "slot create")                                             \
	X(SLOT_DELETE, "slot delete")                                             \
	X(SLOT_MOVE, "slot move")                                                 \
	X(SLOT_FLAGS, "slot flags")                                               \
	X(SLOT_LOOKUP, "slot lookup")                                             \
	X(ROOT, "root load")                                                      \
	X(VCPU, "vCPU added or gone")                                             \
	X(AUDIT, "audit")                                                         \
	X(DUMP, "dump")                                                           \
	X(PAGING, "guest's paging registers")                                     \
	X(TABLE_WRITE, "write to a guest's page table")                           \
	X(LATENCY, "latency read")

enum mmu_op {
#define MMU_OP_ENUM(NAME, name) MMU_OP_##NAME,
	MMU_OPS(MMU_OP_ENUM)
#undef MMU_OP_ENUM
	MMU_OP_COUNT
};
const char *mmu_op_name(enum mmu_op op);
const char *mmu_latency_name(enum mmu_latency_kind kind);

/* Bucket n counts events of [2^n, 2^(n+1)) ticks; the first those of 0, too, the last all longer. */
#define MMU_LATENCY_BUCKETS 40
#define MMU_LATENCY_WORST   6

struct mmu_latency_event {
	uint64_t ticks, when;   /* when it was over, by port_clock() */
	enum mmu_op op;         /* whose latency it was; */
	gfn_t gfn;              /* where, as far as it is about a place; */
	uint64_t npages;        /* 0: not about a range */
	enum mmu_op with;       /* what was in the way as the waiting began, or MMU_OP_NONE */
	gfn_t with_gfn;         /* MMU_OP_GUEST: number of the vCPU */
};

struct mmu_latency {
	uint64_t count, sum, max;
	uint64_t bucket[MMU_LATENCY_BUCKETS];
	unsigned worst_count;
	struct mmu_latency_event worst[MMU_LATENCY_WORST]; /* longest first */
};

/*
 * The latencies of a kind since the VM began or they were reset; reset: from here on anew.  Takes
 * mmu_lock for write, which counts as well.  -EINVAL: no such kind.
 */
int mmu_latency_read(struct mmu_vm *vm, unsigned kind, bool reset, struct mmu_latency *out);

/* How they are kept (latency.h). */
struct mmu_latency_cells {
	_Atomic uint64_t bucket[MMU_LATENCY_BUCKETS], sum;
	_Atomic uint64_t epoch; /* of whom they are: the kind was reset so often before */
};

/* ---- what was done last ------------------------------------------------ */

/*
 * Each stay under mmu_lock for write leaves an event, in one of three rings, so that none pushes out what
 * another has; yields in the middle leave none.
 */
enum mmu_event_ring {
	MMU_EVENTS_OPS,   /* ranges, slots, logs, audits */
	MMU_EVENTS_VCPUS, /* faults that take the lock for write; the guest's CR3 and its tables */
	MMU_EVENTS_WORKER, /* mmu_work_step() */
	MMU_EVENT_RINGS
};
#define MMU_EVENTS 64u

struct mmu_event {
	uint64_t when;    /* it was over, by port_clock() */
	enum mmu_op op;
	gfn_t gfn;
	uint64_t npages;  /* 0: not about a range */
	uint64_t tlb_gen; /* flushes of the VM by then */
	uint64_t times;   /* so often with nothing else of its ring in between; when is the last one's */
};

struct mmu_vm;
/* The last MMU_EVENTS of them, the newest last, without a lock held by then.  Returns how many there were. */
uint64_t mmu_events(struct mmu_vm *vm, enum mmu_event_ring which,
		    void (*emit)(void *ctx, const struct mmu_event *e), void *ctx);
/* The same when all processors but this one stand still, wherever that may be: without the lock. */
uint64_t mmu_events_in_panic(struct mmu_vm *vm, enum mmu_event_ring which,
			     void (*emit)(void *ctx, const struct mmu_event *e), void *ctx);
/* Who holds mmu_lock for write, and from which gfn on; MMU_OP_NONE: nobody.  Takes no lock. */
enum mmu_op mmu_lock_holder(struct mmu_vm *vm, gfn_t *gfn);

/* ---- creation -------------------------------------------------------- */

enum mmu_format_id {
	MMU_FORMAT_EPT, /* SDM vol. 3C, 29.3 */
	MMU_FORMAT_NPT, /* APM vol. 2, 15.25: the host's own long-mode format */
	MMU_FORMAT_SHADOW, /* nested paging is off: the processor walks shadows of the guest's tables */
};

struct mmu_config {
	const char *name;          /* the VM's, for reports; copied */
	enum mmu_format_id format;
	uint8_t root_level;        /* 4 or 5 */
	uint8_t max_leaf_level;    /* largest leaf: PG_LEVEL_4K, _2M or _1G */
	bool hw_ad;                /* the CPU sets Accessed/Dirty in this format */
	bool pml;                  /* the CPU logs dirtied gpas: mmu_dirty_logged() is called */
	bool nx_huge_pages;        /* mitigation: what is executable is mapped at 4K only */
	uint8_t fault_around;      /* neighbours that one fault maps: a power of two; 0 or 1: none */
	uint8_t maxphyaddr;        /* bits of a host physical address */
	uint64_t page_cap;         /* most host pages for it, its tables included; 0: no cap */
	uint32_t shadow_pages;     /* MMU_FORMAT_SHADOW: most shadow tables; 0: MMU_SHADOW_PAGES */
	void *owner;               /* the caller's own; mmu_vm_owner() gives it back */
};

#define MMU_SHADOW_PAGES 2048

/* NULL when memory is short.  The caller owns the VM; no vCPU exists yet. */
struct mmu_vm *mmu_vm_create(const struct mmu_config *cfg);
void *mmu_vm_owner(const struct mmu_vm *vm);
/* It cannot have another page because of page_cap. */
bool mmu_vm_at_cap(struct mmu_vm *vm);
/* Every vCPU destroyed before.  All tables and all backing pages are freed. */
void mmu_vm_destroy(struct mmu_vm *vm);

/* ---- memory slots ---------------------------------------------------- */

#define MMU_SLOTS_MAX 512

enum {
	MMU_SLOT_READONLY = 1 << 0, /* guest writes are not mapped: MMU_PF_EMULATE */
	/*
	 * Host memory given as it is: [hpa, hpa + npages pages) belongs to a device or is
	 * reserved.  Never refcounted, zeroed, freed, ballooned or aged into page state.
	 */
	MMU_SLOT_DEVICE = 1 << 1,
};

struct mmu_slot_desc {
	unsigned id;      /* the caller's number for it, below MMU_SLOTS_MAX */
	gfn_t base_gfn;
	uint64_t npages;
	uint32_t flags;
	hpa_t hpa;        /* MMU_SLOT_DEVICE only */
};

/*
 * Every change gives the slots a new generation, so that what was cached of them (MMIO
 * entries) is recognised as stale.
 *
 * create: -EINVAL: empty, overflow, beyond the guest-physical width, unknown flag, id too large;
 * -EEXIST: id taken, or overlap; -ENOMEM.
 */
int mmu_slot_create(struct mmu_vm *vm, const struct mmu_slot_desc *desc);
/*
 * The mappings are gone from every vCPU when it returns, and so are the pages and
 * their contents; large slots are torn down in yielding steps.  -ENOENT: no such slot.
 */
int mmu_slot_delete(struct mmu_vm *vm, unsigned id);
/* The same pages at another place.  -EEXIST: something is there; -EINVAL as create. */
int mmu_slot_move(struct mmu_vm *vm, unsigned id, gfn_t new_base);
/* Only MMU_SLOT_READONLY may change.  -EINVAL otherwise. */
int mmu_slot_set_flags(struct mmu_vm *vm, unsigned id, uint32_t flags);
/* -ENOENT: no such slot. */
int mmu_slot_info(struct mmu_vm *vm, unsigned id, struct mmu_slot_desc *out);
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

/* Whoever looks at tables or slots without a lock says so here (mm/rcu.h). */
struct rcu_reader {
	_Atomic uint64_t epoch;
	struct rcu_reader *next;
};

struct mmu_vcpu {
	struct mmu_vm *vm;
	struct mmu_vcpu *next;      /* list of the VM's vCPUs */
	unsigned id;
	_Atomic uint32_t in_guest;  /* 1 from mmu_vcpu_enter() to mmu_vcpu_exit() */
	_Atomic uint64_t tlb_gen;   /* the VM's flush generation this vCPU has seen */
	hpa_t root;                 /* HPA_INVALID until mmu_vcpu_load_root() */
	struct mmu_root *loaded;    /* the root it is of, with a reference; or NULL */
	struct mmu_cache cache;
	struct rcu_reader reader;
	uint64_t reads, waited_for; /* times it took mmu_lock; of the fault that runs: lock.h */
	const struct memslot *slot; /* of the last fault, as of this generation: memslot.h */
	uint64_t slot_generation;
	gfn_t hole;                 /* where its last fault on an MMIO entry was, as of this one: mmio.c */
	uint64_t hole_generation;
	struct shadow_vcpu *shadow; /* MMU_FORMAT_SHADOW */
	struct mmu_latency_cells latency[MMU_LATENCY_VCPU_COUNT]; /* only this vCPU adds */
};

/* 0, or (MMU_FORMAT_SHADOW only) -ENOMEM. */
int mmu_vcpu_init(struct mmu_vm *vm, struct mmu_vcpu *vcpu, unsigned id);
void mmu_vcpu_destroy(struct mmu_vcpu *vcpu);

/*
 * The root to put into EPTP / nCR3 (without attribute bits), of
 * cfg.root_level levels; HPA_INVALID when there is no memory for it.
 * Call when vcpu->root is HPA_INVALID or mmu_vcpu_enter() said MMU_ENTER_RELOAD (the reference
 * to the old root is dropped then).
 */
hpa_t mmu_vcpu_load_root(struct mmu_vcpu *vcpu);

/*
 * Around every entry to the guest, with interrupts off.  enter() says what the caller
 * must do first; a flush requested after enter() kicks the vCPU out again.
 */
enum mmu_enter {
	MMU_ENTER_GO,     /* run */
	MMU_ENTER_FLUSH,  /* flush this vCPU's guest-physical TLB entries, then run */
	MMU_ENTER_RELOAD, /* not entered: the root was invalidated; mmu_vcpu_load_root() again */
};
enum mmu_enter mmu_vcpu_enter(struct mmu_vcpu *vcpu);
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
	MMU_PF_PROTECTED, /* mmu_protect() forbids it: tell the guest (#VE) */
	MMU_PF_NOMEM,    /* no host page to back it, or none for a table */
	MMU_PF_INJECT,   /* mmu_shadow_fault() only: the guest's own tables forbid it, #PF for the guest */
};

/* No lock held, interrupts on. */
enum mmu_pf_result mmu_page_fault(struct mmu_vcpu *vcpu, struct page_fault *pf);

/* ---- shadow paging (MMU_FORMAT_SHADOW) ------------------------------------ */

/*
 * With nested paging off the guest's CR3 is vcpu->root, whose tables stand for the guest's own.  The
 * processor runs with CR0.PG, CR0.WP, CR4.PAE and EFER.NXE set whatever the guest has; with
 * EFER.LMA, CR4.LA57, CR4.SMEP and CR4.SMAP as the guest has them (the last two off while the guest
 * has paging off); without CR4.PGE, PCIDE and PKE.  Every #PF of the guest comes to
 * mmu_shadow_fault().
 */
struct mmu_paging_regs {
	uint64_t cr0, cr3, cr4, efer; /* as the guest sees them */
	uint64_t pdpte[4];            /* PAE: what the load of CR3 took from memory, valid entries */
};

/*
 * The guest loaded CR0, CR3, CR4 or EFER, also when nothing in them changed: what was
 * cached of its tables is forgotten, as the manuals promise.  Another root is loaded by
 * mmu_vcpu_load_root(), when vcpu->root is HPA_INVALID then.  Outside guest mode, no lock held.
 */
void mmu_vcpu_set_paging(struct mmu_vcpu *vcpu, const struct mmu_paging_regs *regs);
/* The same of CR3 alone; pdpte counts in PAE mode. */
void mmu_vcpu_set_cr3(struct mmu_vcpu *vcpu, uint64_t cr3, const uint64_t pdpte[4]);
/* INVLPG by the guest, or an INVPCID for one address. */
void mmu_vcpu_invlpg(struct mmu_vcpu *vcpu, gva_t gva);
/* Levels of the tables at vcpu->root: 4 or 5; 3 for PAE, and then the root is below 4 GiB. */
unsigned mmu_vcpu_root_level(const struct mmu_vcpu *vcpu);

struct shadow_fault {
	/* inputs: CR2, the error code that the processor pushed, EFLAGS.AC */
	gva_t gva;
	uint32_t error;
	bool ac;
	/* outputs */
	uint32_t inject;  /* MMU_PF_INJECT: the guest's error code */
	gpa_t gpa;        /* else: what gva means; GPA_INVALID where that was not found out */
	/*
	 * MMU_PF_EMULATE: not MMIO, but a write to memory that no mapping can permit: a table that is
	 * shadowed, or (without CR0.WP but with SMAP) a user's page that is read-only.
	 */
	bool memory_write;
};

/* No lock held, interrupts on.  For MMU_PF_EMULATE the caller does what the instruction says. */
enum mmu_pf_result mmu_shadow_fault(struct mmu_vcpu *vcpu, struct shadow_fault *f);

/*
 * The caller cannot do a memory_write: drop the shadows of the table, so that the guest can write
 * itself.  False: that was tried for this gva often enough, and led back here each time.
 */
bool mmu_shadow_unprotect(struct mmu_vcpu *vcpu, const struct shadow_fault *f);

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
 * What the guest may do with the pages from now on: ACC_RWX (as the slot says), ACC_R | ACC_X
 * or 0.  It stays with the pages until changed; forbidden accesses give MMU_PF_PROTECTED.
 * The hypervisor's own accesses are not affected.
 */
int mmu_protect(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned access, unsigned flags);
/* What mmu_protect() last said of a gfn, or -ENOENT. */
int mmu_protection(struct mmu_vm *vm, gfn_t gfn);

/*
 * Put another host page behind each 4K page of the range, with the same contents, as page
 * migration does.  -ENOMEM may come after a prefix was moved: *changed says how many.
 */
int mmu_migrate(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags, uint64_t *changed);

/*
 * Everything at once, O(1) under the lock: the roots become invalid, vCPUs load new ones, a worker
 * tears the old ones down in steps (mmu_work_step()).
 */
void mmu_zap_all(struct mmu_vm *vm);

/*
 * Deferred work of a VM: invalid roots to tear down, recovery of huge pages, pages whose grace
 * period is over.  One bounded step; true: there is more.  Whoever has time calls it, one at a time per VM
 * (a second caller returns false at once); port_work_kick() says that there is something.
 */
bool mmu_work_step(struct mmu_vm *vm);
/* Steps until nothing is left, yielding in between. */
void mmu_work_flush(struct mmu_vm *vm);

/*
 * What the NX mitigation split becomes huge again by the next mmu_work_step()s, and not only
 * when a pass of the worker is due.
 */
void mmu_nx_recover(struct mmu_vm *vm);

/* ---- ageing -------------------------------------------------------------- */

/*
 * All of them without mmu_lock, beside faults, zaps and each other; with hardware A/D or
 * access-tracking entries.  Accessed may lose a race, Dirty never does.  Errors as mmu_unmap().
 * A page that is not mapped is old.  A huge page is young as a whole.
 */
/* Clear Accessed; *young counts the 4K pages that had it. */
int mmu_age(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, uint64_t *young);
/* *young: is any page young?  Stops at the first. Changes nothing. */
int mmu_test_age(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, bool *young);
/* Bit i of bitmap (npages bits, little endian) is set when page i is young; clear: age as well. */
int mmu_age_bitmap(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, bool clear, uint64_t *bitmap);

/* ---- dirty log ------------------------------------------------------------- */

enum mmu_dirty_style {
	MMU_DIRTY_WRPROT, /* write faults */
	MMU_DIRTY_DBIT,   /* the Dirty bit; hw_ad only */
	MMU_DIRTY_PML,    /* the processor's log; pml only */
};

enum {
	MMU_DIRTY_ALL_SET = 1 << 0, /* everything is dirty at first; protection comes with clear */
	MMU_DIRTY_NO_SPLIT = 1 << 1, /* huge pages are split when written, not at the start */
};

/*
 * Per slot.  -ENOENT: no such slot, or (get, clear, stop) no log on it; -EBUSY: start on a slot
 * that has one; -EINVAL: device slot, unknown flag, style the VM cannot do, range outside the slot;
 * -ENOMEM.  All work in bounded chunks with mmu_lock given up in between.
 */
int mmu_dirty_start(struct mmu_vm *vm, unsigned slot, enum mmu_dirty_style style, unsigned flags);
/*
 * Pages [first, first + npages) of the slot, one bit each, into bitmap.  clear: they are clean
 * from here on, and any write after the return sets them again: no stale writable
 * translation lives when it returns.  *dirty: bits set.
 */
int mmu_dirty_get(struct mmu_vm *vm, unsigned slot, uint64_t first, uint64_t npages, bool clear,
		  uint64_t *bitmap, uint64_t *dirty);
/* Make those pages clean whose bit is set in bitmap (as an earlier get returned it). */
int mmu_dirty_clear(struct mmu_vm *vm, unsigned slot, uint64_t first, uint64_t npages,
		    const uint64_t *bitmap);
/* Ends the log; huge pages come back by mmu_work_step(). */
int mmu_dirty_stop(struct mmu_vm *vm, unsigned slot);
/* The processor's log said that this page was written (PML). Outside guest mode, no lock held. */
void mmu_dirty_logged(struct mmu_vcpu *vcpu, gpa_t gpa);
/* Is any log of style PML running, so that the vCPUs must log? */
bool mmu_dirty_pml_wanted(struct mmu_vm *vm);

/*
 * Balloon: out takes the pages away from the guest and frees them (a later
 * touch faults in a zeroed page after balloon in; before that it gives
 * MMU_PF_EMULATE); in makes the range usable again.  Errors as mmu_unmap().
 * *changed counts the pages that really went or came: also when a slot goes while others are let
 * in, which is -ENOENT.
 */
int mmu_balloon_out(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags,
		    uint64_t *changed);
int mmu_balloon_in(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags,
		   uint64_t *changed);

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

/*
 * One locked compare-and-exchange of 1, 2, 4 or 8 bytes, naturally aligned.  -EAGAIN: something else than
 * old is there; -EFAULT: no page that the guest may write (it may be that it has none yet: mmu_read_guest()
 * brings it).
 */
int mmu_cmpxchg_guest(struct mmu_vm *vm, gpa_t gpa, unsigned size, uint64_t old, uint64_t new);

/* The registers that decide how a guest virtual address translates. */
struct mmu_guest_paging {
	uint64_t cr0, cr3, cr4, efer;
	bool user; /* CPL 3, or an implicit user access */
	bool ac;   /* EFLAGS.AC, for SMAP */
	const uint64_t *pdpte; /* PAE: the four that were loaded; NULL: as they lie in memory */
};

struct mmu_guest_walk {
	gpa_t gpa;          /* result, on success */
	uint32_t pf_error;  /* #PF error code, on -EFAULT */
	uint8_t level;      /* level of the guest's leaf, 0 with paging off */
	/* on success: the entries that led there, from the top */
	uint8_t count, entry_size;
	gpa_t at[5];
	uint64_t entry[5];
};

/*
 * Walk the guest's page tables (off, 32-bit, PSE, PAE, 4- and 5-level) for one
 * access; never sets A/D.  -EFAULT: the guest would take #PF with pf_error;
 * -EIO: a table lies outside guest memory; -ENOMEM: no host page for one; -EINVAL:
 * the address is not canonical, which is #GP or #SS and not #PF.
 */
int mmu_guest_translate(struct mmu_vm *vm, const struct mmu_guest_paging *p, gva_t gva,
			unsigned access, struct mmu_guest_walk *out);

/*
 * The outcome of a walk and what was found there, in a form that can be checked later at a fraction of the
 * cost: words of guest memory that decided it.  memo.c.
 */
#define MMU_MEMO_BYTES 16u

struct mmu_memo_word {
	const uint64_t *at;
	uint64_t value, mask;
};

struct mmu_memo {
	uint64_t sequence; /* of invalidations */
	unsigned count;
	struct mmu_memo_word word[5 + MMU_MEMO_BYTES / 8 + 1];
};
/*
 * Of a walk that succeeded, and of n bytes that were read behind it, which do not leave the page.  false: not all of
 * it lies in ordinary memory.
 */
bool mmu_memo_take(struct mmu_vm *vm, const struct mmu_guest_walk *walk, const void *bytes, unsigned n,
		   struct mmu_memo *memo);
/*
 * The same walk would succeed again, to the same page, and the bytes are there.  false may also mean that
 * something else has changed.  Any context in which mmu_lock may be taken.
 */
bool mmu_memo_holds(struct mmu_vm *vm, const struct mmu_memo *memo);

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
	X(tlb_spared, "tlb_spared", "vCPUs out of guest mode, which a flush let alone") \
	X(tlb_none, "tlb_none", "steps of walks that had nothing to flush")       \
	X(zap_leaf, "zap_leaf", "leaf entries removed")                           \
	X(zap_yield, "zap_yield", "times a walk dropped mmu_lock to let others in") \
	X(cmpxchg_fail, "cmpxchg_fail", "entries that another CPU changed first") \
	X(pf_fast, "pf_fast", "faults fixed without mmu_lock")                    \
	X(pf_protected, "pf_protected", "faults that mmu_protect() forbids")      \
	X(pf_mmio_spte, "pf_mmio_spte", "faults answered by a cached MMIO entry") \
	X(pf_around, "pf_around", "neighbours mapped by fault-around")            \
	X(protect_leaf, "protect_leaf", "leaf entries whose access was reduced")  \
	X(age_young, "age_young", "4K pages found young by ageing")               \
	X(dirty_logged, "dirty_logged", "pages that entered a dirty log")         \
	X(split, "split", "huge leaf entries split")                              \
	X(recovered, "recovered", "huge leaf entries put back")                   \
	X(nx_split, "nx_split", "huge pages split because they were executed")    \
	X(root_invalidated, "root_invalidated", "roots made invalid by a fast zap") \
	X(worker_steps, "worker_steps", "bounded steps of the VM's worker")       \
	X(migrated, "migrated", "pages whose host page was exchanged")            \
	X(pf_guest, "pf_guest", "shadow paging: faults that were the guest's own") \
	X(shadow_zapped, "mmu_shadow_zapped", "shadow pages taken down")          \
	X(shadow_recycled, "mmu_recycled", "shadow pages taken down to stay in the budget") \
	X(shadow_flooded, "mmu_flooded", "shadow pages given up because the guest kept writing") \
	X(shadow_written, "mmu_pte_write", "writes to shadowed tables")           \
	X(shadow_unsync, "mmu_unsync", "tables opened to the guest's writes")     \
	X(shadow_synced, "mmu_pte_updated", "entries compared unequal and brought up to date") \
	X(rmap_recycled, "rmap_recycled", "reverse maps that grew too long")      \
	X(ballooned_out, "ballooned_out", "pages taken by the balloon, ever")     \
	X(ballooned_in, "ballooned_in", "pages given back by the balloon, ever")

/* Current amounts, not counts of events. */
#define MMU_GAUGES(X)                                                             \
	X(pages_4k, "pages_4k", "4K leaf mappings")                               \
	X(pages_2m, "pages_2m", "2M leaf mappings")                               \
	X(pages_1g, "pages_1g", "1G leaf mappings")                               \
	X(tables, "mmu_tables", "page-table pages, roots included")               \
	X(nx_tables, "nx_tables", "tables made because of a fetch (NX mitigation)") \
	X(shadow_pages, "mmu_shadow_pages", "shadow pages")                       \
	X(backing_pages, "backing_pages", "host pages (4K) that back the VM")     \
	X(ballooned_pages, "ballooned_pages", "pages now held by the balloon")

/* The longest hold of mmu_lock so far, by mode: entries visited between two yield checks. */
struct mmu_holds {
	uint64_t write_entries, read_entries;
};
void mmu_holds_read(struct mmu_vm *vm, struct mmu_holds *out);

/* What kind of MMU the VM has. */
struct mmu_mode {
	const char *format;
	uint8_t root_level, max_leaf_level, fault_around;
	bool hw_ad, pml, nx_huge_pages;
};
void mmu_mode_read(struct mmu_vm *vm, struct mmu_mode *out);

/* The tables over a range as readable text, one line per entry, to emit(). Takes mmu_lock for read. */
void mmu_dump(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, void (*emit)(void *ctx, const char *line),
	      void *ctx);

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
