/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VT-x backend without a processor: exit decoding, segment
 * rules, events and guest state against a VMCS that is an array.
 */
#include <string.h>

#include "arch/x86/cpu.h"
#include "arch/x86/extable.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "host/machine.h"
#include "tests/host/fake_machine.h"
#include "tests/host/fake_vmcs.h"
#include "tests/host/ktap.h"

/* ---- the fake processor -------------------------------------------------------------- */

static uint64_t *const vmcs = fake_vmcs;
#define vmx fake_vmx
#define vcpu fake_vmx_vcpu
static uint64_t guest_table[4]; /* what the guest has at its CR3 */
static bool guest_table_missing;

int wrmsr_safe(uint32_t msr, uint64_t v)
{
	return 0;
}

int mmu_read_guest(struct mmu_vm *vm, gpa_t gpa, void *buf, uint64_t size)
{
	if (guest_table_missing)
		return -EFAULT;
	memcpy(buf, guest_table, size);
	return 0;
}

static void vcpu_reset(void)
{
	fake_vmx_reset();
	guest_table_missing = false;
}

/* ---- exits --------------------------------------------------------------------------- */

static struct vm_exit decode(struct vmx_exit_info info)
{
	struct vm_exit exit;

	vmx_exit_decode(&info, &exit);
	return exit;
}

static void test_exit_reasons(void)
{
	static const struct {
		uint16_t hw, exit;
	} table[] = {
		{ 1, EXIT_INTR }, { 2, EXIT_TRIPLE_FAULT }, { 3, EXIT_UNKNOWN },
		{ 7, EXIT_INTR_WINDOW }, { 9, EXIT_TASK_SWITCH }, { 10, EXIT_CPUID },
		{ 12, EXIT_HLT }, { 13, EXIT_INVD }, { 14, EXIT_INVLPG }, { 15, EXIT_VIRT_INSN }, { 16, EXIT_UNKNOWN },
		{ 18, EXIT_HYPERCALL }, { 19, EXIT_VIRT_INSN }, { 27, EXIT_VIRT_INSN },
		{ 31, EXIT_RDMSR }, { 32, EXIT_WRMSR }, { 33, EXIT_ENTRY_FAILED },
		{ 36, EXIT_VIRT_INSN }, { 39, EXIT_VIRT_INSN }, { 50, EXIT_VIRT_INSN },
		{ 52, EXIT_TIMER }, { 53, EXIT_VIRT_INSN }, { 54, EXIT_INVD }, { 55, EXIT_XSETBV },
		{ 62, EXIT_LOG_FULL },
		{ 63, EXIT_UNKNOWN }, { 64, EXIT_UNKNOWN }, { 0xfffe, EXIT_UNKNOWN },
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct vm_exit exit = decode((struct vmx_exit_info){ .reason = table[i].hw,
								     .insn_len = 3 });
		CHECK_EQ(exit.reason, table[i].exit);
		CHECK_EQ(exit.hw_reason, table[i].hw);
		CHECK_EQ(exit.insn_len, 3);
	}
	CHECK(vmx_exit_needs(10) & EXIT_NEEDS_INSN_LEN);
	CHECK_EQ(vmx_exit_needs(48),
		 EXIT_NEEDS_QUALIFICATION | EXIT_NEEDS_GPA | EXIT_NEEDS_GVA);
	CHECK_EQ(vmx_exit_needs(1), 0);
	CHECK_EQ(vmx_exit_needs(0xfffe), EXIT_NEEDS_QUALIFICATION);
}

static void test_exit_entry_failed(void)
{
	struct vm_exit exit = decode((struct vmx_exit_info){ .reason = REASON_VMFAIL,
							     .qualification = 7 });

	CHECK_EQ(exit.reason, EXIT_ENTRY_FAILED);
	CHECK_EQ(exit.hw_info[0], 7);
	CHECK_EQ(decode((struct vmx_exit_info){ .reason = 0x80000021 }).reason, EXIT_ENTRY_FAILED);
	CHECK_EQ(decode((struct vmx_exit_info){ .reason = 0x80000029 }).reason, EXIT_ENTRY_FAILED);
	CHECK_EQ(decode((struct vmx_exit_info){ .reason = 0x8000000a }).reason, EXIT_ENTRY_FAILED);
}

