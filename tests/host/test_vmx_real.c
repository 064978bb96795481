/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VT-x without nested paging: what the processor runs with in place of what the guest
 * believes, and real mode as virtual-8086 mode.  After every step VM entry would take it.
 */
#include <string.h>

#include "arch/x86/cpu.h"
#include "arch/x86/extable.h"
#include "host/machine.h"
#include "tests/host/fake_machine.h"
#include "tests/host/fake_vmcs.h"
#include "tests/host/ktap.h"

#define ROOT 0x7000ul
#define RFLAGS_IOPL (3ul << 12)

static struct vcpu *const vcpu = &fake_vmx_vcpu;
static uint64_t *const vmcs = fake_vmcs;

int wrmsr_safe(uint32_t msr, uint64_t v)
{
	return 0;
}

int mmu_read_guest(struct mmu_vm *vm, gpa_t gpa, void *buf, uint64_t size)
{
	return -EFAULT;
}

/* As vcpu_run() and VM entry see it. */
static void check_enters(void)
{
	vmcs[VMCS_GUEST_RFLAGS] = vmx_real_flags_in(&fake_vmx, vcpu->regs.rflags);
	const char *rule = vmx_broken_rule();

	if (rule)
		ktap_fail(__FILE__, __LINE__, "VM entry would be refused: %s", rule);
}

static struct vcpu_state state(uint64_t cr0, uint32_t code, uint32_t data, uint32_t limit)
{
	struct vcpu_state st = { .cr0 = cr0, .dr7 = 0x400 };

	for (unsigned i = 0; i < SEG_COUNT; i++)
		st.seg[i] = (struct vm_segment){ 0, data, limit, 0 };
	st.seg[SEG_CS].attr = code;
	st.seg[SEG_TR] = (struct vm_segment){ 0, 0x8b, 0xffff, 0 };
	st.seg[SEG_LDTR] = (struct vm_segment){ 0, 0x82, 0xffff, 0 };
	return st;
}

static void load(const struct vcpu_state *st)
{
	fake_vmx_reset();
	fake_ram_create(1ul << 20);
	fake_vmx.shadow = true;
	vmcs[VMCS_PROC2] = 0;
	vcpu->regs.rflags = RFLAGS_FIXED;
	vmx_state_init(vcpu);
	vmx_set_state(vcpu, st);
	vmx_set_root(vcpu, ROOT);
}

static void load_real(void)
{
	struct vcpu_state st = state(CR0_ET, 0x9b, 0x93, 0xffff);

	st.seg[SEG_CS].selector = 0x1200;
	st.seg[SEG_CS].base = 0x12000;
	load(&st);
}

/* The guest's own load of a segment in real mode, by the processor. */
static void native_load(enum vm_seg seg, uint16_t selector)
{
	vmcs[VMCS_GUEST_SELECTOR(seg)] = selector;
	vmcs[VMCS_GUEST_BASE(seg)] = (uint64_t)selector << 4;
}

/* ---- control registers --------------------------------------------------------------- */

static void test_unpaged(void)
{
	struct vcpu_state st = state(CR0_PE | CR0_ET, 0xc09b, 0xc093, 0xffffffff);

	st.cr4 = CR4_PGE | CR4_SMEP | CR4_SMAP | CR4_PSE;
	load(&st);
	CHECK_EQ(vmx_get_cr(vcpu, 0), CR0_PE | CR0_ET);
	CHECK_EQ(vmcs[VMCS_GUEST_CR0], CR0_PE | CR0_ET | CR0_PG | CR0_WP | CR0_NE);
	CHECK_EQ(vmx_get_cr(vcpu, 4), st.cr4);
	CHECK_EQ(vmcs[VMCS_GUEST_CR4], CR4_PSE | CR4_PAE | CR4_VMXE);
	CHECK_EQ(vmcs[VMCS_GUEST_EFER], EFER_NXE);
	CHECK_EQ(vmcs[VMCS_GUEST_CR3], ROOT);
	vmx_set_cr(vcpu, 3, 0x5000);
	CHECK_EQ(vmx_get_cr(vcpu, 3), 0x5000);
	CHECK_EQ(vmcs[VMCS_GUEST_CR3], ROOT);
	CHECK_EQ(vmcs[VMCS_EXCEPTIONS],
		 1 << VEC_DB | 1 << VEC_UD | 1 << VEC_PF | 1 << VEC_AC | 1 << VEC_MC);
	check_enters();
}

