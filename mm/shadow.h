/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow paging inside mm/; SHADOW.md tells the story.  Everything here lives under mmu_lock
 * for write unless it says otherwise.
 */
#pragma once

#include "mm/backing.h"
#include "mm/guest_table.h"
#include "mm/gwalk.h"
#include "mm/memslot.h"
#include "mm/rmap.h"
#include "mm/vm.h"

/*
 * What a shadow page stands for, beside its gfn: two tables with one role (and gfn) are
 * interchangeable.  One word, so that roles are compared as one.
 */
union shadow_role {
	uint32_t word;
	struct {
		uint32_t level : 3;     /* of the entries in it */
		uint32_t quadrant : 2;  /* of a table of 4-byte entries: which part of what it maps */
		uint32_t mode : 3;      /* enum gwalk_mode_id; GWALK_OFF in a direct one */
		uint32_t direct : 1;    /* no guest table: maps pages from gfn on */
		uint32_t access : 4;    /* ACC_* that the entries above permit */
		uint32_t nxe : 1;       /* EFER.NXE: else NX is a reserved bit */
		uint32_t wp : 1;        /* CR0.WP; without, the supervisor writes what is read-only: */
		uint32_t smep_nowp : 1; /* how, depends on CR4.SMEP … */
		uint32_t smap_nowp : 1; /* … and SMAP */
	};
};

struct shadow_page {
	struct shadow_page *next_key;   /* by gfn and role; on the dead list: the next */
	struct shadow_page *next_table; /* by hpa */
	struct shadow_page *newer, *older;
	struct shadow_page *unsync_next, **unsync_link; /* of the list of unsync ones */
	gfn_t gfn;
	union shadow_role role;
	bool unsync;                    /* the guest writes to its table unseen */
	bool guarded;                   /* no huge leaf over the guest's table */
	bool quiet, closing;            /* inside shadow_sync_all() */
	uint8_t writes;                 /* seen since a walk last came through */
	uint32_t refs;                  /* vCPUs that have it as a root */
	uint64_t generation;
	_Atomic bool invalid;           /* taken down; here as long as there are refs */
	hpa_t hpa;
	hpa_t gpte_hpa;                 /* page of gpte, or HPA_INVALID */
	/*
	 * By index: the guest's entry as it was when ours was made of it.  What lies in the guest's
	 * table and is not the same was written since.
	 */
	uint64_t *gpte;                 /* NULL: direct, or closed and as row says */
	uint64_t row;                   /* shadow_known(); 0: nothing yet */
	struct rmap parents;            /* entries that point here */
};

#define SHADOW_BUCKETS 512u

struct mmu_shadow {
	struct mmu_root fmt_root;      /* carries the format for whoever looks at a single entry */
	struct shadow_page *by_key[SHADOW_BUCKETS];
	struct shadow_page *by_table[SHADOW_BUCKETS];
	struct shadow_page *newest, *oldest; /* by when they were last linked */
	struct shadow_page *unsync;
	struct shadow_page *dead;      /* unlinked, freed behind the next flush */
	bool flush_owed;
	uint64_t ways;                 /* moves on when a way through the pages may lead elsewhere */
	_Atomic uint64_t generation;   /* pages of an older one are obsolete: zap-all */
	uint32_t max;                  /* pages */
};

#define SHADOW_PREVIOUS 3u
#define SHADOW_RESERVE  5u /* pages that one fault can need: one per level */

/* Where the last fault came to: most that follow come to the same page of the lowest level. */
struct shadow_lowest {
	struct shadow_page *page; /* linked from the root as of these ways; or NULL */
	uint64_t ways;
	gva_t gva;
};

/* What a vCPU walks.  A long-mode root is one page; PAE has one per PDPTE. */
struct shadow_root {
	bool valid;
	enum gwalk_mode_id mode;
	gpa_t cr3;                   /* without flags; 0 in unpaged mode */
	uint64_t pdpte[4];           /* GWALK_PAE */
	union shadow_role role;      /* what all its pages have in common */
	struct shadow_page *page[4]; /* with a reference each; PAE: NULL where nothing is present */
};

struct shadow_vcpu {
	struct mmu_paging_regs regs;
	enum gwalk_mode_id mode;     /* that they say the guest is in */
	uint64_t reserved;           /* gwalk_reserved() of that */
	union shadow_role role;      /* that they give to all pages of a root */
	struct shadow_root root;
	struct shadow_root previous[SHADOW_PREVIOUS];
	hpa_t pdpt;                  /* PAE's four entries: a page of this vCPU, below 4 GiB */
	struct gwalk_path path;      /* of the guest's last fault */
	struct shadow_lowest lowest;
	struct rmap_reserve descs;
	struct mmu_cache known;      /* pages for gpte */
	struct shadow_page *spare;   /* with their tables, by next_key */
	unsigned spares;
	gva_t unprotected;           /* mmu_shadow_unprotect() was last tried for */
	unsigned unprotects;         /* … so often, without the write having come through */
};

