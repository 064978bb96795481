/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one processor takes away the others must not have any more when the call returns: no write
 * lands on a page that became read-only, none is lost on a page that moved, nobody reads what is gone.
 * A translation that another processor keeps shows at once.
 * rounds=N: how often.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/x86.h"

#define SLOT 5ul
#define SLOT_GPA 0x80000000ul
#define SLOT_PAGES 512u /* may be one large mapping */
#define LANE (PAGE_SIZE / SMP_MAX / 8) /* words of a page per processor */
#define STILL_CYCLES 3000
#define ENOUGH_CYCLES 30000000000ull

static uint32_t rounds;
static uint64_t begun;
static unsigned rounds_done;
static _Atomic bool stop;
static _Atomic unsigned page_now; /* the others' */

static volatile uint64_t *lane_of(unsigned page, unsigned cpu)
{
	return (volatile uint64_t *)(SLOT_GPA + page * PAGE_SIZE) + cpu * LANE;
}

static uint64_t gpa_of(unsigned page)
{
	return SLOT_GPA + page * PAGE_SIZE;
}

static bool alone(void)
{
	if (smp_count < 2)
		ktap_skip("needs two processors");
	return smp_count < 2;
}

/* So that somebody has the page mapped. */
static void let_others_work(void)
{
	smp_let_others_step(3);
}

/*
 * On a loaded host the processors run one after the other, and a round costs a time slice of
 * each: what ten seconds bring is enough then.
 */
static bool goes_on(unsigned n, unsigned of)
{
	rounds_done = n;
	return n < of && (n < of / 8 || rdtsc() - begun < ENOUGH_CYCLES);
}

static void new_page(unsigned round)
{
	if (round % 1000 == 999)
		printf("# %u rounds\n", round + 1);
	if (round % 64 == 63)
		atomic_store(&page_now, cpu_random_below(SLOT_PAGES));
}

/* ---- writers and a protection -------------------------------------------------------------- */

static void count_up(void)
{
	struct cpu *c = this_cpu();

	cpu_ve_start();
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		++*lane_of(atomic_load_explicit(&page_now, memory_order_relaxed), c->id);
		atomic_fetch_add_explicit(&c->progress, 1, memory_order_relaxed);
	}
}

static void check_still(unsigned page)
{
	uint64_t before[SMP_MAX];

	for (unsigned i = 1; i < smp_count; i++)
		before[i] = *lane_of(page, i);
	irq_spend(STILL_CYCLES);
	for (unsigned i = 1; i < smp_count; i++)
		CPU_CHECK_EQ(*lane_of(page, i), before[i]);
}

