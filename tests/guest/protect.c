/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Protection: what it forbids arrives as #VE with the right story, changes nothing, and the
 * guest can step over it, allow it, or take it back.
 *
 * how=busy|debug|nopage|lostpage: no test but a guest that must be stopped with a report.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

static struct region region;

static uint64_t page_at(unsigned page)
{
	return region.base + page * PAGE_SIZE;
}

static void check_info(uint64_t gpa, uint64_t access, uint64_t rip)
{
	const uint64_t kinds = PHYLLO_VE_READ | PHYLLO_VE_WRITE | PHYLLO_VE_FETCH | PHYLLO_VE_DATA;

	CHECK_EQ(ve_last.reason, 48);
	CHECK_EQ(ve_last.busy, 0xffffffffu);
	CHECK_EQ(ve_last.gpa, gpa);
	CHECK_EQ(ve_last.access & kinds, access);
	CHECK_EQ(ve_last.rip, rip);
	if (ve_last.access & PHYLLO_VE_GVA)
		CHECK_EQ(ve_last.gva, gpa);
}

static void try_write(uint64_t gpa)
{
	TRAP_TRY("movq %0, (%1)", (), ("r"(0x1234567890abcdefull), "r"(gpa)));
}

static uint64_t try_read(uint64_t gpa)
{
	uint64_t v = 0;

	TRAP_TRY("movq (%1), %0", ("+r"(v)), ("r"(gpa)));
	return v;
}

static void check_write_forbidden(uint64_t gpa)
{
	try_write(gpa);
	CHECK_TRAP(VEC_VE, 0);
	check_info(gpa, PHYLLO_VE_WRITE | PHYLLO_VE_DATA, trap.insn);
}

static void check_read_forbidden(uint64_t gpa)
{
	try_read(gpa);
	CHECK_TRAP(VEC_VE, 0);
	check_info(gpa, PHYLLO_VE_READ | PHYLLO_VE_DATA, trap.insn);
}

static void test_setup_arguments(void)
{
	uint64_t page = (uintptr_t)ve_page;

	CHECK_EQ(hypercall(PHYLLO_HC_VE_SETUP, page + 8, 0, 0, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_VE_SETUP, page, 1, 0, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_VE_SETUP, 1ul << 46, 0, 0, 0), PHYLLO_EFAULT);
	CHECK_EQ(hypercall(PHYLLO_HC_VE_SETUP, PHYLLO_VE_OFF, 0, 0, 0), 0);
	memset(ve_page, 0x55, sizeof(*ve_page));
	CHECK_EQ(hypercall(PHYLLO_HC_VE_SETUP, page, 0, 0, 0), 0);
	CHECK_EQ(ve_page->busy, 0);
}

