/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All other VMs are worked on while they work: unmapped, aged, migrated, zapped, audited, paused and resumed, and one of
 * them started afresh in the midst of it.  Wants the module option "privileged" and kernels
 * beside it that do not count their mappings (smpstress, smpfault, canary).
 *
 * rounds=N seed=N restart=NAME
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/vms.h"

#define SLOT_IDS 8u /* among which it looks for memory */

static uint32_t rounds, operations;
static const char *restarted;

static bool gone(long ret)
{
	return ret == PHYLLO_ENOENT; /* the VM has ended, or the slot went meanwhile */
}

/* Any part of a slot, now and then all of it; false: there is none at this id. */
static bool pick(uint64_t vm, uint64_t *gpa, uint64_t *bytes)
{
	struct phyllo_slot slot;
	uint64_t pages, first, n;

	if (vm_slot_info(vm, cpu_random_below(SLOT_IDS), &slot))
		return false;
	pages = slot.bytes / PAGE_SIZE;
	first = cpu_random_below(8) ? cpu_random_below(pages) : 0;
	n = first ? 1 + cpu_random_below(256) : pages;
	*gpa = slot.gpa + first * PAGE_SIZE;
	*bytes = (n < pages - first ? n : pages - first) * PAGE_SIZE;
	return true;
}

static void on_range(uint64_t vm)
{
	static const unsigned calls[] = { PHYLLO_HC_UNMAP, PHYLLO_HC_AGE, PHYLLO_HC_TEST_AGE,
					  PHYLLO_HC_MIGRATE };
	unsigned call = calls[cpu_random_below(ARRAY_SIZE(calls))];
	bool blocks = call == PHYLLO_HC_UNMAP || call == PHYLLO_HC_MIGRATE;
	uint64_t gpa, bytes;
	long ret;

	if (!pick(vm, &gpa, &bytes))
		return;
	ret = hypercall(call, gpa, bytes, blocks && cpu_random() >> 63 ? PHYLLO_MAY_BLOCK : 0, vm);
	CHECK(gone(ret) || (ret >= 0 && ret <= (long)(bytes / PAGE_SIZE)));
}

static void on_vm(uint64_t vm)
{
	long ret = cpu_random() >> 63 ? hypercall(PHYLLO_HC_ZAP_ALL, 0, 0, 0, vm)
				      : hypercall(PHYLLO_HC_AUDIT, 0, 0, 0, vm);

	CHECK(gone(ret) || ret == 0);
}

static void pause_and_resume(uint64_t vm)
{
	long ret = vm_control(vm, PHYLLO_VM_PAUSE);

	CHECK(gone(ret) || ret == 0);
	on_range(vm);
	ret = vm_control(vm, PHYLLO_VM_RESUME);
	CHECK(gone(ret) || ret == 0);
}

static void disturb(const struct phyllo_vm_info *vm)
{
	unsigned dice = cpu_random_below(16);

	if (vm->state == PHYLLO_VM_OFF)
		return;
	operations++;
	if (restarted && dice == 0 && !strncmp(vm->name, restarted, strlen(vm->name)))
		CHECK_EQ(vm_control(vm->id, PHYLLO_VM_RESTART), 0);
	else if (dice < 3)
		pause_and_resume(vm->id);
	else if (dice < 5)
		on_vm(vm->id);
	else
		on_range(vm->id);
}

static void let_go(const struct phyllo_vm_info *vm)
{
	if (vm->state == PHYLLO_VM_PAUSED)
		vm_control(vm->id, PHYLLO_VM_RESUME);
}

static void test_storm(void)
{
	for (unsigned i = 0; i < rounds && vms_each_other(disturb); i++)
		hypercall(PHYLLO_HC_YIELD, 0, 0, 0, 0);
	vms_each_other(let_go);
	printf("# %u operations on other VMs\n", operations);
	CHECK(operations > 0);
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = { KTAP(test_storm) };

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	rounds = info_number_or("rounds", 300);
	restarted = info_option("restart");
	smp_init();
	return KTAP_MAIN(tests);
}
