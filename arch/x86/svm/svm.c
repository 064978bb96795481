/* SPDX-License-Identifier: GPL-2.0-only */
/* AMD-V: is it there, switching it on per CPU, and the table of operations. */
#include "arch/x86/svm/svm.h"

#include "arch/x86/cpu.h"
#include "arch/x86/extable.h"
#include "host/acpi.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/pages.h"
#include "lib/printf.h"
#include "lib/util.h"

#define CPUID_EXT_MAX       0x80000000u
#define CPUID_EXT_FEATURES  0x80000001u
#define CPUID_ADDRESS_SIZES 0x80000008u
#define CPUID_SVM           0x8000000au
#define EXT_FEATURE_ECX_SVM (1u << 2)
#define EXT_FEATURE_EDX_1G  (1u << 26)
#define EXT_FEATURE_EDX_RDTSCP (1u << 27)

#define VM_CR_LOCK   (1ul << 3)
#define VM_CR_SVMDIS (1ul << 4)

static struct svm_cpu svm_cpus[ACPI_CPUS_MAX];

struct svm_cpu *svm_cpu_this(void)
{
	return &svm_cpus[machine_cpu_id()];
}

/* ---- probe --------------------------------------------------------------------------- */

/* NULL, or the sentence that says why this CPU cannot. */
static const char *svm_obstacle(void)
{
	uint64_t vm_cr;

	if (cpuid(CPUID_EXT_MAX, 0).eax < CPUID_SVM ||
	    !(cpuid(CPUID_EXT_FEATURES, 0).ecx & EXT_FEATURE_ECX_SVM))
		return "this processor has no AMD-V (CPUID 0x80000001 ECX bit 2 is clear)";
	/* Bochs has SVM without VM_CR: what cannot be read does not forbid. */
	if (!rdmsr_safe(MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS)) {
		if (vm_cr & VM_CR_LOCK)
			return "AMD-V is disabled and locked by the firmware (VM_CR.SVMDIS and "
			       "VM_CR.LOCK are set): enable SVM in the firmware setup";
		return "AMD-V is disabled by the firmware (VM_CR.SVMDIS is set, not locked): "
		       "enable SVM in the firmware setup";
	}
	if (cpuid(CPUID_SVM, 0).ebx < 2)
		return "this processor's AMD-V has no ASID for a guest "
		       "(CPUID 0x8000000A EBX is below 2)";
	return NULL;
}

static void describe(const struct virt_caps *caps, uint32_t features, char *text, size_t size)
{
	lib_snprintf(text, size, "%s, %u ASIDs%s, %s%s%s", caps->nested ? "NPT" : "no NPT", caps->asids,
		     features & SVM_FEATURE_FLUSH_BY_ASID ? " flushed singly" : "",
		     features & SVM_FEATURE_NRIPS ? "NRIPS" : "no NRIPS",
		     features & SVM_FEATURE_DECODE_ASSISTS ? ", decode assists" : "",
		     features & SVM_FEATURE_CLEAN ? ", clean bits" : "");
}

static int svm_probe(struct virt_caps *caps, char *why, size_t why_size)
{
	const char *obstacle = svm_obstacle();
	struct cpuid_regs svm;

	if (obstacle) {
		lib_snprintf(why, why_size, "%s", obstacle);
		return -ENODEV;
	}
	svm = cpuid(CPUID_SVM, 0);
	*caps = (struct virt_caps){
		.nested = svm.edx & SVM_FEATURE_NPT,
		.format = MMU_FORMAT_NPT,
		.root_level = 4, /* nested paging has the host's own mode */
		.max_leaf_level = cpuid(CPUID_EXT_FEATURES, 0).edx & EXT_FEATURE_EDX_1G
					  ? PG_LEVEL_1G
					  : PG_LEVEL_2M,
		.maxphyaddr = cpuid(CPUID_ADDRESS_SIZES, 0).eax & 0xff,
		.hw_ad = true,
		.nrips = svm.edx & SVM_FEATURE_NRIPS,
		.asids = svm.ebx,
	};
	caps->gpa_bits = MIN(caps->maxphyaddr, 48);
	describe(caps, svm.edx, caps->text, sizeof(caps->text));
	return 0;
}

/* ---- on and off ------------------------------------------------------------------------ */

static void free_pages(struct svm_cpu *cpu)
{
	if (cpu->hsave_pa != PAGES_NONE)
		pages_free(cpu->hsave_pa, 0);
	if (cpu->host_vmcb_pa != PAGES_NONE)
		pages_free(cpu->host_vmcb_pa, 0);
	cpu->hsave_pa = cpu->host_vmcb_pa = PAGES_NONE;
}

static int svm_cpu_enable(void)
{
	struct svm_cpu *cpu = svm_cpu_this();
	const char *obstacle = svm_obstacle();
	struct cpuid_regs svm = cpuid(CPUID_SVM, 0);

	if (obstacle) {
		log_error("svm: CPU %u: %s", machine_cpu_id(), obstacle);
		return -ENODEV;
	}
	cpu->hsave_pa = pages_alloc(0, PAGES_ZERO);
	cpu->host_vmcb_pa = pages_alloc(0, PAGES_ZERO);
	if (cpu->hsave_pa == PAGES_NONE || cpu->host_vmcb_pa == PAGES_NONE) {
		log_error("svm: CPU %u: no memory for the host's save area", machine_cpu_id());
		free_pages(cpu);
		return -ENOMEM;
	}
	cpu->features = svm.edx;
	cpu->has_tsc_aux = cpuid(CPUID_EXT_FEATURES, 0).edx & EXT_FEATURE_EDX_RDTSCP;
	cpu->asid_count = svm.ebx;
	/* All taken: the first vCPU opens a generation, and flushes.  0 is no generation. */
	cpu->asid_next = cpu->asid_count;
	cpu->asid_generation++;

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, cpu->hsave_pa);
	/* Once: the host changes none of these registers from here on. */
	svm_vmsave(cpu->host_vmcb_pa);
	return 0;
}

static void svm_cpu_disable(void)
{
	wrmsr(MSR_VM_HSAVE_PA, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
	free_pages(svm_cpu_this());
}

const struct virt_ops svm_ops = {
	.name = "svm",
	.probe = svm_probe,
	.cpu_enable = svm_cpu_enable,
	.cpu_disable = svm_cpu_disable,
	.vcpu_create = svm_vcpu_create,
	.vcpu_destroy = svm_vcpu_destroy,
	.vcpu_load = svm_vcpu_load,
	.vcpu_put = svm_vcpu_put,
	.vcpu_run = svm_vcpu_run,
	.get_state = svm_get_state,
	.set_state = svm_set_state,
	.clear_debug = svm_clear_debug,
	.get_cr = svm_get_cr,
	.set_cr = svm_set_cr,
	.get_efer = svm_get_efer,
	.set_efer = svm_set_efer,
	.get_cpl = svm_get_cpl,
	.get_segment = svm_get_segment,
	.get_code = svm_get_code,
	.get_msr = svm_get_msr,
	.set_msr = svm_set_msr,
	.set_root = svm_set_root,
	.flush_tlb = svm_flush_tlb,
	.intr_allowed = svm_intr_allowed,
	.request_intr_window = svm_request_intr_window,
	.nmi_allowed = svm_nmi_allowed,
	.request_nmi_window = svm_request_nmi_window,
	.get_cr8 = svm_get_cr8,
	.set_cr8 = svm_set_cr8,
	.trap_cr8_write = svm_trap_cr8_write,
	.clear_intr_shadow = svm_clear_intr_shadow,
	.pend_single_step = svm_pend_single_step,
	.dump = svm_dump,
};
