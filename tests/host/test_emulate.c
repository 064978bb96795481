/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Emulation of instructions with a device as an operand, from fetch to registers.  What each must
 * do is asked of the processor that runs this test: the same bytes run natively, on the same
 * addresses, with plain memory in the device's place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/host/emulate_world.h"
#include "vmm/emulate_alu.h"

#define CASES 30000

/* More of them for a longer look. */
static unsigned long cases_wanted(void)
{
	const char *value = getenv("PHYLLO_EMULATE_CASES");

	return value ? strtoul(value, NULL, 0) : CASES;
}

/* ---- the same on this processor -------------------------------------------------------- */

struct native {
	uint64_t gpr[16];
	uint64_t rflags;
	uint64_t host_rsp;
};

_Static_assert(NATIVE == 0x10005000 && CODE == 0x10000000, "the assembly has them as numbers");

/* Registers from NATIVE, one instruction at CODE, which ends in a jump to native_end, and back. */
void native_run(void);
extern const char native_end[];
__asm__(".text\n"
	".globl native_run, native_end\n"
	"native_run:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, 0x10005088\n"
	"	push 0x10005080; popfq\n"
	"	mov 0x10005000, %rax; mov 0x10005008, %rcx; mov 0x10005010, %rdx\n"
	"	mov 0x10005018, %rbx; mov 0x10005020, %rsp; mov 0x10005028, %rbp\n"
	"	mov 0x10005030, %rsi; mov 0x10005038, %rdi; mov 0x10005040, %r8\n"
	"	mov 0x10005048, %r9; mov 0x10005050, %r10; mov 0x10005058, %r11\n"
	"	mov 0x10005060, %r12; mov 0x10005068, %r13; mov 0x10005070, %r14\n"
	"	mov 0x10005078, %r15\n"
	"	jmp *0x10005090\n"
	"native_end:\n"
	"	mov %rax, 0x10005000; mov %rcx, 0x10005008; mov %rdx, 0x10005010\n"
	"	mov %rbx, 0x10005018; mov %rsp, 0x10005020; mov %rbp, 0x10005028\n"
	"	mov %rsi, 0x10005030; mov %rdi, 0x10005038; mov %r8, 0x10005040\n"
	"	mov %r9, 0x10005048; mov %r10, 0x10005050; mov %r11, 0x10005058\n"
	"	mov %r12, 0x10005060; mov %r13, 0x10005068; mov %r14, 0x10005070\n"
	"	mov %r15, 0x10005078\n"
	"	mov 0x10005088, %rsp\n"
	"	pushfq; pop 0x10005080\n"
	"	cld\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n");

static bool map_native(void)
{
	static bool mapped;

	if (!mapped)
		mapped = mmap((void *)BASE, NOTHING - BASE, PROT_READ | PROT_WRITE | PROT_EXEC,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			      0) == (void *)BASE;
	CHECK(mapped);
	return mapped;
}

static struct native *run_native(const struct insn *insn, const struct vcpu_regs *regs)
{
	struct native *native = (struct native *)NATIVE;
	uint64_t *links = (uint64_t *)(NATIVE + 0x90);
	uint8_t *code = (uint8_t *)CODE;
	uint32_t link = NATIVE + 0x98;

	memcpy(native->gpr, regs->gpr, sizeof(native->gpr));
	native->rflags = regs->rflags;
	links[0] = CODE;
	links[1] = (uint64_t)native_end;
	memcpy(code, insn->bytes, insn->len);
	memcpy(code + insn->len, (const uint8_t[]){ 0xff, 0x24, 0x25 }, 3); /* jmp [link] */
	memcpy(code + insn->len + 3, &link, 4);
	native_run();
	return native;
}

/* ---- random instructions -------------------------------------------------------------------- */

static uint64_t random_state = 20200101;

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1d;
}

static unsigned below(unsigned n)
{
	return (unsigned)(random64() >> 32) % n;
}

