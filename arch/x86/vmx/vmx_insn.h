/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VMX instructions.  Those that work on "the current VMCS" need interrupts off,
 * or nobody else who could load another one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef PHYLLO_HOSTED
/* The tests have a VMCS of their own. */
uint64_t vmcs_read(uint32_t field);
void vmcs_write(uint32_t field, uint64_t value);
#else

/* A field that does not exist, or no current VMCS: a bug of ours. */
_Noreturn void vmcs_access_failed(const char *what, uint32_t field);

static inline uint64_t vmcs_read(uint32_t field)
{
	uint64_t value;
	bool failed;

	__asm__ volatile("vmread %2, %0"
			 : "=r"(value), "=@ccbe"(failed)
			 : "r"((uint64_t)field)
			 : "memory");
	if (__builtin_expect(failed, 0))
		vmcs_access_failed("VMREAD", field);
	return value;
}

static inline void vmcs_write(uint32_t field, uint64_t value)
{
	bool failed;

	__asm__ volatile("vmwrite %1, %2"
			 : "=@ccbe"(failed)
			 : "r"(value), "r"((uint64_t)field)
			 : "memory");
	if (__builtin_expect(failed, 0))
		vmcs_access_failed("VMWRITE", field);
}

#endif

/* Each takes the physical address of a region; false: VMfail. */
#define VMX_REGION_INSN(name, insn)                                                \
	static inline bool name(uint64_t pa)                                       \
	{                                                                          \
		bool failed;                                                       \
		__asm__ volatile(insn " %1" : "=@ccbe"(failed) : "m"(pa) : "memory"); \
		return !failed;                                                    \
	}
VMX_REGION_INSN(vmx_on, "vmxon")
VMX_REGION_INSN(vmx_clear, "vmclear")
VMX_REGION_INSN(vmx_ptrld, "vmptrld")

/* Physical address of the current VMCS, all ones when there is none. */
static inline uint64_t vmx_ptrst(void)
{
	uint64_t pa;

	__asm__ volatile("vmptrst %0" : "=m"(pa) : : "cc", "memory");
	return pa;
}

static inline void vmx_off(void)
{
	__asm__ volatile("vmxoff" : : : "cc", "memory");
}

/* Kinds of INVEPT and INVVPID. */
enum { VMX_INV_SINGLE = 1, VMX_INV_ALL = 2 };

static inline bool vmx_invept(uint64_t kind, uint64_t eptp)
{
	struct {
		uint64_t eptp, zero;
	} desc = { eptp, 0 };
	bool failed;

	__asm__ volatile("invept %1, %2" : "=@ccbe"(failed) : "m"(desc), "r"(kind) : "memory");
	return !failed;
}

static inline bool vmx_invvpid(uint64_t kind, uint16_t vpid)
{
	struct {
		uint64_t vpid, linear;
	} desc = { vpid, 0 };
	bool failed;

	__asm__ volatile("invvpid %1, %2" : "=@ccbe"(failed) : "m"(desc), "r"(kind) : "memory");
	return !failed;
}