int shadow_vm_init(struct mmu_vm *vm, const struct mmu_config *cfg);
void shadow_vm_destroy(struct mmu_vm *vm);
int shadow_vcpu_init(struct mmu_vcpu *vcpu);
void shadow_vcpu_destroy(struct mmu_vcpu *vcpu);

/* ---- pages: shadow_page.c -------------------------------------------------------------- */

/* All that a fault needs is in the vCPU's reserves; before mmu_lock is taken.  -ENOMEM. */
int shadow_reserve(struct mmu_vcpu *vcpu);
void shadow_reserve_drain(struct mmu_vcpu *vcpu);

/* The page of gfn and role: there already, or made from the vCPU's reserve; NULL: it is empty. */
struct shadow_page *shadow_get(struct mmu_vcpu *vcpu, gfn_t gfn, union shadow_role role)
	REQUIRES(vcpu->vm->mmu_lock);
/* The page whose table lies at hpa, or NULL. */
struct shadow_page *shadow_of_table(const struct mmu_vm *vm, hpa_t hpa);
/* Pages of any role that stand for the guest table gfn: the first, and the next after page. */
struct shadow_page *shadow_first(const struct mmu_vm *vm, gfn_t gfn);
struct shadow_page *shadow_next(const struct mmu_vm *vm, const struct shadow_page *page);

/* Empty it, unlink it, and queue it to be freed; a flush is owed. */
void shadow_zap(struct mmu_vm *vm, struct shadow_page *page) REQUIRES(vm->mmu_lock);
/* All pages that stand for guest tables in the range. */
void shadow_zap_tables(struct mmu_vm *vm, gfn_t start, gfn_t end) REQUIRES(vm->mmu_lock);
/* A vCPU lets go of a root. */
void shadow_page_put(struct mmu_vm *vm, struct shadow_page *page) REQUIRES(vm->mmu_lock);
/* Have room in the budget for the pages of one fault; roots in use stay all the same. */
void shadow_make_room(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);
/* Flush if that is owed, then free what is dead. */
void shadow_settle(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);
/* The caller did, or what was taken out was of no use to any processor. */
void shadow_flushed(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);

/* All pages are obsolete from here on, and no processor uses any when it returns. */
void shadow_zap_all(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);
/* A bounded number of obsolete pages; true: there are more. */
bool shadow_teardown_step(struct mmu_vm *vm) EXCLUDES(vm->mmu_lock);

static inline bool shadow_is_current(const struct mmu_vm *vm, const struct shadow_page *page)
{
	/* Relaxed: under mmu_lock, or behind the acquire of the tlb_gen that either raised. */
	return !atomic_load_explicit(&page->invalid, memory_order_relaxed) &&
	       page->generation ==
		       atomic_load_explicit(&vm->shadow->generation, memory_order_relaxed);
}

/* ---- what the guest's entries were: shadow_known.c ------------------------------------------ */

/* As the entry of ours that is at i was made of it; in a row without Accessed and Dirty. */
static inline uint64_t shadow_known(const struct shadow_page *page, unsigned i)
{
	return page->gpte ? page->gpte[i] : page->row + i * PAGE_SIZE;
}

/* Each entry can be known for itself.  False: the vCPU's reserve is empty. */
bool shadow_know_each(struct mmu_vcpu *vcpu, struct shadow_page *page)
	REQUIRES(vcpu->vm->mmu_lock);
/* Entry i agrees with gpte, and can be made of it.  False: the vCPU's reserve is empty. */
bool shadow_learn(struct mmu_vcpu *vcpu, struct shadow_page *page, unsigned i, uint64_t gpte)
	REQUIRES(vcpu->vm->mmu_lock);
/* shadow_sync_entry() in a row. */
void shadow_sync_row_entry(struct mmu_vm *vm, struct shadow_page *page, unsigned i, uint64_t gpte)
	REQUIRES(vm->mmu_lock);

/* ---- entries: shadow_entry.c ------------------------------------------------------------ */

static inline spte_cell_t *shadow_cell(const struct shadow_page *page, unsigned i)
{
	return &spte_table(page->hpa)[i];
}

/* Where in the guest's table the entry lies that index i stands for. */
unsigned shadow_guest_index(const struct shadow_page *page, unsigned i);
/* The other way: our first entry for that one of the guest's or a later one; may be past our last. */
unsigned shadow_first_index(const struct shadow_page *page, unsigned guest_index);
/* What gpte says in such a table. */
struct gwalk_entry shadow_decode(const struct mmu_vm *vm, const struct shadow_page *page,
				 uint64_t gpte);