/* LME goes to the processor with LMA, since it pages already. */
static void test_long_mode(void)
{
	struct vcpu_state st = state(CR0_PE | CR0_ET, 0xc09b, 0xc093, 0xffffffff);

	load(&st);
	vmx_set_cr(vcpu, 4, CR4_PAE | CR4_SMEP | CR4_PGE);
	vmx_set_efer(vcpu, EFER_LME);
	CHECK_EQ(vmcs[VMCS_GUEST_EFER], EFER_NXE);
	CHECK_EQ(vmx_get_efer(vcpu), EFER_LME);
	check_enters();
	vmx_set_efer(vcpu, EFER_LME | EFER_LMA);
	vmx_set_cr(vcpu, 0, CR0_PG | CR0_PE | CR0_ET);
	CHECK_EQ(vmcs[VMCS_GUEST_EFER], EFER_LME | EFER_LMA | EFER_NXE);
	CHECK(vmcs[VMCS_ENTRY] & VMENTRY_IA32E);
	CHECK(vmcs[VMCS_GUEST_CR4] & CR4_SMEP);
	CHECK(!(vmcs[VMCS_GUEST_CR4] & CR4_PGE));
	CHECK(vmcs[VMCS_GUEST_CR0] & CR0_WP);
	CHECK(!(vmx_get_cr(vcpu, 0) & CR0_WP));
	check_enters();
}

/* Without the controls EFER moves with lists of MSRs. */
static void test_efer_lists(void)
{
	struct vcpu_state st = state(CR0_PE | CR0_ET, 0xc09b, 0xc093, 0xffffffff);

	load(&st);
	vmx_cap.entry &= ~((uint64_t)VMENTRY_LOAD_EFER << 32);
	fake_vmx.msr_lists_pa = 0x9000;
	vmx_msr_lists_init(&fake_vmx, 0xd01);
	vmcs[VMCS_GUEST_EFER] = ~0ul;
	vmx_set_efer(vcpu, 1);
	CHECK_EQ(vmcs[VMCS_GUEST_EFER], ~0ul);
	CHECK_EQ(vmcs[VMCS_ENTRY_MSR_LOADS], 1);
	CHECK_EQ(vmcs[VMCS_EXIT_MSR_LOADS], 1);
	const uint64_t *in = machine_phys_to_virt(vmcs[VMCS_ENTRY_MSR_LOAD_ADDR]);
	const uint64_t *out = machine_phys_to_virt(vmcs[VMCS_EXIT_MSR_LOAD_ADDR]);

	CHECK(!(vmcs[VMCS_ENTRY_MSR_LOAD_ADDR] & 15) && !(vmcs[VMCS_EXIT_MSR_LOAD_ADDR] & 15));
	CHECK_EQ(in[0], MSR_EFER);
	CHECK_EQ(in[1], 1 | EFER_NXE);
	CHECK_EQ(out[0], MSR_EFER);
	CHECK_EQ(out[1], 0xd01);
}

static void test_pat(void)
{
	uint64_t value = 0;

	load_real();
	CHECK_EQ(vmx_set_msr(vcpu, MSR_PAT, 0), 0);
	CHECK_EQ(vmx_get_msr(vcpu, MSR_PAT, &value), 0);
	CHECK_EQ(value, 0);
	CHECK_EQ(vmcs[VMCS_GUEST_PAT], PAT_RESET);
}

