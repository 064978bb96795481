/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every kind of guest paging on top of nested paging: none, 32-bit with 4K and 4M pages, PAE
 * and 4-level; translations, Accessed and Dirty bits, faults, and the ways between them.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/modes.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/x86.h"

#define SIZE_4M 0x400000u
#define CYCLES 100
#define CPUID_80000001_EDX_1G (1u << 26)

/* Linear addresses of the tests, in different directories and PAE quarters. */
#define VA_A 0x40001000u
#define VA_B 0x80002000u
#define VA_LARGE 0xc0000000u
#define VA_NOTHING 0xd0000000u

static uint64_t scratch;  /* SIZE_4M of RAM, so aligned */
static uint32_t *page[4]; /* the first pages of it */
static uint32_t code_page;

static struct mode_op ops[32];
static struct mode_job job;

/* ---- programs --------------------------------------------------------------------------- */

static void begin(uint32_t cr0, uint32_t cr3, uint32_t cr4, uint32_t efer)
{
	job = (struct mode_job){ .cr0 = cr0 | CR0_PE | 1 << 4, .cr3 = cr3, .cr4 = cr4, .efer = efer,
				 .ops = (uintptr_t)ops };
}

static struct mode_op *add(enum mode_op_kind kind, uint32_t addr, uint32_t value)
{
	struct mode_op *o = &ops[job.op_count++];

	*o = (struct mode_op){ .kind = kind, .addr = addr, .value = value };
	return o;
}

static void run(void)
{
	mode_run(&job);
	CHECK_EQ(job.seen_cr0, job.cr0);
	CHECK_EQ(job.seen_cr4, job.cr4);
	CHECK_EQ(job.seen_efer, job.efer);
}

static void expect_value(const struct mode_op *o, uint32_t value)
{
	if (o->vector != OP_NO_VECTOR)
		ktap_fail(__FILE__, __LINE__,
			  "operation %ld at 0x%x: exception %u, error 0x%x, cr2 0x%x", o - ops,
			  o->addr, o->vector, o->error, o->cr2);
	else if (o->value != value)
		ktap_fail(__FILE__, __LINE__, "operation %ld at 0x%x gave 0x%x, not 0x%x", o - ops,
			  o->addr, o->value, value);
}

static void expect_pf(const struct mode_op *o, uint32_t error)
{
	if (o->vector != VEC_PF || o->error != error || o->cr2 != o->addr)
		ktap_fail(__FILE__, __LINE__,
			  "operation %ld at 0x%x: vector %d error 0x%x cr2 0x%x, not #PF 0x%x",
			  o - ops, o->addr, (int)o->vector, o->error, o->cr2, error);
}

static void reset_pages(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(page); i++) {
		page[i] = (uint32_t *)(scratch + i * PAGE_SIZE);
		page[i][0] = 0xc0de0000 + i;
	}
}

static void add_exits(void)
{
	add(OP_CPUID, 0, 0);
	if (phyllo_present())
		add(OP_HYPERCALL, PHYLLO_HC_VERSION, 0);
}

static void check_exits(const struct mode_op *o)
{
	expect_value(o, cpuid(0, 0).eax);
	if (phyllo_present())
		expect_value(o + 1, PHYLLO_ABI_VERSION);
}

/* ---- no paging ---------------------------------------------------------------------------- */

static void test_paging_off(void)
{
	reset_pages();
	begin(0, 0, 0, 0);
	add(OP_READ, (uintptr_t)page[0], 0);
	add(OP_WRITE, (uintptr_t)page[1], 0x11223344);
	add(OP_CALL, code_page, 0);
	add_exits();
	run();
	expect_value(&ops[0], 0xc0de0000);
	expect_value(&ops[2], 0x600d600d);
	check_exits(&ops[3]);
	CHECK_EQ(page[1][0], 0x11223344);
}

/* ---- 32-bit, two levels ---------------------------------------------------------------------- */

static uint32_t *pd32, *pt_a, *pt_b;

#define ENTRY32(va) ((va) >> 12 & 1023)

