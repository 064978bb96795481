/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a guest sees of its processor: the host's answers, cut down to what we
 * can keep the promise of, and our own leaves at 0x40000000.
 * Leaves: SDM vol. 2A, CPUID; APM vol. 3, appendix E.
 */
#include "arch/x86/cpu.h"
#include "lib/string.h"
#include "lib/util.h"
#include "phyllo/hypercall.h"
#include "vmm/exit.h"
#include "vmm/hypercall.h"
#include "vmm/insn.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

/* Leaf 1.  Not offered: what needs an x2APIC, MTRRs, machine checks, PCID or VMX. */
#define L1_ECX_SSE3 BIT(0)
#define L1_ECX_XSAVE BIT(26)
#define L1_ECX_OSXSAVE BIT(27)
#define L1_ECX_HYPERVISOR BIT(31)
#define L1_ECX_OFFERED                                                              \
	(L1_ECX_SSE3 | BIT(1) /* PCLMULQDQ */ | BIT(9) /* SSSE3 */ | BIT(12) /* FMA */ | \
	 BIT(13) /* CX16 */ | BIT(19) /* SSE4.1 */ | BIT(20) /* SSE4.2 */ |          \
	 BIT(22) /* MOVBE */ | BIT(23) /* POPCNT */ | BIT(25) /* AES */ |            \
	 L1_ECX_XSAVE | BIT(28) /* AVX */ | BIT(29) /* F16C */ | BIT(30) /* RDRAND */)
#define L1_EDX_OFFERED                                                              \
	(BIT(0) /* FPU */ | BIT(2) /* DE */ | BIT(3) /* PSE */ | BIT(4) /* TSC */ |  \
	 BIT(5) /* MSR */ | BIT(6) /* PAE */ | BIT(8) /* CX8 */ | BIT(11) /* SEP */ | \
	 BIT(13) /* PGE */ | BIT(15) /* CMOV */ | BIT(16) /* PAT */ |                \
	 BIT(19) /* CLFLUSH */ | BIT(23) /* MMX */ | BIT(24) /* FXSR */ |            \
	 BIT(25) /* SSE */ | BIT(26) /* SSE2 */)

#define L1_EDX_APIC (1u << 9)
#define L1_EDX_HTT (1u << 28) /* EBX says how many IDs the package has */

#define L7_EBX_FSGSBASE BIT(0)
#define L7_EBX_SMEP BIT(7)
#define L7_EBX_SMAP BIT(20)
#define L7_EBX_OFFERED                                                              \
	(L7_EBX_FSGSBASE | BIT(3) /* BMI1 */ | BIT(5) /* AVX2 */ | L7_EBX_SMEP |     \
	 BIT(8) /* BMI2 */ | BIT(9) /* ERMS */ | BIT(18) /* RDSEED */ |              \
	 BIT(19) /* ADX */ | L7_EBX_SMAP | BIT(23) /* CLFLUSHOPT */ | BIT(29) /* SHA */)
#define L7_ECX_UMIP BIT(2)

#define E1_EDX_SYSCALL BIT(11)
#define E1_EDX_NX BIT(20)
#define E1_EDX_1G BIT(26)
#define E1_EDX_LM BIT(29)
#define E1_ECX_CMP_LEGACY BIT(1) /* AMD: what EBX of leaf 1 counts are cores */
#define E1_ECX_OFFERED \
	(BIT(0) /* LAHF */ | BIT(5) /* LZCNT */ | BIT(6) /* SSE4A */ | BIT(8) /* PREFETCHW */)

/* Components of XSAVE that fpu.c keeps for the guest: x87, SSE, AVX. */
#define XCR0_OFFERED 7ul

static uint64_t guest_xcr0_bits(void)
{
	return fpu_xcr0_supported() & XCR0_OFFERED;
}

uint64_t cpuid_guest_cr4_bits(void)
{
	struct cpuid_regs l7 = cpuid(7, 0);
	uint64_t bits = CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE | CR4_OSFXSR |
			CR4_OSXMMEXCPT;

	if (guest_xcr0_bits())
		bits |= CR4_OSXSAVE;
	if (l7.ebx & L7_EBX_FSGSBASE)
		bits |= CR4_FSGSBASE;
	if (l7.ebx & L7_EBX_SMEP)
		bits |= CR4_SMEP;
	if (l7.ebx & L7_EBX_SMAP)
		bits |= CR4_SMAP;
	if (l7.ecx & L7_ECX_UMIP)
		bits |= CR4_UMIP;
	return bits;
}

