/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A walk of the guest's own page tables (SDM vol. 3A, chapter 4), for one access.
 *
 * Each paging mode is a constant table of its levels; the walk is the same for
 * all.  The processor modelled has NX, SMEP, SMAP and 1G pages and lacks PSE-36 and
 * protection keys; bits of a physical address beyond the VM's width are reserved.  PAE's four
 * top entries are read with each walk, as AMD's processors do.
 */
#include "mm/gwalk.h"

#include "mm/guest_table.h"
#include "mm/invalidate.h"
#include "mm/lock.h"

#define BITS(high, low) ((~0ul >> (63 - (high))) & (~0ul << (low)))

#define LONG_MODE_LEVELS                                                              \
	[1] = { .shift = 12, .index_bits = 9 },                                       \
	[2] = { .shift = 21, .index_bits = 9, .may_be_leaf = true,                    \
		.leaf_reserved = BITS(20, 13) },                                      \
	[3] = { .shift = 30, .index_bits = 9, .may_be_leaf = true,                    \
		.leaf_reserved = BITS(29, 13) },                                      \
	[4] = { .shift = 39, .index_bits = 9, .reserved = GPTE_HUGE }

const struct gwalk_mode gwalk_modes[] = {
	[GWALK_OFF] = { 0 },
	[GWALK_32BIT] = {
		.levels = 2, .entry_size = 4, .gva_bits = 32, .cr3_address = BITS(31, 12),
		.level = {
			[1] = { .shift = 12, .index_bits = 10 },
			[2] = { .shift = 22, .index_bits = 10 },
		},
	},
	[GWALK_PSE] = {
		.levels = 2, .entry_size = 4, .gva_bits = 32, .cr3_address = BITS(31, 12),
		.level = {
			[1] = { .shift = 12, .index_bits = 10 },
			[2] = { .shift = 22, .index_bits = 10, .may_be_leaf = true,
				.leaf_reserved = BITS(21, 13) },
		},
	},
	[GWALK_PAE] = {
		.levels = 3, .entry_size = 8, .gva_bits = 32, .cr3_address = BITS(31, 5),
		.level = {
			[1] = { .shift = 12, .index_bits = 9, .reserved = BITS(62, 52) },
			[2] = { .shift = 21, .index_bits = 9, .reserved = BITS(62, 52),
				.may_be_leaf = true, .leaf_reserved = BITS(20, 13) },
			/*
			 * Bit 5 is reserved too, but QEMU's TCG sets it as if the entry had
			 * an Accessed bit: a guest must not fault on what its processor wrote.
			 */
			[3] = { .shift = 30, .index_bits = 2, .no_rights = true,
				.reserved = BITS(63, 52) | BITS(8, 6) | BITS(2, 1) },
		},
	},
	[GWALK_4LEVEL] = {
		.levels = 4, .entry_size = 8, .gva_bits = 48, .canonical = true,
		.cr3_address = GPTE_ADDRESS,
		.level = { LONG_MODE_LEVELS },
	},
	[GWALK_5LEVEL] = {
		.levels = 5, .entry_size = 8, .gva_bits = 57, .canonical = true,
		.cr3_address = GPTE_ADDRESS,
		.level = {
			LONG_MODE_LEVELS,
			[5] = { .shift = 48, .index_bits = 9, .reserved = GPTE_HUGE },
		},
	},
};

enum gwalk_mode_id gwalk_mode_of(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	if (!(cr0 & CR0_PG))
		return GWALK_OFF;
	if (efer & EFER_LMA)
		return cr4 & CR4_LA57 ? GWALK_5LEVEL : GWALK_4LEVEL;
	if (cr4 & CR4_PAE)
		return GWALK_PAE;
	return cr4 & CR4_PSE ? GWALK_PSE : GWALK_32BIT;
}

uint64_t gwalk_reserved(const struct mmu_vm *vm, enum gwalk_mode_id mode, bool nxe)
{
	uint64_t reserved = nxe ? 0 : GPTE_NX;

	if (gwalk_modes[mode].entry_size == 8 && vm->maxphyaddr < 52)
		reserved |= BITS(51, vm->maxphyaddr);
	return reserved;
}

static bool is_canonical(gva_t gva, unsigned bits)
{
	int64_t top = (int64_t)gva >> (bits - 1);

	return top == 0 || top == -1;
}

/* No execute-disable in 32-bit paging, whatever EFER says. */
static bool nx_enabled(const struct gwalk *w)
{
	return gwalk_modes[w->mode].entry_size == 8 && (w->efer & EFER_NXE);
}

static uint32_t pf_error(const struct gwalk *w, uint32_t why)
{
	why |= w->write ? PF_WRITE : 0;
	why |= w->user ? PF_USER : 0;
	if (w->fetch && (nx_enabled(w) || (w->cr4 & CR4_SMEP)))
		why |= PF_FETCH;
	return why;
}

