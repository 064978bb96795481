/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Life of a vCPU, and the way into the guest and back.
 *
 * vcpu_put() always does VMCLEAR: no processor then holds any of the VMCS, and the
 * vCPU may be loaded anywhere next, or destroyed, without a word to the CPU it was on.
 * Its translations may still be cached there; vcpu_load() deals with them.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/pages.h"
#include "lib/util.h"
#include "mm/sync.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

/* The guest runs at most this long without giving the host a turn. */
#define TIMER_US 10000

#define DR7_DEFINED 0xffff23fful
#define DR7_FIXED (1ul << 10)

void vmcs_access_failed(const char *what, uint32_t field)
{
	panic("%s of VMCS field 0x%x failed: no such field, or no current VMCS", what, field);
}

/* ---- VPIDs --------------------------------------------------------------------------- */

static spinlock_t vpid_lock = SPINLOCK_INIT;
static uint64_t vpid_used[0x10000 / 64] = { 1 }; /* 0 means none */

static uint16_t vpid_alloc(void)
{
	uint16_t vpid = 0;

	if (!(vmx_controls.proc2 & PROC2_VPID))
		return 0;
	spin_lock(&vpid_lock);
	for (unsigned i = 0; i < ARRAY_SIZE(vpid_used) && !vpid; i++) {
		if (vpid_used[i] == ~0ul)
			continue;
		unsigned bit = (unsigned)__builtin_ctzl(~vpid_used[i]);

		vpid_used[i] |= BIT(bit);
		vpid = (uint16_t)(i * 64 + bit);
	}
	spin_unlock(&vpid_lock);
	return vpid;
}

static void vpid_free(uint16_t vpid)
{
	if (!vpid)
		return;
	spin_lock(&vpid_lock);
	vpid_used[vpid / 64] &= ~BIT(vpid % 64);
	spin_unlock(&vpid_lock);
}

/* ---- creation ------------------------------------------------------------------------ */

/* Counts down at the TSC's rate shifted right; before calibration a 1 GHz TSC is assumed. */
static uint32_t timer_value(void)
{
	uint64_t per_us = machine_cycles_per_us();
	uint64_t ticks = (per_us ? per_us : 1000) * TIMER_US >> VMX_MISC_TIMER_SHIFT(vmx_cap.misc);

	return (uint32_t)MIN(ticks, 0xfffffffful);
}

static void write_controls(struct vmx_vcpu *v)
{
	vmcs_write(VMCS_PIN, vmx_controls.pin);
	vmcs_write(VMCS_PROC, v->proc);
	if (vmx_has_field(VMCS_PROC2))
		vmcs_write(VMCS_PROC2, v->proc2);
	vmcs_write(VMCS_EXIT, vmx_controls.exit);
	vmcs_write(VMCS_ENTRY, v->entry);
	vmcs_write(VMCS_EXCEPTIONS, vmx_real_exceptions(v));
	vmcs_write(VMCS_PF_ERROR_MASK, 0);
	vmcs_write(VMCS_PF_ERROR_MATCH, 0);
	vmcs_write(VMCS_CR3_TARGETS, 0);
	vmcs_write(VMCS_EXIT_MSR_STORES, 0);
	vmcs_write(VMCS_EXIT_MSR_LOADS, 0);
	vmcs_write(VMCS_ENTRY_MSR_LOADS, 0);
	vmcs_write(VMCS_ENTRY_EVENT, 0);
	vmcs_write(VMCS_TPR_THRESHOLD, 0);
	vmcs_write(VMCS_MSR_BITMAP, v->msr_bitmap_pa);
	vmcs_write(VMCS_VIRTUAL_APIC, v->virtual_apic_pa);
	if (v->vpid)
		vmcs_write(VMCS_VPID, v->vpid);
	if (v->log_pa != PAGES_NONE)
		vmcs_write(VMCS_PML, v->log_pa);
	if (vmx_controls.pin & PIN_TIMER)
		vmcs_write(VMCS_TIMER, timer_value());
	if (v->msr_lists_pa != PAGES_NONE)
		vmx_msr_lists_init(v, rdmsr(MSR_EFER));
	vmcs_write(VMCS_HOST_RIP, (uint64_t)vmx_exit_point);
}

