/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hypercalls on the dirty log.  A bitmap goes out in pieces, and a piece is cleared only when
 * the guest has it: a buffer that turns out not to be memory costs no dirty page.  A page that
 * is written in between is one that was reported already.
 */
#include "vmm/hypercall_impl.h"

#include "host/param.h"
#include "lib/util.h"

static bool has_style(const struct vm *vm, unsigned style)
{
	struct mmu_mode mode;

	mmu_mode_read(vm->mmu, &mode);
	switch (style) {
	case PHYLLO_DIRTY_STYLE_WRPROT: return true;
	case PHYLLO_DIRTY_STYLE_DBIT: return mode.hw_ad;
	case PHYLLO_DIRTY_STYLE_PML: return mode.pml;
	default: return false;
	}
}

uint32_t hc_dirty_styles(const struct vm *vm)
{
	uint32_t styles = 0;

	for (unsigned i = PHYLLO_DIRTY_STYLE_WRPROT; i <= PHYLLO_DIRTY_STYLE_PML; i++)
		styles |= has_style(vm, i) ? (uint32_t)BIT(i) : 0;
	return styles;
}

/* dirty=: auto is the cheapest that the VM has, and so is what is not to be had (shadow paging has no PML). */
unsigned hc_dirty_default(const struct vm *vm)
{
	unsigned style = param.dirty ? param.dirty : PHYLLO_DIRTY_STYLE_PML;

	while (!has_style(vm, style))
		style--;
	return style;
}

static bool dirty_style(const struct vm *vm, uint64_t style, enum mmu_dirty_style *out)
{
	if (style == PHYLLO_DIRTY_STYLE_DEFAULT)
		style = hc_dirty_default(vm);
	if (style > PHYLLO_DIRTY_STYLE_PML || !has_style(vm, (unsigned)style))
		return false;
	*out = style == PHYLLO_DIRTY_STYLE_WRPROT ? MMU_DIRTY_WRPROT
	       : style == PHYLLO_DIRTY_STYLE_DBIT ? MMU_DIRTY_DBIT
						  : MMU_DIRTY_PML;
	return true;
}

int64_t hc_dirty_start(struct vcpu *vcpu, const struct hc_args *a)
{
	enum mmu_dirty_style style;
	unsigned flags = 0;

	if (a->rdx & ~(uint64_t)(PHYLLO_DIRTY_ALL_SET | PHYLLO_DIRTY_NO_SPLIT) ||
	    !dirty_style(a->target, a->rcx, &style))
		return PHYLLO_EINVAL;
	if (!hc_slot_valid(a->rbx))
		return PHYLLO_ENOENT;
	flags |= a->rdx & PHYLLO_DIRTY_ALL_SET ? MMU_DIRTY_ALL_SET : 0;
	flags |= a->rdx & PHYLLO_DIRTY_NO_SPLIT ? MMU_DIRTY_NO_SPLIT : 0;
	return mmu_dirty_start(a->target->mmu, (unsigned)a->rbx, style, flags);
}

int64_t hc_dirty_stop(struct vcpu *vcpu, const struct hc_args *a)
{
	return hc_slot_valid(a->rbx) ? mmu_dirty_stop(a->target->mmu, (unsigned)a->rbx)
				  : PHYLLO_ENOENT;
}

/* The structure of get and clear, and whether its range lies in the slot. */
static int64_t read_request(struct vcpu *vcpu, const struct hc_args *a, uint64_t known,
			    struct phyllo_dirty *req)
{
	struct mmu_slot_desc slot;
	int64_t err = hc_read_struct(vcpu, a, req, sizeof(*req));

	if (err)
		return err;
	if (!hc_slot_valid(req->slot))
		return PHYLLO_ENOENT;
	err = mmu_slot_info(a->target->mmu, (unsigned)req->slot, &slot);
	if (err)
		return err;
	if (req->flags & ~known || !req->pages || req->first > slot.npages ||
	    req->pages > slot.npages - req->first || !hc_bitmap_valid(req->bitmap, req->pages))
		return PHYLLO_EINVAL;
	return 0;
}

/* One piece out, to the caller; -> bits set in it. */
static int64_t get_piece(struct vcpu *vcpu, struct mmu_vm *mmu, const struct phyllo_dirty *req,
			 uint64_t done, uint64_t n)
{
	uint64_t bitmap[HC_BITMAP_WORDS], dirty;
	unsigned slot = (unsigned)req->slot;
	uint64_t first = req->first + done;
	int err = mmu_dirty_get(mmu, slot, first, n, false, bitmap, &dirty);

	if (!err)
		err = mmu_write_guest(vcpu->vm->mmu, req->bitmap + done / 8, bitmap, hc_bitmap_bytes(n));
	if (!err && dirty && req->flags & PHYLLO_DIRTY_GET_CLEAR)
		err = mmu_dirty_clear(mmu, slot, first, n, bitmap);
	return err ? err : (int64_t)dirty;
}

int64_t hc_dirty_get(struct vcpu *vcpu, const struct hc_args *a)
{
	struct phyllo_dirty req;
	int64_t err = read_request(vcpu, a, PHYLLO_DIRTY_GET_CLEAR, &req), total = 0;

	for (uint64_t done = 0; !err && done < req.pages; done += HC_BITMAP_PAGES) {
		int64_t n = get_piece(vcpu, a->target->mmu, &req, done,
				      MIN(req.pages - done, HC_BITMAP_PAGES));

		if (n < 0)
			err = n;
		else
			total += n;
	}
	return err ? err : total;
}

int64_t hc_dirty_clear(struct vcpu *vcpu, const struct hc_args *a)
{
	uint64_t bitmap[HC_BITMAP_WORDS];
	struct phyllo_dirty req;
	int64_t err = read_request(vcpu, a, 0, &req);

	for (uint64_t done = 0; !err && done < req.pages; done += HC_BITMAP_PAGES) {
		uint64_t n = MIN(req.pages - done, HC_BITMAP_PAGES);

		err = mmu_read_guest(vcpu->vm->mmu, req.bitmap + done / 8, bitmap,
				     hc_bitmap_bytes(n));
		if (!err)
			err = mmu_dirty_clear(a->target->mmu, (unsigned)req.slot,
					      req.first + done, n, bitmap);
	}
	return err;
}
