/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of the AMD-V backend that only read and write a VMCB in memory. */
#include <string.h>

#include "arch/x86/cpu.h"
#include "arch/x86/svm/svm.h"
#include "tests/host/ktap.h"

/* ---- a vCPU without a processor ------------------------------------------------- */

static struct vmcb vmcb;
static struct svm_vcpu svm;
static struct vcpu vcpu;
static unsigned flushes, machine_checks;

/* svm_vcpu.c cannot run here: what the pure files call of it. */
void svm_flush_tlb(struct vcpu *v)
{
	flushes++;
}

void svm_host_machine_check(void)
{
	machine_checks++;
}

static void fresh(void)
{
	memset(&vmcb, 0, sizeof(vmcb));
	memset(&svm, 0, sizeof(svm));
	memset(&vcpu, 0, sizeof(vcpu));
	svm.vmcb = &vmcb;
	vcpu.arch = &svm;
	flushes = machine_checks = 0;
}

static struct vm_exit decode(uint64_t code, uint64_t info1, uint64_t info2)
{
	struct vm_exit exit;

	memset(&exit, 0xa5, sizeof(exit));
	vmcb.control.exit_code = code;
	vmcb.control.exit_info[0] = info1;
	vmcb.control.exit_info[1] = info2;
	svm_exit_decode(&svm, &exit);
	return exit;
}

/* ---- exits --------------------------------------------------------------------------- */

static void test_svm_exit_reasons(void)
{
	static const struct {
		uint64_t code;
		enum exit_reason reason;
	} cases[] = {
		{ 0x72, EXIT_CPUID },	   { 0x81, EXIT_HYPERCALL },   { 0x60, EXIT_INTR },
		{ 0x61, EXIT_NMI },	   { 0x64, EXIT_INTR_WINDOW }, { 0x78, EXIT_HLT },
		{ 0x46, EXIT_UD },	   { 0x8d, EXIT_XSETBV },      { 0x76, EXIT_INVD },
		{ 0x89, EXIT_INVD },	   { 0x7f, EXIT_TRIPLE_FAULT }, { 0x7d, EXIT_TASK_SWITCH },
		{ 0x80, EXIT_VIRT_INSN },  { 0x82, EXIT_VIRT_INSN },   { 0x83, EXIT_VIRT_INSN },
		{ 0x84, EXIT_VIRT_INSN },  { 0x85, EXIT_VIRT_INSN },   { 0x86, EXIT_VIRT_INSN },
		{ 0x7a, EXIT_VIRT_INSN },  { 0x8a, EXIT_VIRT_INSN },   { 0x8b, EXIT_VIRT_INSN },
		{ 0x6f, EXIT_VIRT_INSN },  { 0x66, EXIT_UNKNOWN },     { 0x403, EXIT_UNKNOWN },
		{ 0x41, EXIT_EXCEPTION },  { 0x51, EXIT_EXCEPTION },
		{ 0xffffffff, EXIT_ENTRY_FAILED }, /* as QEMU writes it */
		{ ~0ull, EXIT_ENTRY_FAILED },
	};

	fresh();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vm_exit exit = decode(cases[i].code, 0, 0);

		CHECK_EQ(exit.reason, cases[i].reason);
		CHECK_EQ(exit.hw_reason, cases[i].code);
		CHECK_EQ(exit.insn_len, 0);
	}
	CHECK_EQ(decode(0x41, 0, 0).exception.vector, VEC_DB);
	CHECK_EQ(decode(0x51, 0, 0).exception.vector, VEC_AC);
	CHECK_EQ(decode(0x7c, 0, 0).reason, EXIT_RDMSR);
	CHECK_EQ(decode(0x7c, 1, 0).reason, EXIT_WRMSR);
}

static void test_svm_exit_machine_check(void)
{
	fresh();
	CHECK_EQ(decode(0x52, 0, 0).reason, EXIT_NMI);
	CHECK_EQ(machine_checks, 1);
}