/* Another vCPU may be loaded on this CPU: its VMCS is made current again. */
static int vmcs_init(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = vmx_of(vcpu);
	uint64_t flags = machine_irq_save();
	uint64_t previous = vmx_ptrst();
	int err = -EIO;

	if (vmx_clear(v->vmcs_pa) && vmx_ptrld(v->vmcs_pa)) {
		write_controls(v);
		vmx_state_init(vcpu);
		err = vmx_clear(v->vmcs_pa) ? 0 : -EIO;
	}
	if (previous != ~0ul && !vmx_ptrld(previous))
		panic("VMPTRLD of the VMCS at 0x%lx, which was current before, failed", previous);
	machine_irq_restore(flags);
	if (err)
		log_error("vmx: the processor does not take the new VMCS at 0x%lx", v->vmcs_pa);
	return err;
}

static void free_page(uint64_t pa)
{
	if (pa != PAGES_NONE)
		pages_free(pa, 0);
}

static void vmx_vcpu_free(struct vmx_vcpu *v)
{
	vpid_free(v->vpid);
	free_page(v->vmcs_pa);
	free_page(v->msr_bitmap_pa);
	free_page(v->virtual_apic_pa);
	free_page(v->log_pa);
	free_page(v->msr_lists_pa);
	object_free(v, sizeof(*v));
}

/* PAGES_NONE where it is not wanted; *ok: or where it was, and there is none. */
static uint64_t alloc_page(bool wanted, bool *ok)
{
	uint64_t pa = wanted ? pages_alloc(0, PAGES_ZERO) : PAGES_NONE;

	if (wanted && pa == PAGES_NONE)
		*ok = false;
	return pa;
}

static bool alloc_pages(struct vmx_vcpu *v)
{
	bool ok = true;

	v->vmcs_pa = alloc_page(true, &ok);
	v->msr_bitmap_pa = alloc_page(true, &ok);
	v->virtual_apic_pa = alloc_page(true, &ok);
	v->log_pa = alloc_page(virt_caps.pml && !v->shadow, &ok);
	v->msr_lists_pa = alloc_page(!vmx_has_field(VMCS_GUEST_EFER), &ok);
	return ok;
}

static void choose_controls(struct vmx_vcpu *v)
{
	const uint32_t nested = PROC2_EPT | PROC2_UNRESTRICTED;

	v->proc = vmx_controls.proc | (v->shadow ? PROC_CR3_LOAD | PROC_CR3_STORE | PROC_INVLPG : 0);
	v->proc2 = v->shadow ? vmx_controls.proc2 & ~nested : vmx_controls.proc2;
	if (!v->vpid)
		v->proc2 &= ~PROC2_VPID;
	v->entry = vmx_controls.entry;
}

