/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hypercalls: include/phyllo/hypercall.h is the contract.  Every argument is
 * hostile; each call checks all of its own before it changes anything.
 */
#include "vmm/hypercall.h"

#include "host/machine.h"
#include "lib/util.h"
#include "vmm/exit.h"
#include "vmm/insn.h"
#include "vmm/stats.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

struct args {
	uint64_t rbx, rcx, rdx, rsi;
};

/* A range argument in pages; false: malformed (an empty or overflowing one is, too). */
static bool range_parse(uint64_t gpa, uint64_t size, gfn_t *gfn, uint64_t *npages)
{
	uint64_t end;

	if ((gpa | size) & (PAGE_SIZE - 1) || !size || __builtin_add_overflow(gpa, size, &end))
		return false;
	*gfn = gpa >> PAGE_SHIFT;
	*npages = size >> PAGE_SHIFT;
	return true;
}

/* 0, or the error of a target that is not the caller itself. */
static int64_t check_target(const struct vm *vm, uint64_t target)
{
	return target && target != vm->id ? PHYLLO_EPERM : 0;
}

/* What the calls on ranges share: target, flags, range. */
static int64_t check_range(struct vm *vm, const struct args *a, gfn_t *gfn, uint64_t *npages)
{
	int64_t err = check_target(vm, a->rsi);

	if (err)
		return err;
	if (a->rdx & ~(uint64_t)PHYLLO_MAY_BLOCK || !range_parse(a->rbx, a->rcx, gfn, npages))
		return PHYLLO_EINVAL;
	return 0;
}

static unsigned mmu_flags(const struct args *a)
{
	return a->rdx & PHYLLO_MAY_BLOCK ? MMU_MAY_BLOCK : 0;
}

static int64_t hc_version(struct vcpu *vcpu, const struct args *a)
{
	return PHYLLO_ABI_VERSION;
}

static int64_t hc_features(struct vcpu *vcpu, const struct args *a)
{
	return HYPERCALL_FEATURES;
}

static int64_t hc_console_write(struct vcpu *vcpu, const struct args *a)
{
	uint64_t left = a->rcx;
	char buf[256];

	if (left > PHYLLO_CONSOLE_MAX || a->rbx + left < a->rbx)
		return PHYLLO_EINVAL;
	/* A first pass, so that a bad buffer prints nothing. */
	for (int pass = 0; pass < 2; pass++) {
		for (uint64_t done = 0; done < left; done += sizeof(buf)) {
			uint64_t n = MIN(left - done, sizeof(buf));
			int err = mmu_read_guest(vcpu->mmu.vm, a->rbx + done, buf, n);

			if (err)
				return err;
			if (pass)
				guest_console_write(&vcpu->vm->console, buf, n);
		}
	}
	return (int64_t)left;
}

static int64_t hc_exit(struct vcpu *vcpu, const struct args *a)
{
	vm_exit_with(vcpu->vm, a->rbx);
	return 0;
}

static int64_t hc_balloon_out(struct vcpu *vcpu, const struct args *a)
{
	uint64_t npages, changed;
	gfn_t gfn;
	int64_t err = check_range(vcpu->vm, a, &gfn, &npages);

	if (!err)
		err = mmu_balloon_out(vcpu->vm->mmu, gfn, npages, mmu_flags(a), &changed);
	return err ? err : (int64_t)changed;
}

static int64_t hc_balloon_in(struct vcpu *vcpu, const struct args *a)
{
	uint64_t npages, changed;
	gfn_t gfn;
	int64_t err = check_range(vcpu->vm, a, &gfn, &npages);

	if (!err)
		err = mmu_balloon_in(vcpu->vm->mmu, gfn, npages, &changed);
	return err ? err : (int64_t)changed;
}

static int64_t hc_unmap(struct vcpu *vcpu, const struct args *a)
{
	uint64_t npages;
	gfn_t gfn;
	int64_t err = check_range(vcpu->vm, a, &gfn, &npages);

	return err ? err : mmu_unmap(vcpu->vm->mmu, gfn, npages, mmu_flags(a));
}