/* The rights of the whole path against the access. */
static bool is_permitted(const struct gwalk *w)
{
	unsigned can = w->path->access[w->level];

	if (w->user && !(can & ACC_USER))
		return false;
	if (w->write && !(can & ACC_W) && (w->user || (w->cr0 & CR0_WP)))
		return false;
	if (w->fetch && !(can & ACC_X))
		return false;
	if (w->user || !(can & ACC_USER))
		return true;
	/* The supervisor at a user page. */
	if (w->fetch)
		return !(w->cr4 & CR4_SMEP);
	return !(w->cr4 & CR4_SMAP) || w->ac;
}

/* ---- reading entries ---------------------------------------------------------------- */

void gwalk_path_forget(struct mmu_vm *vm, struct gwalk_path *path)
{
	assert_held_read(&vm->mmu_lock);
	path->sequence = invalidate_snapshot(vm);
	for (unsigned level = 0; level <= PG_LEVEL_256T; level++)
		path->va[level] = path->entry[level] = NULL;
}

static __attribute__((noinline)) const void *find_table(struct mmu_vm *vm,
							struct gwalk_path *path, gpa_t gpa,
							unsigned level)
	REQUIRES_SHARED(vm->mmu_lock)
{
	const unsigned char *page = guest_page_va(vm, gpa >> PAGE_SHIFT);

	/* PAE's topmost is smaller than a page. */
	path->va[level] = page ? page + (gpa & ~PAGE_MASK) : NULL;
	path->table[level] = gpa;
	return path->va[level];
}

const void *gwalk_table(struct mmu_vm *vm, struct gwalk_path *path, gpa_t gpa, unsigned level)
{
	assert_held_read(&vm->mmu_lock);
	if (path->table[level] == gpa && path->va[level])
		return path->va[level];
	return find_table(vm, path, gpa, level);
}

/* Not in memory, or not yet there: as somebody who waits for the page. */
NO_THREAD_SAFETY_ANALYSIS
static __attribute__((noinline)) int read_missing(struct mmu_vm *vm, struct gwalk *w,
						  unsigned level)
	REQUIRES_SHARED(vm->mmu_lock)
{
	unsigned size = gwalk_modes[w->mode].entry_size;
	struct gwalk_path *p = w->path;

	p->gpte[level] = 0;
	p->entry[level] = NULL;
	mmu_glance_unlock(vm);
	int err = mmu_read_guest(vm, p->at[level], &p->gpte[level], size);

	mmu_glance_lock(vm);
	gwalk_path_check(vm, p);
	if (err)
		p->at[level] = GPA_INVALID;
	if (err != -EFAULT)
		return err;
	p->gpte[level] = size == 8 ? ~0ul : ~0u;
	return w->open_bus ? 0 : -EIO;
}

/* The entry of a level, in the table at this address. */
static inline int read_entry(struct mmu_vm *vm, struct gwalk *w, gpa_t table, unsigned level)
	REQUIRES_SHARED(vm->mmu_lock)
{
	const struct gwalk_mode *mode = &gwalk_modes[w->mode];
	const struct gwalk_level *l = &mode->level[level];
	unsigned index = (w->gva >> l->shift) & ((1u << l->index_bits) - 1);
	struct gwalk_path *p = w->path;

	if (w->pdpte && w->mode == GWALK_PAE && level == mode->levels) {
		p->at[level] = GPA_INVALID;
		p->entry[level] = NULL;
		p->gpte[level] = w->pdpte[index];
		return 0;
	}
	p->at[level] = table + index * mode->entry_size;
	const unsigned char *entries = gwalk_table(vm, p, table, level);

	if (!entries)
		return read_missing(vm, w, level);
	p->entry[level] = entries + index * mode->entry_size;
	p->gpte[level] = guest_entry(p->entry[level], 0, mode->entry_size);
	return 0;
}

/*
 * Where the walk has to begin: at the last one's end, if its way there is the same and its entries still
 * say what they said then; else at the top.  *marks: what those entries have in common.
 */
static unsigned first_level(const struct gwalk *w, gpa_t top, uint64_t *marks)
{
	const struct gwalk_mode *mode = &gwalk_modes[w->mode];
	const struct gwalk_path *p = w->path;
	unsigned end = p->end, level = mode->levels;

	if (p->mode != w->mode || p->reserved != w->reserved || p->table[level] != top ||
	    end == level || (p->gva ^ w->gva) >> mode->level[end + 1].shift)
		return level;
	uint64_t all = ~0ul;

	do {
		const void *entry = p->entry[level];
		uint64_t gpte = p->gpte[level];

		if (!entry || guest_entry(entry, 0, mode->entry_size) != gpte)
			return mode->levels;
		all &= gpte;
	} while (--level > end);
	*marks = all;
	return end;
}