static void test_flushes(void)
{
	load_real();
	fake_vmx.flush_vpid = fake_vmx.flush_ept = false;
	vmx_flush_tlb(vcpu);
	CHECK(fake_vmx.flush_vpid && !fake_vmx.flush_ept);
	fake_vmx.flush_vpid = false;
	vmx_set_root(vcpu, ROOT);
	CHECK(fake_vmx.flush_vpid);
}

/* ---- real mode ------------------------------------------------------------------------- */

static void test_real_shape(void)
{
	struct vm_segment s;
	struct vm_code code;

	load_real();
	CHECK(vmx_real_ops.active(vcpu));
	CHECK(!vmx_real_ops.obstacle(vcpu));
	check_enters();
	CHECK_EQ(vmcs[VMCS_GUEST_ATTR(SEG_SS)], 0xf3);
	CHECK_EQ(vmcs[VMCS_GUEST_LIMIT(VMCS_SEG_TR)], 0);
	CHECK_EQ(vmcs[VMCS_EXCEPTIONS], 0xffffffff);
	vmx_get_segment(vcpu, SEG_CS, &s);
	CHECK_EQ(s.selector, 0x1200);
	CHECK_EQ(s.attr, 0x9b);
	vmx_get_segment(vcpu, SEG_TR, &s);
	CHECK_EQ(s.limit, 0xffff);
	CHECK_EQ(vmx_get_cpl(vcpu), 0);
	vcpu->regs.rip = 0x34;
	vmx_get_code(vcpu, &code);
	CHECK_EQ(code.gva, 0x12034);
	CHECK_EQ(code.size, 2);
	CHECK_EQ(code.cpl, 0);
	native_load(SEG_DS, 0x4321);
	vmx_get_segment(vcpu, SEG_DS, &s);
	CHECK_EQ(s.base, 0x43210);
	CHECK_EQ(s.attr, 0x93);
}

static void test_real_flags(void)
{
	load_real();
	uint64_t flags = RFLAGS_FIXED | RFLAGS_IOPL | RFLAGS_IF;
	uint64_t in = vmx_real_flags_in(&fake_vmx, flags);

	CHECK_EQ(in, RFLAGS_FIXED | RFLAGS_IF | RFLAGS_VM);
	CHECK_EQ(vmx_real_flags_out(&fake_vmx, in | 1, flags), flags | 1);
	vmx_set_cr(vcpu, 0, CR0_PE | CR0_ET);
	CHECK_EQ(vmx_real_flags_in(&fake_vmx, flags), flags);
	CHECK_EQ(vmx_real_flags_out(&fake_vmx, RFLAGS_FIXED, flags), RFLAGS_FIXED);
}

/* What would do nothing in real mode must not at level 3. */
static void test_real_controls(void)
{
	load_real();
	vmx_set_cr(vcpu, 4, CR4_TSD | CR4_UMIP | CR4_VME | CR4_PVI | CR4_PSE);
	vmx_set_cr(vcpu, 0, CR0_ET | CR0_AM);
	CHECK(!(vmcs[VMCS_GUEST_CR4] & (CR4_TSD | CR4_UMIP | CR4_VME | CR4_PVI)));
	CHECK(!(vmcs[VMCS_GUEST_CR0] & CR0_AM));
	check_enters();
	vmx_set_cr(vcpu, 0, CR0_ET | CR0_AM | CR0_PE);
	CHECK_EQ(vmcs[VMCS_GUEST_CR4] & (CR4_TSD | CR4_VME), CR4_TSD | CR4_VME);
	CHECK(vmcs[VMCS_GUEST_CR0] & CR0_AM);
}