static void test_exit_exceptions(void)
{
	CHECK_EQ(decode((struct vmx_exit_info){ .event = 0x80000306 }).reason, EXIT_UD);
	CHECK_EQ(decode((struct vmx_exit_info){ .event = 0x80000202 }).reason, EXIT_NMI);
	CHECK_EQ(decode((struct vmx_exit_info){ .event = 0x80000312 }).reason, EXIT_NMI);
	struct vm_exit exit = decode((struct vmx_exit_info){ .event = 0x80000b0e, .error = 6,
							     .qualification = 0x12345 });

	CHECK_EQ(exit.reason, EXIT_PF);
	CHECK(exit.gva_valid);
	CHECK_EQ(exit.gva, 0x12345);
	CHECK_EQ(exit.pf.error, 6);
	CHECK_EQ(decode((struct vmx_exit_info){ .reason = 14, .qualification = 0x54321 }).gva, 0x54321);
	/* The rest is the guest's; software exceptions alone have a length. */
	exit = decode((struct vmx_exit_info){ .event = 0x80000603, .insn_len = 1 });
	CHECK_EQ(exit.reason, EXIT_EXCEPTION);
	CHECK_EQ(exit.exception.vector, VEC_BP);
	CHECK_EQ(exit.exception.type, EVENT_SOFT_TRAP);
	CHECK_EQ(exit.insn_len, 1);
	exit = decode((struct vmx_exit_info){ .event = 0x80000301, .insn_len = 7, .qualification = 0x4000 });
	CHECK_EQ(exit.exception.dr6, 0x4000);
	CHECK_EQ(exit.insn_len, 0);
}

static struct page_fault violation(uint64_t qualification)
{
	return decode((struct vmx_exit_info){ .reason = 48, .qualification = qualification,
					      .gpa = 0x12345678 }).fault;
}

static void test_exit_ept(void)
{
	struct page_fault pf = violation(0x181);

	CHECK_EQ(pf.gpa, 0x12345678);
	CHECK_EQ(pf.access, ACC_R);
	CHECK(!pf.present && !pf.gpt_walk && !pf.reserved);
	CHECK_EQ(violation(0x182).access, ACC_W);
	CHECK_EQ(violation(0x184).access, ACC_X);
	/* A write to a read-only page. */
	pf = violation(0x18a);
	CHECK_EQ(pf.access, ACC_W);
	CHECK(pf.present);
	/* The processor's write of A/D in a walk, by the manual and on Bochs. */
	pf = violation(0x83);
	CHECK_EQ(pf.access, ACC_W);
	CHECK(pf.gpt_walk);
	pf = violation(0x82);
	CHECK_EQ(pf.access, ACC_W);
	CHECK(pf.gpt_walk);
	/* PDPTEs read by MOV CR3 have no linear address. */
	CHECK(violation(0x01).gpt_walk);
	struct vmx_exit_info info = { .reason = 48, .qualification = 0x181, .gva = 0x7654321 };
	struct vm_exit exit = decode(info);

	CHECK(exit.gva_valid);
	CHECK_EQ(exit.gva, 0x7654321);
	info.qualification = 1;
	CHECK(!decode(info).gva_valid);
	exit = decode((struct vmx_exit_info){ .reason = 49, .gpa = 0x5000 });

	CHECK_EQ(exit.reason, EXIT_FAULT);
	CHECK_EQ(exit.fault.gpa, 0x5000);
	CHECK(exit.fault.reserved);
}

static void test_exit_log_full(void)
{
	struct vmx_exit_info info = { .reason = 62, .qualification = 1 << 12 };

	/* An IRET that was about to end NMI blocking was cut short. */
	CHECK(vmx_exit_nmi_unblocked(&info));
	info.qualification = 0;
	CHECK(!vmx_exit_nmi_unblocked(&info));
}

static void test_exit_io(void)
{
	struct exit_io io = decode((struct vmx_exit_info){ .reason = 30,
							   .qualification = 0x3f80000 }).io;

	CHECK_EQ(io.port, 0x3f8);
	CHECK_EQ(io.size, 1);
	CHECK(!io.in && !io.string && !io.rep);
	io = decode((struct vmx_exit_info){ .reason = 30, .qualification = 0xf400fb }).io;
	CHECK_EQ(io.port, 0xf4);
	CHECK_EQ(io.size, 4);
	CHECK(io.in && io.string && io.rep);
}

