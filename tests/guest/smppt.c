/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One processor edits page tables while the others use them, and tells them by IPI what to
 * flush, as a kernel does: afterwards nobody reads or writes by the old entry.  And all edit at
 * once, each its own entries of the same tables.
 * rounds=N: edits, seed=N: other sequences.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/access.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/x86.h"

#define VA 0x100000000000ul
#define VA_OWN (VA + 512 * SIZE_1G) /* a table for each processor, in one directory */
#define PAGES 16u
#define FRAMES (PAGES + 8u)
#define VEC_FLUSH 0x51
#define POISON 0xbadbadbadbadbadull
#define STILL_CYCLES 3000
#define LANE (PAGE_SIZE / SMP_MAX / 8) /* words of a page per processor */
#define MAX_BATCH 4u

static struct space space;
static uint64_t *pt;              /* of VA */
static uint64_t *root[SMP_MAX];   /* of the processors, when each has its own */
static uint64_t frames;
static uint32_t rounds;
static _Atomic bool stop, own_roots;
static uint64_t last[SMP_MAX][PAGES]; /* what each wrote last */
static _Atomic uint64_t faults;

/* The flush that everybody is asked for: addresses, or all. */
static struct {
	unsigned count; /* 0: load CR3 */
	uint64_t va[MAX_BATCH];
} request;
static _Atomic unsigned acks;

static uint64_t va_of(unsigned page)
{
	return VA + page * PAGE_SIZE;
}

static uint64_t frame(unsigned n)
{
	return frames + n * PAGE_SIZE;
}

static volatile uint64_t *lane(uint64_t page, unsigned cpu)
{
	return (volatile uint64_t *)page + cpu * LANE;
}

static void flush_as_requested(void)
{
	for (unsigned i = 0; i < request.count; i++)
		invlpg(request.va[i]);
	if (!request.count)
		tlb_flush();
}

static bool (*next_hook)(struct trap_frame *f);

/*
 * Faults in the region are the editor's doing: try again until it is done.  TRAP_TRY is nobody's
 * here.
 */
static bool take_trap(struct trap_frame *f)
{
	uint64_t va;

	if (f->vector == VEC_FLUSH) {
		flush_as_requested();
		atomic_fetch_add(&acks, 1); /* to shoot_down() */
		apic_write(APIC_EOI, 0);
		return true;
	}
	if (f->vector != VEC_PF || !this_cpu()->id)
		return next_hook(f);
	va = read_cr2();
	if (va < VA || va >= VA + PAGES * PAGE_SIZE || f->error & ~(uint64_t)(PF_P | PF_W))
		return next_hook(f);
	if (atomic_fetch_add(&faults, 1) % 64 == 63)
		hypercall(PHYLLO_HC_YIELD, 0, 0, 0, 0);
	/* An IPI must get through, or nobody ends this. */
	sti();
	cli();
	return true;
}

static void shoot_down(unsigned count, const uint64_t *va)
{
	struct spin s = { .what = "the others to flush" };

	request.count = count;
	for (unsigned i = 0; i < count; i++)
		request.va[i] = va[i];
	atomic_store(&acks, 0);
	flush_as_requested();
	apic_send(APIC_TO_OTHERS | VEC_FLUSH);
	while (atomic_load(&acks) < smp_count - 1)
		spin_wait(&s);
}

static void shoot_page(unsigned page)
{
	uint64_t va = va_of(page);

	shoot_down(page % 4 != 3, &va);
}

/* ---- the users -------------------------------------------------------------------------- */

static void begin_use(void)
{
	write_cr3((uintptr_t)(own_roots ? root[this_cpu()->id] : space.root));
}

static void end_use(void)
{
	cli();
	write_cr3((uintptr_t)boot_pml4);
}

/* Each in its lane: what it reads is what it wrote, wherever the page is now. */
static void use_pages(void)
{
	struct cpu *c = this_cpu();

	begin_use();
	sti();
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		unsigned page = cpu_random_below(PAGES);
		volatile uint64_t *p = lane(va_of(page), c->id);

		CPU_CHECK_EQ(*p, last[c->id][page]);
		last[c->id][page] = (uint64_t)c->id << 56 | c->progress;
		*p = last[c->id][page];
		atomic_fetch_add_explicit(&c->progress, 1, memory_order_relaxed);
	}
	end_use();
}

static void let_others_work(void)
{
	smp_let_others_step(4);
}

/* Page n in frame n, poison in the others; nobody has written. */
static void make_pages(void)
{
	memset(last, 0, sizeof(last));
	memset((void *)frames, 0, PAGES * PAGE_SIZE);
	for (unsigned i = 0; i < PAGES; i++)
		pt[i] = frame(i) | PTE_P | PTE_W;
	for (uint64_t *p = (uint64_t *)frame(PAGES); p < (uint64_t *)frame(FRAMES); p++)
		*p = POISON;
}

