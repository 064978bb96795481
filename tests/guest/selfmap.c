/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page tables that map themselves: recursive ones, edited through the addresses at which they
 * appear; a table that is its own entry at each level; one that is used at two levels; and tables
 * written by every kind of instruction that kernels use for it.
 * rounds=N: how often.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/access.h"
#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define DATA_PAGES 32u
#define SELF 200ul /* the recursive entry of the top table */
#define VA 0x480000000000ul

static struct space space;
static uint64_t data; /* DATA_PAGES pages, so aligned */
static uint32_t rounds;

static uint64_t data_page(unsigned n)
{
	return data + n % DATA_PAGES * PAGE_SIZE;
}

static void leave(void)
{
	space_leave();
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
}

/* ---- a recursive top table -------------------------------------------------------------- */

/* Where the entry of the given level for va appears: the walk goes through SELF level times. */
static uint64_t appears_at(uint64_t va, unsigned level)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < level; i++)
		at |= SELF << (39 - 9 * i);
	return at | (va >> (12 + 9 * (level - 1)) << 3 & ((1ul << (48 - 9 * level)) - 1));
}

static volatile uint64_t *entry_itself(uint64_t va, unsigned level)
{
	return (volatile uint64_t *)appears_at(va, level);
}

static void check_same(uint64_t va)
{
	for (unsigned level = 1; level <= 4; level++) {
		uint64_t *e = paging_entry(space.root, va, level);

		access_check((uintptr_t)entry_itself(va, level), ACCESS_READ, SUPERVISOR, 0);
		CHECK_EQ(*entry_itself(va, level), *e);
	}
}

static void test_recursive_reads(void)
{
	space_use(&space);
	for (unsigned i = 0; i < 8; i++) {
		uint64_t va = VA + i * 0x12345000ul;

		*paging_entry(space.root, va, 1) = data_page(i) | PTE_P | PTE_W;
		check_same(va);
		access_check(va, ACCESS_WRITE, SUPERVISOR, i);
		check_same(va);
	}
	leave();
}

/* Every level edited by its own address, with the flush that the edit demands. */
static void test_recursive_edits(void)
{
	space_use(&space);
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t va = VA + SIZE_1G + random32() % 64 * PAGE_SIZE;
		unsigned level = 1 + (i % 16 == 3) + 2 * (i % 16 == 7);
		volatile uint64_t *e = entry_itself(va, level);
		uint64_t rights = (random32() % 4 ? PTE_W : 0) | (random32() % 4 ? PTE_P : 0);

		paging_entry(space.root, va, 1); /* there are tables */
		if (level == 1) {
			*e = data_page(random32()) | rights;
			invlpg(va);
		} else {
			*e = (*e & ~(PTE_W | PTE_P)) | rights;
			tlb_flush();
		}
		access_check(va, random32() & 1, SUPERVISOR, random32());
		if (level > 1) {
			/* as long as it is not present its tables do not appear either */
			*e |= PTE_W | PTE_P;
			tlb_flush();
			access_check(va, ACCESS_READ, SUPERVISOR, 0);
		}
	}
	leave();
}

/* The top entry taken away through itself: the tables are gone from sight, the rest stays. */
static void test_recursion_ends(void)
{
	uint64_t self = space.root[SELF];

	space_use(&space);
	*paging_entry(space.root, VA, 1) = data_page(1) | PTE_P | PTE_W;
	for (unsigned i = 0; i < 16; i++) {
		check_same(VA);
		*entry_itself(SELF << 39, 4) = 0;
		tlb_flush();
		access_check((uintptr_t)entry_itself(VA, 1 + i % 4), ACCESS_READ, SUPERVISOR, 0);
		CHECK_EQ(access_last.vector, VEC_PF);
		access_check(VA, ACCESS_WRITE, SUPERVISOR, i);
		space.root[SELF] = self;
	}
	leave();
}

