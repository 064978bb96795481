/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs of neighbours against one page after the other: the same random program in two VMs, with each operation
 * on a whole range in the one, and on single pages in the other.  What comes out of each, the leaves
 * that are left, and what pages and logs keep, must be the same.
 */
#include <stdlib.h>
#include <string.h>

#include "hosted.h"
#include "ktap.h"
#include "mm/backing.h"
#include "mm/lock.h"
#include "mm/vm.h"
#include "shadow_guest.h"

#define GVA      0x40000000ul
#define WIDTH    1024ul /* pages mapped from GVA on, and again behind them */
#define HUGE_GFN 512ul  /* 2M that are mapped at HUGE_GVA too; ageing keeps away from it */
#define HUGE_GVA 0x60000000ul
#define PAGES    1024ul
#define PROGRAMS 2u
#define STEPS    25u
#define TRACE    (STEPS + 1)

/* What a step said and left behind. */
struct trace {
	uint64_t result, leaves, pages, counts;
};

static bool singly, log_runs;
static struct trace now;
static uint64_t seed;

static uint64_t random_below(uint64_t n)
{
	seed = seed * 6364136223846793005ul + 1442695040888963407ul;
	return (seed >> 33) % n;
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * 0x9e3779b97f4a7c15ul + (sum >> 29);
}

/* ---- what is there --------------------------------------------------------------------------- */

/* Without the host's address: allocations differ.  In whatever order: rmaps have none. */
static void add_line(void *ctx, const char *line)
{
	const char *pfn = strstr(line, " pfn "), *rest = pfn ? strchr(pfn + 5, ' ') : NULL;
	uint64_t sum = 0, *all = ctx;

	if (!pfn)
		return; /* a shadow page */
	for (const char *c = line; c < pfn; c++)
		sum = mix(sum, (unsigned char)*c);
	for (const char *c = rest ? rest : ""; *c; c++)
		sum = mix(sum, (unsigned char)*c);
	*all += sum;
}

static void look_at_pages(void)
{
	/* A word of 2M says it for all of its pages, and single pages are protected by breaking it. */
	bool each = sg.cfg.max_leaf_level == PG_LEVEL_4K;
	struct backing_page page;

	mmu_glance_lock(sg.vm);
	for (gfn_t gfn = 0; gfn < PAGES; gfn++) {
		int err = backing_lookup(sg.vm, gfn, &page);

		now.pages = mix(now.pages, err ? (uint64_t)-err : each ? page.accessed + 2u * page.dirty : 0);
		now.pages = mix(now.pages, page.access);
	}
	mmu_glance_unlock(sg.vm);
}

static void look(void)
{
	struct mmu_stats s = guest_stats();

	guest_audit();
	mmu_dump(sg.vm, 0, PAGES, add_line, &now.leaves);
	look_at_pages();
	now.counts = mix(mix(mix(s.pages_4k, s.pages_2m), s.zap_leaf), s.age_young);
}

/* ---- the guest -------------------------------------------------------------------------------- */

/* Neighbours, forwards or backwards, and single pages from anywhere. */
static void map_some(gva_t gva)
{
	for (uint64_t i = 0, n; i < WIDTH; i += n) {
		uint64_t gfn = random_below(PAGES), kind = random_below(4);

		n = kind ? 1 + random_below(200) : 1 + random_below(3);
		n = n < WIDTH - i ? n : WIDTH - i;
		for (uint64_t k = 0; k < n; k++) {
			uint64_t page = kind == 3 ? gfn + PAGES - k % PAGES : gfn + k;

			guest_map(gva + (i + k) * PAGE_SIZE, page % PAGES * PAGE_SIZE, 1,
				  P | U | (random_below(8) ? W : 0));
		}
	}
}

static void map_all(void)
{
	sg.running = false;
	map_some(GVA);
	map_some(GVA + WIDTH * PAGE_SIZE);
	if (sg.mode != GUEST_32)
		guest_map(HUGE_GVA, HUGE_GFN * PAGE_SIZE, 2, P | W | U);
	sg.running = true;
	guest_load(&sg.cpu[0], sg.top);
}

/* Neighbours again, most of the time. */
static void touch_some(void)
{
	for (unsigned i = 0; i < 12; i++) {
		uint64_t from = random_below(2 * WIDTH), n = 1 + random_below(150);
		bool write = random_below(3), every = random_below(3);
		uint64_t value = 7;

		for (uint64_t k = 0; k < n && from + k < 2 * WIDTH; k++)
			if (every || random_below(3))
				shadow_cpu_touch(&sg.cpu[0], GVA + (from + k) * PAGE_SIZE,
						 write ? ACC_W : ACC_R, 8, &value);
	}
	if (sg.mode != GUEST_32 && random_below(4) == 0)
		guest_works(HUGE_GVA + random_below(512) * PAGE_SIZE, ACC_W, true);
}

/* ---- operations ---------------------------------------------------------------------------------- */

#define OPS 11u

static uint64_t bitmap[PAGES / 64];