static void test_svm_exit_fault(void)
{
	/* EXITINFO1 as QEMU and Bochs were seen to report it. */
	static const struct {
		uint64_t info;
		uint8_t access;
		bool present, gpt_walk, reserved;
	} cases[] = {
		{ 0x100000004, ACC_R, false, false, false },
		{ 0x100000006, ACC_W, false, false, false },
		{ 0x100000007, ACC_W, true, false, false },
		{ 0x100000015, ACC_X, true, false, false },
		{ 0x100000014, ACC_X, false, false, false },
		{ 0x200000006, ACC_W, false, true, false },
		{ 0x200000007, ACC_W, true, true, false },
		{ 0x200000014, ACC_R, false, true, false },
		{ 0x10000000c, ACC_R, false, false, true },
		{ 0x10000000d, ACC_R, true, false, true },
	};

	fresh();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vm_exit exit = decode(0x400, cases[i].info, 0x123456789000);

		CHECK_EQ(exit.reason, EXIT_FAULT);
		CHECK_EQ(exit.fault.gpa, 0x123456789000);
		CHECK_EQ(exit.fault.access, cases[i].access);
		CHECK_EQ(exit.fault.present, cases[i].present);
		CHECK_EQ(exit.fault.gpt_walk, cases[i].gpt_walk);
		CHECK_EQ(exit.fault.reserved, cases[i].reserved);
		CHECK_EQ(exit.fault.goal_level, 0);
	}
}

static void test_svm_exit_io(void)
{
	struct vm_exit exit;

	fresh();
	vmcb.save.rip = 0x1000;
	exit = decode(0x7b, 0x03f80010, 0x1002); /* out 0x3f8, al */
	CHECK_EQ(exit.reason, EXIT_IO);
	CHECK_EQ(exit.io.port, 0x3f8);
	CHECK_EQ(exit.io.size, 1);
	CHECK(!exit.io.in && !exit.io.string && !exit.io.rep);
	CHECK_EQ(exit.insn_len, 2);
	exit = decode(0x7b, 0xffff0000 | 0x4d, 0x1003); /* rep insd */
	CHECK_EQ(exit.io.port, 0xffff);
	CHECK_EQ(exit.io.size, 4);
	CHECK(exit.io.in && exit.io.string && exit.io.rep);
	CHECK_EQ(exit.insn_len, 3);
	CHECK_EQ(decode(0x7b, 0x00f40020, 0x1001).io.size, 2);
}

static void test_svm_exit_cr(void)
{
	struct vm_exit exit;

	fresh();
	exit = decode(0x10, 1ull << 63 | 3, 0);
	CHECK_EQ(exit.reason, EXIT_CR_WRITE);
	CHECK_EQ(exit.cr.cr, 0);
	CHECK(!exit.cr.decoded); /* the processor has no decode assists: noise */
	svm.features = SVM_FEATURE_DECODE_ASSISTS;
	exit = decode(0x14, 1ull << 63 | 9, 0);
	CHECK_EQ(exit.cr.cr, 4);
	CHECK(exit.cr.decoded && !exit.cr.has_value);
	CHECK_EQ(exit.cr.gpr, 9);
	CHECK(!decode(0x10, 0, 0).cr.decoded); /* CLTS, LMSW */
}

static void test_svm_exit_insn_len(void)
{
	fresh();
	svm.features = SVM_FEATURE_NRIPS;
	vmcb.save.rip = 0xfffffffff0;
	vmcb.control.next_rip = 0xfffffffff3;
	CHECK_EQ(decode(0x81, 0, 0).insn_len, 3);
	CHECK_EQ(decode(0x7c, 1, 0).insn_len, 3);
	/* No instruction was meant: the field is stale. */
	CHECK_EQ(decode(0x60, 0, 0).insn_len, 0);
	CHECK_EQ(decode(0x400, 0x100000004, 0).insn_len, 0);
	CHECK_EQ(decode(0x46, 0, 0).insn_len, 0);
}

/* ---- events -------------------------------------------------------------------------- */

static void test_svm_event_inject(void)
{
	fresh();
	vcpu.inject = (struct vm_event){ .valid = true, .type = EVENT_EXCEPTION, .vector = 14,
					 .has_error = true, .error = 0x15 };
	svm_event_inject(&vcpu);
	CHECK_EQ(vmcb.control.event_inj, 0x80000b0e);
	CHECK_EQ(vmcb.control.event_error, 0x15);
	CHECK(!vcpu.inject.valid);

	fresh();
	vcpu.inject = (struct vm_event){ .valid = true, .type = EVENT_INTR, .vector = 0x30 };
	svm_event_inject(&vcpu);
	CHECK_EQ(vmcb.control.event_inj, 0x80000030);

	/* Its instruction raises it. */
	fresh();
	vcpu.inject = (struct vm_event){ .valid = true, .type = EVENT_SOFT_INT, .vector = 0x80 };
	svm_event_inject(&vcpu);
	CHECK_EQ(vmcb.control.event_inj, 0);
	CHECK(!vcpu.inject.valid);
}