/* Values at the edges find more than even ones. */
static uint64_t random_value(void)
{
	static const uint64_t edges[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff,
					  0x7fffffff, 0x80000000, 0xffffffff, INT64_MAX,
					  1ul << 63, ~0ul };

	return below(3) ? random64() : edges[below(sizeof(edges) / sizeof(edges[0]))];
}

static const uint8_t one_byte[] = {
	0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x18, 0x19, 0x1a,
	0x1b, 0x20, 0x21, 0x22, 0x23, 0x28, 0x29, 0x2a, 0x2b, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39,
	0x3a, 0x3b, 0x63, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0xc6,
	0xc7, 0xf6, 0xf7, 0xfe, 0xff,
};
static const uint8_t two_byte[] = { 0x90, 0xa3, 0xab, 0xb0, 0xb1, 0xb3, 0xb6, 0xb7, 0xba,
				    0xbb, 0xbe, 0xbf, 0xc0, 0xc1, 0xc3, 0xc7 };
static const uint8_t strings[] = { 0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad };

static void generate(struct insn *insn)
{
	uint8_t *at = insn->bytes;

	for (unsigned i = 0; i < INSN_MAX; i++)
		insn->bytes[i] = (uint8_t)random64();
	insn->count = INSN_MAX;
	if (below(3) == 0)
		*at++ = 0x66;
	if (below(8) == 0)
		*at++ = 0x67;
	if (below(4) == 0)
		*at++ = 0xf0;
	if (below(2))
		*at++ = (uint8_t)(0x40 | below(16));
	if (below(4)) {
		*at++ = one_byte[below(sizeof(one_byte))];
	} else {
		uint8_t opcode = two_byte[below(sizeof(two_byte))];

		*at++ = 0x0f;
		*at++ = opcode == 0x90 ? (uint8_t)(opcode + below(16)) : opcode; /* SETcc */
		if (opcode == 0xc7 && below(2)) /* CMPXCHG8B */
			*at = (uint8_t)((*at & ~0x38) | 1 << 3);
	}
	*at &= (uint8_t)(0x3f | below(3) << 6);
}

/* Choose registers such that the operand lies at gva; false: not with these operands. */
static bool aim(const struct insn *insn, struct vcpu_regs *regs, gva_t gva)
{
	const struct insn_mem *mem = &insn->mem;

	if (insn->segment == SEG_FS || insn->segment == SEG_GS)
		return false;
	if (mem->base < 16 && mem->base != mem->index)
		regs->gpr[mem->base] += gva - decode_offset(insn, regs->gpr, regs->rip);
	else if (mem->index < 16 && mem->index != mem->base && mem->shift == 0)
		regs->gpr[mem->index] += gva - decode_offset(insn, regs->gpr, regs->rip);
	return decode_offset(insn, regs->gpr, regs->rip) == gva;
}

/* Flags that the manual leaves undefined. */
static uint64_t undefined_flags(enum insn_kind kind)
{
	switch (kind) {
	case INSN_AND: case INSN_OR: case INSN_XOR: case INSN_TEST:
		return FLAG_AF;
	case INSN_BT: case INSN_BTS: case INSN_BTR: case INSN_BTC:
		return FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF;
	default:
		return 0;
	}
}

static void random_state_of_guest(void)
{
	static uint8_t fill[0x2000];

	for (unsigned i = 0; i < 16; i++)
		ew.vcpu.regs.gpr[i] = random_value();
	for (unsigned i = 0; i < sizeof(ew.device); i += 8) {
		uint64_t value = random_value();

		memcpy(ew.device + i, &value, 8);
		value = random_value();
		memcpy(fill + i, &value, 8);
	}
	emulate_put(MEMORY_GPA, fill, sizeof(fill));
	if (map_native()) {
		memcpy((void *)DEVICE, ew.device, sizeof(ew.device));
		memcpy((void *)MEMORY, fill, sizeof(fill));
	}
	ew.vcpu.regs.rip = CODE;
	ew.vcpu.regs.rflags = RFLAGS_FIXED | RFLAGS_IF |
			   (random64() & (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF |
					  FLAG_OF));
	ew.stopped[0] = '\0';
	ew.reads = ew.writes = 0;
}