static void forbid_writes(void)
{
	for (unsigned n = 0; goes_on(n, rounds); n++) {
		unsigned page = atomic_load(&page_now);
		unsigned flags = n & PHYLLO_MAY_BLOCK;

		let_others_work();
		CPU_CHECK_EQ(protect(gpa_of(page), PAGE_SIZE, PHYLLO_PROTECT_RO | flags), 0);
		check_still(page);
		CPU_CHECK_EQ(protect(gpa_of(page), PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
		new_page(n);
	}
	atomic_store(&stop, true);
}

static void writers(void *arg)
{
	if (this_cpu()->id)
		count_up();
	else
		forbid_writes();
}

static void run(void (*fn)(void *arg), unsigned n)
{
	unsigned long long kicks = stat_read("tlb_kick");

	stop = false;
	begun = rdtsc();
	rounds_done = n;
	smp_run_on_all(fn, NULL);
	CHECK_EQ(audit(), 0);
	if (kicks != STAT_NONE)
		printf("# %u of %u rounds, %llu kicks\n", rounds_done, n, stat_read("tlb_kick") - kicks);
}

static void test_no_write_after_read_only(void)
{
	uint64_t sum = 0;

	if (alone())
		return;
	run(writers, rounds);
	for (unsigned i = 1; i < smp_count; i++)
		sum += smp_cpu[i]->ve_count;
	CHECK(sum > 0);
	printf("# %llu writes were stopped\n", (unsigned long long)sum);
}

/* The whole slot at once, which has large mappings. */
static void forbid_whole(void)
{
	for (unsigned n = 0; goes_on(n, rounds / 8 + 1); n++) {
		let_others_work();
		CPU_CHECK_EQ(protect(SLOT_GPA, SLOT_PAGES * PAGE_SIZE,
				     PHYLLO_PROTECT_RO | (n & PHYLLO_MAY_BLOCK)), 0);
		check_still(atomic_load(&page_now));
		CPU_CHECK_EQ(protect(SLOT_GPA, SLOT_PAGES * PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
		new_page(n);
	}
	atomic_store(&stop, true);
}

static void writers_whole(void *arg)
{
	if (this_cpu()->id)
		count_up();
	else
		forbid_whole();
}

static void test_no_write_large(void)
{
	if (!alone())
		run(writers_whole, rounds / 8 + 1);
}

/* ---- readers and no access ------------------------------------------------------------------ */

static void read_on(void)
{
	struct cpu *c = this_cpu();

	cpu_ve_start();
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		(void)*lane_of(atomic_load_explicit(&page_now, memory_order_relaxed), c->id);
		atomic_fetch_add_explicit(&c->progress, 1, memory_order_relaxed);
	}
}

/* A processor may have read before the call and count it after; but once only. */
static void forbid_reads(void)
{
	uint64_t before[SMP_MAX];

	for (unsigned n = 0; goes_on(n, rounds / 4 + 1); n++) {
		unsigned page = atomic_load(&page_now);

		let_others_work();
		CPU_CHECK_EQ(protect(gpa_of(page), PAGE_SIZE, PHYLLO_PROTECT_NONE), 0);
		for (unsigned i = 1; i < smp_count; i++)
			before[i] = atomic_load(&smp_cpu[i]->progress);
		irq_spend(STILL_CYCLES);
		for (unsigned i = 1; i < smp_count; i++)
			CPU_CHECK(atomic_load(&smp_cpu[i]->progress) - before[i] <= 1);
		CPU_CHECK_EQ(protect(gpa_of(page), PAGE_SIZE, PHYLLO_PROTECT_RW), 0);
		new_page(n);
	}
	atomic_store(&stop, true);
}

static void readers(void *arg)
{
	if (this_cpu()->id)
		read_on();
	else
		forbid_reads();
}

static void test_no_read_after_none(void)
{
	if (!alone())
		run(readers, rounds / 4 + 1);
}

/* ---- pages that move -------------------------------------------------------------------------- */

/* A write through an old translation goes to the old page, and is missing in the new one. */
static void write_and_look(void)
{
	struct cpu *c = this_cpu();
	unsigned page = atomic_load(&page_now);
	uint64_t n = *lane_of(page, c->id);

	cpu_ve_start();
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		CPU_CHECK_EQ(*lane_of(page, c->id), n);
		*lane_of(page, c->id) = ++n;
		atomic_fetch_add_explicit(&c->progress, 1, memory_order_relaxed);
	}
	CPU_CHECK_EQ(*lane_of(page, c->id), n);
}

static void move_about(void)
{
	uint64_t gpa = gpa_of(atomic_load(&page_now));

	for (unsigned n = 0; goes_on(n, rounds / 2 + 1); n++) {
		let_others_work();
		switch (n % 4) {
		case 0:
		case 1:
			CPU_CHECK_EQ(hypercall(PHYLLO_HC_MIGRATE, gpa, PAGE_SIZE, n & 1, 0), 1);
			break;
		case 2:
			CPU_CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, gpa, PAGE_SIZE, 0, 0), 0);
			break;
		default:
			CPU_CHECK_EQ(zap_all(), 0);
		}
	}
	atomic_store(&stop, true);
}

static void movers(void *arg)
{
	if (this_cpu()->id)
		write_and_look();
	else
		move_about();
}

static void test_no_write_is_lost(void)
{
	if (!alone())
		run(movers, rounds / 2 + 1);
}

/* ---- what is gone ------------------------------------------------------------------------------ */

/*
 * Turn by turn, with no exit on the others' side in between: all write, number 0 takes the pages away
 * and gives new ones, all must see zeroes.
 */
static _Atomic unsigned turn;
static _Atomic unsigned wrote;

static void wait_turn(unsigned until)
{
	struct spin s = { .what = "the next turn", .stubborn = smp_count <= 2 };

	while (atomic_load(&turn) < until)
		spin_wait(&s);
}