static struct vm_exit cr_access(uint64_t qualification, uint64_t cr0)
{
	return decode((struct vmx_exit_info){ .reason = 28, .qualification = qualification,
					      .cr0 = cr0 });
}

static void test_exit_cr(void)
{
	struct vm_exit exit = cr_access(0xf04, 0);

	CHECK_EQ(exit.reason, EXIT_CR_WRITE);
	CHECK_EQ(exit.cr.cr, 4);
	CHECK_EQ(exit.cr.gpr, 15);
	CHECK(exit.cr.decoded && !exit.cr.has_value);
	exit = cr_access(0x20, CR0_PE | CR0_TS | CR0_PG);
	CHECK(exit.cr.has_value);
	CHECK_EQ(exit.cr.value, CR0_PE | CR0_PG);
	/* LMSW 0 clears MP, EM, TS, not PE. */
	exit = cr_access(0x30, CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_PG);
	CHECK_EQ(exit.cr.value, CR0_PE | CR0_ET | CR0_PG);
	exit = cr_access(0xffff0030ul, CR0_ET);
	CHECK_EQ(exit.cr.value, CR0_ET | 0xf);
	exit = cr_access(0x213, 0);
	CHECK_EQ(exit.reason, EXIT_CR_READ);
	CHECK_EQ(exit.cr.cr, 3);
	CHECK_EQ(exit.cr.gpr, 2);
	CHECK_EQ(cr_access(0x18, 0).reason, EXIT_UNKNOWN);
}

static void test_exit_nmi_unblocked(void)
{
	CHECK(vmx_exit_nmi_unblocked(&(struct vmx_exit_info){ .event = 0x80001306 }));
	CHECK(!vmx_exit_nmi_unblocked(&(struct vmx_exit_info){ .event = 0x80001308 }));
	CHECK(vmx_exit_nmi_unblocked(&(struct vmx_exit_info){ .reason = 48,
							      .qualification = 0x1182 }));
	CHECK(!vmx_exit_nmi_unblocked(&(struct vmx_exit_info){ .reason = 30,
							       .qualification = 0x1000 }));
}

static void test_exit_between_insns(void)
{
	CHECK(vmx_exit_between_insns(&(struct vmx_exit_info){ .reason = 1 }));
	CHECK(vmx_exit_between_insns(&(struct vmx_exit_info){ .reason = 52 }));
	CHECK(vmx_exit_between_insns(&(struct vmx_exit_info){ .event = 0x80000202 }));
	CHECK(!vmx_exit_between_insns(&(struct vmx_exit_info){ .event = 0x80000306 }));
	CHECK(!vmx_exit_between_insns(&(struct vmx_exit_info){ .reason = 48 }));
	CHECK(!vmx_exit_between_insns(&(struct vmx_exit_info){ .reason = 10 }));
}

/* ---- segments ------------------------------------------------------------------------ */

static struct vm_segment fixed(enum vm_seg which, uint32_t attr, uint32_t limit)
{
	struct vm_segment s = { .attr = attr, .limit = limit };

	vmx_segment_fix(which, &s);
	return s;
}

static void test_segment_fix(void)
{
	CHECK_EQ(fixed(SEG_CS, 0xc09a, 0xffffffff).attr, 0xc09b);
	CHECK_EQ(fixed(SEG_DS, 0xc092, 0xffffffff).attr, 0xc093);
	CHECK_EQ(fixed(SEG_DS, 0x93, 0xffff).attr, 0x93);
	/* G follows the limit where only one value fits. */
	CHECK_EQ(fixed(SEG_DS, 0x93, 0xfffff000).attr, 0x8093);
	CHECK_EQ(fixed(SEG_DS, 0x93, 0xfffff000).limit, 0xffffffff);
	CHECK_EQ(fixed(SEG_DS, 0x8093, 0x1234).attr, 0x93);
	CHECK_EQ(fixed(SEG_DS, 0x8093, 0xffff).attr, 0x8093);
	/* A task register is there and busy, whatever the caller says. */
	CHECK_EQ(fixed(SEG_TR, 0x89, 0x67).attr, 0x8b);
	CHECK_EQ(fixed(SEG_TR, 0x81, 0x67).attr, 0x83);
	CHECK_EQ(fixed(SEG_TR, 0x10000, 0xffff).attr, 0x83);
	CHECK_EQ(fixed(SEG_LDTR, 0, 0xffff).attr, 0x82);
	CHECK_EQ(fixed(SEG_LDTR, 0x10000, 0).attr, 0x10000);
	/* SS keeps its DPL although unusable: it is the CPL. */
	CHECK_EQ(fixed(SEG_SS, 0x10060, 0).attr, 0x10060);
}

