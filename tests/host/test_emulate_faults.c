/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Emulation of instructions with a device as an operand, where it does not go straight: strings in
 * parts, faults, segments, reports and races.
 */
#include <string.h>

#include "tests/host/emulate_world.h"

/* ---- strings in parts ------------------------------------------------------------- */

/* A long one takes several exits, and one that leaves the device goes back to the processor. */
static void test_string_in_parts(void)
{
	emulate_open();
	CODE_BYTES(0xf3, 0xaa); /* rep stosb */
	ew.vcpu.regs.gpr[GPR_RAX] = 0x5a;
	ew.vcpu.regs.gpr[GPR_RCX] = 0x2010;
	ew.vcpu.regs.gpr[GPR_RDI] = DEVICE;
	for (unsigned exits = 0; ew.vcpu.regs.gpr[GPR_RDI] < MEMORY && exits < 100; exits++) {
		uint64_t before = ew.vcpu.regs.gpr[GPR_RCX];

		emulate_touch(DEVICE_GPA + ew.vcpu.regs.gpr[GPR_RDI] - DEVICE, ACC_W);
		CHECK(before > ew.vcpu.regs.gpr[GPR_RCX]);
		CHECK(before - ew.vcpu.regs.gpr[GPR_RCX] <= 256);
	}
	CHECK_EQ(ew.vcpu.regs.gpr[GPR_RDI], MEMORY);
	CHECK_EQ(ew.vcpu.regs.gpr[GPR_RCX], 0x10);
	CHECK_EQ(ew.vcpu.regs.rip, CODE);
	CHECK_EQ(ew.writes, 0x2000);
	CHECK_STR(ew.stopped, "");
	emulate_close();
}

static void test_string_single_step(void)
{
	emulate_open();
	CODE_BYTES(0xf3, 0xaa);
	ew.vcpu.regs.rflags |= RFLAGS_TF;
	ew.vcpu.regs.gpr[GPR_RCX] = 2;
	ew.vcpu.regs.gpr[GPR_RDI] = DEVICE;
	emulate_touch(DEVICE_GPA, ACC_W);
	CHECK_EQ(ew.single_steps, 1);
	CHECK_EQ(ew.vcpu.regs.gpr[GPR_RCX], 1);
	CHECK_EQ(ew.vcpu.regs.rip, CODE);
	emulate_touch(DEVICE_GPA + 1, ACC_W);
	CHECK_EQ(ew.vcpu.regs.rip, CODE + 2); /* the last one's trap is vcpu_skip()'s */
	emulate_close();
}

/* ---- what goes wrong ----------------------------------------------------------- */

static void expect_exception(unsigned vector, uint32_t error)
{
	CHECK(ew.vcpu.inject.valid);
	CHECK_EQ(ew.vcpu.inject.vector, vector);
	CHECK_EQ(ew.vcpu.inject.error, error);
	CHECK_EQ(ew.vcpu.regs.rip, CODE);
	CHECK_EQ(ew.reads + ew.writes, 0);
	CHECK_STR(ew.stopped, "");
	ew.vcpu.inject.valid = false;
}

/* The other operand of MOVS faults before the device is touched. */
static void test_page_faults(void)
{
	emulate_open();
	CODE_BYTES(0xa5); /* movsd */
	ew.vcpu.regs.gpr[GPR_RSI] = DEVICE;
	ew.vcpu.regs.gpr[GPR_RDI] = NOTHING;
	emulate_touch(DEVICE_GPA, ACC_R);
	expect_exception(VEC_PF, 2);
	CHECK_EQ(ew.vcpu.regs.cr2, NOTHING);
	emulate_map(NOTHING, MEMORY_GPA, 1); /* read-only, supervisor */
	emulate_touch(DEVICE_GPA, ACC_R);
	expect_exception(VEC_PF, 3);
	ew.vcpu.regs.gpr[GPR_RDI] = NOTHING - 2; /* NATIVE has no page either */
	emulate_map(NATIVE, MEMORY_GPA, PTE);
	emulate_touch(DEVICE_GPA, ACC_R);
	expect_exception(VEC_PF, 3);
	CHECK_EQ(ew.vcpu.regs.cr2, NOTHING);
	ew.cpl = 3;
	emulate_touch(DEVICE_GPA, ACC_R);
	expect_exception(VEC_PF, 7);
	ew.vcpu.regs.gpr[GPR_RDI] = 1ul << 60;
	emulate_touch(DEVICE_GPA, ACC_R);
	expect_exception(VEC_GP, 0);
	emulate_map(CODE, 0, 0); /* the code itself has gone */
	emulate_touch(DEVICE_GPA, ACC_R);
	expect_exception(VEC_PF, 0x14);
	CHECK_EQ(ew.vcpu.regs.cr2, CODE);
	emulate_close();
}

