/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A walk of the guest's own page tables (SDM vol. 3A, chapter 4), for one access.
 *
 * Each paging mode is a constant table of its levels; the walk is the same for
 * all.  The processor modelled has NX, SMEP, SMAP and 1G pages and lacks PSE-36 and
 * protection keys; bits of a physical address beyond the VM's width are reserved.  PAE's four
 * top entries are read with each walk, as AMD's processors do.
 */
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

#define GPTE_P    (1ul << 0)
#define GPTE_W    (1ul << 1)
#define GPTE_U    (1ul << 2)
#define GPTE_HUGE (1ul << 7)
#define GPTE_NX   (1ul << 63)

#define PF_PRESENT  (1u << 0)
#define PF_WRITE    (1u << 1)
#define PF_USER     (1u << 2)
#define PF_RESERVED (1u << 3)
#define PF_FETCH    (1u << 4)

#define BITS(high, low) ((~0ul >> (63 - (high))) & (~0ul << (low)))

/* The width of an address in an entry; what of it is reserved depends on the VM. */
#define GPTE_ADDRESS BITS(51, 12)

struct gwalk_level {
	uint8_t shift;          /* of the index in the address; also log2 of a leaf's size */
	uint8_t index_bits;
	bool may_be_leaf;       /* with GPTE_HUGE set; level 1 always is one */
	bool no_rights;         /* its entries neither permit nor forbid */
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

static const struct gwalk_mode mode_32bit = {
	.levels = 2, .entry_size = 4, .gva_bits = 32, .cr3_address = BITS(31, 12),
	.level = {
		[1] = { .shift = 12, .index_bits = 10 },
		[2] = { .shift = 22, .index_bits = 10 },
	},
};

static const struct gwalk_mode mode_32bit_pse = {
	.levels = 2, .entry_size = 4, .gva_bits = 32, .cr3_address = BITS(31, 12),
	.level = {
		[1] = { .shift = 12, .index_bits = 10 },
		[2] = { .shift = 22, .index_bits = 10, .may_be_leaf = true,
			.leaf_reserved = BITS(21, 13) },
	},
};

static const struct gwalk_mode mode_pae = {
	.levels = 3, .entry_size = 8, .gva_bits = 32, .cr3_address = BITS(31, 5),
	.level = {
		[1] = { .shift = 12, .index_bits = 9, .reserved = BITS(62, 52) },
		[2] = { .shift = 21, .index_bits = 9, .reserved = BITS(62, 52),
			.may_be_leaf = true, .leaf_reserved = BITS(20, 13) },
		/*
		 * Bit 5 is reserved too, but QEMU's TCG sets it as if the entry had an
		 * Accessed bit: a guest must not fault on what its processor wrote.
		 */
		[3] = { .shift = 30, .index_bits = 2, .no_rights = true,
			.reserved = BITS(63, 52) | BITS(8, 6) | BITS(2, 1) },
	},
};

#define LONG_MODE_LEVELS                                                              \
	[1] = { .shift = 12, .index_bits = 9 },                                       \
	[2] = { .shift = 21, .index_bits = 9, .may_be_leaf = true,                    \
		.leaf_reserved = BITS(20, 13) },                                      \
	[3] = { .shift = 30, .index_bits = 9, .may_be_leaf = true,                    \
		.leaf_reserved = BITS(29, 13) },                                      \
	[4] = { .shift = 39, .index_bits = 9, .reserved = GPTE_HUGE }

static const struct gwalk_mode mode_4level = {
	.levels = 4, .entry_size = 8, .gva_bits = 48, .canonical = true,
	.cr3_address = GPTE_ADDRESS,
	.level = { LONG_MODE_LEVELS },
};

static const struct gwalk_mode mode_5level = {
	.levels = 5, .entry_size = 8, .gva_bits = 57, .canonical = true,
	.cr3_address = GPTE_ADDRESS,
	.level = {
		LONG_MODE_LEVELS,
		[5] = { .shift = 48, .index_bits = 9, .reserved = GPTE_HUGE },
	},
};

/* One walk. */
struct gwalk {
	const struct mmu_guest_paging *p;
	const struct gwalk_mode *mode;
	gva_t gva;
	bool write, fetch, user;
	uint64_t reserved;   /* beyond what the mode says: address width, NX when it is off */
	/* what all entries so far permit */
	bool can_write, can_user, can_fetch;
};

/* NULL: paging is off. */
static const struct gwalk_mode *mode_of(const struct mmu_guest_paging *p)
{
	if (!(p->cr0 & CR0_PG))
		return NULL;
	if (p->efer & EFER_LMA)
		return p->cr4 & CR4_LA57 ? &mode_5level : &mode_4level;
	if (p->cr4 & CR4_PAE)
		return &mode_pae;
	return p->cr4 & CR4_PSE ? &mode_32bit_pse : &mode_32bit;
}

static bool is_canonical(gva_t gva, unsigned bits)
{
	int64_t top = (int64_t)gva >> (bits - 1);

	return top == 0 || top == -1;
}

/* No execute-disable in 32-bit paging, whatever EFER says. */
static bool nx_enabled(const struct gwalk *w)
{
	return w->mode->entry_size == 8 && (w->p->efer & EFER_NXE);
}

static uint32_t pf_error(const struct gwalk *w, uint32_t why)
{
	why |= w->write ? PF_WRITE : 0;
	why |= w->user ? PF_USER : 0;
	if (w->fetch && (nx_enabled(w) || (w->p->cr4 & CR4_SMEP)))
		why |= PF_FETCH;
	return why;
}

static bool is_leaf(const struct gwalk_level *l, unsigned level, uint64_t gpte)
{
	return level == 1 || (l->may_be_leaf && (gpte & GPTE_HUGE));
}

/* Checks one entry and takes its rights along; -EFAULT says why in *error. */
static int check_entry(struct gwalk *w, unsigned level, uint64_t gpte, uint32_t *error)
{
	const struct gwalk_level *l = &w->mode->level[level];
	uint64_t reserved = w->reserved | l->reserved;

	if (!(gpte & GPTE_P)) {
		*error = pf_error(w, 0);
		return -EFAULT;
	}
	if (level > 1 && is_leaf(l, level, gpte))
		reserved |= l->leaf_reserved;
	if (gpte & reserved) {
		*error = pf_error(w, PF_PRESENT | PF_RESERVED);
		return -EFAULT;
	}
	if (!l->no_rights) {
		w->can_write &= !!(gpte & GPTE_W);
		w->can_user &= !!(gpte & GPTE_U);
		w->can_fetch &= !(gpte & GPTE_NX);
	}
	return 0;
}

/* The rights of the whole path against the access. */
static bool is_permitted(const struct gwalk *w)
{
	if (w->user && !w->can_user)
		return false;
	if (w->write && !w->can_write && (w->user || (w->p->cr0 & CR0_WP)))
		return false;
	if (w->fetch && !w->can_fetch)
		return false;
	if (w->user || !w->can_user)
		return true;
	/* The supervisor at a user page. */
	if (w->fetch)
		return !(w->p->cr4 & CR4_SMEP);
	return !(w->p->cr4 & CR4_SMAP) || w->p->ac;
}

static int read_entry(struct mmu_vm *vm, const struct gwalk *w, gpa_t table, unsigned level,
		      uint64_t *gpte, struct mmu_guest_walk *out)
{
	const struct gwalk_level *l = &w->mode->level[level];
	uint64_t index = (w->gva >> l->shift) & ((1ul << l->index_bits) - 1);
	gpa_t at = table + index * w->mode->entry_size;

	out->entry[out->count] = 0;
	int err = mmu_read_guest(vm, at, &out->entry[out->count], w->mode->entry_size);

	*gpte = out->entry[out->count];
	out->at[out->count++] = at;
	return err == -EFAULT ? -EIO : err;
}

static int walk(struct mmu_vm *vm, struct gwalk *w, struct mmu_guest_walk *out)
{
	gpa_t table = w->p->cr3 & w->mode->cr3_address;
	unsigned level = w->mode->levels;
	uint64_t gpte;

	out->entry_size = w->mode->entry_size;
	for (;; level--) {
		int err = read_entry(vm, w, table, level, &gpte, out);

		if (!err)
			err = check_entry(w, level, gpte, &out->pf_error);
		if (err)
			return err;
		if (is_leaf(&w->mode->level[level], level, gpte))
			break;
		table = gpte & GPTE_ADDRESS;
	}
	if (!is_permitted(w)) {
		out->pf_error = pf_error(w, PF_PRESENT);
		return -EFAULT;
	}
	uint64_t offset = (1ul << w->mode->level[level].shift) - 1;

	out->gpa = (gpte & GPTE_ADDRESS & ~offset) | (w->gva & offset);
	out->level = (uint8_t)level;
	return 0;
}

int mmu_guest_translate(struct mmu_vm *vm, const struct mmu_guest_paging *p, gva_t gva,
			unsigned access, struct mmu_guest_walk *out)
{
	struct gwalk w = {
		.p = p,
		.mode = mode_of(p),
		.write = access & ACC_W,
		.fetch = access & ACC_X,
		.user = p->user || (access & ACC_USER),
		.can_write = true, .can_user = true, .can_fetch = true,
	};

	*out = (struct mmu_guest_walk){ .gpa = GPA_INVALID };
	if (!w.mode) {
		out->gpa = gva & BITS(31, 0);
		return 0;
	}
	if (w.mode->canonical && !is_canonical(gva, w.mode->gva_bits))
		return -EINVAL;
	w.gva = gva & BITS(w.mode->gva_bits - 1, 0);
	if (w.mode->entry_size == 8 && vm->maxphyaddr < 52)
		w.reserved = BITS(51, vm->maxphyaddr);
	if (!(p->efer & EFER_NXE))
		w.reserved |= GPTE_NX;
	return walk(vm, &w, out);
}