/* ---- a table in its own entry, at each level -------------------------------------------- */

#define OWN 37ul /* the index that leads back */

static void test_own_entry(void)
{
	for (unsigned level = 1; level <= 3; level++) {
		uint64_t va = VA + (8 + level) * 512 * SIZE_1G;
		unsigned shift = 12 + 9 * (level - 1);
		uint64_t *table = paging_entry(space.root, va, level); /* index 0 */

		table[OWN] = (uintptr_t)table | PTE_P | PTE_W | PTE_U;
		space_use(&space);
		for (unsigned i = 0; i < rounds / 8; i++) {
			unsigned n = 40 + random32() % 8;
			uint64_t written = random32() % 8 ? data_page(n) | PTE_P | PTE_W : 0;
			uint64_t at = va;

			/* As a page it is at OWN, OWN … down to the lowest level. */
			for (unsigned l = 0; l < level; l++)
				at += OWN << (shift - 9 * l);
			*(volatile uint64_t *)(at + n * 8) = written;
			if (level == 1)
				invlpg(va + n * PAGE_SIZE);
			else
				tlb_flush();
			CHECK_EQ(table[n], written);
			access_check(at + random32() % 64 * 4 + OWN * 8, ACCESS_READ, USER, 0);
			/* And through itself once more the entry is one of the lowest level. */
			at = va;
			for (unsigned l = 0; l + 1 < level; l++)
				at += OWN << (shift - 9 * l);
			access_check(at + n * PAGE_SIZE, random32() & 1, SUPERVISOR, random32());
		}
		table[OWN] = 0;
		leave();
	}
}

/* ---- one table at two levels ------------------------------------------------------------ */

/* Entries that point to data are pages in one place; in the other the data are tables. */
static void test_two_levels(void)
{
	uint64_t as_pt = VA + 16 * 512 * SIZE_1G, as_pd = as_pt + SIZE_1G;
	uint64_t *pt = paging_entry(space.root, as_pt, 1);

	*paging_entry(space.root, as_pd, 3) = (uintptr_t)pt | PTE_P | PTE_W | PTE_U;
	space_use(&space);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned n = random32() % 8, m = random32() % 8;
		uint64_t in_pt = as_pt + n * PAGE_SIZE + m * 8;
		uint64_t in_pd = as_pd + n * SIZE_2M + m * PAGE_SIZE;

		switch (random32() % 4) {
		case 0:
			pt[n] = data_page(n) | PTE_P | (random32() % 4 ? PTE_W : 0) |
				(random32() % 4 ? PTE_U : 0);
			tlb_flush();
			break;
		case 1: /* a word of the page is an entry of the table */
			if (!(pt[n] & PTE_P) || !(pt[n] & PTE_W))
				break;
			access_check(in_pt + 4, ACCESS_WRITE, SUPERVISOR, 0);
			access_check(in_pt, ACCESS_WRITE, SUPERVISOR,
				     data_page(8 + m + random32() % 8) | PTE_P |
					     (random32() & (PTE_W | PTE_U)));
			tlb_flush();
			break;
		case 2:
			access_check(in_pt, ACCESS_READ, random32() & 1, 0);
			break;
		default:
			access_check(in_pd + 8 * PAGE_SIZE / 8, random32() & 1, random32() & 1,
				     random32());
		}
	}
	leave();
}

/* ---- by every kind of instruction ------------------------------------------------------- */

#define FLAG_CF 1u
#define FLAGS_ALL 0x8c5u /* OF SF ZF PF CF */
#define FLAGS_LOGIC FLAGS_ALL
#define FLAGS_NONE 0u

/* What is left in rax and the flags; p: the entry, a: another valid one, b: what it holds. */
struct outcome {
	uint64_t rax, flags;
};

