/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's own paging (SDM vol. 3A, chapter 4): each mode is a constant table of its levels,
 * and one walker goes by it, for translations on the hypervisor's behalf, for shadow paging and
 * for instruction fetch.
 */
#pragma once

#include "mm/vm.h"

#define CR0_WP   (1ul << 16)
#define CR0_PG   (1ul << 31)
#define CR4_PSE  (1ul << 4)
#define CR4_PAE  (1ul << 5)
#define CR4_LA57 (1ul << 12)
#define CR4_SMEP (1ul << 20)
#define CR4_SMAP (1ul << 21)
#define EFER_LMA (1ul << 10)
#define EFER_NXE (1ul << 11)

#define GPTE_P        (1ul << 0)
#define GPTE_W        (1ul << 1)
#define GPTE_U        (1ul << 2)
#define GPTE_ACCESSED (1ul << 5)
#define GPTE_DIRTY    (1ul << 6)
#define GPTE_HUGE     (1ul << 7)
#define GPTE_NX       (1ul << 63)
/* The width of an address in an entry; what of it is reserved depends on the VM. */
#define GPTE_ADDRESS  (~0ul >> 12 & PAGE_MASK)

#define PF_PRESENT  (1u << 0)
#define PF_WRITE    (1u << 1)
#define PF_USER     (1u << 2)
#define PF_RESERVED (1u << 3)
#define PF_FETCH    (1u << 4)

enum gwalk_mode_id {
	GWALK_OFF,
	GWALK_32BIT,
	GWALK_PSE,
	GWALK_PAE,
	GWALK_4LEVEL,
	GWALK_5LEVEL,
};

struct gwalk_level {
	uint8_t shift;          /* of the index in the address; also log2 of a leaf's size */
	uint8_t index_bits;
	bool may_be_leaf;       /* with GPTE_HUGE set; level 1 always is one */
	bool no_rights;         /* its entries neither permit nor forbid, and know no Accessed */
	uint64_t reserved;      /* in every entry */
	uint64_t leaf_reserved; /* in addition, in a leaf above level 1 */
};

struct gwalk_mode {
	uint8_t levels;
	uint8_t entry_size;
	uint8_t gva_bits;
	bool canonical;         /* the address bits above gva_bits repeat the top one */
	uint64_t cr3_address;
	struct gwalk_level level[PG_LEVEL_256T + 1];
};

/* GWALK_OFF has no levels. */
extern const struct gwalk_mode gwalk_modes[];

enum gwalk_mode_id gwalk_mode_of(uint64_t cr0, uint64_t cr4, uint64_t efer);
/* Reserved in every entry because of the VM's address width, and because NX is off. */
uint64_t gwalk_reserved(const struct mmu_vm *vm, enum gwalk_mode_id mode, bool nxe);

/* What one entry says. */
struct gwalk_entry {
	bool present, reserved, leaf;
	uint8_t access; /* ACC_* with ACC_USER */
	gpa_t address;  /* of the page, at its beginning, or of the table */
};

/* What an entry permits, bit for bit. */
static inline unsigned gpte_access(uint64_t gpte)
{
	_Static_assert(GPTE_W == ACC_W && GPTE_U << 1 == ACC_USER && ACC_X == 1 << 2, "shifts");

	return ACC_R | (unsigned)(gpte & GPTE_W) | (unsigned)(gpte & GPTE_U) << 1 |
	       (unsigned)(~gpte >> 63) << 2;
}

static inline struct gwalk_entry gwalk_decode(enum gwalk_mode_id mode, unsigned level,
					      uint64_t reserved, uint64_t gpte)
{
	const struct gwalk_level *l = &gwalk_modes[mode].level[level];
	struct gwalk_entry e = { .present = gpte & GPTE_P, .address = gpte & GPTE_ADDRESS };

	e.access = (uint8_t)(l->no_rights ? ACC_RWX | ACC_USER : gpte_access(gpte));
	reserved |= l->reserved;
	e.leaf = level == PG_LEVEL_4K;
	if (level > PG_LEVEL_4K && l->may_be_leaf && (gpte & GPTE_HUGE)) {
		e.leaf = true;
		e.address &= ~((1ul << l->shift) - 1);
		reserved |= l->leaf_reserved;
	}
	e.reserved = gpte & reserved;
	return e;
}

/*
 * The way that the last walk took, for the next one, which mostly has it in common but for the last table.
 * All zero: none yet.  Arrays by level.
 */
struct gwalk_path {
	uint64_t sequence;                 /* of invalidations, as of which addresses hold */
	gva_t gva;
	uint64_t reserved;
	enum gwalk_mode_id mode;
	uint8_t end;                       /* the last level that was looked at */
	uint8_t access[PG_LEVEL_256T + 1]; /* what the entries from the top down to here permit */
	gpa_t table[PG_LEVEL_256T + 1];
	const void *va[PG_LEVEL_256T + 1]; /* of the table; NULL: not known */
	const void *entry[PG_LEVEL_256T + 1]; /* the same of the entry */
	gpa_t at[PG_LEVEL_256T + 1];       /* where the entry lies; GPA_INVALID: not in memory */
	uint64_t gpte[PG_LEVEL_256T + 1];  /* as it lies in memory, with the marks of the access */
};

/* One walk. */
struct gwalk {
	/* the caller's */
	uint64_t cr0, cr3, cr4, efer;
	enum gwalk_mode_id mode; /* and reserved: what gwalk_mode_of() and gwalk_reserved() say of these */
	uint64_t reserved;
	gva_t gva;
	bool write, fetch, user;
	bool ac;                 /* EFLAGS.AC, for SMAP */
	const uint64_t *pdpte; /* PAE's top entries as CR3's load took them; NULL: as they lie in memory */
	bool open_bus;         /* a table outside memory reads as all ones, not as -EIO */
	bool mark;             /* set Accessed and Dirty as the access does */
	struct gwalk_path *path; /* of the last walk; of this one when it is done */

	/* of the walk, and its outcome */
	bool marked;           /* Accessed is set on all the way, Dirty too if the access writes */
	uint8_t level;         /* of the leaf */
	bool leaf_dirty;       /* Dirty is set in the leaf, or cannot be */
	gpa_t gpa;
	uint32_t pf_error;
};

/*
 * Results as mmu_guest_translate(); besides -EAGAIN: another processor changed an entry that
 * was to be marked, walk again.
 */
int gwalk_run(struct mmu_vm *vm, struct gwalk *w);

void gwalk_path_forget(struct mmu_vm *vm, struct gwalk_path *path) REQUIRES_SHARED(vm->mmu_lock);

/*
 * Forget addresses that may not hold any more: at the beginning of each hold of mmu_lock.  An invalidation
 * that runs may have changed some of its part already.
 */
static inline void gwalk_path_check(struct mmu_vm *vm, struct gwalk_path *path)
	REQUIRES_SHARED(vm->mmu_lock)
{
	/* Relaxed: the lock orders it. */
	if (path->sequence != atomic_load_explicit(&vm->invalidate.seq, memory_order_relaxed) ||
	    vm->invalidate.active)
		gwalk_path_forget(vm, path);
}

/* The guest's table of this level at this address; NULL: it is not in memory. */
const void *gwalk_table(struct mmu_vm *vm, struct gwalk_path *path, gpa_t gpa, unsigned level)
	REQUIRES_SHARED(vm->mmu_lock);