/* Up with selectors that protected mode would not have, and what was native keeps its place. */
static void test_up(void)
{
	struct vm_segment s;

	load_real();
	native_load(SEG_SS, 0x0fff);
	native_load(SEG_DS, 0x0101);
	vmx_real_ops.load_cs(vcpu, 0x1203);
	check_enters();
	vmx_set_cr(vcpu, 0, CR0_PE | CR0_ET);
	CHECK(!vmx_real_ops.active(vcpu));
	check_enters();
	CHECK_EQ(vmcs[VMCS_GUEST_BASE(SEG_CS)], 0x12030);
	CHECK_EQ(vmcs[VMCS_GUEST_BASE(SEG_SS)], 0xfff0);
	CHECK_EQ(vmcs[VMCS_GUEST_SELECTOR(SEG_SS)], 0x0ffc);
	CHECK_EQ(vmcs[VMCS_GUEST_ATTR(SEG_CS)], 0x9b);
	CHECK_EQ(vmcs[VMCS_GUEST_LIMIT(VMCS_SEG_TR)], 0xffff);
	CHECK_EQ(vmcs[VMCS_EXCEPTIONS] >> VEC_GP & 1, 0);
	vmx_get_segment(vcpu, SEG_SS, &s);
	CHECK_EQ(s.selector, 0x0fff);
	/* Loaded again it is what it is. */
	vmcs[VMCS_GUEST_SELECTOR(SEG_SS)] = 0x10;
	vmcs[VMCS_GUEST_BASE(SEG_SS)] = 0;
	vmx_get_segment(vcpu, SEG_SS, &s);
	CHECK_EQ(s.selector, 0x10);
}

/* Down from flat segments: limits stay for the guest, and the emulator sees them. */
static void test_down(void)
{
	struct vcpu_state st = state(CR0_PE | CR0_ET, 0x9b, 0xc093, 0xffffffff);
	struct vm_segment s;

	st.seg[SEG_CS].limit = 0xffff;
	st.seg[SEG_CS].selector = 0x30;
	st.seg[SEG_ES].selector = 0x10;
	st.seg[SEG_FS].attr = SEG_ATTR_UNUSABLE;
	load(&st);
	vmx_set_cr(vcpu, 0, CR0_ET);
	CHECK(!vmx_real_ops.obstacle(vcpu));
	check_enters();
	vmx_get_segment(vcpu, SEG_ES, &s);
	CHECK_EQ(s.limit, 0xffffffff);
	CHECK_EQ(s.base, 0);
	vmx_real_ops.load_cs(vcpu, 0);
	vmx_get_segment(vcpu, SEG_CS, &s);
	CHECK_EQ(s.selector, 0);
	vmx_set_cr(vcpu, 0, CR0_PE | CR0_ET);
	CHECK_EQ(vmcs[VMCS_GUEST_LIMIT(SEG_ES)], 0xffffffff);
	check_enters();
}

static void check_obstacle(enum vm_seg which, struct vm_segment seg, const char *text)
{
	struct vcpu_state st = state(CR0_PE | CR0_ET, 0x9b, 0x93, 0xffff);

	st.seg[which] = seg;
	load(&st);
	CHECK(!vmx_real_ops.obstacle(vcpu));
	vmx_set_cr(vcpu, 0, CR0_ET);
	CHECK(vmx_real_ops.obstacle(vcpu) && strstr(vmx_real_ops.obstacle(vcpu), text));
}

static void test_obstacles(void)
{
	check_obstacle(SEG_DS, (struct vm_segment){ 8, 0x93, 0xffff, 0x100000 }, "base");
	check_obstacle(SEG_CS, (struct vm_segment){ 8, 0x9b, 0xffff, 0x12348 }, "base");
	check_obstacle(SEG_CS, (struct vm_segment){ 8, 0x409b, 0xffff, 0 }, "32-bit");
}