#define FORM(name, insn)                                                                       \
	static struct outcome name(volatile uint64_t *p, uint64_t a, uint64_t b)               \
	{                                                                                      \
		struct outcome o = { .rax = b };                                               \
		__asm__ volatile("cld\n\tclc\n\t" insn "\n\tpushfq\n\tpopq %1"                 \
				 : "+a"(o.rax), "=&r"(o.flags), "+d"(a), "+D"(p)               \
				 : : "rcx", "rsi", "rbx", "memory", "cc");                     \
		return o;                                                                      \
	}

FORM(mov8, "movb %%dl, (%%rdi)")
FORM(mov16, "movw %%dx, (%%rdi)")
FORM(mov32, "movl %%edx, (%%rdi)")
FORM(mov64, "movq %%rdx, (%%rdi)")
FORM(mov32_upper, "movl $0, 4(%%rdi)")
FORM(mov_imm, "movq $0x402000, (%%rdi)") /* not present */
FORM(mov_sib, "movl $-1, %%ecx\n\tmovslq %%ecx, %%rcx\n\tmovq %%rdx, 8(%%rdi,%%rcx,8)")
FORM(movnti, "movnti %%rdx, (%%rdi)")
FORM(stosq, "movq %%rdx, %%rax\n\tstosq")
FORM(stosd, "movl %%edx, %%eax\n\tstosl")
FORM(rep_stosb, "movl $4, %%ecx\n\txorl %%eax, %%eax\n\trep stosb\n\tmovl %%ecx, %%eax")
FORM(movsq, "pushq %%rdx\n\tmovq %%rsp, %%rsi\n\tmovsq\n\tpopq %%rdx")
FORM(rep_movsb, "pushq %%rdx\n\tmovq %%rsp, %%rsi\n\tmovl $8, %%ecx\n\trep movsb\n\tpopq %%rdx")
FORM(xchg64, "xchgq %%rdx, (%%rdi)\n\tmovq %%rdx, %%rax")
FORM(xchg32, "xchgl %%edx, (%%rdi)\n\tmovq %%rdx, %%rax")
FORM(cmpxchg64, "lock cmpxchgq %%rdx, (%%rdi)")
FORM(cmpxchg32, "lock cmpxchgl %%edx, (%%rdi)")
FORM(cmpxchg_fails, "notq %%rax\n\tlock cmpxchgq %%rdx, (%%rdi)")
FORM(cmpxchg8b, "movq %%rdx, %%rbx\n\tmovq %%rdx, %%rcx\n\tshrq $32, %%rcx\n\tmovq %%rax, %%rdx\n\t"
		"shrq $32, %%rdx\n\tlock cmpxchg8b (%%rdi)")
FORM(cmpxchg16b, "movq %%rdx, %%rbx\n\tmovq 8(%%rdi), %%rdx\n\tmovq %%rdx, %%rcx\n\t"
		 "lock cmpxchg16b (%%rdi)")
FORM(xadd, "movl $0x1000, %%edx\n\tlock xaddq %%rdx, (%%rdi)\n\tmovq %%rdx, %%rax")
FORM(add_imm, "addq $0x1000, (%%rdi)")
FORM(sub_reg, "movl $0x1000, %%edx\n\tlock subq %%rdx, (%%rdi)")
FORM(or_imm8, "lock orb $0x26, (%%rdi)")
FORM(or_imm64, "orq $0x200, (%%rdi)")
FORM(and_imm, "lock andq $-3, (%%rdi)")
FORM(and_imm32, "andl $-5, (%%rdi)")
FORM(xor_reg, "movl $0x406, %%edx\n\tlock xorl %%edx, (%%rdi)")
FORM(bts, "lock btsq $1, (%%rdi)")
FORM(btr, "lock btrq $2, (%%rdi)")
FORM(btc, "btcl $0, (%%rdi)")
FORM(bts_reg, "movl $63, %%edx\n\tlock btsq %%rdx, (%%rdi)")
FORM(incb, "incb 1(%%rdi)")
FORM(decb, "lock decb 1(%%rdi)")
FORM(not_twice, "notq (%%rdi)\n\tlock notq (%%rdi)")
FORM(neg_twice, "negq (%%rdi)\n\tnegq (%%rdi)")
FORM(setcc, "setc 1(%%rdi)")
FORM(adc, "stc\n\tadcl $1, 4(%%rdi)\n\tsubl $2, 4(%%rdi)")
FORM(shift, "shlq $1, (%%rdi)\n\tshrq $1, (%%rdi)")
FORM(push, "movq %%rsp, %%rcx\n\tleaq 8(%%rdi), %%rsp\n\tpushq %%rdx\n\tmovq %%rcx, %%rsp")
FORM(pop, "pushq %%rdx\n\tpopq (%%rdi)")