int vmx_vcpu_create(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = object_alloc(sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->shadow = vcpu->vm->shadow;
	if (!alloc_pages(v)) {
		vmx_vcpu_free(v);
		return -ENOMEM;
	}
	v->vpid = vpid_alloc();
	v->last_cpu = VMX_NO_CPU;
	choose_controls(v);
	*(uint32_t *)machine_phys_to_virt(v->vmcs_pa) = VMX_BASIC_REVISION(vmx_cap.basic);
	vmx_msr_bitmap_init(machine_phys_to_virt(v->msr_bitmap_pa));
	vcpu->arch = v;
	int err = vmcs_init(vcpu);

	if (err) {
		vcpu->arch = NULL;
		vmx_vcpu_free(v);
	}
	return err;
}

void vmx_vcpu_destroy(struct vcpu *vcpu)
{
	if (!vcpu->arch)
		return;
	vmx_vcpu_free(vmx_of(vcpu));
	vcpu->arch = NULL;
}

/* ---- on and off a CPU ---------------------------------------------------------------- */

/* DR7 moves with the VMCS; an exit leaves it off, so these are inert in the host. */
static void debug_load(const struct vmx_vcpu *v)
{
	__asm__ volatile("mov %0, %%db0" : : "r"(v->dr[0]));
	__asm__ volatile("mov %0, %%db1" : : "r"(v->dr[1]));
	__asm__ volatile("mov %0, %%db2" : : "r"(v->dr[2]));
	__asm__ volatile("mov %0, %%db3" : : "r"(v->dr[3]));
	__asm__ volatile("mov %0, %%db6" : : "r"(v->dr6));
}

static void debug_put(struct vmx_vcpu *v)
{
	__asm__ volatile("mov %%db0, %0" : "=r"(v->dr[0]));
	__asm__ volatile("mov %%db1, %0" : "=r"(v->dr[1]));
	__asm__ volatile("mov %%db2, %0" : "=r"(v->dr[2]));
	__asm__ volatile("mov %%db3, %0" : "=r"(v->dr[3]));
	__asm__ volatile("mov %%db6, %0" : "=r"(v->dr6));
}

void vmx_clear_debug(struct vcpu *vcpu)
{
	static const struct vmx_vcpu cleared = { .dr6 = DR6_RESET };

	debug_load(&cleared);
}

uint64_t vmx_get_dr(struct vcpu *vcpu, unsigned n)
{
	struct vmx_vcpu now = { 0 };

	if (n == 7)
		return vmcs_read(VMCS_GUEST_DR7);
	debug_put(&now);
	return n == 6 ? now.dr6 : now.dr[n & 3];
}

void vmx_set_dr(struct vcpu *vcpu, unsigned n, uint64_t value)
{
	struct vmx_vcpu now = { 0 };

	if (n == 7) {
		vmcs_write(VMCS_GUEST_DR7, (value & DR7_DEFINED) | DR7_FIXED);
		return;
	}
	debug_put(&now);
	*(n == 6 ? &now.dr6 : &now.dr[n & 3]) = (uint32_t)value;
	debug_load(&now);
}

void vmx_vcpu_load(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = vmx_of(vcpu);
	unsigned cpu = machine_cpu_id();

	if (!vmx_ptrld(v->vmcs_pa))
		panic("VMPTRLD of vCPU %u's VMCS at 0x%lx failed", vcpu->id, v->vmcs_pa);
	vmx_host_save();
	vmx_msrs_load(v);
	debug_load(v);
	/* What it left on this CPU before it went elsewhere, or a former owner of its VPID. */
	if (v->last_cpu != cpu)
		v->flush_ept = v->flush_vpid = true;
	v->last_cpu = cpu;
}

void vmx_vcpu_put(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = vmx_of(vcpu);

	debug_put(v);
	vmx_msrs_put(v);
	if (!vmx_clear(v->vmcs_pa))
		panic("VMCLEAR of vCPU %u's VMCS at 0x%lx failed", vcpu->id, v->vmcs_pa);
	v->launched = false;
}

/* ---- translations -------------------------------------------------------------------- */

/* INVEPT also drops combined translations, of every VPID under this EPTP. */
static void flush_owed(struct vmx_vcpu *v)
{
	if (v->flush_ept && !v->shadow && !vmx_invept(VMX_INV_SINGLE, v->eptp))
		panic("INVEPT of EPTP 0x%lx failed", v->eptp);
	if (v->flush_vpid && v->vpid && !vmx_invvpid(VMX_INV_SINGLE, v->vpid))
		panic("INVVPID of VPID %u failed", v->vpid);
	v->flush_ept = v->flush_vpid = false;
}

/* ---- into the guest and back --------------------------------------------------------- */

static void collect_exit(struct vmx_exit_info *info)
{
	info->reason = (uint32_t)vmcs_read(VMCS_EXIT_REASON);
	unsigned needs = vmx_exit_needs(info->reason);

	if (needs & EXIT_NEEDS_QUALIFICATION)
		info->qualification = vmcs_read(VMCS_QUALIFICATION);
	if (needs & EXIT_NEEDS_INSN_LEN)
		info->insn_len = (uint32_t)vmcs_read(VMCS_EXIT_INSN_LEN);
	if (needs & EXIT_NEEDS_GVA)
		info->gva = vmcs_read(VMCS_GUEST_LINEAR);
	if (needs & EXIT_NEEDS_GPA)
		info->gpa = vmcs_read(VMCS_GUEST_PHYSICAL);
	if (needs & EXIT_NEEDS_EVENT)
		info->event = (uint32_t)vmcs_read(VMCS_EXIT_EVENT);
	if (needs & EXIT_NEEDS_ERROR)
		info->error = (uint32_t)vmcs_read(VMCS_EXIT_EVENT_ERROR);
	if (needs & EXIT_NEEDS_CR0)
		info->cr0 = vmcs_read(VMCS_CR0_SHADOW);
}

/* Other marks of the exit: an event cut short, or an IRET that must block NMIs again. */
static void recover_events(struct vcpu *vcpu, const struct vmx_exit_info *info)
{
	uint32_t idt = (uint32_t)vmcs_read(VMCS_IDT_EVENT);

	if (idt & EVENT_INFO_VALID)
		vmx_event_recover(vcpu, idt);
	else if (vmx_exit_nmi_unblocked(info))
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
			   vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) | INTERRUPTIBILITY_NMI);
}