static void recover(uint32_t info, uint32_t error)
{
	fresh();
	vmcb.control.exit_int_info = info;
	vmcb.control.exit_int_error = error;
	svm_event_recover(&vcpu);
}

static void test_svm_event_recover(void)
{
	recover(0x80000b0d, 0x18); /* #GP(0x18) */
	CHECK(vcpu.inject.valid && vcpu.inject.has_error);
	CHECK_EQ(vcpu.inject.type, EVENT_EXCEPTION);
	CHECK_EQ(vcpu.inject.vector, 13);
	CHECK_EQ(vcpu.inject.error, 0x18);
	recover(0x80000202, 0);
	CHECK(vcpu.inject.valid);
	CHECK_EQ(vcpu.inject.type, EVENT_NMI);
	recover(0x80000041, 0);
	CHECK(vcpu.inject.valid && !vcpu.inject.has_error);
	CHECK_EQ(vcpu.inject.type, EVENT_INTR);
	CHECK_EQ(vcpu.inject.vector, 0x41);
	/* Software: INT n, INT3, INTO execute again. */
	recover(0x80000480, 0);
	CHECK(!vcpu.inject.valid);
	recover(0x80000303, 0);
	CHECK(!vcpu.inject.valid);
	recover(0x80000304, 0);
	CHECK(!vcpu.inject.valid);
	recover(0x80000301, 0); /* #DB */
	CHECK(vcpu.inject.valid);
}

static void test_svm_intr_window(void)
{
	fresh();
	svm_controls_init(&vmcb);
	vmcb.control.clean = ~0u;
	svm_request_intr_window(&vcpu, true);
	CHECK_EQ(vmcb.control.int_ctl, 0x1f0100);
	CHECK(vmcb.control.intercept_misc1 & INTERCEPT_VINTR);
	CHECK(!(vmcb.control.clean & (VMCB_CLEAN_INT_CTL | VMCB_CLEAN_INTERCEPTS)));
	svm_request_intr_window(&vcpu, false);
	CHECK_EQ(vmcb.control.int_ctl, 0);
	CHECK(!(vmcb.control.intercept_misc1 & INTERCEPT_VINTR));
	CHECK(vmcb.control.intercept_misc1 & INTERCEPT_INTR);

	CHECK(!svm_intr_allowed(&vcpu));
	vcpu.regs.rflags = RFLAGS_IF;
	CHECK(svm_intr_allowed(&vcpu));
	vmcb.control.int_state = 1;
	CHECK(!svm_intr_allowed(&vcpu));
	svm_clear_intr_shadow(&vcpu);
	CHECK(svm_intr_allowed(&vcpu));
}

static void test_svm_single_step(void)
{
	fresh();
	svm_pend_single_step(&vcpu);
	CHECK_EQ(vmcb.save.dr6, 0x4000);
	CHECK(vcpu.inject.valid);
	CHECK_EQ(vcpu.inject.vector, 1);
	CHECK_EQ(vcpu.inject.type, EVENT_EXCEPTION);
}

/* ---- state ---------------------------------------------------------------------------- */

static void test_svm_attr(void)
{
	CHECK_EQ(svm_attr_pack(0xc09b), 0xc9b); /* 4G, 32-bit code */
	CHECK_EQ(svm_attr_pack(0xa09b), 0xa9b); /* 64-bit code */
	CHECK_EQ(svm_attr_pack(0x008b), 0x08b);
	CHECK_EQ(svm_attr_pack(0x1c093), 0);    /* unusable */
	CHECK_EQ(svm_attr_unpack(0), SEG_ATTR_UNUSABLE);
	/* Every attribute of a present segment survives. */
	for (unsigned a = 0; a < 0x1000; a++) {
		if (a & VMCB_SEG_PRESENT)
			CHECK_EQ(svm_attr_pack(svm_attr_unpack(a)), a);
	}
}