/* ---- guest state --------------------------------------------------------------------- */

static struct vcpu_state protected_mode(void)
{
	struct vcpu_state st = { .cr0 = CR0_PE | CR0_ET, .dr7 = 0x400 };

	for (unsigned i = 0; i < SEG_COUNT; i++)
		st.seg[i] = (struct vm_segment){ 0x10, 0xc093, 0xffffffff, 0 };
	st.seg[SEG_CS] = (struct vm_segment){ 0x08, 0xc09b, 0xffffffff, 0 };
	st.seg[SEG_TR] = (struct vm_segment){ 0x18, 0x8b, 0x67, 0x5000 };
	st.seg[SEG_LDTR] = (struct vm_segment){ 0x20, 0x82, 0xff, 0x6000 };
	st.gdt = (struct vm_table){ 0x7000, 0x2f };
	st.idt = (struct vm_table){ 0x8000, 0x7ff };
	return st;
}

static void state_load(const struct vcpu_state *st)
{
	vmx_state_init(&vcpu);
	vmx_set_state(&vcpu, st);
	vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED;
}

static void test_state_round_trip(void)
{
	struct vcpu_state st = protected_mode(), back;

	vcpu_reset();
	state_load(&st);
	vmx_get_state(&vcpu, &back);
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		CHECK_EQ(back.seg[i].selector, st.seg[i].selector);
		CHECK_EQ(back.seg[i].attr, st.seg[i].attr);
		CHECK_EQ(back.seg[i].limit, st.seg[i].limit);
		CHECK_EQ(back.seg[i].base, st.seg[i].base);
	}
	CHECK_EQ(back.gdt.base, 0x7000);
	CHECK_EQ(back.idt.limit, 0x7ff);
	CHECK_EQ(back.cr0, st.cr0);
	/* VT-x numbers LDTR before TR. */
	CHECK_EQ(vmcs[0x080c], 0x20);
	CHECK_EQ(vmcs[0x080e], 0x18);
	CHECK(!vmx_broken_rule());
}

static void test_state_shadows(void)
{
	struct vcpu_state st = protected_mode();

	vcpu_reset();
	vmcs[VMCS_HOST_CR4] = CR4_MCE | CR4_VMXE | CR4_PAE;
	st.cr0 |= CR0_CD | CR0_NW;
	st.cr4 = CR4_PSE;
	state_load(&st);
	CHECK_EQ(vmx_get_cr(&vcpu, 0), CR0_PE | CR0_ET | CR0_CD | CR0_NW);
	CHECK_EQ(vmcs[VMCS_GUEST_CR0], CR0_PE | CR0_ET | CR0_NE);
	CHECK_EQ(vmx_get_cr(&vcpu, 4), CR4_PSE);
	CHECK_EQ(vmcs[VMCS_GUEST_CR4], CR4_PSE | CR4_VMXE | CR4_MCE);
	CHECK(!vmx_broken_rule());
}

static void test_state_long_mode(void)
{
	struct vcpu_state st = protected_mode();

	vcpu_reset();
	st.seg[SEG_TR].attr = 0x83; /* of 16-bit code */
	state_load(&st);
	vmx_set_efer(&vcpu, EFER_LME | EFER_LMA | EFER_NXE);
	vmx_set_cr(&vcpu, 4, CR4_PAE);
	vmx_set_cr(&vcpu, 0, CR0_PG | CR0_PE | CR0_ET);
	CHECK(vmcs[VMCS_ENTRY] & VMENTRY_IA32E);
	CHECK_EQ(vmcs[VMCS_GUEST_ATTR(VMCS_SEG_TR)] & 0xf, 11);
	CHECK(vmx.flush_vpid);
	CHECK(!vmx_broken_rule());
	vmx_set_efer(&vcpu, EFER_NXE);
	vmx_set_cr(&vcpu, 0, CR0_PE | CR0_ET);
	CHECK(!(vmcs[VMCS_ENTRY] & VMENTRY_IA32E));
	CHECK(!vmx_broken_rule());
}