/*
 * An instruction that exits has not completed, so its single step is not due.  Bochs marks it
 * pending all the same; a real processor does so in an interrupt shadow only, where VM entry
 * insists on it.
 */
static void drop_early_step(struct vcpu *vcpu, const struct vmx_exit_info *info)
{
	const uint64_t shadow = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;

	if (!(vcpu->regs.rflags & RFLAGS_TF) || vmx_exit_between_insns(info) ||
	    vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & shadow)
		return;
	vmcs_write(VMCS_GUEST_PENDING_DEBUG,
		   vmcs_read(VMCS_GUEST_PENDING_DEBUG) & ~(uint64_t)PENDING_DEBUG_SINGLE_STEP);
}

void vmx_vcpu_run(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = vmx_of(vcpu);
	struct vcpu_regs *regs = &vcpu->regs;
	struct vmx_exit_info info = { 0 };

	flush_owed(v);
	if (v->log_pa != PAGES_NONE)
		vmx_log_prepare(vcpu);
	vmx_event_inject(vcpu);
	vmcs_write(VMCS_GUEST_RSP, regs->gpr[GPR_RSP]);
	vmcs_write(VMCS_GUEST_RIP, regs->rip);
	vmcs_write(VMCS_GUEST_RFLAGS, vmx_real_flags_in(v, regs->rflags));
	if (read_cr2() != regs->cr2)
		write_cr2(regs->cr2);
	if (vmx_enter(regs, v->launched)) {
		info.reason = REASON_VMFAIL;
		info.qualification = vmcs_read(VMCS_INSN_ERROR);
		vmx_exit_decode(&info, &vcpu->exit);
		return;
	}
	regs->cr2 = read_cr2();
	collect_exit(&info);
	vmx_host_deliver(&info);
	regs->gpr[GPR_RSP] = vmcs_read(VMCS_GUEST_RSP);
	regs->rip = vmcs_read(VMCS_GUEST_RIP);
	regs->rflags = vmx_real_flags_out(v, vmcs_read(VMCS_GUEST_RFLAGS), regs->rflags);
	/* A refused entry leaves the VMCS as "clear" as it was (SDM vol. 3C, 27.8). */
	if (!(info.reason & REASON_ENTRY_FAILED)) {
		v->launched = true;
		recover_events(vcpu, &info);
		drop_early_step(vcpu, &info);
	}
	vmx_exit_decode(&info, &vcpu->exit);
}