struct stat_writer {
	struct vm *vm;
	gpa_t gpa;
	uint64_t room; /* entries that still fit */
	int err;
};

static void write_stat(void *ctx, const struct phyllo_stat *s)
{
	struct stat_writer *w = ctx;

	if (!w->room || w->err)
		return;
	w->err = mmu_write_guest(w->vm->mmu, w->gpa, s, sizeof(*s));
	w->gpa += sizeof(*s);
	w->room--;
}

static int64_t hc_stats_read(struct vcpu *vcpu, const struct args *a)
{
	struct stat_writer w = { .vm = vcpu->vm,
				 .gpa = a->rbx,
				 .room = a->rcx / sizeof(struct phyllo_stat) };
	int64_t err = check_target(vcpu->vm, a->rsi);

	if (err)
		return err;
	if (a->rdx || a->rbx + a->rcx < a->rbx)
		return PHYLLO_EINVAL;
	unsigned count = stats_each(vcpu->vm, write_stat, &w);
	return w.err ? w.err : (int64_t)count;
}

static int64_t hc_audit(struct vcpu *vcpu, const struct args *a)
{
	struct mmu_audit_report report;
	int64_t err = check_target(vcpu->vm, a->rsi);

	if (err)
		return err;
	mmu_audit(vcpu->vm->mmu, &report);
	return (int64_t)report.errors;
}

static int64_t (*const calls[])(struct vcpu *, const struct args *) = {
	[PHYLLO_HC_VERSION - PHYLLO_HC_BASE] = hc_version,
	[PHYLLO_HC_FEATURES - PHYLLO_HC_BASE] = hc_features,
	[PHYLLO_HC_CONSOLE_WRITE - PHYLLO_HC_BASE] = hc_console_write,
	[PHYLLO_HC_EXIT - PHYLLO_HC_BASE] = hc_exit,
	[PHYLLO_HC_BALLOON_OUT - PHYLLO_HC_BASE] = hc_balloon_out,
	[PHYLLO_HC_BALLOON_IN - PHYLLO_HC_BASE] = hc_balloon_in,
	[PHYLLO_HC_UNMAP - PHYLLO_HC_BASE] = hc_unmap,
	[PHYLLO_HC_STATS_READ - PHYLLO_HC_BASE] = hc_stats_read,
	[PHYLLO_HC_AUDIT - PHYLLO_HC_BASE] = hc_audit,
};

/* The calls may allocate, walk and wait: interrupts are open. */
static int64_t dispatch(struct vcpu *vcpu, uint64_t nr, const struct args *a)
{
	if (virt->get_cpl(vcpu))
		return PHYLLO_EPERM;
	if (nr - PHYLLO_HC_BASE >= ARRAY_SIZE(calls))
		return PHYLLO_ENOSYS;
	machine_irq_enable();
	int64_t result = calls[nr - PHYLLO_HC_BASE](vcpu, a);
	machine_irq_save();
	return result;
}

void exit_hypercall(struct vcpu *vcpu)
{
	uint64_t *gpr = vcpu->regs.gpr;
	struct args a = { gpr[GPR_RBX], gpr[GPR_RCX], gpr[GPR_RDX], gpr[GPR_RSI] };
	uint64_t nr = gpr[GPR_RAX];
	bool narrow = insn_code_size(vcpu) != 8;

	vcpu->hypercalls++;
	if (narrow) {
		nr = (uint32_t)nr;
		a = (struct args){ (uint32_t)a.rbx, (uint32_t)a.rcx, (uint32_t)a.rdx,
				   (uint32_t)a.rsi };
	}
	insn_skip(vcpu);
	int64_t result = dispatch(vcpu, nr, &a);
	gpr[GPR_RAX] = narrow ? (uint32_t)result : (uint64_t)result;
}