/* One to one below 32 MiB by 4K pages: that must hold the image and the scratch memory. */
static void make_tables32(void)
{
	pd32 = page_alloc();
	pt_a = page_alloc();
	pt_b = page_alloc();
	for (unsigned i = 0; i < 8; i++) {
		uint32_t *pt = page_alloc();

		for (unsigned n = 0; n < 1024; n++)
			pt[n] = (i * 1024 + n) * PAGE_SIZE | PTE_P | PTE_W;
		pd32[i] = (uintptr_t)pt | PTE_P | PTE_W;
	}
	pd32[VA_A >> 22] = (uintptr_t)pt_a | PTE_P | PTE_W;
	pd32[VA_B >> 22] = (uintptr_t)pt_b | PTE_P | PTE_W;
}

static void map32(uint32_t *pt, uint32_t va, const void *pa, uint32_t flags)
{
	pt[ENTRY32(va)] = (uintptr_t)pa | flags;
}

static void test_2level_4k(void)
{
	reset_pages();
	map32(pt_a, VA_A, page[0], PTE_P | PTE_W);
	map32(pt_b, VA_B, page[1], PTE_P);
	begin(CR0_PG | CR0_WP, (uintptr_t)pd32, 0, 0);
	add(OP_READ, VA_A, 0);
	add(OP_READ, VA_B, 0);
	add(OP_WRITE, VA_A + 4, 0xaaaa5555);
	add(OP_WRITE, VA_B + 4, 1);
	add(OP_READ, VA_NOTHING, 0);
	add(OP_WRITE, VA_NOTHING + 8, 0);
	add_exits();
	run();
	expect_value(&ops[0], 0xc0de0000);
	expect_value(&ops[1], 0xc0de0001);
	expect_value(&ops[2], 0xaaaa5555);
	expect_pf(&ops[3], 3);
	expect_pf(&ops[4], 0);
	expect_pf(&ops[5], 2);
	check_exits(&ops[6]);
	CHECK_EQ(page[0][1], 0xaaaa5555);
	CHECK_EQ(pt_a[ENTRY32(VA_A)] & (PTE_A | PTE_D), PTE_A | PTE_D);
	CHECK_EQ(pt_b[ENTRY32(VA_B)] & (PTE_A | PTE_D), PTE_A);
	CHECK(pd32[VA_A >> 22] & PTE_A);
	CHECK(!(pd32[VA_NOTHING >> 22] & PTE_A));
}

static void test_2level_write_protect_off(void)
{
	reset_pages();
	map32(pt_b, VA_B, page[1], PTE_P);
	begin(CR0_PG, (uintptr_t)pd32, 0, 0);
	add(OP_WRITE, VA_B, 0x77);
	add(OP_READ, VA_B, 0);
	run();
	expect_value(&ops[1], 0x77);
	CHECK_EQ(page[1][0], 0x77);
}

static void test_2level_4m(void)
{
	reset_pages();
	pd32[VA_LARGE >> 22] = scratch | PTE_P | PTE_W | PTE_PS;
	begin(CR0_PG | CR0_WP, (uintptr_t)pd32, CR4_PSE, 0);
	add(OP_READ, VA_LARGE + PAGE_SIZE, 0);
	add(OP_WRITE, VA_LARGE + SIZE_4M - 4, 0x4d4d4d4d);
	run();
	expect_value(&ops[0], 0xc0de0001);
	CHECK_EQ(*(uint32_t *)(scratch + SIZE_4M - 4), 0x4d4d4d4d);
	CHECK_EQ(pd32[VA_LARGE >> 22] & (PTE_A | PTE_D), PTE_A | PTE_D);

	/* Without CR4.PSE the same bit means nothing: the entry points to a table. */
	page[0][0] = (uintptr_t)page[3] | PTE_P;
	begin(CR0_PG | CR0_WP, (uintptr_t)pd32, 0, 0);
	add(OP_READ, VA_LARGE, 0);
	run();
	expect_value(&ops[0], 0xc0de0003);
	pd32[VA_LARGE >> 22] = 0;
}

/* A changed entry is seen after INVLPG, and after a load of CR3. */
static void test_2level_changes(void)
{
	uint32_t pte = (uintptr_t)&pt_a[ENTRY32(VA_A)];

	reset_pages();
	map32(pt_a, VA_A, page[0], PTE_P);
	begin(CR0_PG | CR0_WP, (uintptr_t)pd32, 0, 0);
	add(OP_READ, VA_A, 0);
	add(OP_WRITE, pte, (uintptr_t)page[1] | PTE_P);
	add(OP_INVLPG, VA_A, 0);
	add(OP_READ, VA_A, 0);
	add(OP_WRITE, pte, (uintptr_t)page[2] | PTE_P);
	add(OP_CR3, 0, (uintptr_t)pd32);
	add(OP_READ, VA_A, 0);
	add(OP_WRITE, pte, 0);
	add(OP_INVLPG, VA_A, 0);
	add(OP_READ, VA_A, 0);
	run();
	expect_value(&ops[0], 0xc0de0000);
	expect_value(&ops[3], 0xc0de0001);
	expect_value(&ops[6], 0xc0de0002);
	expect_pf(&ops[9], 0);
}