static void test_svm_state_round_trip(void)
{
	struct vcpu_state in, out;

	fresh();
	memset(&in, 0, sizeof(in));
	memset(&out, 0, sizeof(out));
	for (unsigned i = 0; i < SEG_COUNT; i++)
		in.seg[i] = (struct vm_segment){ .selector = 8 * i + 8, .attr = 0xc093,
						 .limit = 0xffffffff, .base = i << 20 };
	in.seg[SEG_FS].attr = SEG_ATTR_UNUSABLE;
	in.seg[SEG_SS].attr = 0xc0f3; /* DPL 3 */
	in.gdt = (struct vm_table){ .base = 0x1000, .limit = 0x47 };
	in.idt = (struct vm_table){ .base = 0x2000, .limit = 0xfff };
	in.cr0 = CR0_PE | CR0_PG | CR0_ET;
	in.cr3 = 0x5000;
	in.cr4 = CR4_PAE;
	in.efer = EFER_LME | EFER_LMA;
	in.dr7 = 0x400;
	svm_set_state(&vcpu, &in);
	svm_get_state(&vcpu, &out);
	CHECK(!memcmp(&in, &out, sizeof(in)));
	CHECK(vmcb.save.efer & EFER_SVME);
	CHECK_EQ(svm_get_cpl(&vcpu), 3);
	CHECK_EQ(flushes, 1);
}

static void test_svm_control_registers(void)
{
	fresh();
	svm_set_cr(&vcpu, 0, CR0_PE | CR0_PG);
	svm_set_cr(&vcpu, 4, CR4_PAE);
	svm_set_cr(&vcpu, 3, 0x3000);
	svm_set_efer(&vcpu, EFER_LME);
	CHECK_EQ(flushes, 4);
	vmcb.control.clean = ~0u;
	svm_set_cr(&vcpu, 0, CR0_PE | CR0_PG | CR0_TS);
	svm_set_cr(&vcpu, 4, CR4_PAE | CR4_OSFXSR);
	svm_set_efer(&vcpu, EFER_LME | EFER_SCE);
	CHECK_EQ(flushes, 4); /* no translation depends on these */
	CHECK(!(vmcb.control.clean & VMCB_CLEAN_CRX));
	CHECK_EQ(svm_get_cr(&vcpu, 0), CR0_PE | CR0_PG | CR0_TS);
	CHECK_EQ(svm_get_cr(&vcpu, 3), 0x3000);
	CHECK_EQ(svm_get_cr(&vcpu, 4), CR4_PAE | CR4_OSFXSR);
	CHECK_EQ(svm_get_efer(&vcpu), EFER_LME | EFER_SCE);
}

static void test_svm_msrs(void)
{
	static const uint32_t msrs[] = {
		MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_STAR, MSR_LSTAR, MSR_CSTAR,
		MSR_SFMASK, MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
	};
	uint64_t value;

	fresh();
	for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++)
		CHECK_EQ(svm_set_msr(&vcpu, msrs[i], 0x1000 + i), 0);
	for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		CHECK_EQ(svm_get_msr(&vcpu, msrs[i], &value), 0);
		CHECK_EQ(value, 0x1000 + i);
	}
	CHECK_EQ(svm_set_msr(&vcpu, MSR_PAT, 0x0007040600070406), 0);
	CHECK_EQ(svm_set_msr(&vcpu, MSR_PAT, 0x0007040600070402), -EINVAL);
	CHECK_EQ(svm_set_msr(&vcpu, MSR_PAT, 0x0807040600070406), -EINVAL);
	CHECK_EQ(vmcb.save.pat, 0x0007040600070406);
	CHECK_EQ(svm_get_msr(&vcpu, MSR_TSC_AUX, &value), -ENOENT);
	CHECK_EQ(svm_get_msr(&vcpu, MSR_APIC_BASE, &value), -ENOENT);
	CHECK_EQ(svm_set_msr(&vcpu, 0x12345678, 0), -ENOENT);
}

/* ---- controls -------------------------------------------------------------------------- */

