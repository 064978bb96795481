/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest's FPU state: moved when a vCPU gets or loses a CPU, never in between, for
 * the hypervisor is compiled without FPU instructions.  XSAVE with all components that the CPU has;
 * FXSAVE where there is no XSAVE.
 *
 * XCR0 is the host's (everything) except between load and save, where it is the
 * guest's.
 */
#include "arch/x86/fpu.h"

#include "arch/x86/cpu.h"
#include "host/machine.h"
#include "host/pages.h"
#include "lib/string.h"
#include "lib/util.h"
#include "mm/types.h"
#include "vmm/vcpu.h"

#define FXSAVE_SIZE 512
#define CPUID1_ECX_XSAVE (1u << 26)
#define XSTATE_X87 1ul
#define FCW_INITIAL 0x37f

/* The head of the FXSAVE and XSAVE areas (SDM vol. 1, 10.5.1 and 13.4). */
struct fpu_area {
	uint16_t fcw, fsw;
	uint8_t ftw; /* a bit per register: 1 when it is not empty */
	uint8_t reserved0;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint64_t st[8][2];
	uint8_t others[352];
	uint64_t xstate_bv; /* XSAVE only, from here on */
	uint64_t xcomp_bv;
};

static bool has_xsave(void)
{
	return cpuid(1, 0).ecx & CPUID1_ECX_XSAVE;
}

uint64_t fpu_xcr0_supported(void)
{
	if (!has_xsave())
		return 0;
	struct cpuid_regs r = cpuid(0xd, 0);

	return (uint64_t)r.edx << 32 | r.eax;
}

void fpu_cpu_init(void)
{
	uint64_t cr4 = read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT;

	write_cr0((read_cr0() | CR0_MP | CR0_NE) & ~(CR0_EM | CR0_TS));
	if (!has_xsave()) {
		write_cr4(cr4);
		return;
	}
	write_cr4(cr4 | CR4_OSXSAVE);
	xsetbv(0, fpu_xcr0_supported());
}

/* CPUID.D.0:ECX is the size for everything supported, which is what XCR0 has. */
static unsigned area_order(void)
{
	uint64_t size = has_xsave() ? cpuid(0xd, 0).ecx : FXSAVE_SIZE;
	unsigned order = 0;

	while (PAGE_SIZE << order < size)
		order++;
	return order;
}

/* Whole pages: XSAVE wants 64-byte alignment. */
void *fpu_area_alloc(void)
{
	uint64_t pa = pages_alloc(area_order(), PAGES_ZERO);

	if (pa == PAGES_NONE)
		return NULL;
	struct fpu_area *area = machine_phys_to_virt(pa);

	/* As boot code leaves it, with FNINIT behind it, and as other hypervisors begin. */
	area->fcw = FCW_INITIAL;
	area->mxcsr = 0x1f80;
	return area;
}

void fpu_area_free(void *area)
{
	if (area)
		pages_free(machine_virt_to_phys(area), area_order());
}

/* SDM vol. 1, 13.6: the state in which XRSTOR puts it without the bit in XSTATE_BV. */
static bool x87_is_initial(const struct fpu_area *area)
{
	uint64_t any = area->fsw | area->ftw | area->fop | area->fip | area->fdp;

	for (unsigned i = 0; i < ARRAY_SIZE(area->st); i++)
		any |= area->st[i][0] | area->st[i][1];
	return area->fcw == FCW_INITIAL && !any;
}

void fpu_guest_load(void *area, uint64_t guest_xcr0)
{
	if (!has_xsave()) {
		__asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
		return;
	}
	/* Under the host's XCR0: every component is loaded, those the guest has off as well. */
	__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
	xsetbv(0, guest_xcr0);
}

void fpu_guest_save(void *where, uint64_t *guest_xcr0)
{
	struct fpu_area *area = where;

	if (!has_xsave()) {
		__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
		return;
	}
	/* QEMU does not intercept XSETBV: what we noted is not always what the guest has. */
	*guest_xcr0 = xgetbv(0);
	xsetbv(0, fpu_xcr0_supported());
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
	/*
	 * QEMU does not track what is in use.  And its XRSTOR of x87 state changes a word of CPU 0's
	 * without a lock, whatever CPU it is on: few guests use the x87, so few need it.
	 * See docs/platforms.md.
	 */
	if (x87_is_initial(area))
		area->xstate_bv &= ~XSTATE_X87;
}
