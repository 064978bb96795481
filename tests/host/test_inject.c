/* SPDX-License-Identifier: GPL-2.0-only */
/* An exception that is met while another event is delivered (vmm/inject.c; SDM vol. 3A, table 6-5). */
#include <string.h>

#include "tests/host/emulate_world.h"
#include "vmm/inject.h"
#include "vmm/intr.h"
#include "vmm/virt.h"

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

/* ---- exceptions that exit, and go on ----------------------------------------------------- */

static uint64_t dr[8];

static uint64_t get_dr(struct vcpu *v, unsigned n)
{
	return dr[n];
}

static void set_dr(struct vcpu *v, unsigned n, uint64_t value)
{
	dr[n] = value;
}

static void clear_shadow(struct vcpu *v)
{
}

static const struct virt_ops *plain;

static void open_exits(void)
{
	static struct virt_ops ops;

	emulate_open();
	plain = virt;
	ops = *virt;
	ops.get_dr = get_dr;
	ops.set_dr = set_dr;
	ops.clear_intr_shadow = clear_shadow;
	virt = &ops;
	ew.cr0 |= CR0_PE;
	ew.vcpu.inject.valid = false;
}

static void close_exits(void)
{
	virt = plain;
	emulate_close();
}

static void exception(struct exit_exception e, uint8_t insn_len)
{
	ew.vcpu.exit = (struct vm_exit){ .reason = EXIT_EXCEPTION, .insn_len = insn_len, .exception = e };
	ew.vcpu.regs.rflags = 0x2;
	inject_exit(&ew.vcpu);
}

static void test_exit(void)
{
	open_exits();
	exception((struct exit_exception){ .vector = VEC_AC, .type = EVENT_EXCEPTION }, 0);
	check_exception(&ew.vcpu.inject, VEC_AC, 0);
	CHECK(ew.vcpu.inject.has_error);
	CHECK(ew.vcpu.regs.rflags & RFLAGS_RF);
	/* Again in its own delivery: both are benign, so it is delivered again, for ever. */
	exception((struct exit_exception){ .vector = VEC_AC, .type = EVENT_EXCEPTION }, 0);
	check_exception(&ew.vcpu.inject, VEC_AC, 0);
	close_exits();
}

static void test_exit_debug(void)
{
	open_exits();
	dr[6] = 0xffff0ff3;
	dr[7] = 0x2401;
	exception((struct exit_exception){ .vector = VEC_DB, .type = EVENT_PRIV_TRAP, .dr6 = 0x4004 }, 1);
	CHECK(ew.vcpu.inject.valid);
	CHECK_EQ(ew.vcpu.inject.vector, VEC_DB);
	CHECK_EQ(ew.vcpu.inject.type, EVENT_PRIV_TRAP);
	CHECK_EQ(ew.vcpu.inject.insn_len, 1);
	CHECK(!ew.vcpu.inject.has_error);
	CHECK(!(ew.vcpu.regs.rflags & RFLAGS_RF));
	CHECK_EQ(dr[6], 0xffff4ff4);
	CHECK_EQ(dr[7], 0x401);
	/* A processor that has written them itself says nothing. */
	ew.vcpu.inject.valid = false;
	exception((struct exit_exception){ .vector = VEC_DB, .type = EVENT_EXCEPTION }, 0);
	check_exception(&ew.vcpu.inject, VEC_DB, 0);
	CHECK_EQ(dr[6], 0xffff4ff4);
	close_exits();
}

static const struct ktap_test tests[] = {
	KTAP(test_interrupted),
	KTAP(test_serial),
	KTAP(test_double),
	KTAP(test_triple),
	KTAP(test_exit),
	KTAP(test_exit_debug),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