static void test_svm_msr_map(void)
{
	static uint8_t map[SVM_MSRPM_SIZE];
	unsigned open = 0;

	svm_msrpm_init(map);
	CHECK(!svm_msrpm_exits(map, MSR_FS_BASE, false) && !svm_msrpm_exits(map, MSR_FS_BASE, true));
	CHECK(!svm_msrpm_exits(map, MSR_SYSENTER_EIP, true));
	CHECK(!svm_msrpm_exits(map, MSR_SFMASK, true));
	CHECK(svm_msrpm_exits(map, MSR_EFER, false) && svm_msrpm_exits(map, MSR_EFER, true));
	CHECK(svm_msrpm_exits(map, MSR_TSC, false) && svm_msrpm_exits(map, MSR_PAT, true));
	CHECK(svm_msrpm_exits(map, MSR_VM_CR, true) && svm_msrpm_exits(map, MSR_VM_HSAVE_PA, true));
	CHECK(svm_msrpm_exits(map, 0x2000, false) && svm_msrpm_exits(map, 0xc0002000, true));
	/* The layout itself, at the corners (APM vol. 2, 15.11). */
	CHECK_EQ(map[0x174 * 2 / 8] & 0x3f, 0);
	CHECK_EQ(map[0x800 + 0x100 * 2 / 8] & 0x3f, 0);
	for (unsigned i = 0; i < sizeof(map); i++)
		open += 8 - __builtin_popcount(map[i]);
	CHECK_EQ(open, 20); /* ten MSRs, read and write */
}

static void test_svm_intercepts(void)
{
	fresh();
	svm_controls_init(&vmcb);
	CHECK_EQ(vmcb.control.intercept_cr_write, 0x11);
	CHECK_EQ(vmcb.control.intercept_exceptions, 0x60042);
	CHECK(vmcb.control.intercept_misc2 & 1);
	for (unsigned i = 0; i < SVM_IOPM_SIZE; i++)
		CHECK_EQ(svm_iopm[i], 0xff);
}

/* ---- reports ------------------------------------------------------------------------------ */

static void legal_vmcb(void)
{
	fresh();
	svm_controls_init(&vmcb);
	vmcb.control.asid = 1;
	vmcb.save.efer = EFER_SVME;
	vmcb.save.pat = 0x0007040600070406;
	vmcb.save.cr0 = CR0_PE | CR0_ET;
}

static void test_svm_broken_rule(void)
{
	legal_vmcb();
	CHECK(!svm_broken_rule(&vmcb));
	vmcb.save.efer = 0;
	CHECK_STR(svm_broken_rule(&vmcb), "EFER.SVME is clear");
	legal_vmcb();
	vmcb.save.cr0 |= CR0_NW;
	CHECK_STR(svm_broken_rule(&vmcb), "CR0.NW is set and CR0.CD is not");
	legal_vmcb();
	vmcb.save.efer |= EFER_LME;
	vmcb.save.cr0 |= CR0_PG;
	CHECK_STR(svm_broken_rule(&vmcb), "long mode without CR4.PAE");
	legal_vmcb();
	vmcb.control.asid = 0;
	CHECK_STR(svm_broken_rule(&vmcb), "the ASID is 0, the host's");
	legal_vmcb();
	vmcb.control.event_inj = 0x80000302;
	CHECK_STR(svm_broken_rule(&vmcb), "EVENTINJ holds no event that can be injected");
}

static unsigned lines;
static bool saw_refusal;

static void count_line(const char *line)
{
	lines++;
	saw_refusal |= !!strstr(line, "the ASID is 0, the host's");
}

static void test_svm_dump(void)
{
	legal_vmcb();
	vmcb.control.exit_code = VMEXIT_INVALID;
	vmcb.control.asid = 0;
	lines = 0;
	saw_refusal = false;
	svm_dump(&vcpu, count_line);
	CHECK(saw_refusal);
	CHECK(lines > 20);
}

static void inject_nmi(void)
{
	vcpu.inject = (struct vm_event){ .valid = true, .type = EVENT_NMI, .vector = 2 };
	svm_event_inject(&vcpu);
}

/* An exit with this code at this RIP. */
static void exit_at(uint64_t code, uint64_t rip)
{
	vmcb.control.exit_code = code;
	vcpu.regs.rip = rip;
	svm_nmi_track(&vcpu);
}

