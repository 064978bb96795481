/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest virtual memory as an instruction sees it; see insn.h. */
#include "vmm/insn.h"

#include "arch/x86/cpu.h"
#include "lib/printf.h"
#include "lib/util.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

static struct mmu_guest_paging guest_paging(struct vcpu *vcpu)
{
	return (struct mmu_guest_paging){
		.cr0 = virt->get_cr(vcpu, 0),
		.cr3 = virt->get_cr(vcpu, 3),
		.cr4 = virt->get_cr(vcpu, 4),
		.efer = virt->get_efer(vcpu),
		.user = virt->get_cpl(vcpu) == 3,
		.ac = vcpu->regs.rflags & RFLAGS_AC,
	};
}

/* One call of move() per page touched. */
static int copy(struct vcpu *vcpu, gva_t gva, void *buf, unsigned size, unsigned access,
		struct insn_fault *f)
{
	struct mmu_guest_paging paging = guest_paging(vcpu);
	struct mmu_guest_walk walk;

	if (paging.user)
		access |= ACC_USER;
	while (size) {
		unsigned n = MIN(size, (unsigned)(PAGE_SIZE - (gva & ~PAGE_MASK)));
		int err = mmu_guest_translate(vcpu->mmu.vm, &paging, gva, access, &walk);

		if (err) {
			f->gva = gva;
			f->error = walk.pf_error;
			return err;
		}
		err = access & ACC_W ? mmu_write_guest(vcpu->mmu.vm, walk.gpa, buf, n)
				     : mmu_read_guest(vcpu->mmu.vm, walk.gpa, buf, n);
		if (err)
			return -EIO;
		gva += n;
		buf = (char *)buf + n;
		size -= n;
	}
	return 0;
}

int insn_read(struct vcpu *vcpu, gva_t gva, void *buf, unsigned size, struct insn_fault *f)
{
	return copy(vcpu, gva, buf, size, ACC_R, f);
}

int insn_write(struct vcpu *vcpu, gva_t gva, const void *buf, unsigned size, struct insn_fault *f)
{
	return copy(vcpu, gva, (void *)buf, size, ACC_W, f);
}

unsigned insn_code_size(struct vcpu *vcpu)
{
	struct vm_segment cs;

	virt->get_segment(vcpu, SEG_CS, &cs);
	if ((cs.attr & SEG_ATTR_L) && (virt->get_efer(vcpu) & EFER_LMA))
		return 8;
	return cs.attr & SEG_ATTR_DB ? 4 : 2;
}

/* In long mode CS.base is 0 whatever the register holds; else addresses are 32 bits. */
static gva_t linear_rip(struct vcpu *vcpu, unsigned code_size)
{
	struct vm_segment cs;

	if (code_size == 8)
		return vcpu->regs.rip;
	virt->get_segment(vcpu, SEG_CS, &cs);
	return (uint32_t)(cs.base + vcpu->regs.rip);
}

int insn_fetch(struct vcpu *vcpu, struct insn *insn)
{
	unsigned code_size = insn_code_size(vcpu);
	gva_t gva = linear_rip(vcpu, code_size);
	unsigned to_page_end = (unsigned)(PAGE_SIZE - (gva & ~PAGE_MASK));
	unsigned first = MIN(to_page_end, (unsigned)INSN_MAX);
	struct insn_fault f;

	insn->count = 0;
	if (copy(vcpu, gva, insn->bytes, first, ACC_X, &f))
		return -EFAULT;
	insn->count = (uint8_t)first;
	if (decode_insn(insn, code_size))
		return 0;
	/* Only what does not decode from its first page may need the second one. */
	if (first < INSN_MAX &&
	    !copy(vcpu, gva + first, insn->bytes + first, INSN_MAX - first, ACC_X, &f)) {
		insn->count = INSN_MAX;
		if (decode_insn(insn, code_size))
			return 0;
	}
	return -ENOEXEC;
}

void insn_skip(struct vcpu *vcpu)
{
	struct insn insn;

	if (vcpu->exit.insn_len) {
		vcpu_skip(vcpu, vcpu->exit.insn_len);
		return;
	}
	int err = insn_fetch(vcpu, &insn);
	if (!err) {
		vcpu_skip(vcpu, insn.len);
		return;
	}
	if (err == -EFAULT) {
		vm_stop_report(vcpu, "cannot read the instruction that exited (%s)",
			       exit_reason_name(vcpu->exit.reason));
		return;
	}
	char hex[3 * INSN_MAX + 1];
	for (unsigned i = 0; i < insn.count; i++)
		lib_snprintf(hex + 3 * i, 4, "%02x ", insn.bytes[i]);
	vm_stop_report(vcpu, "cannot decode the instruction that exited (%s): %s",
		       exit_reason_name(vcpu->exit.reason), hex);
}
