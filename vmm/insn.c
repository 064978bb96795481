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

int insn_translate(struct vcpu *vcpu, gva_t gva, unsigned access, gpa_t *gpa,
		   struct insn_fault *f)
{
	struct mmu_guest_paging paging = guest_paging(vcpu);
	struct mmu_guest_walk walk;

	if (paging.user)
		access |= ACC_USER;
	int err = mmu_guest_translate(vcpu->mmu.vm, &paging, gva, access, &walk);
	if (!err)
		*gpa = walk.gpa;
	else
		*f = (struct insn_fault){ .gva = gva, .error = walk.pf_error };
	return err;
}

/* Page by page: each may lie elsewhere. */
static int copy(struct vcpu *vcpu, gva_t gva, void *buf, unsigned size, unsigned access,
		struct insn_fault *f)
{
	while (size) {
		unsigned n = MIN(size, (unsigned)(PAGE_SIZE - (gva & ~PAGE_MASK)));
		gpa_t gpa;
		int err = insn_translate(vcpu, gva, access, &gpa, f);

		if (err)
			return err;
		err = access & ACC_W ? mmu_write_guest(vcpu->mmu.vm, gpa, buf, n)
				     : mmu_read_guest(vcpu->mmu.vm, gpa, buf, n);
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

/* In 64-bit code only FS and GS have a base; elsewhere addresses are 32 bits. */
gva_t insn_linear(struct vcpu *vcpu, unsigned seg, uint64_t offset)
{
	bool long_mode = insn_code_size(vcpu) == 8;
	struct vm_segment s;

	if (long_mode && seg != SEG_FS && seg != SEG_GS)
		return offset;
	virt->get_segment(vcpu, seg, &s);
	return long_mode ? s.base + offset : (uint32_t)(s.base + offset);
}

int insn_fetch_fault(struct vcpu *vcpu, struct insn *insn, struct insn_fault *f)
{
	unsigned code_size = insn_code_size(vcpu);
	gva_t gva = insn_linear(vcpu, SEG_CS, vcpu->regs.rip);
	unsigned to_page_end = (unsigned)(PAGE_SIZE - (gva & ~PAGE_MASK));
	unsigned first = MIN(to_page_end, (unsigned)INSN_MAX);

	insn->count = 0;
	int err = copy(vcpu, gva, insn->bytes, first, ACC_X, f);
	if (err)
		return err;
	insn->count = (uint8_t)first;
	if (decode_insn(insn, code_size))
		return 0;
	/* Only what does not decode from its first page may need the second one. */
	if (first < INSN_MAX &&
	    !copy(vcpu, gva + first, insn->bytes + first, INSN_MAX - first, ACC_X, f)) {
		insn->count = INSN_MAX;
		if (decode_insn(insn, code_size))
			return 0;
	}
	return -ENOEXEC;
}

int insn_fetch(struct vcpu *vcpu, struct insn *insn)
{
	struct insn_fault f;
	int err = insn_fetch_fault(vcpu, insn, &f);

	return err && err != -ENOEXEC ? -EFAULT : err;
}

void insn_stop(struct vcpu *vcpu, const struct insn *insn, const char *reason)
{
	char hex[3 * INSN_MAX + 1] = "";

	for (unsigned i = 0; i < insn->count; i++)
		lib_snprintf(hex + 3 * i, 4, " %02x", insn->bytes[i]);
	vm_stop_report(vcpu, "%s; at rip 0x%lx:%s", reason, vcpu->regs.rip, hex);
}

void insn_skip(struct vcpu *vcpu)
{
	struct insn insn;
	char reason[80];

	if (vcpu->exit.insn_len) {
		vcpu_skip(vcpu, vcpu->exit.insn_len);
		return;
	}
	int err = insn_fetch(vcpu, &insn);
	if (!err) {
		vcpu_skip(vcpu, insn.len);
		return;
	}
	lib_snprintf(reason, sizeof(reason), "cannot %s the instruction that exited (%s)",
		     err == -EFAULT ? "read" : "decode", exit_reason_name(vcpu->exit.reason));
	insn_stop(vcpu, &insn, reason);
}
