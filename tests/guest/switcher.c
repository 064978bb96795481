/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Address spaces that are switched thousands of times and edited in between, with the flushes
 * that the architecture demands and without those that it does not.
 * rounds=N: switches, seed=N: other sequences.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/access.h"
#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define SPACES 2u
#define DATA_PAGES 16u
#define VA_PAGES 24u /* pages of each space that are edited, in two tables */
#define VA 0x600000000000ul
#define VA_SHARED (VA + 512 * SIZE_1G) /* one table in both, with other rights above */
#define VA_GLOBAL (VA + 2 * 512 * SIZE_1G)

static struct space space[SPACES];
static unsigned now;
static uint32_t *data[DATA_PAGES];
static uint32_t rounds;

/* Pages 0 to 11 lie in one table, 12 to 23 in another directory's. */
static uint64_t va_of(unsigned page)
{
	return VA + page / 12 * SIZE_1G + page % 12 * 7 * PAGE_SIZE;
}

static uint64_t *entry_of(unsigned s, uint64_t va)
{
	return paging_entry(space[s].root, va, 1);
}

static uint64_t random_entry(void)
{
	uint64_t e = (uintptr_t)data[random32() % DATA_PAGES];

	e |= random32() % 8 ? PTE_P : 0;
	e |= random32() % 4 ? PTE_W : 0;
	e |= random32() % 4 ? PTE_U : 0;
	e |= random32() % 2 ? PTE_A | PTE_D : 0;
	return e;
}

static void go_to(unsigned s)
{
	now = s;
	space_use(&space[s]);
}

static void leave(void)
{
	space_leave();
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
}

static void access_random(uint64_t va)
{
	access_check(va + random32() % 1024 * 4, random32() % 3 ? ACCESS_READ : ACCESS_WRITE,
		     random32() & 1, random32());
}

/* The one that is not in use is edited; the switch is all the flush there is. */
static void test_switch_flushes(void)
{
	for (unsigned i = 0; i < rounds; i++) {
		unsigned other = (now + 1) % SPACES;

		go_to(now);
		*entry_of(other, va_of(i % VA_PAGES)) = random_entry();
		access_random(va_of(random32() % VA_PAGES));
		go_to(other);
		access_random(va_of(i % VA_PAGES));
	}
	leave();
}

/* The one in use, with INVLPG; and entries that were not present, without. */
static void test_edit_in_use(void)
{
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t va = va_of(random32() % VA_PAGES), *e;

		if (i % 8 == 0)
			go_to(random32() % SPACES);
		e = entry_of(now, va);
		if (*e & PTE_P) {
			*e = random_entry();
			invlpg(va);
		} else {
			*e = random_entry();
		}
		access_random(va);
		access_random(va_of(random32() % VA_PAGES));
	}
	leave();
}

/*
 * An entry that points to another page counts from INVLPG on, and before it the old one or the
 * new one; once the new one was seen both are possible still, but nothing else.
 */
static void test_old_or_new(void)
{
	unsigned long seen_old = 0;
	uint64_t va = va_of(3);

	go_to(0);
	for (unsigned i = 0; i < DATA_PAGES; i++)
		data[i][5] = 0x1000 + i;
	for (unsigned i = 0; i < rounds; i++) {
		unsigned from = i % DATA_PAGES, to = (i * 5 + 1) % DATA_PAGES;
		struct access a = { .va = va + 20, .kind = ACCESS_READ };

		*entry_of(0, va) = (uintptr_t)data[from] | PTE_P | PTE_W;
		invlpg(va);
		access_check(va + 20, ACCESS_READ, SUPERVISOR, 0);
		*entry_of(0, va) = (uintptr_t)data[to] | PTE_P | PTE_W;
		access_do(&a);
		CHECK_EQ(a.vector, ACCESS_DONE);
		CHECK(a.value == 0x1000 + from || a.value == 0x1000 + to);
		seen_old += a.value == 0x1000 + from;
		invlpg(va);
		access_check(va + 20, ACCESS_READ, SUPERVISOR, 0);
		CHECK_EQ(access_last.value, 0x1000 + to);
	}
	leave();
	printf("# %lu of %u times the old page before INVLPG\n", seen_old, rounds);
}

/* More rights need no flush: one fault at most says that they are there, and then they are. */
static void test_more_rights(void)
{
	unsigned spurious = 0;

	go_to(0);
	for (unsigned i = 0; i < rounds / 2; i++) {
		uint64_t va = va_of(i % VA_PAGES), *e = entry_of(0, va);
		struct access a = { .va = va, .kind = ACCESS_WRITE, .user = i & 1, .value = i };

		*e = (uintptr_t)data[i % DATA_PAGES] | PTE_P | (i & 2 ? PTE_U : 0);
		invlpg(va);
		access_check(va, ACCESS_READ, SUPERVISOR, 0);
		*e |= PTE_W | PTE_U;
		access_do(&a);
		spurious += a.vector == VEC_PF;
		access_check(va, ACCESS_WRITE, i & 1, i);
	}
	leave();
	printf("# %u of %u times a spurious fault\n", spurious, rounds / 2);
}