static void test_svm_nmi(void)
{
	fresh();
	vmcb.control.clean = ~0u;
	CHECK(svm_nmi_allowed(&vcpu));
	vmcb.control.int_state = VMCB_INT_SHADOW;
	CHECK(!svm_nmi_allowed(&vcpu));
	vmcb.control.int_state = 0;
	inject_nmi();
	CHECK_EQ(vmcb.control.event_inj, 0x80000202);
	CHECK(!svm_nmi_allowed(&vcpu));
	CHECK(vmcb.control.intercept_misc1 & INTERCEPT_IRET);
	CHECK(!(vmcb.control.clean & VMCB_CLEAN_INTERCEPTS));
	exit_at(0x72, 0x1000); /* in the handler */
	CHECK(!svm_nmi_allowed(&vcpu));
	exit_at(0x74, 0x1010);
	CHECK(!svm_nmi_allowed(&vcpu));
	CHECK(!(vmcb.control.intercept_misc1 & INTERCEPT_IRET));
	exit_at(0x400, 0x1010); /* a fault on its stack: it is still not done */
	CHECK(!svm_nmi_allowed(&vcpu));
	exit_at(0x60, 0x2000);
	CHECK(svm_nmi_allowed(&vcpu));
	/* The same again: nothing is left of the first. */
	inject_nmi();
	exit_at(0x60, 0x2000);
	CHECK(!svm_nmi_allowed(&vcpu));
	CHECK_EQ(decode(0x74, 0, 0).reason, EXIT_NMI_WINDOW);
}

/* An exit at this RIP, with int_state as the processor leaves it. */
static bool shadow_at(uint64_t rip, uint64_t int_state)
{
	vmcb.control.int_state = int_state;
	vcpu.regs.rip = rip;
	svm_shadow_track(&vcpu);
	return vmcb.control.int_state & VMCB_INT_SHADOW;
}

/* QEMU forgets it at the next entry: it lasts until RIP has moved, but not for ever. */
static void test_svm_shadow(void)
{
	unsigned exits = 0;

	fresh();
	vcpu.regs.rflags = RFLAGS_IF;
	CHECK(shadow_at(0x1000, VMCB_INT_SHADOW));
	CHECK(!svm_intr_allowed(&vcpu));
	CHECK(!svm_request_intr_window(&vcpu, true));
	CHECK(!(vmcb.control.int_ctl & VMCB_V_IRQ));
	CHECK(shadow_at(0x1000, 0));
	CHECK(!svm_intr_allowed(&vcpu));
	CHECK(!shadow_at(0x1001, 0));
	CHECK(svm_intr_allowed(&vcpu));
	CHECK(svm_request_intr_window(&vcpu, true));
	CHECK(vmcb.control.int_ctl & VMCB_V_IRQ);
	/* An instruction that was emulated ends it. */
	CHECK(shadow_at(0x1000, VMCB_INT_SHADOW));
	svm_clear_intr_shadow(&vcpu);
	CHECK(!shadow_at(0x1000, 0));
	/* One that jumps to itself does, too. */
	CHECK(shadow_at(0x1000, VMCB_INT_SHADOW));
	while (shadow_at(0x1000, 0) && exits < 100)
		exits++;
	CHECK(exits > 4 && exits < 100);
}

static void test_svm_cr8(void)
{
	fresh();
	vmcb.control.clean = ~0u;
	vmcb.control.int_ctl = VMCB_V_INTR_MASKING;
	svm_set_cr8(&vcpu, 9);
	CHECK_EQ(vmcb.control.int_ctl, VMCB_V_INTR_MASKING | 9);
	CHECK(!(vmcb.control.clean & VMCB_CLEAN_INT_CTL));
	CHECK_EQ(svm_get_cr8(&vcpu), 9);
	svm_request_intr_window(&vcpu, true);
	CHECK_EQ(svm_get_cr8(&vcpu), 9);
	svm_set_cr8(&vcpu, 0);
	CHECK_EQ(svm_get_cr8(&vcpu), 0);
	vmcb.control.intercept_cr_write = 0x11;
	svm_trap_cr8_write(&vcpu, true);
	CHECK_EQ(vmcb.control.intercept_cr_write, 0x111);
	svm_trap_cr8_write(&vcpu, false);
	CHECK_EQ(vmcb.control.intercept_cr_write, 0x11);
	struct vm_exit exit = decode(0x18, 0, 0);

	CHECK_EQ(exit.reason, EXIT_CR_WRITE);
	CHECK_EQ(exit.cr.cr, 8);
}