static void test_state_pdptes(void)
{
	struct vcpu_state st = protected_mode();

	vcpu_reset();
	memcpy(guest_table, (uint64_t[]){ 0x21001, 0x22001 | 0x1e6, 0x1e6, 0x23009 }, 32);
	st.cr4 = CR4_PAE;
	state_load(&st);
	CHECK_EQ(vmcs[VMCS_PDPTE(0)], 0);
	vmx_set_cr(&vcpu, 0, CR0_PG | CR0_PE | CR0_ET);
	CHECK_EQ(vmcs[VMCS_PDPTE(0)], 0x21001);
	CHECK_EQ(vmcs[VMCS_PDPTE(1)], 0); /* reserved bits: VM entry would fail */
	CHECK_EQ(vmcs[VMCS_PDPTE(2)], 0x1e6);
	CHECK_EQ(vmcs[VMCS_PDPTE(3)], 0x23009);
	CHECK(!vmx_broken_rule());
	guest_table_missing = true;
	vmx_set_cr(&vcpu, 3, 0x1000);
	CHECK_EQ(vmcs[VMCS_PDPTE(3)], 0);
}

static void test_state_msrs(void)
{
	uint64_t value;

	vcpu_reset();
	CHECK_EQ(vmx_set_msr(&vcpu, MSR_FS_BASE, 0x800000000000), -EINVAL);
	CHECK_EQ(vmx_set_msr(&vcpu, MSR_FS_BASE, 0xffff800000000000), 0);
	CHECK_EQ(vmx_get_msr(&vcpu, MSR_FS_BASE, &value), 0);
	CHECK_EQ(value, 0xffff800000000000);
	CHECK_EQ(vmx_set_msr(&vcpu, MSR_PAT, 0x0007040600070402), -EINVAL);
	CHECK_EQ(vmx_set_msr(&vcpu, MSR_PAT, 0x0807040600070406), -EINVAL);
	CHECK_EQ(vmx_set_msr(&vcpu, MSR_PAT, 0x0007010500070406), 0);
	CHECK_EQ(vmx_get_msr(&vcpu, MSR_EFER, &value), -ENOENT);
	CHECK_EQ(vmx_set_msr(&vcpu, 0x12345, 0), -ENOENT);
}

static bool bitmap_exits(const uint8_t *bitmap, uint32_t msr, bool write)
{
	unsigned byte = (write ? 0x800 : 0) + (msr >> 31 ? 0x400 : 0) + (msr & 0x1fff) / 8;

	return bitmap[byte] >> msr % 8 & 1;
}

static void test_state_msr_bitmap(void)
{
	static uint8_t bitmap[PAGE_SIZE];
	unsigned passed = 0;

	vmx_msr_bitmap_init(bitmap);
	for (unsigned i = 0; i < sizeof(bitmap); i++)
		passed += 8 - (unsigned)__builtin_popcount(bitmap[i]);
	CHECK_EQ(passed, 2 * (5 + VMX_SWITCHED_MSRS));
	for (unsigned write = 0; write < 2; write++) {
		CHECK(!bitmap_exits(bitmap, MSR_GS_BASE, write));
		CHECK(!bitmap_exits(bitmap, MSR_LSTAR, write));
		CHECK(!bitmap_exits(bitmap, MSR_SYSENTER_EIP, write));
		CHECK(bitmap_exits(bitmap, MSR_PAT, write));
		CHECK(bitmap_exits(bitmap, MSR_EFER, write));
		CHECK(bitmap_exits(bitmap, MSR_APIC_BASE, write));
	}
}

/* ---- rules of VM entry --------------------------------------------------------------- */

static const char *broken_by(uint32_t field, uint64_t value)
{
	struct vcpu_state st = protected_mode();

	vcpu_reset();
	state_load(&st);
	vmcs[field] = value;
	const char *rule = vmx_broken_rule();

	return rule ? rule : "";
}

