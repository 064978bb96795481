/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VT-x of this machine: can it, switch it on, switch it off; and the table of operations.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/cpu.h"
#include "arch/x86/extable.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/pages.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/util.h"
#include "mm/sync.h"

#define CPUID_1_ECX_VMX (1u << 5)

/* VMXON regions by CPU number; 0: VT-x is off there. */
static spinlock_t vmxon_lock = SPINLOCK_INIT;
static uint64_t *vmxon_pa;

/* ---- probe --------------------------------------------------------------------------- */

static int refuse_feature_control(uint64_t value, char *why, size_t why_size)
{
	lib_snprintf(why, why_size,
		     "VT-x is switched off in the firmware and locked (IA32_FEATURE_CONTROL = "
		     "0x%lx); enable it in the firmware setup", value);
	return -ENODEV;
}

/* Unlocked is fine: cpu_enable() sets it. */
static int check_feature_control(char *why, size_t why_size)
{
	uint64_t value;

	if (rdmsr_safe(MSR_FEATURE_CONTROL, &value)) {
		lib_snprintf(why, why_size,
			     "the processor names VT-x but has no IA32_FEATURE_CONTROL");
		return -ENODEV;
	}
	if (value & FEATURE_CONTROL_LOCKED && !(value & FEATURE_CONTROL_VMX))
		return refuse_feature_control(value, why, why_size);
	return 0;
}

/* Which of the later MSRs exist is told by the earlier ones (SDM vol. 3D, appendix A). */
static void read_cap(struct vmx_cap *cap)
{
	*cap = (struct vmx_cap){
		.basic = rdmsr(MSR_VMX_BASIC),
		.misc = rdmsr(MSR_VMX_MISC),
		.cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0),
		.cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1),
		.cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0),
		.cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1),
	};
	bool has_true = cap->basic & VMX_BASIC_TRUE_CONTROLS;

	cap->pin = rdmsr(has_true ? MSR_VMX_TRUE_PIN : MSR_VMX_PIN);
	cap->proc = rdmsr(has_true ? MSR_VMX_TRUE_PROC : MSR_VMX_PROC);
	cap->exit = rdmsr(has_true ? MSR_VMX_TRUE_EXIT : MSR_VMX_EXIT);
	cap->entry = rdmsr(has_true ? MSR_VMX_TRUE_ENTRY : MSR_VMX_ENTRY);
	if (cap->proc >> 32 & PROC_SECONDARY)
		cap->proc2 = rdmsr(MSR_VMX_PROC2);
	if (cap->proc2 >> 32 & (PROC2_EPT | PROC2_VPID))
		cap->ept_vpid = rdmsr(MSR_VMX_EPT_VPID);
}

static int vmx_probe(struct virt_caps *caps, char *why, size_t why_size)
{
	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_VMX)) {
		lib_snprintf(why, why_size, "this processor has no VT-x (CPUID.1:ECX bit 5)");
		return -ENODEV;
	}
	int err = check_feature_control(why, why_size);

	if (err)
		return err;
	read_cap(&vmx_cap);
	err = vmx_controls_choose(&vmx_cap, &vmx_controls, why, why_size);
	if (err)
		return err;
	vmx_controls_describe(&vmx_cap, &vmx_controls, caps);
	caps->maxphyaddr = cpuid(0x80000008, 0).eax & 0xff;
	/* What four levels reach; a processor with fewer bits faults beyond those itself. */
	caps->gpa_bits = MIN(caps->maxphyaddr, 48);
	return 0;
}

/* ---- on and off ---------------------------------------------------------------------- */

static int set_feature_control(void)
{
	char why[160];
	uint64_t value;

	if (check_feature_control(why, sizeof(why))) {
		log_error("vmx: CPU %u: %s", machine_cpu_id(), why);
		return -ENODEV;
	}
	value = rdmsr(MSR_FEATURE_CONTROL);
	if (!(value & FEATURE_CONTROL_LOCKED))
		wrmsr(MSR_FEATURE_CONTROL, value | FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX);
	return 0;
}