/* ---- shadow paging ---------------------------------------------------------------------- */

static void fresh_shadow(void)
{
	fresh();
	svm_controls_init(&vmcb);
	svm_paging_init(&svm, true);
}

static void set_mode(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	svm_set_cr(&vcpu, 0, cr0);
	svm_set_cr(&vcpu, 4, cr4);
	svm_set_efer(&vcpu, efer);
	/* The guest sees its own. */
	CHECK_EQ(svm_get_cr(&vcpu, 0), cr0);
	CHECK_EQ(svm_get_cr(&vcpu, 4), cr4);
	CHECK_EQ(svm_get_efer(&vcpu), efer);
}

#define ALWAYS_EFER (EFER_NXE | EFER_SVME)

/* What mm/mmu.h says of the processor's registers, mode by mode; the broken rules are VMRUN's. */
static void test_svm_shadow_modes(void)
{
	fresh_shadow();
	CHECK_EQ(vmcb.control.np_control, 0);
	CHECK(vmcb.control.intercept_cr_write & 1u << 3);
	CHECK(vmcb.control.intercept_exceptions & 1u << VEC_PF);
	CHECK(vmcb.control.intercept_misc1 & INTERCEPT_INVLPG);

	set_mode(CR0_ET, 0, EFER_LME); /* real mode: paged, and not long */
	CHECK_EQ(vmcb.save.cr0, CR0_ET | CR0_PG | CR0_WP);
	CHECK_EQ(vmcb.save.cr4, CR4_PAE);
	CHECK_EQ(vmcb.save.efer, ALWAYS_EFER);

	/* Without paging nobody is a user. */
	set_mode(CR0_PE | CR0_ET, CR4_SMEP | CR4_SMAP | CR4_PSE, 0);
	CHECK_EQ(vmcb.save.cr0, CR0_PE | CR0_ET | CR0_PG | CR0_WP);
	CHECK_EQ(vmcb.save.cr4, CR4_PAE | CR4_PSE);

	set_mode(CR0_PE | CR0_ET | CR0_PG, CR4_SMEP | CR4_SMAP | CR4_PGE | CR4_OSFXSR, EFER_SCE);
	CHECK_EQ(vmcb.save.cr0, CR0_PE | CR0_ET | CR0_PG | CR0_WP);
	CHECK_EQ(vmcb.save.cr4, CR4_PAE | CR4_SMEP | CR4_SMAP | CR4_OSFXSR);
	CHECK_EQ(vmcb.save.efer, ALWAYS_EFER | EFER_SCE);

	set_mode(CR0_PE | CR0_ET | CR0_PG, CR4_PAE, EFER_LME | EFER_LMA);
	CHECK_EQ(vmcb.save.efer, ALWAYS_EFER | EFER_LME | EFER_LMA);
}

static void test_svm_shadow_reads(void)
{
	fresh_shadow();
	set_mode(CR0_PE | CR0_PG, CR4_PAE | CR4_PGE, 0);
	CHECK_EQ(vmcb.control.intercept_cr_read, 1u << 0 | 1u << 3 | 1u << 4);
	vmcb.control.clean = ~0u;
	/* What is the same may be read; CR3 never is. */
	set_mode(CR0_PE | CR0_PG | CR0_WP, CR4_PAE, 0);
	CHECK_EQ(vmcb.control.intercept_cr_read, 1u << 3);
	CHECK(!(vmcb.control.clean & VMCB_CLEAN_INTERCEPTS));
	/* With nested paging nothing of this. */
	fresh();
	svm_controls_init(&vmcb);
	svm_paging_init(&svm, false);
	set_mode(CR0_PE | CR0_PG, CR4_PAE | CR4_PGE, 0);
	CHECK_EQ(vmcb.control.np_control, VMCB_NP_ENABLE);
	CHECK_EQ(vmcb.control.intercept_cr_read, 0);
	CHECK_EQ(vmcb.save.cr0, CR0_PE | CR0_PG);
	CHECK_EQ(vmcb.save.cr4, CR4_PAE | CR4_PGE);
	CHECK(!(vmcb.control.intercept_exceptions & 1u << VEC_PF));
}