/* ---- PAE -------------------------------------------------------------------------------- */

static uint64_t *pdpt, *pd[4], *pae_pt;

/* Every quarter has a directory; below 1 GiB all is mapped to itself by 2M pages. */
static void make_tables_pae(void)
{
	pdpt = page_alloc();
	for (unsigned i = 0; i < 4; i++) {
		pd[i] = page_alloc();
		pdpt[i] = (uintptr_t)pd[i] | PTE_P;
	}
	for (unsigned n = 0; n < 512; n++)
		pd[0][n] = n * SIZE_2M | PTE_P | PTE_W | PTE_PS;
	pae_pt = page_alloc();
	pd[VA_A >> 30][VA_A >> 21 & 511] = (uintptr_t)pae_pt | PTE_P | PTE_W;
	pd[VA_B >> 30][VA_B >> 21 & 511] = (uintptr_t)pae_pt | PTE_P | PTE_W;
	pd[VA_LARGE >> 30][VA_LARGE >> 21 & 511] = scratch | PTE_P | PTE_W | PTE_PS;
}

static void test_pae_pages(void)
{
	uint64_t *large = &pd[VA_LARGE >> 30][VA_LARGE >> 21 & 511];

	reset_pages();
	pae_pt[VA_A >> 12 & 511] = (uintptr_t)page[0] | PTE_P | PTE_W;
	pae_pt[VA_B >> 12 & 511] = (uintptr_t)page[1] | PTE_P;
	*large &= ~(PTE_A | PTE_D);
	begin(CR0_PG | CR0_WP, (uintptr_t)pdpt, CR4_PAE, 0);
	add(OP_READ, VA_A, 0);
	add(OP_WRITE, VA_A + 8, 0x9a9a9a9a);
	add(OP_READ, VA_B, 0);
	add(OP_WRITE, VA_B, 0);
	add(OP_READ, VA_LARGE + 2 * PAGE_SIZE, 0);
	add(OP_WRITE, VA_LARGE + SIZE_2M - 4, 0x2b2b2b2b);
	add(OP_READ, VA_NOTHING, 0);
	add_exits();
	run();
	expect_value(&ops[0], 0xc0de0000);
	expect_value(&ops[2], 0xc0de0001);
	expect_pf(&ops[3], 3);
	expect_value(&ops[4], 0xc0de0002);
	expect_pf(&ops[6], 0);
	check_exits(&ops[7]);
	CHECK_EQ(page[0][2], 0x9a9a9a9a);
	CHECK_EQ(*(uint32_t *)(scratch + SIZE_2M - 4), 0x2b2b2b2b);
	CHECK_EQ(pae_pt[VA_A >> 12 & 511] & (PTE_A | PTE_D), PTE_A | PTE_D);
	CHECK_EQ(pae_pt[VA_B >> 12 & 511] & (PTE_A | PTE_D), PTE_A);
	CHECK_EQ(*large & (PTE_A | PTE_D), PTE_A | PTE_D);
}

static void test_pae_no_execute(void)
{
	if (!(rdmsr(MSR_EFER) & EFER_NXE)) {
		ktap_skip("the processor has no NX");
		return;
	}
	pae_pt[VA_A >> 12 & 511] = code_page | PTE_P;
	pae_pt[VA_B >> 12 & 511] = code_page | PTE_P | PTE_NX;
	begin(CR0_PG | CR0_WP, (uintptr_t)pdpt, CR4_PAE, EFER_NXE);
	add(OP_CALL, VA_A, 0);
	add(OP_CALL, VA_B, 0);
	add(OP_READ, VA_B, 0);
	run();
	expect_value(&ops[0], 0x600d600d);
	expect_pf(&ops[1], 0x11);
	CHECK_EQ(ops[1].eip, VA_B);
	expect_value(&ops[2], *(uint32_t *)(uintptr_t)code_page);
}

