/* SPDX-License-Identifier: GPL-2.0-only */
/* What makes the guest exit: intercept bits, I/O ports and MSRs. */
#include "arch/x86/svm/svm.h"

#include "arch/x86/cpu.h"
#include "lib/string.h"
#include "lib/util.h"

/* One bit per port; the third page is for accesses that begin at port 0xffff. */
__attribute__((aligned(4096)))
const uint8_t svm_iopm[SVM_IOPM_SIZE] = { [0 ... SVM_IOPM_SIZE - 1] = 0xff };

/*
 * MSRs that the guest reads and writes by itself: all of them are switched by VMLOAD
 * and VMSAVE, so that what it writes there stays its own.
 */
static const uint32_t svm_passthrough_msrs[] = {
	MSR_FS_BASE, MSR_GS_BASE,     MSR_KERNEL_GS_BASE, MSR_STAR,         MSR_LSTAR,
	MSR_CSTAR,   MSR_SFMASK,      MSR_SYSENTER_CS,    MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
};

/*
 * CR4: an unsupported bit wedges QEMU's vCPU thread instead of raising #GP; CR0: paging
 * and mode changes are vmm's to check.  MWAIT bit 11 exits whether armed or not.
 * #UD: VMCALL is no instruction here, vmm looks whether it was one.  #MC: the guest must
 * not handle the host's machine checks.  #DB, #AC: a guest whose stack or IDT raises them again would be
 * in their delivery for ever, and nothing gets in between.  RDPMC: there are no virtual counters.
 */
void svm_controls_init(struct vmcb *vmcb)
{
	struct vmcb_control *c = &vmcb->control;

	c->intercept_cr_write = BIT(0) | BIT(4);
	c->intercept_exceptions = BIT(VEC_UD) | BIT(VEC_MC) | BIT(VEC_DB) | BIT(VEC_AC);
	c->intercept_misc1 = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_INIT | INTERCEPT_RDPMC |
			     INTERCEPT_CPUID | INTERCEPT_RSM | INTERCEPT_INVD | INTERCEPT_HLT |
			     INTERCEPT_INVLPGA | INTERCEPT_IOIO | INTERCEPT_MSR |
			     INTERCEPT_TASK_SWITCH | INTERCEPT_SHUTDOWN;
	c->intercept_misc2 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD |
			     INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT |
			     INTERCEPT_WBINVD | INTERCEPT_MONITOR | INTERCEPT_MWAIT |
			     INTERCEPT_XSETBV | INTERCEPT_RDPRU;
}

/* Bit of the read of an MSR in the map (the write follows it); -1: outside, always exits. */
static int msrpm_bit(uint32_t msr)
{
	static const uint32_t base[] = { 0, 0xc0000000, 0xc0010000 };

	for (unsigned i = 0; i < ARRAY_SIZE(base); i++) {
		if (msr - base[i] < 0x2000)
			return i * 0x800 * 8 + (msr - base[i]) * 2;
	}
	return -1;
}

void svm_msrpm_init(uint8_t map[SVM_MSRPM_SIZE])
{
	memset(map, 0xff, SVM_MSRPM_SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(svm_passthrough_msrs); i++) {
		int bit = msrpm_bit(svm_passthrough_msrs[i]);

		map[bit / 8] &= ~(3u << (bit % 8));
	}
}

bool svm_msrpm_exits(const uint8_t map[SVM_MSRPM_SIZE], uint32_t msr, bool write)
{
	int bit = msrpm_bit(msr);

	return bit < 0 || (map[bit / 8] >> (bit % 8 + write) & 1);
}