static void write_then_see_zero(unsigned n)
{
	struct cpu *c = this_cpu();

	for (unsigned i = 0; i < n; i++) {
		volatile uint64_t *p = lane_of(i % 8, c->id);

		*p = 0xdead0000 + i;
		atomic_fetch_add(&wrote, 1);
		wait_turn(2 * i + 1);
		CPU_CHECK_EQ(*p, 0);
		*p = 1; /* on the new page, not the old */
		CPU_CHECK_EQ(*p, 1);
		atomic_fetch_add(&wrote, 1);
		wait_turn(2 * i + 2);
	}
}

static void wait_written(unsigned count)
{
	struct spin s = { .what = "the others' writes" };

	while (atomic_load(&wrote) < count)
		spin_wait(&s);
}

static void replace(unsigned i)
{
	uint64_t gpa = gpa_of(i % 8);

	atomic_fetch_add(&this_cpu()->progress, 1);

	if (i % 16 == 15) {
		CPU_CHECK_EQ(slot_delete(SLOT), 0);
		CPU_CHECK_EQ(slot_create(SLOT, SLOT_GPA, SLOT_PAGES * PAGE_SIZE, 0), 0);
		return;
	}
	CPU_CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_OUT, gpa, PAGE_SIZE, i & 1, 0), 1);
	CPU_CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_IN, gpa, PAGE_SIZE, 0, 0), 1);
}

static void gone(void *arg)
{
	unsigned n = rounds / 4 + 1;

	if (this_cpu()->id) {
		write_then_see_zero(n);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		wait_written((smp_count - 1) * (2 * i + 1));
		replace(i);
		atomic_store(&turn, 2 * i + 1);
		wait_written((smp_count - 1) * (2 * i + 2));
		atomic_store(&turn, 2 * i + 2);
	}
}

static void test_gone_is_gone(void)
{
	if (alone())
		return;
	turn = wrote = 0;
	run(gone, rounds / 4 + 1);
}

/* ---- a clean page ---------------------------------------------------------------------------- */

#define LOGGED_PAGES 4 /* few: each was written, and is cleaned, while another has it in its TLB */

/* A write after the log was read and cleared must be in the log, though the page is still mapped. */
static void dirty_again(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		wait_turn(i + 1);
		++*lane_of(i % LOGGED_PAGES, this_cpu()->id);
		atomic_fetch_add(&wrote, 1);
	}
}

static uint64_t bitmap[SLOT_PAGES / 64];

static void clean_and_look(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned page = i % LOGGED_PAGES;

		atomic_fetch_add(&this_cpu()->progress, 1);
		CPU_CHECK(dirty_get(SLOT, 0, SLOT_PAGES, bitmap, PHYLLO_DIRTY_GET_CLEAR) >= 0);
		atomic_store(&turn, i + 1);
		wait_written((smp_count - 1) * (i + 1));
		CPU_CHECK_EQ(dirty_get(SLOT, page, 1, bitmap, 0), 1);
	}
}

static void logged(void *arg)
{
	unsigned n = rounds / 8 + 1;

	if (this_cpu()->id)
		dirty_again(n);
	else
		clean_and_look(n);
}

static void test_no_write_escapes_the_log(void)
{
	struct phyllo_mmu_mode mode;

	if (alone())
		return;
	mmu_mode(&mode);
	for (unsigned style = PHYLLO_DIRTY_STYLE_WRPROT; style <= PHYLLO_DIRTY_STYLE_PML; style++) {
		if (!(mode.dirty_styles >> style & 1))
			continue;
		turn = wrote = 0;
		CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, SLOT, style, 0, 0), 0);
		run(logged, rounds / 8 + 1);
		CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_STOP, SLOT, 0, 0, 0), 0);
	}
}

static const struct ktap_test tests[] = {
	KTAP(test_no_write_after_read_only), KTAP(test_no_write_large),
	KTAP(test_no_read_after_none), KTAP(test_no_write_is_lost), KTAP(test_gone_is_gone),
	KTAP(test_no_write_escapes_the_log),
};

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	rounds = info_number_or("rounds", 1000);
	smp_init();
	smp_start_all();
	if (slot_create(SLOT, SLOT_GPA, SLOT_PAGES * PAGE_SIZE, 0))
		guest_die("no slot");
	printf("# %u processors, %u rounds\n", smp_count, rounds);
	return KTAP_MAIN(tests);
}