static const struct form {
	const char *name;
	struct outcome (*fn)(volatile uint64_t *p, uint64_t a, uint64_t b);
	unsigned flags; /* that it defines */
} forms[] = {
#define F(name, flags) { #name, name, flags }
	F(mov8, FLAGS_NONE), F(mov16, FLAGS_NONE), F(mov32, FLAGS_NONE), F(mov64, FLAGS_NONE),
	F(mov32_upper, FLAGS_NONE), F(mov_imm, FLAGS_NONE), F(mov_sib, FLAGS_NONE),
	F(movnti, FLAGS_NONE), F(stosq, FLAGS_NONE), F(stosd, FLAGS_NONE),
	F(rep_stosb, FLAGS_NONE), F(movsq, FLAGS_NONE), F(rep_movsb, FLAGS_NONE),
	F(xchg64, FLAGS_NONE), F(xchg32, FLAGS_NONE), F(cmpxchg64, FLAGS_ALL),
	F(cmpxchg32, FLAGS_ALL), F(cmpxchg_fails, FLAGS_ALL), F(cmpxchg8b, 0x40),
	F(cmpxchg16b, 0x40), F(xadd, FLAGS_ALL), F(add_imm, FLAGS_ALL), F(sub_reg, FLAGS_ALL),
	F(or_imm8, FLAGS_LOGIC), F(or_imm64, FLAGS_LOGIC), F(and_imm, FLAGS_LOGIC),
	F(and_imm32, FLAGS_LOGIC), F(xor_reg, FLAGS_LOGIC), F(bts, FLAG_CF), F(btr, FLAG_CF),
	F(btc, FLAG_CF), F(bts_reg, FLAG_CF), F(incb, FLAGS_ALL), F(decb, FLAGS_ALL),
	F(not_twice, FLAGS_NONE), F(neg_twice, FLAGS_ALL), F(setcc, FLAGS_NONE),
	F(adc, FLAGS_ALL), F(shift, FLAG_CF), F(push, FLAGS_NONE), F(pop, FLAGS_NONE),
#undef F
};

/* The same on a word that is no table's, beside the entry's neighbour, tells what is right. */
static void check_form(const struct form *f, volatile uint64_t *e, volatile uint64_t *known,
		       uint64_t a)
{
	static uint64_t copy[2] __attribute__((aligned(16)));
	struct outcome want, have;

	copy[0] = *known;
	copy[1] = known[1];
	want = f->fn(copy, a, copy[0]);
	have = f->fn(e, a, *known);
	if (*known != copy[0] || known[1] != copy[1] || have.rax != want.rax ||
	    ((have.flags ^ want.flags) & f->flags))
		ktap_fail(__FILE__, __LINE__,
			  "%s: 0x%lx 0x%lx rax 0x%lx flags 0x%lx, not 0x%lx 0x%lx 0x%lx 0x%lx",
			  f->name, *known, known[1], have.rax, have.flags, copy[0], copy[1], want.rax,
			  want.flags);
}

/*
 * e: where the entry for va is written, known: where it lies; it leads to pages from `first` on.
 * Between two instructions the path is used.
 */
