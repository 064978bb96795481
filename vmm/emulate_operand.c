/* SPDX-License-Identifier: GPL-2.0-only */
/* Operands of emulated instructions; see emulate_operand.h. */
#include "vmm/emulate_operand.h"

#include "lib/util.h"
#include "vmm/inject.h"
#include "vmm/insn.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

#define SEG_TYPE_EXPAND_DOWN 0x4 /* of data segments */
#define SEG_TYPE_CODE 0x8

/* #GP, or #SS for the stack's segment (SDM vol. 3A, 6.15). */
static void inject_segment_fault(struct vcpu *vcpu, unsigned seg)
{
	inject_exception_error(vcpu, seg == SEG_SS ? VEC_SS : VEC_GP, 0);
}

/*
 * The processor has checked the access that faulted, but not what a repeated string
 * instruction goes on to, nor the other operand of MOVS.
 */
static bool within_limit(const struct vm_segment *s, uint64_t offset, unsigned size)
{
	uint64_t last = offset + size - 1;

	if (s->attr & SEG_ATTR_UNUSABLE)
		return false;
	if (!(s->attr & SEG_TYPE_CODE) && (s->attr & SEG_TYPE_EXPAND_DOWN))
		return offset > s->limit && last <= (s->attr & SEG_ATTR_DB ? 0xffffffff : 0xffff);
	return last <= s->limit;
}

static bool segment_permits(struct vcpu *vcpu, unsigned seg, uint64_t offset, unsigned size)
{
	struct vm_segment s;

	if (insn_code_size(vcpu) == 8)
		return true;
	virt->get_segment(vcpu, seg, &s);
	return within_limit(&s, offset, size);
}

static bool locate_piece(struct vcpu *vcpu, unsigned seg, gva_t gva, unsigned size,
			 unsigned access, struct operand_piece *piece)
{
	struct insn_fault f;
	int err = insn_translate(vcpu, gva, access, &piece->gpa, &f);

	if (err == -EFAULT)
		inject_page_fault(vcpu, f.gva, f.error);
	else if (err == -EINVAL)
		inject_segment_fault(vcpu, seg);
	else if (err)
		vm_stop_report(vcpu, "no memory for the guest's page tables of gva 0x%lx", gva);
	piece->size = (uint8_t)size;
	piece->device = err ? NULL : mmio_find(vcpu, piece->gpa);
	return !err;
}

bool operand_locate(struct vcpu *vcpu, unsigned seg, uint64_t offset, unsigned size,
		    unsigned access, struct operand *op)
{
	gva_t gva = insn_linear(vcpu, seg, offset);
	unsigned first = MIN(size, (unsigned)(PAGE_SIZE - (gva & ~PAGE_MASK)));

	if (!segment_permits(vcpu, seg, offset, size)) {
		inject_segment_fault(vcpu, seg);
		return false;
	}
	op->pieces = first < size ? 2 : 1;
	if (!locate_piece(vcpu, seg, gva, first, access, &op->piece[0]))
		return false;
	gva += first;
	if (insn_code_size(vcpu) != 8)
		gva = (uint32_t)gva;
	return op->pieces == 1 ||
	       locate_piece(vcpu, seg, gva, size - first, access, &op->piece[1]);
}

bool operand_at(struct vcpu *vcpu, gva_t gva, unsigned size, gpa_t gpa, struct operand *op)
{
	if (((gva ^ gpa) & ~PAGE_MASK) || (gpa & ~PAGE_MASK) + size > PAGE_SIZE)
		return false;
	op->pieces = 1;
	op->piece[0].gpa = gpa;
	op->piece[0].size = (uint8_t)size;
	op->piece[0].device = mmio_find(vcpu, gpa);
	return true;
}

bool operand_in_device(const struct operand *op)
{
	return op->piece[0].device || (op->pieces == 2 && op->piece[1].device);
}

bool operand_contains(const struct operand *op, gpa_t gpa)
{
	for (unsigned i = 0; i < op->pieces; i++)
		if (gpa - op->piece[i].gpa < op->piece[i].size)
			return true;
	return false;
}

/* ---- access ----------------------------------------------------------------- */

/* Devices are asked for 1, 2, 4 or 8 bytes: an odd remainder of a page goes in steps. */
static unsigned device_step(unsigned size)
{
	return size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
}

static bool device_step_access(struct vcpu *vcpu, const struct operand_piece *p, unsigned done,
			       unsigned size, bool write, uint64_t *value)
{
	uint64_t offset = p->gpa + done - p->device->base;

	if (offset + size > p->device->size)
		return false;
	*value &= insn_mask(size);
	if (write)
		return p->device->write(vcpu, offset, size, *value);
	bool ok = p->device->read(vcpu, offset, size, value);

	*value &= insn_mask(size);
	return ok;
}

static bool device_access(struct vcpu *vcpu, const struct operand_piece *p, bool write,
			  uint64_t *value)
{
	unsigned step = device_step(p->size), done;

	/* As good as always. */
	if (step == p->size)
		return device_step_access(vcpu, p, 0, step, write, value);
	for (done = 0; done < p->size; done += step) {
		uint64_t part = *value >> 8 * done;

		step = device_step(p->size - done);
		if (!device_step_access(vcpu, p, done, step, write, &part))
			return false;
		*value &= ~(insn_mask(step) << 8 * done);
		*value |= part << 8 * done;
	}
	return true;
}

static bool piece_access(struct vcpu *vcpu, const struct operand_piece *p, bool write,
			 uint64_t *value)
{
	const char *what = write ? "write" : "read";
	int err;

	if (p->device) {
		if (device_access(vcpu, p, write, value))
			return true;
		/* A device that stopped the VM itself has said why. */
		vm_stop_report(vcpu, "the device at guest-physical 0x%lx takes no %s of %u bytes at 0x%lx",
			       p->device->base, what, p->size, p->gpa);
		return false;
	}
	err = write ? mmu_write_guest(vcpu->mmu.vm, p->gpa, value, p->size)
		    : mmu_read_guest(vcpu->mmu.vm, p->gpa, value, p->size);
	if (err)
		vm_stop_report(vcpu, "%s of guest-physical 0x%lx by an emulated instruction, where "
			       "the guest has no memory", what, p->gpa);
	return !err;
}

static bool operand_access(struct vcpu *vcpu, const struct operand *op, bool write,
			   uint64_t *value)
{
	unsigned shift = 0;

	if (op->pieces == 1)
		return piece_access(vcpu, &op->piece[0], write, value);
	for (unsigned i = 0; i < op->pieces; i++) {
		uint64_t part = *value >> shift;

		if (!piece_access(vcpu, &op->piece[i], write, &part))
			return false;
		if (!write)
			*value |= part << shift;
		shift += 8 * op->piece[i].size;
	}
	return true;
}

bool operand_read(struct vcpu *vcpu, const struct operand *op, uint64_t *value)
{
	*value = 0;
	return operand_access(vcpu, op, false, value);
}

bool operand_is_atomic(const struct operand *op)
{
	const struct operand_piece *p = &op->piece[0];

	return op->pieces == 1 && !p->device && !(p->gpa % p->size);
}

int operand_exchange(struct vcpu *vcpu, const struct operand *op, uint64_t old, uint64_t value)
{
	const struct operand_piece *p = &op->piece[0];

	return mmu_cmpxchg_guest(vcpu->mmu.vm, p->gpa, p->size, old, value);
}

bool operand_write(struct vcpu *vcpu, const struct operand *op, uint64_t value)
{
	return operand_access(vcpu, op, true, &value);
}
