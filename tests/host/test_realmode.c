/* SPDX-License-Identifier: GPL-2.0-only */
/* Real mode in software: what virtual-8086 mode refuses, events through the vector table, unreal mode. */
#include "vmm/realmode.h"

#include <string.h>

#include "arch/x86/cpu.h"
#include "tests/host/emulate_world.h"
#include "vmm/exit.h"
#include "vmm/virt.h"

#define IP	 0x100u
#define CS	 0x800u /* CODE_GPA is where it begins */
#define SP	 0x200u
#define STACK	 (MEMORY_GPA + 0x1000) /* SS.base */
#define IVT	 0xb000u
#define HIGH_GPA 0x20000u

#define RFLAGS_IOPL (3ul << 12)

/* ---- the backend ----------------------------------------------------------------------- */

static bool active, nmis_blocked, sti_shadow;
static const char *obstacle;
static struct vm_table tables[2]; /* GDT, IDT */
static uint64_t debug_registers[8];
static struct virt_ops ops;

/* What reached the handlers of exits. */
static struct vm_exit taken;
static unsigned exits;

static bool fake_active(struct vcpu *v)
{
	return active;
}

static const char *fake_obstacle(struct vcpu *v)
{
	return obstacle;
}

static void fake_load_cs(struct vcpu *v, uint16_t selector)
{
	ew.segments[SEG_CS].selector = selector;
	ew.segments[SEG_CS].base = (uint64_t)selector << 4;
}

static void fake_get_table(struct vcpu *v, bool idt, struct vm_table *out)
{
	*out = tables[idt];
}

static void fake_set_table(struct vcpu *v, bool idt, const struct vm_table *table)
{
	tables[idt] = *table;
}

static void fake_block_nmis(struct vcpu *v, bool on)
{
	nmis_blocked = on;
}

static void fake_shadow_sti(struct vcpu *v)
{
	sti_shadow = true;
}

static uint64_t fake_get_dr(struct vcpu *v, unsigned n)
{
	return debug_registers[n];
}

static void fake_set_dr(struct vcpu *v, unsigned n, uint64_t value)
{
	debug_registers[n] = value;
}

static void fake_clear_intr_shadow(struct vcpu *v)
{
	sti_shadow = false;
}

static const struct virt_real_ops real_ops = {
	.active = fake_active,
	.obstacle = fake_obstacle,
	.load_cs = fake_load_cs,
	.get_table = fake_get_table,
	.set_table = fake_set_table,
	.block_nmis = fake_block_nmis,
	.shadow_sti = fake_shadow_sti,
};

void exit_handle(struct vcpu *v)
{
	taken = v->exit;
	exits++;
}

/* ---- the world ------------------------------------------------------------------------- */

static struct vcpu_regs *regs(void)
{
	return &ew.vcpu.regs;
}

static void open_real(void)
{
	static const struct virt_ops *plain;

	emulate_open();
	plain = plain ? plain : virt;
	ops = *plain;
	ops.real = &real_ops;
	ops.clear_intr_shadow = fake_clear_intr_shadow;
	ops.get_dr = fake_get_dr;
	ops.set_dr = fake_set_dr;
	virt = &ops;
	active = true;
	nmis_blocked = sti_shadow = false;
	obstacle = NULL;
	exits = 0;
	ew.cr0 = CR0_ET;
	ew.cr4 = ew.efer = 0;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		ew.segments[i] = (struct vm_segment){ .attr = 0x93, .limit = 0xffff };
	fake_load_cs(&ew.vcpu, CS);
	ew.segments[SEG_SS].base = STACK;
	tables[0] = tables[1] = (struct vm_table){ IVT, 0x3ff };
	memset(regs(), 0, sizeof(*regs()));
	regs()->rip = IP;
	regs()->rflags = RFLAGS_FIXED;
	regs()->gpr[GPR_RSP] = 0x5550000 | SP;
}

static uint32_t memory(gpa_t gpa, unsigned size)
{
	uint32_t value = 0;

	CHECK_EQ(mmu_read_guest(ew.world.vm, gpa, &value, size), 0);
	return value;
}

static void store(gpa_t gpa, uint32_t value, unsigned size)
{
	emulate_put(gpa, &value, size);
}

static void set_vector(unsigned number, uint16_t cs, uint16_t ip)
{
	store(IVT + 4 * number, ip | (uint32_t)cs << 16, 4);
}