/* Down to the leaf; what the entries permit is gathered and not yet judged. */
static int walk_down(struct mmu_vm *vm, struct gwalk *w) REQUIRES_SHARED(vm->mmu_lock)
{
	const struct gwalk_mode *mode = &gwalk_modes[w->mode];
	gpa_t table = w->cr3 & mode->cr3_address;
	unsigned access = ACC_RWX | ACC_USER;
	struct gwalk_path *p = w->path;
	uint64_t marks = ~0ul;
	unsigned level = first_level(w, table, &marks);

	if (level < mode->levels) {
		access = p->access[level + 1];
		table = p->gpte[level + 1] & GPTE_ADDRESS;
	}
	p->mode = w->mode;
	p->reserved = w->reserved;
	p->gva = w->gva;
	for (;; level--) {
		p->end = (uint8_t)level;
		int err = read_entry(vm, w, table, level);
		uint64_t gpte = p->gpte[level];
		struct gwalk_entry e = gwalk_decode(w->mode, level, w->reserved, gpte);

		if (err)
			return err;
		if (!e.present || e.reserved) {
			w->pf_error = pf_error(w, e.present ? PF_PRESENT | PF_RESERVED : 0);
			return -EFAULT;
		}
		access &= e.access;
		p->access[level] = (uint8_t)access;
		table = e.address;
		marks &= mode->level[level].no_rights ? ~0ul : gpte;
		if (!e.leaf)
			continue;
		w->level = (uint8_t)level;
		w->leaf_dirty = gpte & GPTE_DIRTY;
		w->marked = (marks & GPTE_ACCESSED) && (w->leaf_dirty || !w->write);
		w->gpa = e.address | (w->gva & ((1ul << mode->level[level].shift) - 1));
		return 0;
	}
}

static int walk(struct mmu_vm *vm, struct gwalk *w)
{
	mmu_glance_lock(vm);
	gwalk_path_check(vm, w->path);
	int err = walk_down(vm, w);

	mmu_glance_unlock(vm);
	return err;
}

/* ---- marking them --------------------------------------------------------------------- */

/* Accessed on the way, Dirty in the leaf.  What cannot be written stays as it is. */
static int mark_entry(struct mmu_vm *vm, struct gwalk *w, unsigned level)
{
	uint64_t want = GPTE_ACCESSED | (level == w->level && w->write ? GPTE_DIRTY : 0);
	uint64_t old = w->path->gpte[level];
	int err;

	if (gwalk_modes[w->mode].level[level].no_rights || (old & want) == want)
		return 0;
	if (w->path->at[level] == GPA_INVALID)
		return -EFAULT;
	err = guest_cmpxchg(vm, w->path->at[level], gwalk_modes[w->mode].entry_size, old, old | want);
	if (!err)
		w->path->gpte[level] = old | want;
	return err;
}

static int mark_path(struct mmu_vm *vm, struct gwalk *w)
{
	int err = 0;

	for (unsigned level = gwalk_modes[w->mode].levels; level >= w->level; level--) {
		err = mark_entry(vm, w, level);
		if (err && err != -EFAULT)
			return err;
	}
	w->leaf_dirty = err == -EFAULT || (w->path->gpte[w->level] & GPTE_DIRTY);
	return 0;
}

int gwalk_run(struct mmu_vm *vm, struct gwalk *w)
{
	const struct gwalk_mode *mode = &gwalk_modes[w->mode];

	w->level = 0;
	if (w->mode == GWALK_OFF) {
		w->gpa = w->gva & BITS(31, 0);
		w->leaf_dirty = true;
		return 0;
	}
	if (mode->canonical && !is_canonical(w->gva, mode->gva_bits))
		return -EINVAL;
	w->gva &= BITS(mode->gva_bits - 1, 0);
	int err = walk(vm, w);

	if (err)
		return err;
	if (!is_permitted(w)) {
		w->pf_error = pf_error(w, PF_PRESENT);
		return -EFAULT;
	}
	return w->mark && !w->marked ? mark_path(vm, w) : 0;
}

int mmu_guest_translate(struct mmu_vm *vm, const struct mmu_guest_paging *p, gva_t gva,
			unsigned access, struct mmu_guest_walk *out)
{
	struct gwalk_path path = { 0 };
	struct gwalk w = {
		.path = &path,
		.cr0 = p->cr0,
		.cr3 = p->cr3,
		.cr4 = p->cr4,
		.efer = p->efer,
		.ac = p->ac,
		.mode = gwalk_mode_of(p->cr0, p->cr4, p->efer),
		.gva = gva,
		.pdpte = p->pdpte,
		.write = access & ACC_W,
		.fetch = access & ACC_X,
		.user = p->user || (access & ACC_USER),
	};

	w.reserved = gwalk_reserved(vm, w.mode, p->efer & EFER_NXE);
	int err = gwalk_run(vm, &w);

	*out = (struct mmu_guest_walk){ .gpa = err ? GPA_INVALID : w.gpa, .level = w.level,
					.pf_error = w.pf_error };
	if (w.mode == GWALK_OFF)
		return err;
	out->entry_size = gwalk_modes[w.mode].entry_size;
	for (unsigned level = gwalk_modes[w.mode].levels; !err && level >= w.level; level--) {
		out->at[out->count] = path.at[level];
		out->entry[out->count++] = path.gpte[level];
	}
	return err;
}
