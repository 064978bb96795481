/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hypercalls: include/phyllo/hypercall.h is the contract.  Here are the way in and the
 * small calls; hypercall_impl.h says where the others are.
 */
#include "vmm/hypercall.h"

#include "host/machine.h"
#include "lib/util.h"
#include "vmm/exit.h"
#include "vmm/hypercall_impl.h"
#include "vmm/insn.h"
#include "vmm/stats.h"
#include "vmm/ve.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

int64_t hc_read_struct(struct vcpu *vcpu, const struct hc_args *a, void *buf, uint64_t size)
{
	int64_t err = hc_check_target(vcpu, a);

	if (err)
		return err;
	if (a->rcx != size || a->rdx)
		return PHYLLO_EINVAL;
	return mmu_read_guest(vcpu->vm->mmu, a->rbx, buf, size);
}

static int64_t hc_version(struct vcpu *vcpu, const struct hc_args *a)
{
	return PHYLLO_ABI_VERSION;
}

static int64_t hc_features(struct vcpu *vcpu, const struct hc_args *a)
{
	return HYPERCALL_FEATURES;
}

static int64_t hc_console_write(struct vcpu *vcpu, const struct hc_args *a)
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

static int64_t hc_exit(struct vcpu *vcpu, const struct hc_args *a)
{
	vm_exit_with(vcpu->vm, a->rbx);
	return 0;
}

static int64_t hc_ve_setup(struct vcpu *vcpu, const struct hc_args *a)
{
	if (a->rcx)
		return PHYLLO_EINVAL;
	return ve_setup(vcpu, a->rbx);
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

static int64_t hc_stats_read(struct vcpu *vcpu, const struct hc_args *a)
{
	struct stat_writer w = { .vm = vcpu->vm,
				 .gpa = a->rbx,
				 .room = a->rcx / sizeof(struct phyllo_stat) };
	int64_t err = hc_check_target(vcpu, a);

	if (err)
		return err;
	if (a->rdx || a->rbx + a->rcx < a->rbx)
		return PHYLLO_EINVAL;
	unsigned count = stats_each(vcpu->vm, write_stat, &w);
	return w.err ? w.err : (int64_t)count;
}

#define CALL(NAME, fn) [PHYLLO_HC_##NAME - PHYLLO_HC_BASE] = fn
static int64_t (*const calls[])(struct vcpu *, const struct hc_args *) = {
	CALL(VERSION, hc_version),
	CALL(FEATURES, hc_features),
	CALL(CONSOLE_WRITE, hc_console_write),
	CALL(EXIT, hc_exit),
	CALL(BALLOON_OUT, hc_balloon_out),
	CALL(BALLOON_IN, hc_balloon_in),
	CALL(UNMAP, hc_unmap),
	CALL(STATS_READ, hc_stats_read),
	CALL(AUDIT, hc_audit),
	CALL(PROTECT, hc_protect),
	CALL(VE_SETUP, hc_ve_setup),
	CALL(AGE, hc_age),
	CALL(TEST_AGE, hc_test_age),
	CALL(AGE_BITMAP, hc_age_bitmap),
	CALL(DIRTY_START, hc_dirty_start),
	CALL(DIRTY_GET, hc_dirty_get),
	CALL(DIRTY_CLEAR, hc_dirty_clear),
	CALL(DIRTY_STOP, hc_dirty_stop),
	CALL(SLOT_CREATE, hc_slot_create),
	CALL(SLOT_DELETE, hc_slot_delete),
	CALL(SLOT_MOVE, hc_slot_move),
	CALL(SLOT_FLAGS, hc_slot_flags),
	CALL(SLOT_INFO, hc_slot_info),
	CALL(MMU_MODE, hc_mmu_mode),
	CALL(MIGRATE, hc_migrate),
	CALL(ZAP_ALL, hc_zap_all),
	CALL(DUMP, hc_dump),
	CALL(NX_RECOVER, hc_nx_recover),
};
#undef CALL
_Static_assert(ARRAY_SIZE(calls) == PHYLLO_HC_COUNT, "every call has a function");

/* The calls may allocate, walk and wait: interrupts are open. */
static int64_t dispatch(struct vcpu *vcpu, uint64_t nr, const struct hc_args *a)
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
	struct hc_args a = { gpr[GPR_RBX], gpr[GPR_RCX], gpr[GPR_RDX], gpr[GPR_RSI] };
	uint64_t nr = gpr[GPR_RAX];
	bool narrow = insn_code_size(vcpu) != 8;

	vcpu->hypercalls++;
	if (narrow) {
		nr = (uint32_t)nr;
		a = (struct hc_args){ (uint32_t)a.rbx, (uint32_t)a.rcx, (uint32_t)a.rdx,
				   (uint32_t)a.rsi };
	}
	insn_skip(vcpu);
	int64_t result = dispatch(vcpu, nr, &a);
	gpr[GPR_RAX] = narrow ? (uint32_t)result : (uint64_t)result;
}