static void check_poison(uint64_t page)
{
	const volatile uint64_t *p = (const volatile uint64_t *)page;

	for (unsigned i = 0; i < smp_count; i++)
		CPU_CHECK_EQ(p[i * LANE], POISON);
}

static void use_pages_job(void *arg)
{
	use_pages();
}

static void run(void (*editor)(void))
{
	make_pages();
	stop = false;
	faults = 0;
	smp_give(smp_all() & ~1ull, use_pages_job, NULL);
	begin_use();
	editor();
	atomic_store(&stop, true);
	end_use();
	smp_finish(smp_all() & ~1ull);
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
	printf("# %llu page faults of the others\n", (unsigned long long)faults);
}

static bool alone(void)
{
	if (smp_count < 2)
		ktap_skip("needs two processors");
	return smp_count < 2;
}

/* ---- pages that move -------------------------------------------------------------------- */

/* Not present, flush, copy, poison, present: nothing is lost and nothing goes to the old frame. */
static void migrate_pages(void)
{
	uint64_t spare = frame(PAGES);

	for (unsigned i = 0; i < rounds; i++) {
		unsigned page = cpu_random_below(PAGES);
		uint64_t old = pt[page] & PTE_ADDR;

		let_others_work();
		pt[page] = 0;
		shoot_page(page);
		check_poison(spare);
		memcpy((void *)spare, (void *)old, PAGE_SIZE);
		for (unsigned w = 0; w < PAGE_SIZE / 8; w++)
			((volatile uint64_t *)old)[w] = POISON;
		pt[page] = spare | PTE_P | PTE_W; /* nobody can have it cached: no flush */
		spare = old;
	}
	check_poison(spare);
}

static void test_pages_move(void)
{
	if (!alone())
		run(migrate_pages);
}

/* The same while each processor has a top table of its own over shared ones. */
static void test_own_roots(void)
{
	if (alone())
		return;
	own_roots = true;
	run(migrate_pages);
	own_roots = false;
}

/* ---- pages that become read-only -------------------------------------------------------- */

static void write_protect(void)
{
	for (unsigned i = 0; i < rounds; i++) {
		unsigned page = cpu_random_below(PAGES);
		uint64_t before[SMP_MAX], where = pt[page] & PTE_ADDR;

		let_others_work();
		__atomic_fetch_and(&pt[page], ~PTE_W, __ATOMIC_SEQ_CST);
		shoot_page(page);
		for (unsigned c = 1; c < smp_count; c++)
			before[c] = *lane(where, c);
		irq_spend(STILL_CYCLES);
		for (unsigned c = 1; c < smp_count; c++)
			CPU_CHECK_EQ(*lane(where, c), before[c]);
		__atomic_fetch_or(&pt[page], PTE_W, __ATOMIC_SEQ_CST);
	}
}

static void test_write_protection(void)
{
	if (alone())
		return;
	run(write_protect);
	CHECK(faults > 0);
}

/* ---- Dirty ------------------------------------------------------------------------------ */

/* A page that changes after its Dirty was cleared and flushed has it set again. */
static void clear_dirty(void)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < rounds; i++) {
		unsigned page = cpu_random_below(PAGES);
		uint64_t before[SMP_MAX], where = pt[page] & PTE_ADDR, e;
		bool changed = false;

		__atomic_fetch_and(&pt[page], ~(PTE_D | PTE_A), __ATOMIC_SEQ_CST);
		shoot_page(page);
		for (unsigned c = 1; c < smp_count; c++)
			before[c] = *lane(where, c);
		let_others_work();
		for (unsigned c = 1; c < smp_count; c++)
			changed |= *lane(where, c) != before[c];
		e = __atomic_load_n(&pt[page], __ATOMIC_SEQ_CST);
		if (changed)
			CPU_CHECK_EQ(e & (PTE_D | PTE_A), PTE_D | PTE_A);
		seen += changed;
	}
	printf("# %u of %u pages were written after their Dirty was cleared\n", seen, rounds);
}

static void test_dirty(void)
{
	if (!alone())
		run(clear_dirty);
}

/* ---- directories ------------------------------------------------------------------------ */