/* The processor raises this for the instruction at CS:IP. */
static void raise(uint8_t vector)
{
	ew.vcpu.exit = (struct vm_exit){ .reason = EXIT_EXCEPTION };
	ew.vcpu.exit.exception = (struct exit_exception){ .vector = vector, .type = EVENT_EXCEPTION };
	exit_real_mode(&ew.vcpu);
}

static void refuse_bytes(const uint8_t *bytes, unsigned n)
{
	emulate_put(CODE_GPA + IP, bytes, n);
	regs()->rip = IP;
	raise(VEC_GP);
}

#define REFUSE(...) \
	refuse_bytes((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* ---- instructions ---------------------------------------------------------------------- */

static void test_interrupt_flag(void)
{
	open_real();
	REFUSE(0xfb);
	CHECK_EQ(regs()->rip, IP + 1);
	CHECK(regs()->rflags & RFLAGS_IF);
	CHECK(sti_shadow);
	/* No new shadow where interrupts were on. */
	sti_shadow = false;
	REFUSE(0xfb);
	CHECK(!sti_shadow);
	REFUSE(0xfa);
	CHECK(!(regs()->rflags & RFLAGS_IF));
	CHECK_EQ(ew.stopped[0], 0);
	emulate_close();
}

static void test_flags(void)
{
	open_real();
	regs()->rflags = RFLAGS_FIXED | RFLAGS_IOPL | RFLAGS_RF | RFLAGS_AC | 1;
	REFUSE(0x9c);
	CHECK_EQ(regs()->gpr[GPR_RSP], 0x5550000 | (SP - 2));
	CHECK_EQ(memory(STACK + SP - 2, 2), 0x3003);
	REFUSE(0x66, 0x9c);
	CHECK_EQ(regs()->gpr[GPR_RSP] & 0xffff, SP - 6);
	CHECK_EQ(memory(STACK + SP - 6, 4), 0x43003);
	regs()->rflags &= ~RFLAGS_RF; /* as the real vcpu_skip() has done */
	/* 16 bits leave AC, 32 bits take ID; VM, RF and reserved ones stay out. */
	store(STACK + SP - 6, 0xffff, 2);
	REFUSE(0x9d);
	CHECK_EQ(regs()->rflags, 0x7fd7 | RFLAGS_AC);
	store(STACK + SP - 4, 0xffffffff, 4);
	REFUSE(0x66, 0x9d);
	CHECK_EQ(regs()->rflags, 0x247fd7);
	CHECK_EQ(regs()->gpr[GPR_RSP] & 0xffff, SP);
	emulate_close();
}

static void test_iret(void)
{
	open_real();
	nmis_blocked = true;
	store(STACK + SP, 0x4444, 2);
	store(STACK + SP + 2, 0x1234, 2);
	store(STACK + SP + 4, 0x0202, 2);
	REFUSE(0xcf);
	CHECK_EQ(regs()->rip, 0x4444);
	CHECK_EQ(ew.segments[SEG_CS].selector, 0x1234);
	CHECK_EQ(ew.segments[SEG_CS].base, 0x12340);
	CHECK_EQ(regs()->rflags, 0x202);
	CHECK_EQ(regs()->gpr[GPR_RSP], 0x5550000 | (SP + 6));
	CHECK(!nmis_blocked);
	emulate_close();
	/* With 32 bits; what is no address is #GP, and nothing has happened. */
	open_real();
	store(STACK + SP, 0x10000, 4);
	store(STACK + SP + 4, 0x1234, 4);
	store(STACK + SP + 8, 0x202, 4);
	REFUSE(0x66, 0xcf);
	CHECK(ew.vcpu.inject.valid && ew.vcpu.inject.vector == VEC_GP);
	CHECK_EQ(regs()->rip, IP);
	CHECK_EQ(regs()->gpr[GPR_RSP] & 0xffff, SP);
	ew.vcpu.inject.valid = false;
	store(STACK + SP, 0x8888, 4);
	REFUSE(0x66, 0xcf);
	CHECK_EQ(regs()->rip, 0x8888);
	CHECK_EQ(regs()->gpr[GPR_RSP] & 0xffff, SP + 12);
	emulate_close();
}

static void test_tables(void)
{
	open_real();
	ew.segments[SEG_DS].base = MEMORY_GPA;
	store(MEMORY_GPA + 0x40, 0x5678, 2);
	store(MEMORY_GPA + 0x42, 0xab123450, 4);
	REFUSE(0x0f, 0x01, 0x16, 0x40, 0x00); /* lgdt [0x40] */
	CHECK_EQ(tables[0].limit, 0x5678);
	CHECK_EQ(tables[0].base, 0x123450);
	CHECK_EQ(regs()->rip, IP + 5);
	REFUSE(0x66, 0x0f, 0x01, 0x1e, 0x40, 0x00); /* o32 lidt [0x40] */
	CHECK_EQ(tables[1].base, 0xab123450);
	emulate_close();
}

static void check_exit(enum exit_reason reason, unsigned len)
{
	CHECK_EQ(exits, 1);
	CHECK_EQ(taken.reason, reason);
	CHECK_EQ(taken.insn_len, len);
	CHECK_EQ(regs()->rip, IP);
	exits = 0;
}

static void test_exits(void)
{
	open_real();
	REFUSE(0xf4);
	check_exit(EXIT_HLT, 1);
	REFUSE(0x0f, 0x32);
	check_exit(EXIT_RDMSR, 2);
	REFUSE(0x0f, 0x09);
	check_exit(EXIT_INVD, 2);
	REFUSE(0x0f, 0x22, 0xc3);
	check_exit(EXIT_CR_WRITE, 3);
	CHECK(!taken.cr.decoded);
	CHECK_EQ(taken.cr.cr, 0);
	REFUSE(0x0f, 0x20, 0xe1);
	check_exit(EXIT_CR_READ, 3);
	CHECK_EQ(taken.cr.cr, 4);
	REFUSE(0x0f, 0x01, 0x3e, 0x00, 0x00);
	check_exit(EXIT_INVLPG, 5);
	emulate_close();
}

static void check_io(uint16_t port, unsigned size, bool in, bool string, bool rep)
{
	CHECK_EQ(taken.reason, EXIT_IO);
	CHECK_EQ(taken.io.port, port);
	CHECK_EQ(taken.io.size, size);
	CHECK_EQ(taken.io.in, in);
	CHECK_EQ(taken.io.string, string);
	CHECK_EQ(taken.io.rep, rep);
}

static void test_ports(void)
{
	open_real();
	regs()->gpr[GPR_RDX] = 0xabc103f8;
	REFUSE(0xe4, 0x80);
	check_io(0x80, 1, true, false, false);
	REFUSE(0xe7, 0xf4);
	check_io(0xf4, 2, false, false, false);
	REFUSE(0x66, 0xed);
	check_io(0x3f8, 4, true, false, false);
	REFUSE(0xee);
	check_io(0x3f8, 1, false, false, false);
	REFUSE(0xf3, 0x6c);
	check_io(0x3f8, 1, true, true, true);
	REFUSE(0x6f);
	check_io(0x3f8, 2, false, true, false);
	emulate_close();
}

static void test_cr2(void)
{
	open_real();
	regs()->gpr[GPR_RBX] = 0x912345678;
	REFUSE(0x0f, 0x22, 0xd3);
	CHECK_EQ(regs()->cr2, 0x12345678);
	REFUSE(0x0f, 0x20, 0xd1);
	CHECK_EQ(regs()->gpr[GPR_RCX], 0x12345678);
	CHECK_EQ(exits, 0);
	emulate_close();
}

static void test_debug_registers(void)
{
	open_real();
	memset(debug_registers, 0, sizeof(debug_registers));
	regs()->gpr[GPR_RBX] = 0x912345678;
	REFUSE(0x0f, 0x23, 0xd3); /* mov dr2, ebx */
	CHECK_EQ((uint32_t)debug_registers[2], 0x12345678);
	REFUSE(0x0f, 0x21, 0xd1);
	CHECK_EQ((uint32_t)regs()->gpr[GPR_RCX], 0x12345678);
	REFUSE(0x0f, 0x23, 0xe3); /* dr4 is dr6 */
	CHECK_EQ((uint32_t)debug_registers[6], 0x12345678);
	ew.cr4 = CR4_DE;
	REFUSE(0x0f, 0x23, 0xe3);
	CHECK(ew.vcpu.inject.valid && ew.vcpu.inject.vector == VEC_UD);
	ew.vcpu.inject.valid = false;
	debug_registers[7] = 1 << 13;
	REFUSE(0x0f, 0x21, 0xd1);
	CHECK(ew.vcpu.inject.valid && ew.vcpu.inject.vector == VEC_DB);
	CHECK_EQ(debug_registers[7], 0);
	CHECK(debug_registers[6] & 1 << 13);
	CHECK_EQ(regs()->rip, IP);
	ew.vcpu.inject.valid = false;
	emulate_close();
}

/* ---- events -------------------------------------------------------------------------------- */

static void check_frame(uint16_t ip, uint16_t flags)
{
	uint16_t sp = (uint16_t)regs()->gpr[GPR_RSP];

	CHECK_EQ(memory(STACK + sp, 2), ip);
	CHECK_EQ(memory(STACK + sp + 2, 2), CS);
	CHECK_EQ(memory(STACK + sp + 4, 2), flags);
	CHECK_EQ(ew.segments[SEG_CS].selector, 0x1111);
	CHECK_EQ(regs()->rip, 0x2222);
	CHECK(!(regs()->rflags & (RFLAGS_IF | RFLAGS_TF | RFLAGS_AC)));
	CHECK(!ew.vcpu.inject.valid);
}

static void test_software_interrupt(void)
{
	open_real();
	set_vector(0x60, 0x1111, 0x2222);
	regs()->rflags = 0x302 | RFLAGS_AC;
	REFUSE(0xcd, 0x60);
	CHECK_EQ(regs()->rip, IP);
	CHECK(realmode_prepare(&ew.vcpu));
	check_frame(IP + 2, 0x302);
	CHECK(!nmis_blocked);
	emulate_close();
}

static void test_exceptions(void)
{
	open_real();
	set_vector(VEC_DE, 0x1111, 0x2222);
	raise(VEC_DE);
	CHECK(realmode_prepare(&ew.vcpu));
	check_frame(IP, 2);
	emulate_close();
	open_real();
	set_vector(VEC_BP, 0x1111, 0x2222);
	ew.vcpu.exit = (struct vm_exit){ .reason = EXIT_EXCEPTION, .insn_len = 1 };
	ew.vcpu.exit.exception = (struct exit_exception){ .vector = VEC_BP, .type = EVENT_SOFT_TRAP };
	exit_real_mode(&ew.vcpu);
	CHECK(realmode_prepare(&ew.vcpu));
	check_frame(IP + 1, 2);
	emulate_close();
	open_real();
	set_vector(VEC_DB, 0x1111, 0x2222);
	ew.vcpu.exit = (struct vm_exit){ .reason = EXIT_EXCEPTION };
	debug_registers[6] = 0xffff0ff3;
	debug_registers[7] = 0x2400;
	ew.vcpu.exit.exception = (struct exit_exception){ .vector = VEC_DB, .type = EVENT_EXCEPTION, .dr6 = 0x4000 };
	exit_real_mode(&ew.vcpu);
	CHECK_EQ(debug_registers[6], 0xffff4ff0);
	CHECK_EQ(debug_registers[7], 0x400);
	emulate_close();
}

static void test_nmi(void)
{
	open_real();
	set_vector(VEC_NMI, 0x1111, 0x2222);
	ew.vcpu.inject = (struct vm_event){ .valid = true, .type = EVENT_NMI, .vector = VEC_NMI };
	CHECK(realmode_prepare(&ew.vcpu));
	check_frame(IP, 2);
	CHECK(nmis_blocked);
	emulate_close();
}

static void test_not_active(void)
{
	open_real();
	active = false;
	obstacle = "anything";
	ew.vcpu.inject = (struct vm_event){ .valid = true, .type = EVENT_NMI, .vector = VEC_NMI };
	CHECK(realmode_prepare(&ew.vcpu));
	CHECK(ew.vcpu.inject.valid);
	emulate_close();
}

static void check_stops(const char *text)
{
	CHECK(!realmode_prepare(&ew.vcpu));
	if (!strstr(ew.stopped, text))
		ktap_fail(__FILE__, __LINE__, "'%s' does not say '%s'", ew.stopped, text);
	emulate_close();
}

static void test_stops(void)
{
	open_real();
	tables[1].limit = 0x60 * 4 + 2;
	REFUSE(0xcd, 0x60);
	check_stops("triple fault (event 96");
	open_real();
	regs()->gpr[GPR_RSP] = 1;
	REFUSE(0xcd, 0x60);
	check_stops("wraps within a word");
	open_real();
	tables[1].base = 0xf0000000;
	REFUSE(0xcd, 0x60);
	check_stops("vector table is at 0xf0000000");
	open_real();
	obstacle = "a 32-bit code segment";
	check_stops("real mode with a 32-bit code segment");
}

/* The stack goes through 64K between two words. */
static void test_stack_wraps(void)
{
	open_real();
	ew.segments[SEG_SS].base = MEMORY_GPA;
	regs()->gpr[GPR_RSP] = 0;
	regs()->rflags = 0x46;
	REFUSE(0x9c);
	CHECK_EQ(regs()->gpr[GPR_RSP], 0xfffe);
	CHECK_EQ(memory(MEMORY_GPA + 0xfffe, 2), 0x46);
	REFUSE(0x9d);
	CHECK_EQ(regs()->gpr[GPR_RSP], 0);
	emulate_close();
}

/* ---- what really is a fault, and what only virtual-8086 mode finds wrong --------------------- */

static void test_true_faults(void)
{
	open_real();
	REFUSE(0x67, 0x8b, 0x03); /* mov ax, [ebx]: beyond 64K */
	CHECK_EQ(ew.vcpu.inject.valid, false);
	regs()->gpr[GPR_RBX] = 0x10000;
	REFUSE(0x67, 0x8b, 0x03);
	CHECK(ew.vcpu.inject.valid && ew.vcpu.inject.vector == VEC_GP);
	ew.vcpu.inject.valid = false;
	regs()->rip = 0x10000;
	raise(VEC_GP);
	CHECK(ew.vcpu.inject.valid && ew.vcpu.inject.vector == VEC_GP);
	CHECK(!ew.vcpu.inject.has_error);
	ew.vcpu.inject.valid = false;
	REFUSE(0x0f, 0x34);
	CHECK(ew.vcpu.inject.valid && ew.vcpu.inject.vector == VEC_GP);
	ew.vcpu.inject.valid = false;
	CHECK_EQ(ew.stopped[0], 0);
	REFUSE(0x0f, 0xae, 0x00); /* fxsave [bx+si] */
	CHECK(strstr(ew.stopped, "cannot decode"));
	CHECK(strstr(ew.stopped, "0f ae 00"));
	emulate_close();
}

static void test_unreal(void)
{
	open_real();
	ew.segments[SEG_DS].limit = ~0u;
	store(HIGH_GPA, 0x11223344, 4);
	regs()->gpr[GPR_RBX] = HIGH_GPA;
	REFUSE(0x67, 0x66, 0x8b, 0x03); /* mov eax, [ebx] */
	CHECK_EQ(regs()->gpr[GPR_RAX], 0x11223344);
	CHECK_EQ(regs()->rip, IP + 4);
	REFUSE(0x67, 0xc6, 0x03, 0x55); /* mov byte [ebx], 0x55 */
	CHECK_EQ(memory(HIGH_GPA, 4), 0x11223355);
	CHECK_EQ(ew.ves, 0);
	/* What the guest may not touch it may not touch this way, either. */
	CHECK_EQ(mmu_protect(ew.world.vm, HIGH_GPA >> 12, 1, ACC_R | ACC_X, 0), 0);
	REFUSE(0x67, 0xc6, 0x03, 0x66);
	CHECK_EQ(ew.ves, 1);
	CHECK_EQ(memory(HIGH_GPA, 4), 0x11223355);
	REFUSE(0x67, 0x66, 0x8b, 0x03);
	CHECK_EQ(regs()->gpr[GPR_RAX], 0x11223355);
	CHECK_EQ(ew.ves, 1);
	emulate_close();
}

static const struct ktap_test tests[] = {
	KTAP(test_interrupt_flag), KTAP(test_flags),      KTAP(test_iret),   KTAP(test_tables),
	KTAP(test_exits),          KTAP(test_ports),      KTAP(test_cr2),
	KTAP(test_debug_registers), KTAP(test_software_interrupt),
	KTAP(test_exceptions),     KTAP(test_nmi),        KTAP(test_not_active), KTAP(test_stops),
	KTAP(test_stack_wraps),    KTAP(test_true_faults), KTAP(test_unreal),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