static void write_forms(uint64_t va, volatile uint64_t *e, volatile uint64_t *known, uint64_t first)
{
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		const struct form *f = &forms[(i * 7 + random32() % 2) % ARRAY_SIZE(forms)];
		uint64_t rights = random32() & (PTE_W | PTE_U);
		uint64_t a = (first + random32() % 8 * PAGE_SIZE) | PTE_P | rights;

		*known = first | PTE_P | PTE_W | PTE_U;
		tlb_flush();
		access_check(va + 4, ACCESS_WRITE, SUPERVISOR, i);
		check_form(f, e, known, a);
		tlb_flush();
		access_check(va + 4, ACCESS_READ, SUPERVISOR, 0);
		access_check(va + 4, ACCESS_WRITE, USER, random32());
	}
	*known = first | PTE_P | PTE_W | PTE_U;
	tlb_flush();
}

/* Tables that lead to the pages of data, for one level above the lowest. */
static uint64_t make_tables(unsigned level)
{
	uint64_t tables = data;

	for (unsigned l = 1; l < level; l++) {
		uint64_t above = ram_take(16 * PAGE_SIZE, 16 * PAGE_SIZE);

		if (!above)
			guest_die("no memory for tables");
		memset((void *)above, 0, 16 * PAGE_SIZE);
		for (unsigned i = 0; i < 16; i++)
			*(uint64_t *)(above + i * PAGE_SIZE) = (tables + i * PAGE_SIZE) |
							       PTE_P | PTE_W | PTE_U;
		tables = above;
	}
	return tables;
}

static void test_write_forms(void)
{
	for (unsigned level = 1; level <= 3; level++) {
		/* Not the first page: an instruction may take one off the address. */
		uint64_t va = VA + (20 + level) * 512 * SIZE_1G, below = make_tables(level) + PAGE_SIZE;
		volatile uint64_t *e = paging_entry(space.root, va, level);

		space_use(&space);
		for (unsigned i = 0; i < 1 + rounds / 1000; i++) {
			write_forms(va, e, e, below);
			write_forms(va, entry_itself(va, level), e, below);
		}
		leave();
	}
	printf("# %lu accesses compared\n", access_checks);
}

/* A table filled and cleared as a whole while it is in use. */
static void test_whole_table(void)
{
	uint64_t va = VA + 30 * 512 * SIZE_1G, *pt = paging_entry(space.root, va, 1);
	static uint64_t image[512];

	space_use(&space);
	for (unsigned i = 0; i < 1 + rounds / 200; i++) {
		for (unsigned n = 0; n < 512; n++)
			image[n] = random32() % 4 ? data_page(random32()) | PTE_P | PTE_W : 0;
		memcpy(pt, image, PAGE_SIZE);
		tlb_flush();
		for (unsigned n = 0; n < 32; n++)
			access_check(va + random32() % 512 * PAGE_SIZE, n & 1, SUPERVISOR, n);
		memset(pt, 0, PAGE_SIZE);
		tlb_flush();
		access_check(va + random32() % 512 * PAGE_SIZE, ACCESS_READ, SUPERVISOR, 0);
	}
	leave();
}

static const struct ktap_test tests[] = {
	KTAP(test_recursive_reads), KTAP(test_recursive_edits), KTAP(test_recursion_ends),
	KTAP(test_own_entry), KTAP(test_two_levels), KTAP(test_write_forms),
	KTAP(test_whole_table),
};

int guest_main(void)
{
	rounds = info_number_or("rounds", 2000);
	data = ram_take(DATA_PAGES * PAGE_SIZE, DATA_PAGES * PAGE_SIZE);
	if (!data || data >= ACCESS_USER_VA)
		guest_die("no memory");
	memset((void *)data, 0, DATA_PAGES * PAGE_SIZE);
	access_init();
	space_init(&space);
	space.root[SELF] = (uintptr_t)space.root | PTE_P | PTE_W;
	return KTAP_MAIN(tests);
}