/* The whole table goes and another with the same entries comes; with a load of CR3 as the flush. */
static void exchange_tables(void)
{
	uint64_t *pde = paging_entry(space.root, VA, 2), *table[2] = { pt, page_alloc() };

	for (unsigned i = 0; i < rounds / 4 + 1; i++) {
		uint64_t *from = table[i & 1], *to = table[~i & 1];

		let_others_work();
		if (i & 2) {
			__atomic_store_n(pde, 0, __ATOMIC_SEQ_CST);
			shoot_down(0, NULL);
		}
		for (unsigned n = 0; n < 512; n++)
			to[n] = from[n] & ~(PTE_A | PTE_D);
		__atomic_store_n(pde, (uintptr_t)to | PTE_P | PTE_W, __ATOMIC_SEQ_CST);
		shoot_down(0, NULL);
		/* the old one is nobody's now */
		for (unsigned n = 0; n < PAGES; n++)
			from[n] = frame(PAGES) | PTE_P | PTE_W;
		check_poison(frame(PAGES));
		for (unsigned n = 0; n < PAGES; n++)
			from[n] = to[n];
	}
	*pde = (uintptr_t)pt | PTE_P | PTE_W | PTE_U;
	shoot_down(0, NULL);
}

static void test_tables_change(void)
{
	if (!alone())
		run(exchange_tables);
}

/* ---- all edit at once ------------------------------------------------------------------- */

static uint64_t own_frames; /* OWN_FRAMES for each */
#define OWN_FRAMES 4u
#define COUNTERS 8u
static uint64_t *counters[2];     /* entries that are not present, in a table and in a directory */

/* Its own table, in the directory of all; and counts in entries of tables that all use. */
static void edit_own(void *arg)
{
	struct cpu *c = this_cpu();
	uint64_t va = VA_OWN + c->id * SIZE_2M;
	uint64_t *own = paging_entry(space.root, va, 1), *dir = paging_entry(space.root, va, 2);
	uint64_t mine = own_frames + c->id * OWN_FRAMES * PAGE_SIZE, keep = *dir;

	begin_use();
	for (unsigned i = 0; i < rounds; i++) {
		unsigned n = cpu_random_below(32), f = cpu_random_below(OWN_FRAMES);

		*lane(mine + f * PAGE_SIZE, 0) = (uint64_t)c->id << 32 | i;
		own[n] = (mine + f * PAGE_SIZE) | PTE_P | PTE_W;
		invlpg(va + n * PAGE_SIZE);
		CPU_CHECK_EQ(*lane(va + n * PAGE_SIZE, 0), (uint64_t)c->id << 32 | i);
		*lane(va + n * PAGE_SIZE, 1) = i;
		CPU_CHECK_EQ(*lane(mine + f * PAGE_SIZE, 1), i);
		CPU_CHECK_EQ(own[n] & (PTE_A | PTE_D), PTE_A | PTE_D);
		if (i % 16 == 0) {
			*dir = 0;
			tlb_flush();
			*dir = keep;
		}
		for (unsigned t = 0; t < 2; t++)
			__atomic_fetch_add(&counters[t][i % COUNTERS], 2, __ATOMIC_SEQ_CST);
		atomic_fetch_add_explicit(&c->progress, 1, memory_order_relaxed);
	}
	end_use();
}

static void test_all_edit(void)
{
	uint64_t sum[2] = { 0, 0 };

	for (unsigned i = 0; i < smp_count; i++)
		paging_entry(space.root, VA_OWN + i * SIZE_2M, 1);
	counters[0] = &pt[256];
	counters[1] = paging_entry(space.root, VA_OWN, 2) + 256;
	for (unsigned t = 0; t < 2; t++)
		memset(counters[t], 0, COUNTERS * 8);
	smp_run_on_all(edit_own, NULL);
	for (unsigned i = 0; i < COUNTERS; i++)
		for (unsigned t = 0; t < 2; t++)
			sum[t] += counters[t][i];
	CHECK_EQ(sum[0], 2ull * rounds * smp_count);
	CHECK_EQ(sum[1], 2ull * rounds * smp_count);
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_pages_move), KTAP(test_own_roots), KTAP(test_write_protection), KTAP(test_dirty),
	KTAP(test_tables_change), KTAP(test_all_edit),
};

int guest_main(void)
{
	rounds = info_number_or("rounds", 60);
	smp_init();
	smp_start_all();
	next_hook = trap_hook;
	trap_hook = take_trap;
	frames = ram_take(FRAMES * PAGE_SIZE, PAGE_SIZE);
	own_frames = ram_take(smp_count * OWN_FRAMES * PAGE_SIZE, PAGE_SIZE);
	if (!frames || !own_frames)
		guest_die("no memory");
	space_init(&space);
	space_map_4g(&space);
	pt = paging_entry(space.root, VA, 1);
	for (unsigned i = 0; i < smp_count; i++) {
		root[i] = page_alloc();
		memcpy(root[i], space.root, PAGE_SIZE);
	}
	printf("# %u processors, %u rounds\n", smp_count, rounds);
	return KTAP_MAIN(tests);
}
