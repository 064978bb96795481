/* SPDX-License-Identifier: GPL-2.0-only */
/* The VT-x backend's log of dirtied pages, against a VMCS that is an array. */
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "host/machine.h"
#include "tests/host/fake_machine.h"
#include "tests/host/ktap.h"

#define LOG_PA 0x3000ul
#define LOG_ENTRIES 512u

static uint64_t vmcs[0x7000];
static struct vmx_vcpu vmx;
static struct vcpu vcpu = { .arch = &vmx };

static bool log_wanted;
static gpa_t logged[2 * LOG_ENTRIES];
static unsigned logged_count;

uint64_t vmcs_read(uint32_t field)
{
	return vmcs[field];
}

void vmcs_write(uint32_t field, uint64_t value)
{
	vmcs[field] = value;
}

bool mmu_dirty_pml_wanted(struct mmu_vm *vm)
{
	return log_wanted;
}

void mmu_dirty_logged(struct mmu_vcpu *mmu, gpa_t gpa)
{
	logged[logged_count++ % (2 * LOG_ENTRIES)] = gpa;
}

/* As the processor does it; false: no room, which is the exit. */
static bool log_write(gpa_t gpa)
{
	uint16_t index = (uint16_t)vmcs[VMCS_PML_INDEX];

	if (index >= LOG_ENTRIES)
		return false;
	((uint64_t *)machine_phys_to_virt(LOG_PA))[index] = gpa;
	vmcs[VMCS_PML_INDEX] = (uint16_t)(index - 1);
	return true;
}

static void test_on_while_wanted(void)
{
	log_wanted = false;
	vmx_log_prepare(&vcpu);
	CHECK_EQ(vmcs[VMCS_PROC2], 0);
	vmx_log_drain(&vcpu);
	log_wanted = true;
	vmx_log_prepare(&vcpu);
	CHECK_EQ(vmcs[VMCS_PROC2], PROC2_PML);
	CHECK_EQ(vmcs[VMCS_PML_INDEX], LOG_ENTRIES - 1);
	vmx_log_drain(&vcpu);
	CHECK_EQ(logged_count, 0);
}

static void test_drained_in_part(void)
{
	CHECK(log_write(0x5000) && log_write(0x7000));
	vmx_log_drain(&vcpu);
	CHECK_EQ(logged_count, 2);
	CHECK_EQ(logged[0] + logged[1], 0xc000);
	CHECK_EQ(vmcs[VMCS_PML_INDEX], LOG_ENTRIES - 1);
}

/* What was logged before it is switched off counts. */
static void test_drained_when_full(void)
{
	logged_count = 0;
	for (unsigned i = 0; i < LOG_ENTRIES; i++)
		CHECK(log_write(i * 4096ul));
	CHECK(!log_write(0));
	log_wanted = false;
	vmx_log_drain(&vcpu);
	CHECK_EQ(logged_count, LOG_ENTRIES);
	for (unsigned i = 0; i < LOG_ENTRIES; i++)
		CHECK_EQ(logged[i], (LOG_ENTRIES - 1 - i) * 4096ul);
	vmx_log_prepare(&vcpu);
	CHECK_EQ(vmcs[VMCS_PROC2], 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_on_while_wanted),
	KTAP(test_drained_in_part),
	KTAP(test_drained_when_full),
};

int main(int argc, char **argv)
{
	fake_ram_create(16 * 4096);
	vmx.log_pa = LOG_PA;
	return KTAP_MAIN(tests, argc, argv);
}
