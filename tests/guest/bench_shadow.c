/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a kernel's own work on its page tables costs where they are shadowed (mmu=shadow); elsewhere the same runs,
 * and costs nearly nothing.  Two address spaces, each with four full tables of 4K pages at WINDOW.
 */
#include "tests/guest/lib/bench.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/x86.h"

#define WINDOW 0x8000000000ul /* the second entry of the top table: nothing else is there */
#define PAGES 2048u
#define LEAF (PTE_P | PTE_W | PTE_A | PTE_D)
#define SAMPLES 4096u

struct space {
	uint64_t root;
	uint64_t *pte; /* of WINDOW, all four tables in a row */
	uint64_t memory;
};

static struct space a, other;
static struct bench b;

static void *page_at(unsigned n)
{
	return (void *)(WINDOW + n * PAGE_SIZE);
}

static void touch(unsigned n, uint64_t value)
{
	*(volatile uint64_t *)page_at(n) = value;
}

static uint64_t leaf(const struct space *s, unsigned n)
{
	return (s->memory + n % PAGES * PAGE_SIZE) | LEAF;
}

static void set_pte(uint64_t *pte, uint64_t value)
{
	*(volatile uint64_t *)pte = value;
}

/* A page through the kernel's own mapping of all memory: where a write really went. */
static uint64_t word_of(uint64_t pte)
{
	return *(volatile uint64_t *)(pte & PTE_ADDR);
}

static void touch_all(void)
{
	for (unsigned n = 0; n < PAGES; n++)
		touch(n, n);
}

static void space_reset(struct space *s)
{
	for (unsigned n = 0; n < PAGES; n++)
		set_pte(&s->pte[n], leaf(s, n));
	write_cr3(s->root);
	touch_all();
}

/* Both mapped and touched, the first one loaded. */
static void begin(void)
{
	space_reset(&other);
	space_reset(&a);
}

static void space_make(struct space *s)
{
	uint64_t *root = paging_new_root();
	uint64_t tables = ram_take(PAGES / 512 * PAGE_SIZE, PAGE_SIZE);

	s->memory = ram_take(PAGES * PAGE_SIZE, SIZE_2M);
	if (!tables || !s->memory)
		guest_die("no memory for an address space");
	memset((void *)tables, 0, PAGES / 512 * PAGE_SIZE);
	for (unsigned i = 0; i < PAGES / 512; i++)
		*paging_entry(root, WINDOW + i * SIZE_2M, 2) =
			(tables + i * PAGE_SIZE) | PTE_P | PTE_W | PTE_A;
	s->root = (uintptr_t)root;
	s->pte = (uint64_t *)tables;
}

/* ---- what changes nothing ---------------------------------------------------------------- */

static void test_cr3(void)
{
	begin();
	while (bench_wants(&b)) {
		uint64_t start = rdtsc();

		write_cr3(a.root);
		bench_add(&b, rdtsc() - start);
	}
	bench_say(&b, "shadow.cr3", BENCH_MEDIAN);
}

static void test_switch(void)
{
	begin();
	while (bench_wants(&b)) {
		uint64_t to = b.count % 2 ? a.root : other.root, start = rdtsc();

		write_cr3(to);
		bench_add(&b, rdtsc() - start);
		touch(b.count % PAGES, b.count);
	}
	bench_say(&b, "shadow.switch", BENCH_MEDIAN);
}

static void test_invlpg(void)
{
	begin();
	while (bench_wants(&b)) {
		unsigned n = b.count % PAGES;

		touch(n, n);
		uint64_t start = rdtsc();

		invlpg((uintptr_t)page_at(n));
		bench_add(&b, rdtsc() - start);
	}
	bench_say(&b, "shadow.invlpg", BENCH_MEDIAN);
}

/* ---- tables that change --------------------------------------------------------------------- */

/*
 * One entry of a full table changes, the table being up to date: the write is the first since, and the load of CR3
 * behind it has to find the one entry that differs.
 */
static void test_resync(void)
{
	struct bench write = bench_new(SAMPLES), access = bench_new(SAMPLES);

	begin();
	while (bench_wants(&b)) {
		unsigned n = b.count % PAGES;
		uint64_t to = leaf(&a, n + 1 + b.count / PAGES), t0 = rdtsc(), t1, t2, t3;

		set_pte(&a.pte[n], to);
		t1 = rdtsc();
		write_cr3(a.root);
		t2 = rdtsc();
		touch(n, b.count);
		t3 = rdtsc();
		CHECK_EQ(word_of(to), b.count);
		bench_add(&write, t1 - t0);
		bench_add(&b, t2 - t1);
		bench_add(&access, t3 - t2);
	}
	bench_say(&write, "shadow.pte_write", BENCH_MEDIAN);
	bench_say(&b, "shadow.resync", BENCH_MEDIAN);
	bench_say(&access, "shadow.touch_changed", BENCH_MEDIAN);
}

/* ---- faults that the kernel handles --------------------------------------------------------- */

/* The handler fills in this entry with this value. */
static uint64_t *volatile fill_at __attribute__((used));
static volatile uint64_t fill_with __attribute__((used));
static volatile uint64_t filled __attribute__((used));

/* The shortest one there is: error code away, the entry, INVLPG, return. */
void bench_fault_entry(void);
__asm__(".pushsection .text\n"
	".globl bench_fault_entry\n"
	"bench_fault_entry:\n\t"
	"addq $8, %rsp\n\t"
	"pushq %rax\n\t"
	"pushq %rcx\n\t"
	"movq fill_at, %rax\n\t"
	"movq fill_with, %rcx\n\t"
	"movq %rcx, (%rax)\n\t"
	"movq %cr2, %rax\n\t"
	"invlpg (%rax)\n\t"
	"incq filled\n\t"
	"popq %rcx\n\t"
	"popq %rax\n\t"
	"iretq\n"
	".popsection");

/* A touch of each page in order, each of which faults. */
static void sample_faults(const char *name)
{
	struct idt_gate *gate = &trap_idt[VEC_PF], before = *gate;
	uintptr_t entry = (uintptr_t)bench_fault_entry;

	gate->offset0 = (uint16_t)entry;
	gate->offset16 = (uint16_t)(entry >> 16);
	gate->offset32 = (uint32_t)(entry >> 32);
	filled = 0;
	for (unsigned n = 0; n < PAGES; n++) {
		fill_at = &a.pte[n];
		fill_with = leaf(&a, n + 1);
		uint64_t start = rdtsc();

		touch(n, n);
		bench_add(&b, rdtsc() - start);
	}
	*gate = before;
	CHECK_EQ(filled, PAGES);
	for (unsigned n = 0; n < PAGES; n++)
		CHECK_EQ(word_of(leaf(&a, n + 1)), n);
	bench_say(&b, name, BENCH_MEDIAN);
}

static void change_all(uint64_t clear)
{
	begin();
	for (unsigned n = 0; n < PAGES; n++)
		set_pte(&a.pte[n], a.pte[n] & ~clear);
	write_cr3(a.root);
}

static void test_demand(void)
{
	change_all(~0ul);
	sample_faults("shadow.demand");
}

/* The handler "copies": another page, writable. */
static void test_cow(void)
{
	change_all(PTE_W);
	sample_faults("shadow.cow");
}

static const struct ktap_test tests[] = {
	KTAP(test_cr3),
	KTAP(test_switch),
	KTAP(test_invlpg),
	KTAP(test_resync),
	KTAP(test_demand),
	KTAP(test_cow),
};

int guest_main(void)
{
	space_make(&a);
	space_make(&other);
	b = bench_new(SAMPLES);
	return KTAP_MAIN(tests);
}
