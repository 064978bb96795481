/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * INIT and start of a vCPU, in the orders that two CPUs can bring them into: what others post comes
 * between any two steps of the vCPU's own thread.
 */
#include <string.h>

#include "mm/errno.h"
#include "tests/host/ktap.h"
#include "vmm/apic_page.h"
#include "vmm/intr.h"

static struct vcpu vcpu;
static struct {
	unsigned starts, startups;
	uint32_t entry, arg;
} seen;

void vcpu_kick(struct vcpu *v)
{
}

void apic_page_init(struct vcpu *v)
{
}

void vcpu_reset_protected(struct vcpu *v, uint32_t eip, uint32_t eax, uint32_t ebx)
{
	seen.starts++;
	seen.entry = eip;
	seen.arg = eax;
}

void vcpu_reset_startup(struct vcpu *v, uint8_t vector)
{
	seen.startups++;
}

void vcpu_reset_apply(struct vcpu *v)
{
}

static void begin(enum vcpu_activity activity)
{
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&seen, 0, sizeof(seen));
	vcpu.id = 1;
	intr_init(&vcpu);
	atomic_init(&vcpu.activity, activity);
}

static int start(uint32_t entry)
{
	return intr_post_start(&vcpu, entry, entry + 1);
}

static void attend(void)
{
	intr_attend(&vcpu, signal_take(&vcpu.signal));
}

static void check_started(uint32_t entry)
{
	CHECK_EQ(seen.starts, 1);
	CHECK_EQ(seen.entry, entry);
	CHECK_EQ(seen.arg, entry + 1);
	CHECK_EQ(atomic_load(&vcpu.activity), VCPU_RUNNING);
	/* Nothing of it is left. */
	CHECK(!signal_is_set(&vcpu.signal));
	CHECK_EQ(start(0), -EBUSY);
	CHECK_EQ(start(0), -EBUSY);
}

static void test_start(void)
{
	begin(VCPU_WAITING);
	CHECK_EQ(start(0x1000), 0);
	CHECK_EQ(start(0x2000), -EBUSY);
	attend();
	check_started(0x1000);
}

static void test_start_behind_init(void)
{
	begin(VCPU_RUNNING);
	CHECK_EQ(start(0x1000), -EBUSY);
	intr_post_init(&vcpu);
	CHECK_EQ(start(0x1000), 0);
	attend();
	check_started(0x1000);
}

/* The vCPU has the INIT in its hands: it is no event any more, and its end is not to be seen yet. */
static void test_start_amid_init(void)
{
	uint32_t taken;

	begin(VCPU_RUNNING);
	intr_post_init(&vcpu);
	taken = signal_take(&vcpu.signal);
	CHECK_EQ(start(0x1000), 0);
	intr_attend(&vcpu, taken);
	CHECK_EQ(atomic_load(&vcpu.activity), VCPU_WAITING);
	attend();
	check_started(0x1000);
}

/* Two are one where the first was not taken, and two where it was. */
static void test_inits(void)
{
	uint32_t taken;

	begin(VCPU_RUNNING);
	intr_post_init(&vcpu);
	intr_post_init(&vcpu);
	taken = signal_take(&vcpu.signal);
	intr_post_init(&vcpu);
	intr_attend(&vcpu, taken);
	CHECK_EQ(start(0x1000), 0);
	attend();
	check_started(0x1000);
}

static void test_init_voids_start(void)
{
	begin(VCPU_WAITING);
	CHECK_EQ(start(0x1000), 0);
	intr_post_init(&vcpu);
	CHECK_EQ(start(0x2000), 0);
	attend();
	check_started(0x2000);
}

/* A STARTUP waits for the end of an INIT in hand, and finds nobody waiting without one. */
static void test_startup(void)
{
	uint32_t taken;

	begin(VCPU_RUNNING);
	intr_post_startup(&vcpu, 8);
	attend();
	CHECK_EQ(seen.startups, 0);
	intr_post_init(&vcpu);
	taken = signal_take(&vcpu.signal);
	intr_post_startup(&vcpu, 8);
	intr_post_startup(&vcpu, 8);
	intr_attend(&vcpu, taken);
	attend();
	CHECK_EQ(seen.startups, 1);
	CHECK_EQ(atomic_load(&vcpu.activity), VCPU_RUNNING);
	CHECK_EQ(start(0), -EBUSY);
}

static const struct ktap_test tests[] = {
	KTAP(test_start), KTAP(test_start_behind_init), KTAP(test_start_amid_init),
	KTAP(test_inits), KTAP(test_init_voids_start), KTAP(test_startup),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
