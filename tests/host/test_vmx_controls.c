/* SPDX-License-Identifier: GPL-2.0-only */
/* VT-x: which controls are chosen for which processor, and what is said of it. */
#include <string.h>

#include "tests/host/fake_vmcs.h"
#include "tests/host/ktap.h"

static struct vmx_controls ctl;
static char why[192];

static int choose(const struct vmx_cap *cap)
{
	memset(why, 0, sizeof(why));
	return vmx_controls_choose(cap, &ctl, why, sizeof(why));
}

static void test_controls_able(void)
{
	struct vmx_cap cap = fake_vmx_able();
	struct virt_caps caps;

	CHECK_EQ(choose(&cap), 0);
	CHECK_EQ(ctl.pin, 0x16 | PIN_EXT_INTR | PIN_NMI | PIN_VIRTUAL_NMI | PIN_TIMER);
	CHECK_EQ(ctl.proc2, PROC2_EPT | PROC2_UNRESTRICTED | PROC2_VPID | PROC2_WBINVD);
	CHECK(!(ctl.proc & (PROC_CR3_LOAD | PROC_CR3_STORE | PROC_INTR_WINDOW)));
	CHECK(!(ctl.entry & VMENTRY_IA32E));
	CHECK_EQ(ctl.eptp_bits, 6 | 3 << 3 | 1 << 6);
	vmx_controls_describe(&cap, &ctl, &caps);
	CHECK_EQ(caps.max_leaf_level, PG_LEVEL_1G);
	CHECK_EQ(caps.root_level, 4);
	CHECK_EQ(caps.asids, 0xffff);
	CHECK(caps.hw_ad);
	CHECK(ctl.pml && caps.pml);
	/* It is switched on when a dirty log wants it. */
	CHECK(!(ctl.proc2 & PROC2_PML));
}

static void test_controls_optional(void)
{
	struct vmx_cap cap = fake_vmx_able();
	struct virt_caps caps;

	cap.ept_vpid &= ~(EPT_CAP_AD | EPT_CAP_1G | EPT_CAP_INVVPID_SINGLE);
	cap.pin &= ~((uint64_t)PIN_TIMER << 32);
	CHECK_EQ(choose(&cap), 0);
	CHECK(!(ctl.pin & PIN_TIMER));
	CHECK(!(ctl.proc2 & PROC2_VPID));
	CHECK_EQ(ctl.eptp_bits, 6 | 3 << 3);
	vmx_controls_describe(&cap, &ctl, &caps);
	CHECK_EQ(caps.max_leaf_level, PG_LEVEL_2M);
	CHECK_EQ(caps.asids, 0);
	CHECK(!caps.hw_ad);
	/* The log goes with the Dirty bits. */
	CHECK(!ctl.pml && !caps.pml);
	cap = fake_vmx_able();
	cap.proc2 &= ~((uint64_t)PROC2_PML << 32);
	CHECK_EQ(choose(&cap), 0);
	CHECK(!ctl.pml && ctl.eptp_bits & EPTP_AD);
}

static void test_controls_refuse(void)
{
	struct vmx_cap cap = fake_vmx_able();

	cap.exit &= ~((uint64_t)VMEXIT_HOST_64BIT << 32);
	CHECK_EQ(choose(&cap), -ENODEV);
	CHECK(strstr(why, "a 64-bit host"));
	cap = fake_vmx_able();
	cap.proc &= ~((uint64_t)PROC_CR3_STORE << 32);
	CHECK_EQ(choose(&cap), -ENODEV);
	CHECK(strstr(why, "CR3"));
}

static void check_unnested(const struct vmx_cap *cap, const char *lack)
{
	struct virt_caps caps;

	CHECK_EQ(choose(cap), 0);
	vmx_controls_describe(cap, &ctl, &caps);
	CHECK(!caps.nested && !caps.pml && !caps.hw_ad);
	CHECK(strstr(caps.text, "no nested paging for want of"));
	if (!strstr(caps.text, lack))
		ktap_fail(__FILE__, __LINE__, "%s: not for want of %s", caps.text, lack);
	CHECK(!(ctl.proc2 & (PROC2_EPT | PROC2_UNRESTRICTED)));
}

static void test_controls_unnested(void)
{
	struct vmx_cap cap = fake_vmx_able();

	cap.proc2 &= ~((uint64_t)PROC2_EPT << 32);
	check_unnested(&cap, "extended page tables (EPT)");
	cap = fake_vmx_able();
	cap.proc2 &= ~((uint64_t)PROC2_UNRESTRICTED << 32);
	check_unnested(&cap, "unrestricted guests");
	CHECK(ctl.proc2 & PROC2_VPID);
	cap = fake_vmx_able();
	cap.proc |= PROC_CR3_LOAD;
	check_unnested(&cap, "load CR3 without an exit");
	cap = fake_vmx_able();
	cap.ept_vpid &= ~EPT_CAP_4_LEVELS;
	check_unnested(&cap, "4 levels");
	cap = fake_vmx_able();
	cap.ept_vpid &= ~EPT_CAP_WB;
	check_unnested(&cap, "write-back");
	/* As of 2008: no secondary EPT, nothing loads EFER or PAT, no TRUE controls. */
	cap = (struct vmx_cap){ .pin = 0x3f00000016, .proc = 0xf7f9fffe0401e172,
				.proc2 = 0x4100000000, .exit = 0x3ffff00036dff,
				.entry = 0x3fff000011ff };
	check_unnested(&cap, "extended page tables (EPT)");
	CHECK_EQ(ctl.proc2, PROC2_WBINVD);
	CHECK(!(ctl.entry & VMENTRY_LOAD_EFER));
}

static const struct ktap_test tests[] = {
	KTAP(test_controls_able),
	KTAP(test_controls_optional),
	KTAP(test_controls_refuse),
	KTAP(test_controls_unnested),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