static void test_rules(void)
{
	CHECK(strstr(broken_by(VMCS_GUEST_CR0, CR0_PG | CR0_NE), "CR0.PG without"));
	CHECK(strstr(broken_by(VMCS_GUEST_CR0, CR0_PE), "CR0 has bits"));
	CHECK(strstr(broken_by(VMCS_GUEST_CR4, 0), "CR4 has bits"));
	CHECK(strstr(broken_by(VMCS_ENTRY, VMENTRY_IA32E), "IA-32e mode without"));
	CHECK(strstr(broken_by(VMCS_GUEST_EFER, EFER_LMA), "EFER.LMA"));
	CHECK(strstr(broken_by(VMCS_GUEST_RFLAGS, 0), "RFLAGS"));
	CHECK(strstr(broken_by(VMCS_GUEST_RIP, 1ul << 32), "RIP"));
	CHECK(strstr(broken_by(VMCS_GUEST_ATTR(SEG_CS), 0xc093 & ~2u), "CS is no code"));
	CHECK(strstr(broken_by(VMCS_GUEST_ATTR(SEG_SS), 0xc0f3), "CS.DPL"));
	CHECK(strstr(broken_by(VMCS_GUEST_ATTR(SEG_DS), 0xc092), "not accessed"));
	CHECK(strstr(broken_by(VMCS_GUEST_LIMIT(SEG_ES), 0xfffffffe), "granularity"));
	CHECK(strstr(broken_by(VMCS_GUEST_ATTR(VMCS_SEG_TR), 0x89), "TR is"));
	CHECK(strstr(broken_by(VMCS_GUEST_ATTR(VMCS_SEG_LDTR), 0x8b), "LDTR is"));
	CHECK(strstr(broken_by(VMCS_ENTRY_EVENT, 0x80000030), "RFLAGS.IF is 0"));
	CHECK(strstr(broken_by(VMCS_GUEST_INTERRUPTIBILITY, 1), "shadow"));
	CHECK(strstr(broken_by(VMCS_GUEST_PAT, 2), "PAT"));
}

/* ---- events -------------------------------------------------------------------------- */

static void inject(struct vm_event event)
{
	vcpu.inject = event;
	vcpu.inject.valid = true;
	vmx_event_inject(&vcpu);
}

static void test_event_inject(void)
{
	vcpu_reset();
	vmcs[VMCS_CR0_SHADOW] = CR0_PE;
	inject((struct vm_event){ .type = EVENT_EXCEPTION, .vector = VEC_GP, .has_error = true,
				  .error = 0x18 });
	CHECK_EQ(vmcs[VMCS_ENTRY_EVENT], 0x80000b0d);
	CHECK_EQ(vmcs[VMCS_ENTRY_ERROR], 0x18);
	CHECK(!vcpu.inject.valid);
	inject((struct vm_event){ .type = EVENT_SOFT_INT, .vector = 0x80, .insn_len = 2 });
	CHECK_EQ(vmcs[VMCS_ENTRY_EVENT], 0x80000480);
	CHECK_EQ(vmcs[VMCS_ENTRY_INSN_LEN], 2);
	/* Real mode has no error codes. */
	vmcs[VMCS_CR0_SHADOW] = 0;
	inject((struct vm_event){ .type = EVENT_EXCEPTION, .vector = VEC_GP, .has_error = true });
	CHECK_EQ(vmcs[VMCS_ENTRY_EVENT], 0x8000030d);
	vmcs[VMCS_ENTRY_EVENT] = 0;
	vmx_event_inject(&vcpu);
	CHECK_EQ(vmcs[VMCS_ENTRY_EVENT], 0);
}