/* The four PDPTEs are read when CR3 is loaded. */
static void test_pae_pdptes(void)
{
	uint64_t *other = page_alloc();
	uint32_t quarter = VA_A >> 30;

	reset_pages();
	pae_pt[VA_A >> 12 & 511] = (uintptr_t)page[0] | PTE_P | PTE_W;
	memcpy(other, pdpt, 4 * sizeof(uint64_t));
	other[quarter] = 0;
	begin(CR0_PG | CR0_WP, (uintptr_t)pdpt, CR4_PAE, 0);
	add(OP_READ, VA_A, 0);
	add(OP_CR3, 0, (uintptr_t)other);
	add(OP_READ, VA_A, 0);
	add(OP_WRITE, (uintptr_t)&other[quarter], (uint32_t)pdpt[quarter]);
	add(OP_CR3, 0, (uintptr_t)other);
	add(OP_READ, VA_A, 0);
	/* a table that need not lie on a page boundary */
	memcpy(other + 8, pdpt, 4 * sizeof(uint64_t));
	add(OP_CR3, 0, (uintptr_t)(other + 8));
	add(OP_READ, VA_LARGE + PAGE_SIZE, 0);
	run();
	expect_value(&ops[0], 0xc0de0000);
	expect_pf(&ops[2], 0);
	expect_value(&ops[5], 0xc0de0000);
	expect_value(&ops[7], 0xc0de0001);
}

static void test_pae_above_4g(void)
{
	uint64_t high = 0;

	for (unsigned i = 0; i < info.ram_count; i++)
		if (info.ram[i].base + info.ram[i].size > 0x100000000ull + SIZE_2M)
			high = info.ram[i].base + info.ram[i].size - PAGE_SIZE;
	if (!high) {
		ktap_skip("no memory above 4 GiB");
		return;
	}
	high &= ~(PAGE_SIZE - 1);
	pae_pt[VA_A >> 12 & 511] = high | PTE_P | PTE_W;
	begin(CR0_PG | CR0_WP, (uintptr_t)pdpt, CR4_PAE, 0);
	add(OP_WRITE, VA_A + 16, 0x41424344);
	add(OP_READ, VA_A + 16, 0);
	run();
	expect_value(&ops[1], 0x41424344);
	paging_map_high_ram();
	CHECK_EQ(*(uint32_t *)(high + 16), 0x41424344);
}

/* ---- 64-bit ----------------------------------------------------------------------------- */

#define VA64 0x123400000000ul

/* A word through va is the word at pa, and A and D follow the accesses. */
static void check_translation(uint64_t *root, uint64_t va, uint64_t pa, unsigned level)
{
	volatile uint64_t *v = (volatile uint64_t *)va;
	uint64_t *e = paging_entry(root, va, level), size = 1ul << (12 + 9 * (level - 1));

	*e = (pa & ~(size - 1)) | PTE_P | PTE_W | (level > 1 ? PTE_PS : 0);
	invlpg(va);
	*(uint64_t *)pa = 0x1000 + level;
	v = (volatile uint64_t *)(va + (pa & (size - 1)));
	CHECK_EQ(*v, 0x1000 + level);
	CHECK_EQ(*e & (PTE_A | PTE_D), PTE_A);
	*v = 0x2000 + level;
	CHECK_EQ(*(uint64_t *)pa, 0x2000 + level);
	CHECK_EQ(*e & (PTE_A | PTE_D), PTE_A | PTE_D);
	*e = 0;
	invlpg(va);
	TRAP_TRY("movq (%0), %%rax", (), ("c"(v)));
	CHECK_TRAP(VEC_PF, 0);
	CHECK_EQ(trap.cr2, (uintptr_t)v);
}

static void test_4level(void)
{
	uint64_t *root = paging_new_root(), boot = read_cr3();

	write_cr3((uintptr_t)root);
	check_translation(root, VA64 + 0x3000, scratch + 8, 1);
	check_translation(root, VA64 + SIZE_1G, scratch + SIZE_2M + 0x5558, 2);
	if (cpuid(0x80000001, 0).edx & CPUID_80000001_EDX_1G)
		check_translation(root, VA64 + 512 * SIZE_1G, scratch + 0x7770, 3);
	else
		printf("# no 1G pages here\n");
	write_cr3(boot);
}