static void test_read_only(void)
{
	unsigned long before = ve_count;

	CHECK_EQ(protect(region.base, region.pages * PAGE_SIZE, PHYLLO_PROTECT_RO), 0);
	region_verify_all(&region);
	CHECK_EQ(ve_count, before);
	for (unsigned i = 0; i < region.pages; i++)
		check_write_forbidden(page_at(i) + i % 511 * 8);
	CHECK_EQ(ve_count, before + region.pages);
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

static void test_nothing_allowed(void)
{
	CHECK_EQ(protect(region.base, region.pages * PAGE_SIZE,
			 PHYLLO_PROTECT_NONE | PHYLLO_MAY_BLOCK), 0);
	for (unsigned i = 0; i < region.pages; i += 1 + i / 8) {
		check_read_forbidden(page_at(i) + 8);
		check_write_forbidden(page_at(i) + 4088);
	}
	CHECK_EQ(audit(), 0);
	CHECK_EQ(protect(region.base, region.pages * PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
	region_verify_all(&region);
}

static void test_given_back(void)
{
	unsigned long before = ve_count;

	CHECK_EQ(protect(region.base, region.pages * PAGE_SIZE, PHYLLO_PROTECT_RO), 0);
	CHECK_EQ(protect(region.base, region.pages * PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
	for (unsigned i = 0; i < region.pages; i++)
		region_fill(&region, i, random32() | 1);
	region_verify_all(&region);
	CHECK_EQ(ve_count, before);
	CHECK_EQ(audit(), 0);
}

/* One page in the middle of what may be one large mapping: its neighbours stay as they are. */
static void test_single_page(void)
{
	unsigned page = region.pages / 2 + 3;

	CHECK_EQ(protect(page_at(page), PAGE_SIZE, PHYLLO_PROTECT_RO), 0);
	check_write_forbidden(page_at(page));
	region_fill(&region, page - 1, 77);
	region_fill(&region, page + 1, 78);
	check_write_forbidden(page_at(page) + 4088);
	CHECK_EQ(protect(page_at(page), PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
	region_fill(&region, page, 79);
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

/* ---- the handler decides --------------------------------------------------------------- */

#define STORE_LEN 3 /* mov %rax, (%rdi) */

static void store(uint64_t gpa, uint64_t value)
{
	__asm__ volatile(".byte 0x48, 0x89, 0x07" : : "D"(gpa), "a"(value) : "memory");
}

/* No C: what a handler changes meanwhile is memory like any other. */
static void load(uint64_t va)
{
	uint64_t value;

	__asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(va) : "memory");
}

static bool step_over(struct trap_frame *f)
{
	f->rip += STORE_LEN;
	return true;
}

static bool allow_page(struct trap_frame *f)
{
	return protect(ve_last.gpa & ~(PAGE_SIZE - 1), PAGE_SIZE, PHYLLO_PROTECT_RW) == 0;
}

static void test_step_over(void)
{
	unsigned long before = ve_count;

	CHECK_EQ(protect(region.base, region.pages * PAGE_SIZE, PHYLLO_PROTECT_RO), 0);
	ve_hook = step_over;
	for (unsigned i = 0; i < region.pages; i++)
		store(page_at(i) + 16, 0xdead);
	ve_hook = NULL;
	CHECK_EQ(ve_count, before + region.pages);
	region_verify_all(&region);
	CHECK_EQ(protect(region.base, region.pages * PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
}

static void test_allow_and_repeat(void)
{
	unsigned long before = ve_count;

	CHECK_EQ(protect(region.base, region.pages * PAGE_SIZE, PHYLLO_PROTECT_NONE), 0);
	ve_hook = allow_page;
	for (unsigned i = 0; i < region.pages; i++)
		region_fill(&region, i, random32() | 1);
	region_verify_all(&region);
	ve_hook = NULL;
	CHECK_EQ(ve_count, before + region.pages);
	CHECK_EQ(audit(), 0);
}

/* ---- code ---------------------------------------------------------------------------------- */

#define RET 0xc3

static bool return_to_caller(struct trap_frame *f)
{
	f->rip = *(uint64_t *)f->rsp;
	f->rsp += 8;
	return true;
}

static void test_code_page(void)
{
	uint8_t *code = (uint8_t *)page_at(1);
	unsigned long before;

	*code = RET;
	CHECK_EQ(protect(page_at(1), PAGE_SIZE, PHYLLO_PROTECT_RO), 0);
	before = ve_count;
	((void (*)(void))code)();
	CHECK_EQ(ve_count, before);
	check_write_forbidden(page_at(1));
	CHECK_EQ(protect(page_at(1), PAGE_SIZE, PHYLLO_PROTECT_NONE), 0);
	before = ve_count;
	ve_hook = return_to_caller;
	((void (*)(void))code)();
	ve_hook = NULL;
	CHECK_EQ(ve_count, before + 1);
	check_info(page_at(1), PHYLLO_VE_FETCH | PHYLLO_VE_DATA, page_at(1));
	CHECK_EQ(protect(page_at(1), PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
	region_fill(&region, 1, 5);
}

/* ---- it stays with the page ------------------------------------------------------------------ */

static void test_outlives_mappings(void)
{
	CHECK_EQ(protect(region.base, region.pages * PAGE_SIZE, PHYLLO_PROTECT_RO), 0);
	CHECK_EQ(unmap(region.base, region.pages * PAGE_SIZE), 0);
	check_write_forbidden(page_at(0));
	CHECK_EQ(zap_all(), 0);
	check_write_forbidden(page_at(3));
	CHECK(hypercall(PHYLLO_HC_MIGRATE, region.base, 16 * PAGE_SIZE, 0, 0) >= 0);
	check_write_forbidden(page_at(5));
	region_verify_all(&region);
	CHECK_EQ(protect(region.base, region.pages * PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
	CHECK_EQ(audit(), 0);
}

/* The hypervisor may write where the guest may not. */
static void test_hypercall_buffers(void)
{
	struct phyllo_stat *s = (struct phyllo_stat *)page_at(2);
	unsigned long before = ve_count;

	CHECK_EQ(protect(page_at(2), PAGE_SIZE, PHYLLO_PROTECT_RO), 0);
	CHECK(hypercall(PHYLLO_HC_STATS_READ, (uintptr_t)s, PAGE_SIZE, 0, 0) > 0);
	CHECK(s[0].name[0] != 0 && s[0].name[23] == 0);
	CHECK_EQ(ve_count, before);
	CHECK_EQ(protect(page_at(2), PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
	region_fill(&region, 2, 6);
}

/* ---- while something else was going on -------------------------------------------------------- */

static void check_walk(uint64_t va, unsigned how)
{
	uint64_t table = (uintptr_t)paging_entry(boot_pml4, va, 1) & ~(PAGE_SIZE - 1);
	unsigned long before = ve_count;

	CHECK_EQ(protect(table, PAGE_SIZE, how), 0);
	ve_hook = allow_page;
	load(va);
	ve_hook = NULL;
	CHECK_EQ(protect(table, PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
	CHECK_EQ(ve_count, before + 1);
	CHECK_EQ(ve_last.gpa & ~(PAGE_SIZE - 1), table);
	CHECK_EQ(ve_last.access & (PHYLLO_VE_DATA | PHYLLO_VE_FETCH), 0);
}

/*
 * The processor's walk of our own tables reads them, and writes: Accessed.  Bochs does not
 * check the write where the nested tables have no Accessed bits themselves.
 */
static void test_page_table(void)
{
	const uint64_t va = 600ull << 30;
	struct phyllo_mmu_mode mode;
	uint64_t *pte;

	if (mmu_is_shadow()) {
		ktap_skip("the hypervisor walks our tables, and may");
		return;
	}
	mmu_mode(&mode);
	paging_map(boot_pml4, va, page_at(0), 1, PTE_W);
	pte = paging_entry(boot_pml4, va, 1);
	if (mode.flags & PHYLLO_MODE_AD || strcmp(mode.format, "ept"))
		check_walk(va, PHYLLO_PROTECT_RO);
	invlpg(va);
	check_walk(va, PHYLLO_PROTECT_NONE);
	CHECK(*pte & PTE_A);
	*pte = 0;
	invlpg(va);
}

/*
 * Protects the page of the stack and raises an exception right behind the hypercall: nothing
 * else touches the stack in between.  before: instructions that prepare it.
 */
#define RAISE(stack, before, insn)                                                          \
	do {                                                                                \
		uint64_t rax = PHYLLO_HC_PROTECT, rdx = PHYLLO_PROTECT_RO, rcx = PAGE_SIZE; \
		trap_arm();                                                                 \
		__asm__ volatile("movq $771f, trap\n\t"                                     \
				 "movq $772f, trap+8\n\t"                                   \
				 ".byte 0x0f, 0x01, 0xd9\n\t" /* vmmcall */                 \
				 before "\n"                                                \
				 "771:\t" insn "\n"                                         \
				 "772:\tmovq $0, trap+8"                                    \
				 : "+a"(rax), "+d"(rdx), "+c"(rcx)                          \
				 : "b"(stack), "S"(0ul), "D"(NOT_MAPPED)                    \
				 : "memory", "cc");                                         \
	} while (0)
#define NOT_MAPPED (700ull << 30)

static void on_protected_stack(void *arg)
{
	uint64_t stack = *(uint64_t *)arg;
	unsigned long before = ve_count;

	ve_hook = allow_page;
	RAISE(stack, "", "ud2");
	CHECK_TRAP(VEC_UD, 0);
	CHECK_EQ(ve_count, before + 1);
	RAISE(stack, "", "int3");
	CHECK_EQ(trap.vector, VEC_BP);
	CHECK_EQ(trap.count, 1);
	CHECK_EQ(ve_count, before + 2);
	RAISE(stack, "xorl %%ecx, %%ecx", "divl %%ecx");
	CHECK_TRAP(VEC_DE, 0);
	CHECK_EQ(ve_count, before + 3);
	RAISE(stack, "", "movb $1, (%%rdi)");
	CHECK_TRAP(VEC_PF, 2);
	CHECK_EQ(trap.cr2, NOT_MAPPED);
	CHECK_EQ(ve_count, before + 4);
	ve_hook = NULL;
}

/* Exceptions whose frame has to go to a protected stack: #VE first, then the exception itself. */
static void test_exception_delivery(void)
{
	uint64_t stack = page_at(8);

	stack_call(on_protected_stack, &stack, (void *)page_at(9));
	CHECK_EQ(protect(stack, PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
	region_fill(&region, 8, 9);
	CHECK_EQ(audit(), 0);
}

/* ---- what stops the guest ----------------------------------------------------------------------- */

/* The #VE's own frame cannot be pushed: that is the second one while busy is set. */
static void fault_on_protected_stack(void *arg)
{
	RAISE(page_at(8), "", "ud2");
}

static void stop_busy(void)
{
	trap_idt[VEC_VE].ist = 0;
	stack_call(fault_on_protected_stack, NULL, (void *)page_at(9));
}

/*
 * A single step is over when it traps: nothing would raise it again.  TF is set by a POPF that
 * reads the stack only; the step traps behind the NOP.
 */
static void single_step_on_protected_stack(void *arg)
{
	__asm__ volatile("pushfq\n\t"
			 "orq $0x100, (%%rsp)\n\t"
			 ".byte 0x0f, 0x01, 0xd9\n\t" /* vmmcall */
			 "popfq\n\t"
			 "nop\n\t"
			 "nop"
			 : : "a"((uint64_t)PHYLLO_HC_PROTECT), "b"(page_at(8)), "c"(PAGE_SIZE),
			     "d"((uint64_t)PHYLLO_PROTECT_RO), "S"(0ul)
			 : "memory", "cc");
}

static void stop_debug(void)
{
	stack_call(single_step_on_protected_stack, NULL, (void *)page_at(9));
}

static void stop_without_page(void)
{
	hypercall(PHYLLO_HC_VE_SETUP, PHYLLO_VE_OFF, 0, 0, 0);
	protect(page_at(0), PAGE_SIZE, PHYLLO_PROTECT_RO);
	store(page_at(0), 1);
}

/* Its information page is taken away. */
static void stop_lost_page(void)
{
	protect(page_at(0), PAGE_SIZE, PHYLLO_PROTECT_RO);
	hypercall(PHYLLO_HC_BALLOON_OUT, (uintptr_t)ve_page, PAGE_SIZE, 0, 0);
	store(page_at(0), 1);
}

static const struct {
	const char *how;
	void (*fn)(void);
} stops[] = {
	{ "busy", stop_busy },
	{ "debug", stop_debug },
	{ "nopage", stop_without_page },
	{ "lostpage", stop_lost_page },
};

/* Does not come back when the hypervisor does what it should. */
static void maybe_be_stopped(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(stops); i++) {
		if (!info_option_is("how", stops[i].how))
			continue;
		printf("KTAP version 1\n1..1\n# to be stopped: %s\n", stops[i].how);
		stops[i].fn();
		printf("not ok 1 the guest outlived it\n");
		guest_exit(1);
	}
}

static const struct ktap_test tests[] = {
	KTAP(test_setup_arguments),
	KTAP(test_read_only),
	KTAP(test_nothing_allowed),
	KTAP(test_given_back),
	KTAP(test_single_page),
	KTAP(test_step_over),
	KTAP(test_allow_and_repeat),
	KTAP(test_code_page),
	KTAP(test_outlives_mappings),
	KTAP(test_hypercall_buffers),
	KTAP(test_page_table),
	KTAP(test_exception_delivery),
};

int guest_main(void)
{
	uint32_t mib = 4;

	info_number("mib", &mib);
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	region_take(&region, (uint64_t)mib << 20);
	ve_start();
	maybe_be_stopped();
	return KTAP_MAIN(tests);
}