static unsigned long failures;

static void fail(const struct insn *insn, const char *what)
{
	char hex[3 * INSN_MAX + 1];

	for (unsigned i = 0; i < insn->len; i++)
		sprintf(hex + 3 * i, "%02x ", insn->bytes[i]);
	if (failures++ < 20)
		ktap_fail(__FILE__, __LINE__, "%sdiffers in %s (kind %u) %s", hex, what, insn->kind,
			  ew.stopped);
}

static void compare(const struct insn *insn, const struct native *native)
{
	static uint8_t memory[0x2000];
	uint64_t flags = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_DF | FLAG_OF;

	flags &= ~undefined_flags(insn->kind);
	mmu_read_guest(ew.world.vm, MEMORY_GPA, memory, sizeof(memory));
	if (ew.stopped[0] || ew.vcpu.inject.valid)
		fail(insn, "its end");
	else if (ew.vcpu.regs.rip != CODE + insn->len)
		fail(insn, "rip");
	else if (memcmp(ew.vcpu.regs.gpr, native->gpr, sizeof(native->gpr)))
		fail(insn, "registers");
	else if ((ew.vcpu.regs.rflags ^ native->rflags) & flags)
		fail(insn, "flags");
	else if (memcmp(ew.device, (void *)DEVICE, sizeof(ew.device)))
		fail(insn, "the device");
	else if (memcmp(memory, (void *)MEMORY, sizeof(memory)))
		fail(insn, "memory");
}

/* Half of the comparisons are to succeed. */
static void meet_comparison(const struct insn *insn, gva_t page, uint64_t offset)
{
	uint64_t *gpr = ew.vcpu.regs.gpr, value;

	if (insn->kind != INSN_CMPXCHG8B || below(2))
		return;
	memcpy(&value, (void *)(page + offset), 8);
	struct vcpu_regs before = ew.vcpu.regs;

	gpr[GPR_RAX] = value;
	gpr[GPR_RDX] = value >> 32;
	if (decode_offset(insn, gpr, CODE) != page + offset)
		ew.vcpu.regs = before;
}

/* An operand in a device, or in memory that the guest must not write itself. */
static bool run_plain(unsigned *seen)
{
	bool memory = below(2);
	struct insn insn;
	uint64_t offset = below(8) ? below(0x1ff8) : 0xff9 + below(7); /* across the page */

	generate(&insn);
	if (!decode_insn(&insn, 8) || !insn_has_mem(insn.kind))
		return false;
	random_state_of_guest();
	if (!aim(&insn, &ew.vcpu.regs, (memory ? MEMORY : DEVICE) + offset))
		return false;
	meet_comparison(&insn, memory ? MEMORY : DEVICE, offset);
	emulate_code(insn.bytes, insn.len);
	struct native *native = run_native(&insn, &ew.vcpu.regs);

	/* Of an access across pages the second may be what faults. */
	if (offset < 0x1000 && offset + insn.operand_size > 0x1000 && below(2))
		offset = 0x1000;
	if (memory)
		emulate_write(MEMORY_GPA + offset);
	else
		emulate_touch(DEVICE_GPA + offset, ACC_R);
	compare(&insn, native);
	seen[insn.kind]++;
	return true;
}

static void test_plain_instructions(void)
{
	unsigned long cases = 0, wanted = cases_wanted();
	unsigned seen[INSN_MOVS + 1] = { 0 };

	if (!map_native())
		return;
	emulate_open();
	failures = 0;
	while (cases < wanted)
		cases += run_plain(seen);
	for (unsigned kind = INSN_MOV; kind <= INSN_CMPXCHG; kind++)
		CHECK(seen[kind] > 50);
	CHECK_EQ(failures, 0);
	emulate_close();
}