static void test_svm_shadow_root(void)
{
	struct vcpu_state st;
	struct vm_code code;

	fresh_shadow();
	svm_set_cr(&vcpu, 3, 0x7000);
	svm_set_root(&vcpu, 0x1234000);
	CHECK_EQ(vmcb.save.cr3, 0x1234000);
	CHECK_EQ(vmcb.control.ncr3, 0);
	CHECK_EQ(svm_get_cr(&vcpu, 3), 0x7000);
	svm_get_state(&vcpu, &st);
	CHECK_EQ(st.cr3, 0x7000);
	svm_get_code(&vcpu, &code);
	CHECK_EQ(code.cr3, 0x7000);
	/* The same root again may hold four other entries. */
	vmcb.control.clean = ~0u;
	flushes = 0;
	svm_set_root(&vcpu, 0x1234000);
	CHECK(!(vmcb.control.clean & VMCB_CLEAN_CRX));
	CHECK_EQ(flushes, 1);
	/* A nested root is the same until it is another. */
	fresh();
	svm_paging_init(&svm, false);
	svm_set_root(&vcpu, 0x1234000);
	CHECK_EQ(vmcb.control.ncr3, 0x1234000);
	svm_set_root(&vcpu, 0x1234000);
	CHECK_EQ(flushes, 1);
}

static void test_svm_shadow_exits(void)
{
	struct vm_exit exit;

	fresh_shadow();
	exit = decode(0x4e, 0x7, 0xffff800000001234);
	CHECK_EQ(exit.reason, EXIT_PF);
	CHECK_EQ(exit.pf.error, 7);
	CHECK(exit.gva_valid);
	CHECK_EQ(exit.gva, 0xffff800000001234);
	CHECK_EQ(decode(0x03, 0, 0).reason, EXIT_CR_READ);
	CHECK_EQ(decode(0x00, 0, 0).cr.cr, 0);
	CHECK_EQ(decode(0x04, 0, 0).cr.cr, 4);
	CHECK_EQ(decode(0x13, 0, 0).reason, EXIT_CR_WRITE);
	CHECK_EQ(decode(0x13, 0, 0).cr.cr, 3);
	CHECK(!decode(0x79, 0x5000, 0).gva_valid);
	svm.features = SVM_FEATURE_DECODE_ASSISTS | SVM_FEATURE_NRIPS;
	vmcb.save.rip = 0x1000;
	vmcb.control.next_rip = 0x1003;
	exit = decode(0x79, 0x5000, 0);
	CHECK_EQ(exit.reason, EXIT_INVLPG);
	CHECK(exit.gva_valid);
	CHECK_EQ(exit.gva, 0x5000);
	CHECK_EQ(exit.insn_len, 3);
	exit = decode(0x03, 1ull << 63 | 5, 0);
	CHECK(exit.cr.decoded);
	CHECK_EQ(exit.cr.gpr, 5);
	CHECK_EQ(exit.insn_len, 3);
	CHECK_EQ(decode(0x4e, 0, 0).insn_len, 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_svm_exit_reasons),  KTAP(test_svm_exit_machine_check),
	KTAP(test_svm_exit_fault),    KTAP(test_svm_exit_io),
	KTAP(test_svm_exit_cr),	      KTAP(test_svm_exit_insn_len),
	KTAP(test_svm_event_inject),  KTAP(test_svm_event_recover),
	KTAP(test_svm_intr_window),   KTAP(test_svm_single_step),
	KTAP(test_svm_nmi),	      KTAP(test_svm_cr8),
	KTAP(test_svm_shadow),	      KTAP(test_svm_shadow_modes),
	KTAP(test_svm_shadow_reads),  KTAP(test_svm_shadow_root),
	KTAP(test_svm_shadow_exits),
	KTAP(test_svm_attr),	      KTAP(test_svm_state_round_trip),
	KTAP(test_svm_control_registers), KTAP(test_svm_msrs),
	KTAP(test_svm_msr_map),	      KTAP(test_svm_intercepts),
	KTAP(test_svm_broken_rule),   KTAP(test_svm_dump),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
