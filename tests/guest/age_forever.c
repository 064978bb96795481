/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ages the memory of all other VMs, slot by slot, again and again until they have all ended: to run beside every other
 * kernel that does not count on being the only one who does.  Wants the module option "privileged";
 * rounds=N: its own memory only, so often.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/vms.h"
#include "tests/guest/lib/x86.h"

#define SLOT_IDS 96ul /* that test kernels use, nearly all */

static unsigned long long aged, young;

/* A slot may go at any time, and a VM. */
static void age_slot(uint64_t vm, const struct phyllo_slot *slot)
{
	long n = hypercall(PHYLLO_HC_AGE, slot->gpa, slot->bytes, 0, vm);
	long any;

	if (n == PHYLLO_ENOENT)
		return;
	CHECK(n >= 0 && n <= (long)(slot->bytes / PAGE_SIZE));
	any = hypercall(PHYLLO_HC_TEST_AGE, slot->gpa, slot->bytes, 0, vm);
	CHECK(any == PHYLLO_ENOENT || any == 0 || any == 1);
	aged += slot->bytes / PAGE_SIZE;
	young += n > 0 ? n : 0;
}

static void age_vm(const struct phyllo_vm_info *vm)
{
	struct phyllo_slot slot;

	if (vm->state == PHYLLO_VM_OFF)
		return;
	for (uint64_t id = 0; id < SLOT_IDS; id++)
		if (!vm_slot_info(vm->id, id, &slot))
			age_slot(vm->id, &slot);
	hypercall(PHYLLO_HC_YIELD, 0, 0, 0, 0);
}

static void test_age(void)
{
	unsigned rounds = info_number_or("rounds", 0), n = 0;
	struct phyllo_vm_info me;

	CHECK_EQ(vm_info(0, &me), 0);
	if (rounds)
		for (; n < rounds; n++)
			age_vm(&me);
	else
		for (; vms_each_other(age_vm); n++)
			;
	printf("# %u rounds over %llu pages, %llu of them young\n", n, aged, young);
	CHECK(aged > 0);
	CHECK(young > 0);
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = { KTAP(test_age) };

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	return KTAP_MAIN(tests);
}