/* movsd in 32-bit code, to a segment that ends before. */
static void test_segment_limit(void)
{
	emulate_open();
	ew.cr0 = CR0_PE;
	ew.efer = 0;
	ew.segments[SEG_CS].attr = 0xc09b;
	ew.segments[SEG_CS].base = CODE_GPA - CODE;
	ew.segments[SEG_DS].base = DEVICE_GPA;
	ew.segments[SEG_ES].limit = 0x9002;
	CODE_BYTES(0xa5);
	ew.vcpu.regs.gpr[GPR_RSI] = 0;
	ew.vcpu.regs.gpr[GPR_RDI] = 0x9000;
	emulate_touch(DEVICE_GPA, ACC_R);
	expect_exception(VEC_GP, 0);
	ew.segments[SEG_ES].limit = 0x9003;
	emulate_touch(DEVICE_GPA, ACC_R);
	CHECK(!ew.vcpu.inject.valid);
	CHECK_EQ(ew.vcpu.regs.rip, CODE + 1);
	emulate_close();
}

/* Real mode: 16-bit addresses wrap inside their segment. */
static void test_real_mode(void)
{
	emulate_open();
	ew.cr0 = 0;
	ew.efer = 0;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		ew.segments[i] = (struct vm_segment){ .attr = 0x93, .limit = 0xffff };
	ew.segments[SEG_CS].attr = 0x9b;
	ew.segments[SEG_CS].base = CODE_GPA;
	ew.segments[SEG_GS].base = DEVICE_GPA;
	CODE_BYTES(0x65, 0x66, 0x8b, 0x40, 0x7f); /* mov eax, gs:[bx + si + 0x7f] */
	ew.vcpu.regs.rip = 0;
	ew.vcpu.regs.gpr[GPR_RBX] = 0xffff0000ffff;
	ew.vcpu.regs.gpr[GPR_RSI] = 2;
	memcpy(ew.device + 0x80, "\x78\x56\x34\x12", 4);
	emulate_touch(DEVICE_GPA + 0x80, ACC_R);
	CHECK_EQ(ew.vcpu.regs.gpr[GPR_RAX], 0x12345678);
	CHECK_EQ(ew.vcpu.regs.rip, 5);
	CHECK_STR(ew.stopped, "");
	emulate_close();
}

static void test_gs_base(void)
{
	emulate_open();
	ew.segments[SEG_GS].base = DEVICE - 0x1000;
	CODE_BYTES(0x65, 0xc7, 0x04, 0x25, 0x10, 0x10, 0, 0, 1, 2, 3, 4);
	emulate_touch(DEVICE_GPA + 0x10, ACC_W);
	CHECK_EQ(memcmp(ew.device + 0x10, "\1\2\3\4", 4), 0);
	CHECK_EQ(ew.writes, 1);
	CHECK_EQ(ew.reads, 0);
	emulate_close();
}

static void test_reports(void)
{
	struct page_fault pf = { .gpa = DEVICE_GPA, .access = ACC_R, .gpt_walk = true };

	emulate_open();
	CODE_BYTES(0x0f, 0x10, 0x00); /* movups xmm0, [rax] */
	emulate_touch(DEVICE_GPA, ACC_R);
	CHECK(strstr(ew.stopped, "cannot emulate") && strstr(ew.stopped, "0x10000000: 0f 10 00"));
	CODE_BYTES(0x0f, 0xa2);
	emulate_touch(DEVICE_GPA, ACC_R);
	CHECK(strstr(ew.stopped, "cannot emulate"));
	emulate_touch(DEVICE_GPA, ACC_X);
	CHECK(strstr(ew.stopped, "execution in a device"));
	emulate_mmio(&ew.vcpu, &pf);
	CHECK(strstr(ew.stopped, "a page table in a device"));
	ew.vcpu.inject.valid = true;
	emulate_touch(DEVICE_GPA, ACC_W);
	CHECK(strstr(ew.stopped, "delivery of an event"));
	ew.vcpu.inject.valid = false;
	ew.refuse = true;
	CODE_BYTES(0xf0, 0x0f, 0xc1, 0x08); /* lock xadd [rax], ecx */
	ew.vcpu.regs.gpr[GPR_RAX] = DEVICE;
	ew.vcpu.regs.gpr[GPR_RCX] = 3;
	emulate_touch(DEVICE_GPA, ACC_W);
	CHECK(strstr(ew.stopped, "takes no read of 4 bytes at 0xfee00000"));
	CHECK_EQ(ew.vcpu.regs.gpr[GPR_RCX], 3);
	CHECK_EQ(ew.vcpu.regs.rip, CODE);
	emulate_close();
}