static void test_sysenter(void)
{
	uint64_t value = 0;

	load_real();
	CHECK_EQ(vmx_set_msr(vcpu, MSR_SYSENTER_CS, 0x18), 0);
	CHECK_EQ(vmcs[VMCS_GUEST_SYSENTER_CS], 0);
	CHECK_EQ(vmx_get_msr(vcpu, MSR_SYSENTER_CS, &value), 0);
	CHECK_EQ(value, 0x18);
	vmx_set_cr(vcpu, 0, CR0_PE | CR0_ET);
	CHECK_EQ(vmcs[VMCS_GUEST_SYSENTER_CS], 0x18);
}

static void test_nmis(void)
{
	load_real();
	CHECK(vmx_nmi_allowed(vcpu));
	vmx_real_ops.block_nmis(vcpu, true);
	CHECK(!vmx_nmi_allowed(vcpu));
	vmx_request_nmi_window(vcpu, true);
	CHECK(!(vmcs[VMCS_PROC] & PROC_NMI_WINDOW));
	/* The processor's IRET ends it in protected mode, and ours here. */
	vmx_set_cr(vcpu, 0, CR0_PE | CR0_ET);
	CHECK_EQ(vmcs[VMCS_GUEST_INTERRUPTIBILITY], INTERRUPTIBILITY_NMI);
	CHECK(!vmx_nmi_allowed(vcpu));
	vmx_set_cr(vcpu, 0, CR0_ET);
	CHECK_EQ(vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
	CHECK(!vmx_nmi_allowed(vcpu));
	vmx_real_ops.block_nmis(vcpu, false);
	CHECK(vmx_nmi_allowed(vcpu));
	vcpu->regs.rflags |= RFLAGS_IF;
	vmx_real_ops.shadow_sti(vcpu);
	CHECK(!vmx_intr_allowed(vcpu));
	check_enters();
}

/* ---- rules ------------------------------------------------------------------------------- */

static const char *broken_by(uint32_t field, uint64_t value)
{
	vmcs[VMCS_GUEST_RFLAGS] = vmx_real_flags_in(&fake_vmx, RFLAGS_FIXED);
	uint64_t old = vmcs[field];

	vmcs[field] = value;
	const char *rule = vmx_broken_rule();

	vmcs[field] = old;
	return rule ? rule : "";
}

static void test_rules(void)
{
	load_real();
	CHECK(strstr(broken_by(VMCS_GUEST_ATTR(SEG_DS), 0x93), "virtual-8086"));
	CHECK(strstr(broken_by(VMCS_GUEST_LIMIT(SEG_DS), 0xfffff), "virtual-8086"));
	CHECK(strstr(broken_by(VMCS_GUEST_BASE(SEG_DS), 0x10), "virtual-8086"));
	CHECK(strstr(broken_by(VMCS_GUEST_CR0, CR0_PE | CR0_NE), "CR0 has bits"));
	uint64_t *pdpte = machine_phys_to_virt(ROOT);

	pdpte[2] = 0x1e7;
	CHECK(strstr(broken_by(VMCS_GUEST_CR3, ROOT), "PDPTE"));
	pdpte[2] = 0;
	vmx_set_cr(vcpu, 0, CR0_PE | CR0_ET);
	CHECK(strstr(broken_by(VMCS_GUEST_SELECTOR(SEG_SS), 3), "RPL"));
	CHECK(strstr(broken_by(VMCS_GUEST_SELECTOR(SEG_DS), 3), "RPL"));
	CHECK(strstr(broken_by(VMCS_GUEST_ATTR(SEG_CS), 0x93), "CS is no code"));
}

static const struct ktap_test tests[] = {
	KTAP(test_unpaged),    KTAP(test_long_mode),     KTAP(test_efer_lists), KTAP(test_pat),
	KTAP(test_flushes),    KTAP(test_real_shape),    KTAP(test_real_flags),
	KTAP(test_real_controls), KTAP(test_up),         KTAP(test_down),       KTAP(test_obstacles),
	KTAP(test_sysenter),   KTAP(test_nmis),          KTAP(test_rules),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