/* Each register operand with plain MOV, absolute addresses and relative ones. */
static void test_addresses(void)
{
	static const struct {
		uint8_t bytes[12], n;
	} forms[] = {
		{ { 0x8b, 0x05, 0xfa, 0x0f, 0, 0 }, 6 },           /* mov eax, [rip + 0xffa] */
		{ { 0x81, 0x0d, 0xf6, 0x0f, 0, 0, 1, 2, 3, 4 }, 10 }, /* the immediate counts */
		{ { 0x8b, 0x14, 0x25, 0, 0x10, 0, 0x10 }, 7 },     /* mov edx, [0x10001000] */
		{ { 0xa1, 0, 0x10, 0, 0x10, 0, 0, 0, 0 }, 9 },
		{ { 0x67, 0xa3, 0, 0x10, 0, 0x10 }, 6 },
		{ { 0x48, 0xa2, 0, 0x10, 0, 0x10, 0, 0, 0, 0 }, 10 },
		{ { 0x41, 0x8b, 0x04, 0x25, 0, 0x10, 0, 0x10 }, 8 }, /* no base, REX.B or not */
		{ { 0x67, 0x41, 0x8b, 0x04, 0x25, 0, 0x10, 0, 0x10 }, 9 },
	};

	if (!map_native())
		return;
	emulate_open();
	failures = 0;
	for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct insn insn;

		memcpy(insn.bytes, forms[i].bytes, sizeof(forms[i].bytes));
		insn.count = forms[i].n;
		CHECK(decode_insn(&insn, 8));
		random_state_of_guest();
		emulate_code(insn.bytes, insn.len);
		struct native *native = run_native(&insn, &ew.vcpu.regs);

		emulate_touch(DEVICE_GPA, ACC_W);
		compare(&insn, native);
	}
	CHECK_EQ(failures, 0);
	emulate_close();
}

/* ---- strings --------------------------------------------------------------------------------- */

/* The device on one side at least. */
static void aim_string(const struct insn *insn, gva_t *from, gva_t *to)
{
	unsigned which = insn->kind == INSN_STOS ? 1 : insn->kind == INSN_LODS ? 0 : below(3);
	gva_t a = DEVICE + 0xe00 + below(0x400), b = MEMORY + 0xe00 + below(0x400);

	*from = which == 1 ? b : a;
	*to = which == 0 ? b : a + (which == 2 ? below(64) : 0);
	ew.vcpu.regs.gpr[GPR_RSI] = *from;
	ew.vcpu.regs.gpr[GPR_RDI] = *to;
}

static gpa_t gpa_of(gva_t gva)
{
	return gva - DEVICE < sizeof(ew.device) ? gva - DEVICE + DEVICE_GPA : 0;
}

static void run_string(void)
{
	struct insn insn;
	uint8_t *at = insn.bytes;
	gva_t from, to;

	insn.count = INSN_MAX;
	if (below(3) == 0)
		*at++ = 0x66;
	if (below(2))
		*at++ = (uint8_t)(0xf2 | below(2));
	if (below(3) == 0)
		*at++ = 0x67;
	if (below(3) == 0)
		*at++ = 0x48;
	*at = strings[below(sizeof(strings))];
	CHECK(decode_insn(&insn, 8));
	random_state_of_guest();
	aim_string(&insn, &from, &to);
	ew.vcpu.regs.gpr[GPR_RCX] = 1 + below(40);
	ew.vcpu.regs.rflags |= below(2) ? FLAG_DF : 0;
	emulate_code(insn.bytes, insn.len);
	struct native *native = run_native(&insn, &ew.vcpu.regs);

	emulate_touch(insn.kind != INSN_STOS && gpa_of(from) ? gpa_of(from) : gpa_of(to), ACC_R);
	compare(&insn, native);
}

static void test_strings(void)
{
	if (!map_native())
		return;
	emulate_open();
	failures = 0;
	for (unsigned long i = 0; i < cases_wanted() / 4; i++)
		run_string();
	CHECK_EQ(failures, 0);
	emulate_close();
}

static const struct ktap_test tests[] = {
	KTAP(test_plain_instructions),
	KTAP(test_addresses),
	KTAP(test_strings),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
