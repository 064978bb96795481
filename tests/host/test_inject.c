/* SPDX-License-Identifier: GPL-2.0-only */
/* An exception that is met while another event is delivered (vmm/inject.c; SDM vol. 3A, table 6-5). */
#include <string.h>

#include "tests/host/emulate_world.h"
#include "vmm/inject.h"
#include "vmm/intr.h"

static const struct vm_event *meet(enum event_type type, uint8_t vector, void (*raise)(void))
{
	ew.stopped[0] = '\0';
	ew.vcpu.pending = 0;
	ew.vcpu.inject = (struct vm_event){ .valid = true, .type = (uint8_t)type, .vector = vector };
	raise();
	return &ew.vcpu.inject;
}

static void page_fault(void)
{
	inject_page_fault(&ew.vcpu, 0x1234, 2);
}

static void general_protection(void)
{
	inject_gp(&ew.vcpu);
}

static void undefined(void)
{
	inject_exception(&ew.vcpu, VEC_UD);
}

static void check_exception(const struct vm_event *e, uint8_t vector, uint32_t error)
{
	CHECK_STR(ew.stopped, "");
	CHECK(e->valid);
	CHECK_EQ(e->type, EVENT_EXCEPTION);
	CHECK_EQ(e->vector, vector);
	CHECK_EQ(e->error, error);
}

/* What nobody raises again comes again later; what the instruction raises is forgotten. */
static void test_interrupted(void)
{
	struct lapic *lapic = &ew.vcpu.lapic;

	emulate_open();
	lapic_init(lapic, 0, true);
	lapic_write(lapic, LAPIC_SVR, 0x1ff, 0);
	lapic_accept(lapic, 0x45);
	lapic_acknowledge(lapic, 0x45);
	CHECK_EQ(lapic_pending(lapic), -1);
	check_exception(meet(EVENT_INTR, 0x45, page_fault), VEC_PF, 2);
	CHECK_EQ(lapic_pending(lapic), 0x45);
	CHECK_EQ(ew.vcpu.pending, INTR_CHECK);
	CHECK_EQ(ew.vcpu.regs.cr2, 0x1234);
	check_exception(meet(EVENT_NMI, VEC_NMI, page_fault), VEC_PF, 2);
	CHECK_EQ(ew.vcpu.pending, INTR_NMI);
	check_exception(meet(EVENT_SOFT_INT, 0x80, page_fault), VEC_PF, 2);
	check_exception(meet(EVENT_SOFT_TRAP, VEC_BP, page_fault), VEC_PF, 2);
	CHECK_EQ(ew.vcpu.pending, 0);
	emulate_close();
}

static void test_serial(void)
{
	emulate_open();
	check_exception(meet(EVENT_EXCEPTION, VEC_UD, page_fault), VEC_PF, 2);
	check_exception(meet(EVENT_EXCEPTION, VEC_GP, page_fault), VEC_PF, 2);
	check_exception(meet(EVENT_EXCEPTION, VEC_PF, undefined), VEC_UD, 0);
	check_exception(meet(EVENT_EXCEPTION, VEC_DF, undefined), VEC_UD, 0);
	emulate_close();
}

static void test_double(void)
{
	emulate_open();
	ew.cr0 |= CR0_PE;
	CHECK(meet(EVENT_EXCEPTION, VEC_PF, page_fault)->has_error);
	check_exception(meet(EVENT_EXCEPTION, VEC_PF, page_fault), VEC_DF, 0);
	check_exception(meet(EVENT_EXCEPTION, VEC_PF, general_protection), VEC_DF, 0);
	check_exception(meet(EVENT_EXCEPTION, VEC_VE, page_fault), VEC_DF, 0);
	check_exception(meet(EVENT_EXCEPTION, VEC_NP, general_protection), VEC_DF, 0);
	check_exception(meet(EVENT_EXCEPTION, VEC_DE, general_protection), VEC_DF, 0);
	emulate_close();
}

static void test_triple(void)
{
	emulate_open();
	CHECK(!meet(EVENT_EXCEPTION, VEC_DF, page_fault)->valid);
	CHECK(strstr(ew.stopped, "triple fault (exception 14"));
	CHECK(!meet(EVENT_EXCEPTION, VEC_DF, general_protection)->valid);
	CHECK(strstr(ew.stopped, "triple fault (exception 13"));
	emulate_close();
}

static const struct ktap_test tests[] = {
	KTAP(test_interrupted),
	KTAP(test_serial),
	KTAP(test_double),
	KTAP(test_triple),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