uint64_t cpuid_guest_efer_bits(void)
{
	uint64_t bits = EFER_SCE | EFER_LME | EFER_LMA;

	if (cpuid(0x80000001, 0).edx & E1_EDX_NX)
		bits |= EFER_NXE;
	return bits;
}

/* Follows the enable bit of the APIC's base MSR (SDM vol. 3A, 11.4.3). */
static uint32_t apic_bit(struct vcpu *vcpu)
{
	return lapic_is_enabled(&vcpu->lapic) ? L1_EDX_APIC : 0;
}

/* ---- topology: one package, each vCPU a core of one thread ---------------------------------- */

static unsigned vcpus(const struct vcpu *vcpu)
{
	return vcpu->vm->vcpu_count;
}

/* Bits of an APIC ID, of which the vCPU's number is one. */
static unsigned id_bits(const struct vcpu *vcpu)
{
	unsigned bits = 0;

	while (1u << bits < vcpus(vcpu))
		bits++;
	return bits;
}

/* Deterministic caches: the host's, shared by nobody but the last level, by all. */
static void filter_leaf4(struct vcpu *vcpu, struct cpuid_regs *r)
{
	unsigned type = r->eax & 0x1f, level = r->eax >> 5 & 7;
	uint32_t ids = (1u << id_bits(vcpu)) - 1;

	if (!type) {
		*r = (struct cpuid_regs){ 0 };
		return;
	}
	r->eax = (r->eax & 0x3fff) | ids << 26 | (level >= 3 ? ids << 14 : 0);
}

/* SDM vol. 2A, leaf 0BH: threads of a core, cores of a package. */
static void topology_leaf(struct vcpu *vcpu, uint32_t subleaf, struct cpuid_regs *r)
{
	*r = (struct cpuid_regs){ .ecx = subleaf & 0xff, .edx = vcpu->id };
	if (subleaf == 0) {
		r->ebx = 1;
		r->ecx |= 1 << 8;
	} else if (subleaf == 1) {
		r->eax = id_bits(vcpu);
		r->ebx = vcpus(vcpu);
		r->ecx |= 2 << 8;
	}
}

/* ---- the leaves ------------------------------------------------------------------------------- */

static void filter_leaf1(struct vcpu *vcpu, struct cpuid_regs *r)
{
	r->ebx = (r->ebx & 0xff00) | vcpu->id << 24 | 1u << (16 + id_bits(vcpu));
	r->ecx &= L1_ECX_OFFERED;
	if (!guest_xcr0_bits())
		r->ecx &= (uint32_t)~(L1_ECX_XSAVE | BIT(28) | BIT(12) | BIT(29));
	r->ecx |= L1_ECX_HYPERVISOR;
	if (virt->get_cr(vcpu, 4) & CR4_OSXSAVE)
		r->ecx |= L1_ECX_OSXSAVE;
	r->edx &= L1_EDX_OFFERED;
	r->edx |= apic_bit(vcpu) | (vcpus(vcpu) > 1 ? L1_EDX_HTT : 0);
}

static void filter_leaf7(uint32_t subleaf, struct cpuid_regs *r)
{
	if (subleaf) {
		*r = (struct cpuid_regs){ 0 };
		return;
	}
	r->eax = 0;
	r->ebx &= L7_EBX_OFFERED;
	if (!guest_xcr0_bits())
		r->ebx &= (uint32_t)~BIT(5);
	r->ecx &= L7_ECX_UMIP;
	r->edx = 0;
}

/*
 * The XCR0 in force: read from the register, which is the guest's while its vCPU
 * is loaded, since not every processor lets us see the write (QEMU ignores the
 * XSETBV intercept).
 */
static uint64_t guest_xcr0(struct vcpu *vcpu)
{
	vcpu->xcr0 = xgetbv(0);
	return vcpu->xcr0;
}

/* Size of a standard-format XSAVE area for these components. */
static uint32_t xsave_size(uint64_t xcr0)
{
	uint32_t size = 576; /* legacy region and header, SDM vol. 1, 13.4 */

	if (xcr0 & 4) {
		struct cpuid_regs avx = cpuid(0xd, 2);

		size = avx.ebx + avx.eax;
	}
	return size;
}

