/* SPDX-License-Identifier: GPL-2.0-only */
/* The host's side of a world switch: the state that an exit restores, the events that it took. */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/cpu.h"
#include "arch/x86/vmx/vmx_insn.h"

struct table_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

#define READ_SELECTOR(reg)                                               \
	({                                                               \
		uint16_t selector_;                                      \
		__asm__ volatile("mov %%" reg ", %0" : "=r"(selector_)); \
		selector_;                                               \
	})

/* From the 16-byte descriptor in the GDT (SDM vol. 3A, 8.2.3). */
static uint64_t tss_base(uint64_t gdt, uint16_t selector)
{
	const uint64_t *d = (const uint64_t *)(gdt + (selector & ~7u));

	return (d[0] >> 16 & 0xffffff) | (d[0] >> 56) << 24 | d[1] << 32;
}

/* Everything of this CPU that an exit restores, but RSP (vmx_entry.asm) and RIP. */
void vmx_host_save(void)
{
	struct table_register gdt, idt;
	uint16_t tr;

	__asm__ volatile("sgdt %0" : "=m"(gdt));
	__asm__ volatile("sidt %0" : "=m"(idt));
	__asm__ volatile("str %0" : "=r"(tr));
	vmcs_write(VMCS_HOST_ES, READ_SELECTOR("es"));
	vmcs_write(VMCS_HOST_CS, READ_SELECTOR("cs"));
	vmcs_write(VMCS_HOST_SS, READ_SELECTOR("ss"));
	vmcs_write(VMCS_HOST_DS, READ_SELECTOR("ds"));
	vmcs_write(VMCS_HOST_FS, READ_SELECTOR("fs"));
	vmcs_write(VMCS_HOST_GS, READ_SELECTOR("gs"));
	vmcs_write(VMCS_HOST_TR, tr);
	vmcs_write(VMCS_HOST_FS_BASE, rdmsr(MSR_FS_BASE));
	vmcs_write(VMCS_HOST_GS_BASE, rdmsr(MSR_GS_BASE));
	vmcs_write(VMCS_HOST_TR_BASE, tss_base(gdt.base, tr));
	vmcs_write(VMCS_HOST_GDT_BASE, gdt.base);
	vmcs_write(VMCS_HOST_IDT_BASE, idt.base);
	vmcs_write(VMCS_HOST_CR0, read_cr0());
	vmcs_write(VMCS_HOST_CR3, read_cr3());
	vmcs_write(VMCS_HOST_CR4, read_cr4());
	if (vmx_has_field(VMCS_HOST_EFER))
		vmcs_write(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	if (vmx_has_field(VMCS_HOST_PAT))
		vmcs_write(VMCS_HOST_PAT, rdmsr(MSR_PAT));
	vmcs_write(VMCS_HOST_SYSENTER_CS, rdmsr(MSR_SYSENTER_CS));
	vmcs_write(VMCS_HOST_SYSENTER_ESP, rdmsr(MSR_SYSENTER_ESP));
	vmcs_write(VMCS_HOST_SYSENTER_EIP, rdmsr(MSR_SYSENTER_EIP));
}

/*
 * The exit has taken the NMI or machine check off the processor: hand it to the
 * host's handler.  NMIs stay blocked until that handler's IRET.
 */
void vmx_host_deliver(const struct vmx_exit_info *info)
{
	unsigned vector = info->event & EVENT_INFO_VECTOR;

	if (info->reason == REASON_EXCEPTION_NMI && EVENT_INFO_TYPE(info->event) == EVENT_NMI)
		__asm__ volatile("int %0" : : "i"(VEC_NMI) : "memory");
	else if ((info->reason == REASON_EXCEPTION_NMI && vector == VEC_MC) ||
		 (info->reason & 0xffff) == REASON_ENTRY_MACHINE_CHECK)
		__asm__ volatile("int %0" : : "i"(VEC_MC) : "memory");
}