/* Not where the access was: run again, but not for ever. */
static void test_races(void)
{
	emulate_open();
	CODE_BYTES(0x8b, 0x08);
	ew.vcpu.regs.gpr[GPR_RAX] = DEVICE + 8;
	emulate_touch(DEVICE_GPA, ACC_R);
	CHECK_STR(ew.stopped, "");
	CHECK_EQ(ew.vcpu.regs.rip, CODE);
	CHECK_EQ(ew.reads, 0);
	emulate_touch(DEVICE_GPA + 8, ACC_R);
	CHECK_EQ(ew.vcpu.regs.rip, CODE + 2);
	ew.vcpu.regs.rip = CODE;
	for (unsigned i = 0; i < 63; i++)
		emulate_touch(DEVICE_GPA, ACC_R);
	CHECK_STR(ew.stopped, "");
	emulate_touch(DEVICE_GPA, ACC_R);
	CHECK(strstr(ew.stopped, "not where the access was"));
	emulate_close();
}

/* The access came first, then the tables changed: the operand is where the access was. */
static void test_tables_change(void)
{
	struct page_fault malformed = { .gpa = DEVICE_GPA + 8, .access = ACC_R, .reserved = true };

	emulate_open();
	emulate_map(DEVICE, MEMORY_GPA, PTE);
	CODE_BYTES(0x89, 0x08); /* mov [rax], ecx */
	ew.vcpu.regs.gpr[GPR_RAX] = DEVICE + 8;
	ew.vcpu.regs.gpr[GPR_RCX] = 0x12345678;
	emulate_touch(DEVICE_GPA + 8, ACC_W);
	CHECK_EQ(ew.writes, 1);
	CHECK_EQ(memcmp(ew.device + 8, "\x78\x56\x34\x12", 4), 0);
	CHECK_EQ(ew.vcpu.regs.rip, CODE + 2);
	ew.vcpu.regs.rip = CODE;
	emulate_mmio(&ew.vcpu, &malformed);
	CHECK_EQ(ew.writes, 2);
	ew.vcpu.regs.rip = CODE;
	/* A read says nothing about a write. */
	emulate_touch(DEVICE_GPA + 8, ACC_R);
	CHECK_EQ(ew.writes, 2);
	CODE_BYTES(0x01, 0x08); /* add [rax], ecx */
	emulate_mmio(&ew.vcpu, &malformed);
	CHECK_EQ(ew.reads + ew.writes, 2);
	CHECK_EQ(ew.vcpu.regs.rip, CODE);
	/* Nor one page about the next. */
	CODE_BYTES(0x89, 0x08);
	emulate_map(DEVICE + PAGE_SIZE, MEMORY_GPA, PTE);
	ew.vcpu.regs.gpr[GPR_RAX] = DEVICE + PAGE_SIZE - 2;
	emulate_touch(DEVICE_GPA + PAGE_SIZE - 2, ACC_W);
	CHECK_EQ(ew.writes, 2);
	CHECK_STR(ew.stopped, "");
	emulate_close();
}

/* What mmu_protect() forbids the guest, no write of ours does for it: not even at the end of another page. */
static void test_protected_memory(void)
{
	uint64_t before, after;
	gfn_t next = MEMORY_GPA / PAGE_SIZE + 1;

	emulate_open();
	emulate_map(MEMORY, MEMORY_GPA, PTE);
	emulate_map(MEMORY + PAGE_SIZE, MEMORY_GPA + PAGE_SIZE, PTE);
	CHECK_EQ(mmu_read_guest(ew.world.vm, MEMORY_GPA + PAGE_SIZE, &before, 8), 0);
	CHECK_EQ(mmu_protect(ew.world.vm, next, 1, ACC_R | ACC_X, 0), 0);
	CODE_BYTES(0x48, 0x89, 0x08); /* mov [rax], rcx */
	ew.vcpu.regs.gpr[GPR_RAX] = MEMORY + PAGE_SIZE - 4;
	ew.vcpu.regs.gpr[GPR_RCX] = ~before;
	ew.ves = 0;
	emulate_write(MEMORY_GPA + PAGE_SIZE - 4);
	CHECK_EQ(ew.ves, 1);
	CHECK_EQ(ew.vcpu.regs.rip, CODE);
	CHECK_EQ(mmu_read_guest(ew.world.vm, MEMORY_GPA + PAGE_SIZE, &after, 8), 0);
	CHECK_EQ(after, before);
	CHECK_EQ(mmu_protect(ew.world.vm, next, 1, ACC_RWX, 0), 0);
	emulate_write(MEMORY_GPA + PAGE_SIZE - 4);
	CHECK_EQ(ew.ves, 1);
	CHECK_EQ(mmu_read_guest(ew.world.vm, MEMORY_GPA + PAGE_SIZE - 4, &after, 8), 0);
	CHECK_EQ(after, ~before);
	emulate_close();
}

static const struct ktap_test tests[] = {
	KTAP(test_string_in_parts), KTAP(test_string_single_step),
	KTAP(test_page_faults),	    KTAP(test_segment_limit),
	KTAP(test_real_mode),	    KTAP(test_gs_base),
	KTAP(test_reports),	    KTAP(test_races),
	KTAP(test_tables_change),   KTAP(test_protected_memory),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