static void filter_xsave(struct vcpu *vcpu, uint32_t subleaf, struct cpuid_regs *r)
{
	uint64_t offered = guest_xcr0_bits();

	if (subleaf == 0 && offered)
		*r = (struct cpuid_regs){ .eax = (uint32_t)offered,
					  .ebx = xsave_size(guest_xcr0(vcpu)),
					  .ecx = xsave_size(offered) };
	else if (subleaf == 1 && offered)
		*r = (struct cpuid_regs){ .eax = r->eax & 1 /* XSAVEOPT */ };
	else if (subleaf > 62 || !(offered & ~3ul & 1ul << subleaf))
		*r = (struct cpuid_regs){ 0 };
}

static bool is_amd(void)
{
	return cpuid(0, 0).ebx == 0x68747541; /* "Auth" */
}

static void filter_extended(struct vcpu *vcpu, uint32_t leaf, struct cpuid_regs *r)
{
	switch (leaf) {
	case 0x80000000:
		r->eax = MIN(r->eax, 0x80000008u);
		break;
	case 0x80000001:
		r->ebx = 0;
		r->ecx &= E1_ECX_OFFERED;
		if (is_amd() && vcpus(vcpu) > 1)
			r->ecx |= E1_ECX_CMP_LEGACY;
		/* The low bits repeat leaf 1 on AMD and are reserved on Intel. */
		uint32_t mirrored = L1_EDX_OFFERED | apic_bit(vcpu);

		r->edx &= E1_EDX_SYSCALL | E1_EDX_NX | E1_EDX_1G | E1_EDX_LM | mirrored;
		break;
	case 0x80000007:
		*r = (struct cpuid_regs){ .edx = r->edx & BIT(8) /* invariant TSC */ };
		break;
	case 0x80000008:
		/* Addresses beyond 48 bits would need five nested levels. */
		*r = (struct cpuid_regs){ .eax = MIN(r->eax & 0xff, 48u) | 48u << 8 };
		if (is_amd())
			r->ecx = id_bits(vcpu) << 12 | (vcpus(vcpu) - 1);
		break;
	}
}

static void own_leaf(uint32_t leaf, struct cpuid_regs *r)
{
	static const char signature[] = PHYLLO_SIGNATURE;

	*r = (struct cpuid_regs){ 0 };
	if (leaf == PHYLLO_CPUID_BASE) {
		r->eax = PHYLLO_CPUID_FEATURES;
		memcpy(&r->ebx, &signature[0], 4);
		memcpy(&r->ecx, &signature[4], 4);
		memcpy(&r->edx, &signature[8], 4);
	} else if (leaf == PHYLLO_CPUID_FEATURES) {
		r->eax = PHYLLO_ABI_VERSION;
		r->ebx = HYPERCALL_FEATURES;
	}
}

static void guest_cpuid(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *r)
{
	if (leaf >> 16 == 0x4000) {
		own_leaf(leaf, r);
		return;
	}
	*r = cpuid(leaf, subleaf);
	if (leaf >= 0x80000000) {
		if (leaf > 0x80000008)
			*r = (struct cpuid_regs){ 0 };
		filter_extended(vcpu, leaf, r);
		return;
	}
	switch (leaf) {
	case 0:
		r->eax = MIN(r->eax, 0xdu);
		break;
	case 1:
		filter_leaf1(vcpu, r);
		break;
	case 2: /* cache descriptors: true as they are */
		break;
	case 4:
		filter_leaf4(vcpu, r);
		break;
	case 7:
		filter_leaf7(subleaf, r);
		break;
	case 0xd:
		filter_xsave(vcpu, subleaf, r);
		break;
	case 0xb:
		topology_leaf(vcpu, subleaf, r);
		break;
	default: /* power, performance counters: nothing of ours */
		*r = (struct cpuid_regs){ 0 };
	}
}

void exit_cpuid(struct vcpu *vcpu)
{
	uint64_t *gpr = vcpu->regs.gpr;
	struct cpuid_regs r;

	guest_cpuid(vcpu, (uint32_t)gpr[GPR_RAX], (uint32_t)gpr[GPR_RCX], &r);
	gpr[GPR_RAX] = r.eax;
	gpr[GPR_RBX] = r.ebx;
	gpr[GPR_RCX] = r.ecx;
	gpr[GPR_RDX] = r.edx;
	insn_skip(vcpu);
}