/* Two roots that map the same address differently, switched many times. */
static void test_4level_roots(void)
{
	uint64_t boot = read_cr3(), *root[2];

	reset_pages();
	for (unsigned i = 0; i < 2; i++) {
		root[i] = paging_new_root();
		paging_map(root[i], VA64, (uintptr_t)page[i], 1, PTE_W);
	}
	for (unsigned i = 0; i < 1000; i++) {
		write_cr3((uintptr_t)root[i & 1]);
		CHECK_EQ(*(volatile uint32_t *)VA64, 0xc0de0000 + (i & 1));
	}
	write_cr3(boot);
}

/* ---- from mode to mode ------------------------------------------------------------------ */

static void test_mode_switches(void)
{
	reset_pages();
	map32(pt_a, VA_A, page[1], PTE_P | PTE_W);
	pae_pt[VA_A >> 12 & 511] = (uintptr_t)page[2] | PTE_P | PTE_W;
	for (unsigned i = 0; i < CYCLES; i++) {
		begin(0, 0, 0, 0);
		add(OP_READ, (uintptr_t)page[0], 0);
		run();
		expect_value(&ops[0], 0xc0de0000);
		begin(CR0_PG | CR0_WP, (uintptr_t)pd32, i & 1 ? CR4_PSE : 0, 0);
		add(OP_READ, VA_A, 0);
		run();
		expect_value(&ops[0], 0xc0de0001);
		begin(CR0_PG | CR0_WP, (uintptr_t)pdpt, CR4_PAE, 0);
		add(OP_READ, VA_A, 0);
		run();
		expect_value(&ops[0], 0xc0de0002);
		CHECK_EQ(read_cr0() & CR0_PG, CR0_PG);
		CHECK(rdmsr(MSR_EFER) & EFER_LMA);
	}
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
}

/* ---- a device ------------------------------------------------------------------------------- */

#define APIC 0xfee00000u
#define APIC_LVT_LINT1 0x360 /* keeps what is written */
#define LVT_MASKED (1u << 16)

/* 32-bit code reaches the local APIC where its own page tables say. */
static void device_at(uint32_t va, uint32_t value)
{
	add(OP_WRITE, va + APIC_LVT_LINT1, value);
	add(OP_READ, va + APIC_LVT_LINT1, 0);
	run();
	CHECK_EQ(ops[0].vector, OP_NO_VECTOR);
	expect_value(&ops[1], value);
	CHECK_EQ(*(volatile uint32_t *)(uintptr_t)(APIC + APIC_LVT_LINT1), value);
}

static void test_device(void)
{
	reset_pages();
	begin(0, 0, 0, 0);
	device_at(APIC, LVT_MASKED | 0x51);
	map32(pt_a, VA_A, (void *)(uintptr_t)APIC, PTE_P | PTE_W);
	begin(CR0_PG | CR0_WP, (uintptr_t)pd32, 0, 0);
	device_at(VA_A, LVT_MASKED | 0x62);
	CHECK_EQ(pt_a[ENTRY32(VA_A)] & (PTE_A | PTE_D), PTE_A | PTE_D);
}

static const struct ktap_test tests[] = {
	KTAP(test_paging_off),
	KTAP(test_2level_4k),
	KTAP(test_2level_write_protect_off),
	KTAP(test_2level_4m),
	KTAP(test_2level_changes),
	KTAP(test_pae_pages),
	KTAP(test_pae_no_execute),
	KTAP(test_pae_pdptes),
	KTAP(test_pae_above_4g),
	KTAP(test_4level),
	KTAP(test_4level_roots),
	KTAP(test_mode_switches),
	KTAP(test_device),
};

int guest_main(void)
{
	/* mov eax, 0x600d600d; ret */
	static const uint8_t code[] = { 0xb8, 0x0d, 0x60, 0x0d, 0x60, 0xc3 };

	scratch = ram_take(SIZE_4M, SIZE_4M);
	if (!scratch || scratch + SIZE_4M > 8 * SIZE_4M)
		guest_die("this kernel needs 4 MiB of free memory below 32 MiB");
	code_page = (uintptr_t)page_alloc();
	memcpy((void *)(uintptr_t)code_page, code, sizeof(code));
	mode_init();
	make_tables32();
	make_tables_pae();
	return KTAP_MAIN(tests);
}