/* One page per CPU, remembered in an array that the first caller makes. */
static uint64_t vmxon_region(void)
{
	uint64_t pa = pages_alloc(0, PAGES_ZERO);

	if (pa == PAGES_NONE)
		return PAGES_NONE;
	spin_lock(&vmxon_lock);
	if (!vmxon_pa)
		vmxon_pa = object_alloc(machine_cpu_count() * sizeof(*vmxon_pa));
	spin_unlock(&vmxon_lock);
	if (!vmxon_pa) {
		pages_free(pa, 0);
		return PAGES_NONE;
	}
	*(uint32_t *)machine_phys_to_virt(pa) = VMX_BASIC_REVISION(vmx_cap.basic);
	return pa;
}

/* Whoever used VT-x here before us may have left translations under any tag. */
static void flush_all(void)
{
	if (vmx_cap.ept_vpid & EPT_CAP_INVEPT_ALL && !vmx_invept(VMX_INV_ALL, 0))
		log_warn("vmx: CPU %u: INVEPT of everything failed", machine_cpu_id());
	if (vmx_cap.ept_vpid & EPT_CAP_INVVPID && vmx_cap.ept_vpid & EPT_CAP_INVVPID_ALL &&
	    !vmx_invvpid(VMX_INV_ALL, 0))
		log_warn("vmx: CPU %u: INVVPID of everything failed", machine_cpu_id());
}

static int vmx_cpu_enable(void)
{
	unsigned cpu = machine_cpu_id();
	struct vmx_cap cap;
	int err = set_feature_control();

	if (err)
		return err;
	read_cap(&cap);
	if (memcmp(&cap, &vmx_cap, sizeof(cap))) {
		log_error("vmx: CPU %u has other VT-x capabilities than the boot CPU", cpu);
		return -ENODEV;
	}
	uint64_t pa = vmxon_region();

	if (pa == PAGES_NONE) {
		log_error("vmx: CPU %u: no memory for its VMXON region", cpu);
		return -ENOMEM;
	}
	write_cr0((read_cr0() | cap.cr0_fixed0) & cap.cr0_fixed1);
	write_cr4((read_cr4() | cap.cr4_fixed0 | CR4_VMXE) & cap.cr4_fixed1);
	if (!vmx_on(pa)) {
		write_cr4(read_cr4() & ~CR4_VMXE);
		pages_free(pa, 0);
		log_error("vmx: CPU %u: VMXON failed (CR0 0x%lx, CR4 0x%lx)", cpu, read_cr0(),
			  read_cr4());
		return -EIO;
	}
	vmxon_pa[cpu] = pa;
	flush_all();
	return 0;
}

static void vmx_cpu_disable(void)
{
	unsigned cpu = machine_cpu_id();

	if (!vmxon_pa || !vmxon_pa[cpu])
		return;
	vmx_off();
	write_cr4(read_cr4() & ~CR4_VMXE);
	pages_free(vmxon_pa[cpu], 0);
	vmxon_pa[cpu] = 0;
}

const struct virt_ops vmx_ops = {
	.name = "vmx",
	.probe = vmx_probe,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.vcpu_create = vmx_vcpu_create,
	.vcpu_destroy = vmx_vcpu_destroy,
	.vcpu_load = vmx_vcpu_load,
	.vcpu_put = vmx_vcpu_put,
	.vcpu_run = vmx_vcpu_run,
	.drain_log = vmx_log_drain,
	.get_state = vmx_get_state,
	.set_state = vmx_set_state,
	.clear_debug = vmx_clear_debug,
	.get_dr = vmx_get_dr,
	.set_dr = vmx_set_dr,
	.get_cr = vmx_get_cr,
	.set_cr = vmx_set_cr,
	.get_efer = vmx_get_efer,
	.set_efer = vmx_set_efer,
	.get_cpl = vmx_get_cpl,
	.get_segment = vmx_get_segment,
	.get_code = vmx_get_code,
	.get_msr = vmx_get_msr,
	.set_msr = vmx_set_msr,
	.set_root = vmx_set_root,
	.flush_tlb = vmx_flush_tlb,
	.intr_allowed = vmx_intr_allowed,
	.request_intr_window = vmx_request_intr_window,
	.nmi_allowed = vmx_nmi_allowed,
	.request_nmi_window = vmx_request_nmi_window,
	.get_cr8 = vmx_get_cr8,
	.set_cr8 = vmx_set_cr8,
	.trap_cr8_write = vmx_trap_cr8_write,
	.clear_intr_shadow = vmx_clear_intr_shadow,
	.pend_single_step = vmx_pend_single_step,
	.real = &vmx_real_ops,
	.dump = vmx_dump,
};