static void test_event_recover(void)
{
	vcpu_reset();
	vmx_event_recover(&vcpu, 0x00000b0e);
	CHECK(!vcpu.inject.valid);
	vmcs[VMCS_IDT_EVENT_ERROR] = 6;
	vmx_event_recover(&vcpu, 0x80000b0e);
	CHECK(vcpu.inject.valid && vcpu.inject.has_error);
	CHECK_EQ(vcpu.inject.vector, VEC_PF);
	CHECK_EQ(vcpu.inject.error, 6);
	vmcs[VMCS_EXIT_INSN_LEN] = 1;
	vmx_event_recover(&vcpu, 0x80000603);
	CHECK_EQ(vcpu.inject.type, EVENT_SOFT_TRAP);
	CHECK_EQ(vcpu.inject.insn_len, 1);
	/* An NMI on its way had blocked NMIs: it could not be injected again. */
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = INTERRUPTIBILITY_NMI;
	vmx_event_recover(&vcpu, 0x80000202);
	CHECK_EQ(vcpu.inject.type, EVENT_NMI);
	CHECK_EQ(vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
}

static void test_event_window(void)
{
	vcpu_reset();
	vmx.proc = PROC_HLT;
	vmx_request_intr_window(&vcpu, true);
	CHECK_EQ(vmcs[VMCS_PROC], PROC_HLT | PROC_INTR_WINDOW);
	vmx_request_intr_window(&vcpu, false);
	CHECK_EQ(vmcs[VMCS_PROC], PROC_HLT);
	vcpu.regs.rflags = RFLAGS_IF;
	CHECK(vmx_intr_allowed(&vcpu));
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_NMI;
	CHECK(!vmx_intr_allowed(&vcpu));
	vmx_clear_intr_shadow(&vcpu);
	CHECK_EQ(vmcs[VMCS_GUEST_INTERRUPTIBILITY], INTERRUPTIBILITY_NMI);
	CHECK(vmx_intr_allowed(&vcpu));
	vcpu.regs.rflags = 0;
	CHECK(!vmx_intr_allowed(&vcpu));
	vmx_pend_single_step(&vcpu);
	CHECK_EQ(vmcs[VMCS_GUEST_PENDING_DEBUG], 1 << 14);
}

static unsigned lines;

static void count_line(const char *line)
{
	CHECK(strlen(line) < 120);
	lines++;
}

static void test_dump(void)
{
	vcpu_reset();
	/* The longest values there can be. */
	memset(fake_vmcs, 0xff, sizeof(fake_vmcs));
	vcpu.exit.hw_reason = 0x80000021;
	lines = 0;
	vmx_dump(&vcpu, count_line);
	CHECK(lines > 20);
}

static void test_nmi_window(void)
{
	vcpu_reset();
	vmx.proc = PROC_HLT;
	CHECK(vmx_nmi_allowed(&vcpu));
	for (unsigned bit = 0; bit < 4; bit++) {
		vmcs[VMCS_GUEST_INTERRUPTIBILITY] = 1u << bit;
		CHECK_EQ(vmx_nmi_allowed(&vcpu), bit == 2); /* blocking by SMI is no matter */
	}
	vmx_request_nmi_window(&vcpu, true);
	CHECK_EQ(vmcs[VMCS_PROC], PROC_HLT | PROC_NMI_WINDOW);
	vmx_request_nmi_window(&vcpu, false);
	CHECK_EQ(vmcs[VMCS_PROC], PROC_HLT);
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = INTERRUPTIBILITY_STI;
	vmx_request_nmi_window(&vcpu, true);
	CHECK_EQ(vmcs[VMCS_PROC], PROC_HLT | PROC_INTR_WINDOW);
	CHECK_EQ(decode((struct vmx_exit_info){ .reason = 8 }).reason, EXIT_NMI_WINDOW);
}

static void test_cr8(void)
{
	vcpu_reset();
	fake_ram_create(1ul << 20);
	vmx.virtual_apic_pa = 0x3000;
	vmx.proc = PROC_HLT;
	uint8_t *page = machine_phys_to_virt(vmx.virtual_apic_pa);

	vmx_set_cr8(&vcpu, 0xb);
	CHECK_EQ(page[0x80], 0xb0);
	CHECK_EQ(vmx_get_cr8(&vcpu), 0xb);
	vmx_trap_cr8_write(&vcpu, true);
	CHECK_EQ(vmcs[VMCS_PROC], PROC_HLT | PROC_CR8_LOAD);
	vmx_trap_cr8_write(&vcpu, false);
	CHECK_EQ(vmcs[VMCS_PROC], PROC_HLT);
	struct vm_exit exit = cr_access(0x308, 0);

	CHECK_EQ(exit.reason, EXIT_CR_WRITE);
	CHECK_EQ(exit.cr.cr, 8);
	CHECK_EQ(exit.cr.gpr, 3);
}

static const struct ktap_test tests[] = {
	KTAP(test_exit_reasons),     KTAP(test_exit_entry_failed), KTAP(test_exit_exceptions),
	KTAP(test_exit_ept),         KTAP(test_exit_log_full),
	KTAP(test_exit_io),          KTAP(test_exit_cr),
	KTAP(test_exit_nmi_unblocked), KTAP(test_exit_between_insns), KTAP(test_segment_fix),
	KTAP(test_state_round_trip),
	KTAP(test_state_shadows),    KTAP(test_state_long_mode),   KTAP(test_state_pdptes),
	KTAP(test_state_msrs),       KTAP(test_state_msr_bitmap),  KTAP(test_rules),
	KTAP(test_event_inject),     KTAP(test_event_recover),     KTAP(test_event_window),
	KTAP(test_nmi_window),       KTAP(test_cr8),
	KTAP(test_dump),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
