/* SPDX-License-Identifier: GPL-2.0-only */
/* Hypercalls on ranges of guest memory: what stands in for mmu_notifier events, and ageing. */
#include "vmm/hypercall_impl.h"

#include "lib/util.h"

/* What the calls share: a range, and flags of which only these are known. */
static int64_t check_range(const struct hc_args *a, uint64_t known, gfn_t *gfn, uint64_t *npages)
{
	if (a->rdx & ~known || !hc_range_parse(a->rbx, a->rcx, gfn, npages))
		return PHYLLO_EINVAL;
	return 0;
}

static unsigned mmu_flags(const struct hc_args *a)
{
	return a->rdx & PHYLLO_MAY_BLOCK ? MMU_MAY_BLOCK : 0;
}

int64_t hc_balloon_out(struct vcpu *vcpu, const struct hc_args *a)
{
	uint64_t npages, changed;
	gfn_t gfn;
	int64_t err = check_range(a, PHYLLO_MAY_BLOCK, &gfn, &npages);

	if (!err)
		err = mmu_balloon_out(a->target->mmu, gfn, npages, mmu_flags(a), &changed);
	return err ? err : (int64_t)changed;
}

int64_t hc_balloon_in(struct vcpu *vcpu, const struct hc_args *a)
{
	uint64_t npages, changed;
	gfn_t gfn;
	int64_t err = check_range(a, PHYLLO_MAY_BLOCK, &gfn, &npages);

	if (!err)
		err = mmu_balloon_in(a->target->mmu, gfn, npages, mmu_flags(a), &changed);
	return err ? err : (int64_t)changed;
}

int64_t hc_unmap(struct vcpu *vcpu, const struct hc_args *a)
{
	uint64_t npages;
	gfn_t gfn;
	int64_t err = check_range(a, PHYLLO_MAY_BLOCK, &gfn, &npages);

	return err ? err : mmu_unmap(a->target->mmu, gfn, npages, mmu_flags(a));
}

int64_t hc_migrate(struct vcpu *vcpu, const struct hc_args *a)
{
	uint64_t npages, changed;
	gfn_t gfn;
	int64_t err = check_range(a, PHYLLO_MAY_BLOCK, &gfn, &npages);

	if (!err)
		err = mmu_migrate(a->target->mmu, gfn, npages, mmu_flags(a), &changed);
	return err ? err : (int64_t)changed;
}

/* ACC_* of a PHYLLO_PROTECT_*; false: it is none. */
static bool protect_access(uint64_t protect, unsigned *access)
{
	switch (protect) {
	case PHYLLO_PROTECT_RW:
		*access = ACC_RWX;
		return true;
	case PHYLLO_PROTECT_RO:
		*access = ACC_R | ACC_X;
		return true;
	case PHYLLO_PROTECT_NONE:
		*access = 0;
		return true;
	default:
		return false;
	}
}

int64_t hc_protect(struct vcpu *vcpu, const struct hc_args *a)
{
	unsigned access;
	uint64_t npages;
	gfn_t gfn;
	int64_t err = check_range(a, ~0ul, &gfn, &npages);

	if (err)
		return err;
	if (!protect_access(a->rdx & ~(uint64_t)PHYLLO_MAY_BLOCK, &access))
		return PHYLLO_EINVAL;
	return mmu_protect(a->target->mmu, gfn, npages, access, mmu_flags(a));
}

/* ---- ageing -------------------------------------------------------------------------- */

int64_t hc_age(struct vcpu *vcpu, const struct hc_args *a)
{
	uint64_t npages, young;
	gfn_t gfn;
	int64_t err = check_range(a, 0, &gfn, &npages);

	if (!err)
		err = mmu_age(a->target->mmu, gfn, npages, &young);
	return err ? err : (int64_t)young;
}

int64_t hc_test_age(struct vcpu *vcpu, const struct hc_args *a)
{
	uint64_t npages;
	bool young;
	gfn_t gfn;
	int64_t err = check_range(a, 0, &gfn, &npages);

	if (!err)
		err = mmu_test_age(a->target->mmu, gfn, npages, &young);
	return err ? err : young;
}

static unsigned count_bits(const uint64_t *words, uint64_t n)
{
	unsigned bits = 0;

	for (uint64_t i = 0; i < n; i++)
		bits += (unsigned)__builtin_popcountll(words[i]);
	return bits;
}

/* The bitmap goes to the caller, in pieces. */
static int64_t age_pieces(struct vcpu *vcpu, struct mmu_vm *mmu, gfn_t gfn, uint64_t npages,
			  const struct phyllo_age_bitmap *args)
{
	bool clear = args->flags & PHYLLO_AGE_CLEAR;
	uint64_t bitmap[HC_BITMAP_WORDS];
	int64_t bits = 0;

	for (uint64_t done = 0; done < npages; done += HC_BITMAP_PAGES) {
		uint64_t n = MIN(npages - done, HC_BITMAP_PAGES), bytes = hc_bitmap_bytes(n);
		int err = mmu_age_bitmap(mmu, gfn + done, n, clear, bitmap);

		if (!err)
			err = mmu_write_guest(vcpu->vm->mmu, args->bitmap + done / 8, bitmap,
					      bytes);
		if (err)
			return err;
		bits += count_bits(bitmap, bytes / 8);
	}
	return bits;
}

int64_t hc_age_bitmap(struct vcpu *vcpu, const struct hc_args *a)
{
	struct mmu_vm *mmu = a->target->mmu;
	struct phyllo_age_bitmap args;
	uint64_t npages;
	bool young;
	gfn_t gfn;
	int64_t err = hc_read_struct(vcpu, a, &args, sizeof(args));

	if (err)
		return err;
	if (args.flags & ~(uint64_t)PHYLLO_AGE_CLEAR ||
	    !hc_range_parse(args.gpa, args.bytes, &gfn, &npages) ||
	    !hc_bitmap_valid(args.bitmap, npages))
		return PHYLLO_EINVAL;
	/* Is all of the range memory?  Asked before the first piece is aged. */
	err = mmu_test_age(mmu, gfn, npages, &young);
	return err ? err : age_pieces(vcpu, mmu, gfn, npages, &args);
}