/* The first gfn of what leaf i maps, or of what its table is for; as the last gpte had it. */
gfn_t shadow_entry_gfn(const struct mmu_vm *vm, const struct shadow_page *page, unsigned i);

/* Take out whatever is at i.  A flush is owed then. */
void shadow_drop(struct mmu_vm *vm, struct shadow_page *page, unsigned i)
	REQUIRES(vm->mmu_lock);
/* Entry i, which is empty, points to child. */
void shadow_link(struct mmu_vcpu *vcpu, struct shadow_page *page, unsigned i,
		 struct shadow_page *child) REQUIRES(vcpu->vm->mmu_lock);
/* Put in a leaf, or change the one that maps the same page. True: something changed. */
bool shadow_set_leaf(struct mmu_vcpu *vcpu, struct shadow_page *page, unsigned i,
		     const struct memslot *slot, gfn_t gfn, spte_t leaf)
	REQUIRES(vcpu->vm->mmu_lock);
/* What leaf i permits is this; but write access, if it has none, comes with a fault. */
void shadow_restrict(struct mmu_vm *vm, struct shadow_page *page, unsigned i, unsigned access)
	REQUIRES(vm->mmu_lock);
/* No entry permits writes to the page gfn any more.  A flush may be owed. */
void shadow_wrprot(struct mmu_vm *vm, gfn_t gfn) REQUIRES(vm->mmu_lock);

/* ---- guest tables that change: shadow_sync.c ----------------------------------------------- */

/*
 * May a writable leaf map gfn?  Opens tables of the lowest level to the guest's writes if this is
 * a write.  False: it has to be emulated, or mapped read-only.
 */
bool shadow_may_write(struct mmu_vcpu *vcpu, gfn_t gfn, bool write)
	REQUIRES(vcpu->vm->mmu_lock);
/* The guest's table is write-protected from here on, and all pages for it agree with it. */
void shadow_protect_table(struct mmu_vm *vm, gfn_t gfn) REQUIRES(vm->mmu_lock);
/* The guest's entry for index i, in its table; NULL: it lies outside memory. */
uint64_t shadow_read_gpte(const struct shadow_page *page, const void *table, unsigned i);
/* Entry i agrees with the guest's. */
void shadow_sync_entry(struct mmu_vm *vm, struct shadow_page *page, unsigned i, uint64_t gpte)
	REQUIRES(vm->mmu_lock);
/* All entries that were written agree with the guest's; how many those were. */
unsigned shadow_sync_page(struct mmu_vm *vm, struct shadow_page *page) REQUIRES(vm->mmu_lock);
/* All tables that are open to the guest's writes agree, and stay open. */
void shadow_sync_open(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);
/* All tables that are open to the guest's writes agree; those that were not written are closed. */
void shadow_sync_all(struct mmu_vm *vm) REQUIRES(vm->mmu_lock);
void shadow_unsync_remove(struct shadow_page *page);

/* Is gfn a guest table with shadows?  Then shadow_written() has to be told of a write, in the same hold. */
static inline bool shadow_has_table(const struct mmu_vm *vm, gfn_t gfn)
	REQUIRES_SHARED(vm->mmu_lock)
{
	return vm->shadow && shadow_first(vm, gfn);
}

/* The hypervisor wrote n bytes at gpa, or nothing. */
void shadow_written(struct mmu_vm *vm, gpa_t gpa, uint64_t n) REQUIRES(vm->mmu_lock);

/* ---- roots: shadow_root.c ------------------------------------------------------------------- */

hpa_t shadow_load_root(struct mmu_vcpu *vcpu) EXCLUDES(vcpu->vm->mmu_lock);
/* May the vCPU enter with the root it has?  Behind an acquire of tlb_gen. */
bool shadow_root_is_usable(const struct mmu_vcpu *vcpu);
/* The page that the walk for gva begins in, with the index there; NULL: PAE, nothing present. */
struct shadow_page *shadow_root_page(const struct mmu_vcpu *vcpu, gva_t gva);

static inline unsigned shadow_index(gva_t gva, unsigned level)
{
	return (gva >> level_shift(level)) & (PT_ENTRIES - 1);
}

/* The page of the lowest level for gva, if it is the one that a fault came to last; or NULL. */
static inline struct shadow_page *shadow_lowest(const struct mmu_vcpu *vcpu, gva_t gva)
	REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	const struct shadow_lowest *l = &vcpu->shadow->lowest;
	bool same = l->ways == vcpu->vm->shadow->ways &&
		    !((l->gva ^ gva) >> level_shift(PG_LEVEL_2M));

	return same ? l->page : NULL;
}
