/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest virtual memory as an instruction sees it; see insn.h. */
#include "vmm/insn.h"

#include "arch/x86/cpu.h"
#include "lib/printf.h"
#include "lib/util.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

static int translate(struct vcpu *vcpu, const struct vm_code *code, gva_t gva, unsigned access,
		     struct mmu_guest_walk *walk, struct insn_fault *f)
{
	struct mmu_guest_paging paging = {
		.cr0 = code->cr0,
		.cr3 = code->cr3,
		.cr4 = code->cr4,
		.efer = code->efer,
		.user = code->cpl == 3,
		.ac = vcpu->regs.rflags & RFLAGS_AC,
		.pdpte = vcpu->vm->shadow ? vcpu->pdpte : NULL,
	};

	if (paging.user)
		access |= ACC_USER;
	int err = mmu_guest_translate(vcpu->mmu.vm, &paging, gva, access, walk);
	if (err)
		*f = (struct insn_fault){ .gva = gva, .error = walk->pf_error };
	return err;
}

int insn_translate(struct vcpu *vcpu, gva_t gva, unsigned access, gpa_t *gpa,
		   struct insn_fault *f)
{
	struct mmu_guest_walk walk;
	struct vm_code code;

	virt->get_code(vcpu, &code);
	int err = translate(vcpu, &code, gva, access, &walk, f);
	if (!err)
		*gpa = walk.gpa;
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
	struct vm_code code;

	virt->get_code(vcpu, &code);
	return code.size;
}

/* In 64-bit code only FS and GS have a base; elsewhere addresses are 32 bits. */
gva_t insn_linear_in(struct vcpu *vcpu, unsigned code_size, unsigned seg, uint64_t offset)
{
	bool long_mode = code_size == 8;
	struct vm_segment s;

	if (long_mode && seg != SEG_FS && seg != SEG_GS)
		return offset;
	virt->get_segment(vcpu, seg, &s);
	return long_mode ? s.base + offset : (uint32_t)(s.base + offset);
}

gva_t insn_linear(struct vcpu *vcpu, unsigned seg, uint64_t offset)
{
	return insn_linear_in(vcpu, insn_code_size(vcpu), seg, offset);
}

/* ---- fetching and decoding ------------------------------------------------------------ */

static bool is_same_code(const struct vm_code *a, const struct vm_code *b)
{
	return a->gva == b->gva && a->cr3 == b->cr3 && a->cr0 == b->cr0 && a->cr4 == b->cr4 &&
	       a->efer == b->efer && a->size == b->size && a->cpl == b->cpl;
}

/* By CR3 too: a kernel that switches address spaces does so at one place. */
static struct insn_memo *memo_of(struct vcpu *vcpu, const struct vm_code *code)
{
	return &vcpu->memos[(code->gva / 2 + (code->cr3 >> PAGE_SHIFT)) % INSN_MEMOS];
}

static inline const struct insn *remembered(struct vcpu *vcpu, const struct vm_code *code)
{
	const struct insn_memo *m = memo_of(vcpu, code);

	return m->valid && is_same_code(&m->code, code) && mmu_memo_holds(vcpu->mmu.vm, &m->where)
		       ? &m->insn : NULL;
}

const struct insn *insn_remembered(struct vcpu *vcpu)
{
	struct vm_code code;

	virt->get_code(vcpu, &code);
	return remembered(vcpu, &code);
}

/* One that lies in a single page. */
static void memo_fill(struct vcpu *vcpu, const struct vm_code *code,
		      const struct mmu_guest_walk *walk, const struct insn *insn)
{
	struct insn_memo *m = memo_of(vcpu, code);

	m->valid = mmu_memo_take(vcpu->mmu.vm, walk, insn->bytes, insn->len, &m->where);
	m->code = *code;
	m->insn = *insn;
}

static int fetch(struct vcpu *vcpu, const struct vm_code *code, struct insn *insn,
		 struct insn_fault *f)
{
	gva_t gva = code->gva;
	unsigned to_page_end = (unsigned)(PAGE_SIZE - (gva & ~PAGE_MASK));
	unsigned first = MIN(to_page_end, (unsigned)INSN_MAX);
	struct mmu_guest_walk walk;

	insn->count = 0;
	int err = translate(vcpu, code, gva, ACC_X, &walk, f);
	if (err)
		return err;
	if (mmu_read_guest(vcpu->mmu.vm, walk.gpa, insn->bytes, first))
		return -EIO;
	insn->count = (uint8_t)first;
	if (decode_insn(insn, code->size)) {
		memo_fill(vcpu, code, &walk, insn);
		return 0;
	}
	/* Only what does not decode from its first page may need the second one. */
	if (first < INSN_MAX &&
	    !copy(vcpu, gva + first, insn->bytes + first, INSN_MAX - first, ACC_X, f)) {
		insn->count = INSN_MAX;
		if (decode_insn(insn, code->size))
			return 0;
	}
	return -ENOEXEC;
}

int insn_fetch_fault(struct vcpu *vcpu, struct insn *insn, struct insn_fault *f)
{
	struct vm_code code;

	virt->get_code(vcpu, &code);
	const struct insn *known = remembered(vcpu, &code);

	if (!known)
		return fetch(vcpu, &code, insn, f);
	*insn = *known;
	return 0;
}

int insn_fetch(struct vcpu *vcpu, struct insn *insn)
{
	struct insn_fault f;
	int err = insn_fetch_fault(vcpu, insn, &f);

	return err && err != -ENOEXEC ? -EFAULT : err;
}

const struct insn *insn_get(struct vcpu *vcpu, struct insn *room)
{
	const struct insn *insn = insn_remembered(vcpu);

	if (insn)
		return insn;
	return insn_fetch(vcpu, room) ? NULL : room;
}

void insn_stop(struct vcpu *vcpu, const struct insn *insn, const char *reason)
{
	char hex[3 * INSN_MAX + 1] = "";

	for (unsigned i = 0; i < insn->count; i++)
		lib_snprintf(hex + 3 * i, 4, " %02x", insn->bytes[i]);
	vm_stop_report(vcpu, "%s; at rip 0x%lx:%s", reason, vcpu->regs.rip, hex);
}

static void skip_anew(struct vcpu *vcpu)
{
	struct insn insn;
	char reason[80];
	int err = insn_fetch(vcpu, &insn);
	if (!err) {
		vcpu_skip(vcpu, insn.len);
		return;
	}
	lib_snprintf(reason, sizeof(reason), "cannot %s the instruction that exited (%s)",
		     err == -EFAULT ? "read" : "decode", exit_reason_name(vcpu->exit.reason));
	insn_stop(vcpu, &insn, reason);
}

static void skip_decoded(struct vcpu *vcpu, const struct vm_code *code)
{
	const struct insn *insn = remembered(vcpu, code);

	if (insn)
		vcpu_skip(vcpu, insn->len);
	else
		skip_anew(vcpu);
}

void insn_skip_in(struct vcpu *vcpu, const struct vm_code *code)
{
	if (vcpu->exit.insn_len)
		vcpu_skip(vcpu, vcpu->exit.insn_len);
	else
		skip_decoded(vcpu, code);
}

void insn_skip(struct vcpu *vcpu)
{
	struct vm_code code;

	if (vcpu->exit.insn_len) {
		vcpu_skip(vcpu, vcpu->exit.insn_len);
		return;
	}
	virt->get_code(vcpu, &code);
	skip_decoded(vcpu, &code);
}