/* Bits of n pages, of which bit 0 is page `first` of all. */
static void keep_bits(uint64_t first, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (bitmap[i / 64] >> (i % 64) & 1)
			now.result += mix(first + i, 77);
}

static void log_op(unsigned op, uint64_t first, uint64_t n)
{
	static uint64_t mask[PAGES / 64];
	uint64_t dirty;

	memset(mask, 0x5a, sizeof(mask));
	if (op == 7 || op == 8) {
		CHECK_EQ(mmu_dirty_get(sg.vm, 0, first, n, op == 7, bitmap, &dirty), 0);
		keep_bits(first, n);
		now.result += dirty;
	} else {
		/* Which pages the mask is about depends on where it begins. */
		mask[0] = singly ? 1 : ~0ul;
		for (unsigned i = 1; i < PAGES / 64; i++)
			mask[i] = ~0ul;
		CHECK_EQ(mmu_dirty_clear(sg.vm, 0, first, n, mask), 0);
	}
}

static void operate(unsigned op, uint64_t first, uint64_t n)
{
	uint64_t value = 0;

	switch (op) {
	case 0:
		CHECK_EQ(mmu_unmap(sg.vm, first, n, 0), 0);
		break;
	case 1:
	case 2:
	case 3:
		CHECK_EQ(mmu_protect(sg.vm, first, n, op == 1 ? 0 : op == 2 ? ACC_R | ACC_X : ACC_RWX,
				     MMU_MAY_BLOCK), 0);
		break;
	case 4:
		CHECK_EQ(mmu_balloon_out(sg.vm, first, n, 0, &value), 0);
		break;
	case 5:
		CHECK_EQ(mmu_balloon_in(sg.vm, first, n, MMU_MAY_BLOCK, &value), 0);
		break;
	case 6:
		CHECK_EQ(mmu_age(sg.vm, first, n, &value), 0);
		break;
	case 10:
		CHECK_EQ(mmu_age_bitmap(sg.vm, first, n, false, bitmap), 0);
		keep_bits(first, n);
		break;
	default:
		log_op(op, first, n);
	}
	now.result += value;
}

static void log_toggle(void)
{
	enum mmu_dirty_style style = sg.cfg.hw_ad && random_below(2) ? MMU_DIRTY_DBIT : MMU_DIRTY_WRPROT;

	CHECK_EQ(log_runs ? mmu_dirty_stop(sg.vm, 0) : mmu_dirty_start(sg.vm, 0, style, 0), 0);
	log_runs = !log_runs;
}

static void step(void)
{
	unsigned op = (unsigned)random_below(OPS);
	bool ages = op == 6 || op == 10;
	uint64_t end = ages ? HUGE_GFN : PAGES, first = random_below(end);
	uint64_t n = 1 + random_below(random_below(2) ? end - first : 70);

	n = n < end - first ? n : end - first;
	if (random_below(6) == 0 || (op >= 7 && op <= 9 && !log_runs))
		log_toggle();
	if (op >= 7 && op <= 9 && !log_runs)
		op = 0;
	/* Rarely so much that little is left. */
	if (op == 1 || op == 4)
		n = 1 + n / 16;
	if (singly)
		for (uint64_t i = 0; i < n; i++)
			operate(op, first + i, 1);
	else
		operate(op, first, n);
}

/* ---- both ---------------------------------------------------------------------------------------------- */

static void run(const struct guest_variant *v, enum guest_mode mode, uint64_t program, bool one_by_one,
		struct trace trace[TRACE])
{
	seed = program;
	singly = one_by_one;
	log_runs = false;
	guest_open(v, mode);
	map_all();
	for (unsigned i = 0; i < STEPS; i++) {
		now = (struct trace){ 0 };
		touch_some();
		step();
		look();
		trace[i] = now;
	}
	/* The slot goes, whatever is in it. */
	now = (struct trace){ 0 };
	CHECK_EQ(mmu_slot_delete(sg.vm, 0), 0);
	look();
	trace[STEPS] = now;
	CHECK_EQ(guest_stats().pages_4k + guest_stats().pages_2m, 0);
	guest_close();
}

static void compare(const struct guest_variant *v, enum guest_mode mode)
{
	static struct trace runs[TRACE], single[TRACE];

	for (uint64_t program = 1; program <= PROGRAMS; program++) {
		run(v, mode, program * 1000 + mode, false, runs);
		run(v, mode, program * 1000 + mode, true, single);
		for (unsigned i = 0; i < TRACE; i++)
			if (memcmp(&runs[i], &single[i], sizeof(runs[i])))
				ktap_fail(__FILE__, __LINE__, "%s, mode %d, program %lu, step %u:%s%s%s%s differ",
					  v->name, mode, program, i,
					  runs[i].result != single[i].result ? " results" : "",
					  runs[i].leaves != single[i].leaves ? " leaves" : "",
					  runs[i].pages != single[i].pages ? " pages" : "",
					  runs[i].counts != single[i].counts ? " counts" : "");
	}
}

static void test_programs(void)
{
	guest_for_each(compare);
}

static const struct ktap_test tests[] = {
	KTAP(test_programs),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
