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
#include "vmm/io.h"
#include "vmm/stats.h"
#include "vmm/ve.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

int64_t hc_read_struct(struct vcpu *vcpu, const struct hc_args *a, void *buf, uint64_t size)
{
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
				io_console_write(vcpu->vm, buf, n);
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

	if (a->rdx || a->rbx + a->rcx < a->rbx)
		return PHYLLO_EINVAL;
	unsigned count = stats_each(a->target, write_stat, &w);
	return w.err ? w.err : (int64_t)count;
}

/* CALL_VM: rsi names a VM. */
#define CALL(NAME, fn)    [PHYLLO_HC_##NAME - PHYLLO_HC_BASE] = { fn, false }
#define CALL_VM(NAME, fn) [PHYLLO_HC_##NAME - PHYLLO_HC_BASE] = { fn, true }
static const struct call {
	int64_t (*fn)(struct vcpu *vcpu, const struct hc_args *a);
	bool on_vm;
} calls[] = {
	CALL(VERSION, hc_version),
	CALL(FEATURES, hc_features),
	CALL(CONSOLE_WRITE, hc_console_write),
	CALL(EXIT, hc_exit),
	CALL_VM(BALLOON_OUT, hc_balloon_out),
	CALL_VM(BALLOON_IN, hc_balloon_in),
	CALL_VM(UNMAP, hc_unmap),
	CALL_VM(STATS_READ, hc_stats_read),
	CALL_VM(AUDIT, hc_audit),
	CALL_VM(PROTECT, hc_protect),
	CALL(VE_SETUP, hc_ve_setup),
	CALL_VM(AGE, hc_age),
	CALL_VM(TEST_AGE, hc_test_age),
	CALL_VM(AGE_BITMAP, hc_age_bitmap),
	CALL_VM(DIRTY_START, hc_dirty_start),
	CALL_VM(DIRTY_GET, hc_dirty_get),
	CALL_VM(DIRTY_CLEAR, hc_dirty_clear),
	CALL_VM(DIRTY_STOP, hc_dirty_stop),
	CALL_VM(SLOT_CREATE, hc_slot_create),
	CALL_VM(SLOT_DELETE, hc_slot_delete),
	CALL_VM(SLOT_MOVE, hc_slot_move),
	CALL_VM(SLOT_FLAGS, hc_slot_flags),
	CALL_VM(SLOT_INFO, hc_slot_info),
	CALL_VM(MMU_MODE, hc_mmu_mode),
	CALL_VM(MIGRATE, hc_migrate),
	CALL_VM(ZAP_ALL, hc_zap_all),
	CALL_VM(DUMP, hc_dump),
	CALL_VM(NX_RECOVER, hc_nx_recover),
	CALL(VCPU_START, hc_vcpu_start),
	CALL(VCPU_ID, hc_vcpu_id),
	CALL(YIELD, hc_yield),
	CALL_VM(LATENCY, hc_latency),
	CALL(VM_INFO, hc_vm_info),
	CALL(VM_CONTROL, hc_vm_control),
};
#undef CALL_VM
#undef CALL
_Static_assert(ARRAY_SIZE(calls) == PHYLLO_HC_COUNT, "the last call has a function");

static int64_t call_on_vm(struct vcpu *vcpu, const struct call *call, struct hc_args *a)
{
	int64_t result = hc_target_get(vcpu, a);

	if (result)
		return result;
	result = call->fn(vcpu, a);
	hc_target_put(vcpu, a);
	return result;
}

/* The calls may allocate, walk and wait: interrupts are open. */
static int64_t dispatch(struct vcpu *vcpu, uint64_t nr, struct hc_args *a)
{
	if (nr - PHYLLO_HC_BASE >= ARRAY_SIZE(calls) || !calls[nr - PHYLLO_HC_BASE].fn)
		return PHYLLO_ENOSYS;
	const struct call *call = &calls[nr - PHYLLO_HC_BASE];

	machine_irq_enable();
	int64_t result = call->on_vm ? call_on_vm(vcpu, call, a) : call->fn(vcpu, a);
	machine_irq_save();
	return result;
}

void exit_hypercall(struct vcpu *vcpu)
{
	uint64_t *gpr = vcpu->regs.gpr;
	struct hc_args a = { gpr[GPR_RBX], gpr[GPR_RCX], gpr[GPR_RDX], gpr[GPR_RSI], NULL };
	uint64_t nr = gpr[GPR_RAX];
	struct vm_code code;

	virt->get_code(vcpu, &code);
	bool narrow = code.size != 8;

	vcpu->hypercalls++;
	if (narrow) {
		nr = (uint32_t)nr;
		a = (struct hc_args){ (uint32_t)a.rbx, (uint32_t)a.rcx, (uint32_t)a.rdx,
				      (uint32_t)a.rsi, NULL };
	}
	insn_skip_in(vcpu, &code);
	int64_t result = code.cpl ? PHYLLO_EPERM : dispatch(vcpu, nr, &a);
	gpr[GPR_RAX] = narrow ? (uint32_t)result : (uint64_t)result;
}