/* One table in both spaces; only what is above it differs. */
static void test_shared_table(void)
{
	uint64_t *pt = (uint64_t *)(*paging_entry(space[0].root, VA_SHARED, 2) & PTE_ADDR);

	for (unsigned i = 0; i < rounds / 2; i++) {
		unsigned n = random32() % 8;
		uint64_t above[] = { PTE_W | PTE_U, PTE_U, PTE_W, PTE_U };

		*paging_entry(space[1].root, VA_SHARED, 2) =
			(uintptr_t)pt | PTE_P | above[i / 32 % ARRAY_SIZE(above)];
		pt[n] = random_entry();
		for (unsigned s = 0; s < SPACES; s++) {
			go_to(s);
			access_random(VA_SHARED + n * PAGE_SIZE);
			access_random(VA_SHARED + random32() % 8 * PAGE_SIZE);
		}
	}
	leave();
}

/* Global pages outlive a load of CR3, but neither INVLPG nor CR4.PGE. */
static void test_global_pages(void)
{
	uint64_t cr4 = read_cr4(), *pt;

	pt = (uint64_t *)(*paging_entry(space[0].root, VA_GLOBAL, 2) & PTE_ADDR);
	*paging_entry(space[1].root, VA_GLOBAL, 2) = (uintptr_t)pt | PTE_P | PTE_W | PTE_U;
	go_to(0);
	write_cr4(cr4 | CR4_PGE);
	for (unsigned i = 0; i < rounds / 4; i++) {
		unsigned n = i % 8;
		uint64_t va = VA_GLOBAL + n * PAGE_SIZE;

		pt[n] = random_entry() | PTE_G;
		if (i % 3) {
			invlpg(va);
		} else {
			write_cr4(cr4 & ~CR4_PGE);
			write_cr4(cr4 | CR4_PGE);
		}
		access_random(va);
		go_to(i % SPACES);
		access_random(va);
	}
	/* Without G the same entry is the space's own: */
	for (unsigned n = 0; n < 8; n++)
		pt[n] &= ~PTE_G;
	write_cr4(cr4 & ~CR4_PGE);
	for (unsigned i = 0; i < rounds / 16; i++) {
		pt[i % 8] = random_entry() | PTE_G; /* PGE off: G means nothing */
		go_to(i % SPACES);
		access_random(VA_GLOBAL + i % 8 * PAGE_SIZE);
	}
	write_cr4(cr4);
	leave();
}

/* Directories are exchanged under a space that is in use. */
static void test_upper_edits(void)
{
	uint64_t *e = paging_entry(space[0].root, VA, 2);
	uint64_t tables[2] = { *e & PTE_ADDR, *paging_entry(space[1].root, VA, 2) & PTE_ADDR };

	go_to(0);
	for (unsigned i = 0; i < rounds / 2; i++) {
		*e = tables[random32() & 1] | (random32() % 8 ? PTE_P : 0) |
		     (random32() % 4 ? PTE_W : 0) | (random32() % 4 ? PTE_U : 0);
		if (random32() & 1)
			go_to(0);
		else
			for (unsigned n = 0; n < 12; n++)
				invlpg(va_of(n));
		access_random(va_of(random32() % 12));
		access_random(va_of(random32() % 12));
	}
	*e = tables[0] | PTE_P | PTE_W | PTE_U;
	leave();
	printf("# %lu accesses compared\n", access_checks);
}

static const struct ktap_test tests[] = {
	KTAP(test_switch_flushes), KTAP(test_edit_in_use), KTAP(test_old_or_new),
	KTAP(test_more_rights), KTAP(test_shared_table), KTAP(test_global_pages),
	KTAP(test_upper_edits),
};

int guest_main(void)
{
	rounds = info_number_or("rounds", 4000);
	for (uint32_t n = info_number_or("seed", 0); n; n--)
		random32();
	access_init();
	for (unsigned i = 0; i < DATA_PAGES; i++)
		data[i] = page_alloc();
	for (unsigned s = 0; s < SPACES; s++) {
		space_init(&space[s]);
		for (unsigned i = 0; i < VA_PAGES; i++)
			*entry_of(s, va_of(i)) = random_entry();
		paging_entry(space[s].root, VA_SHARED, 1);
		paging_entry(space[s].root, VA_GLOBAL, 1);
	}
	return KTAP_MAIN(tests);
}
