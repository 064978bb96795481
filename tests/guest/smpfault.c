/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page-fault storms of all processors, on the same pages and on disjoint ones, beside every
 * operation on memory: nothing is lost, nothing appears, and the audit finds no error.
 * mib=N: how much memory, rounds=N: how often, seed=N: other sequences.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/storm.h"
#include "tests/guest/lib/x86.h"

static struct storm storm;
static uint32_t mib, rounds;

/* ---- first touches ---------------------------------------------------------------------- */

static void touch(void *arg)
{
	unsigned id = this_cpu()->id, step = *(unsigned *)arg;

	for (unsigned page = step == 1 ? 0 : id; page < storm.pages; page += step) {
		storm_verify(&storm, page);
		storm_write(&storm, page);
	}
}

/* Everything is unmapped and zero again. */
static void fresh(void)
{
	if (storm.pages)
		CHECK_EQ(slot_delete(STORM_SLOT), 0);
	if (!storm.pages) {
		storm_create(&storm, (uint64_t)mib << 20);
	} else {
		CHECK_EQ(slot_create(STORM_SLOT, STORM_GPA, (uint64_t)mib << 20, 0), 0);
		memset(storm.salts, 0, storm.pages * smp_count * sizeof(*storm.salts));
	}
}

static void first_touches(unsigned step)
{
	for (unsigned i = 0; i < 2 + rounds / 50; i++) {
		fresh();
		smp_run_on_all(touch, &step);
		CHECK_EQ(unmap(STORM_GPA, (uint64_t)mib << 20), 0);
		smp_run_on_all(touch, &step);
		storm_verify_all(&storm);
		smp_report();
	}
	CHECK_EQ(audit(), 0);
}

static void test_same_pages(void)
{
	first_touches(1);
}

static void test_disjoint_pages(void)
{
	first_touches(smp_count);
}

/* ---- beside operations --------------------------------------------------------------------- */

static void test_unmap(void)
{
	storm_beside(&storm, storm_op_unmap, rounds);
}

static void test_zap_all(void)
{
	storm_beside(&storm, storm_op_zap_all, rounds);
}

static void test_age(void)
{
	storm_beside(&storm, storm_op_age, rounds);
}

static void test_protect(void)
{
	storm_beside(&storm, storm_op_protect, rounds);
}

static void test_balloon(void)
{
	storm_beside(&storm, storm_op_balloon, rounds);
}

static void test_migrate(void)
{
	storm_beside(&storm, storm_op_migrate, rounds);
}

static void test_slots(void)
{
	storm_beside(&storm, storm_op_slots, rounds / 4 + 1);
}

static void test_everything(void)
{
	storm_beside(&storm, storm_op_any, 2 * rounds);
}

/* ---- a copy by dirty log ---------------------------------------------------------------------- */

static uint64_t copy_base;
static uint64_t bitmap[256];

/* As live migration does it: what the log names is copied; at the end the copy is the original. */
static void copy_dirty(struct storm *s, unsigned round)
{
	CPU_CHECK(dirty_get(STORM_SLOT, 0, s->pages, bitmap, PHYLLO_DIRTY_GET_CLEAR) >= 0);
	for (unsigned page = 0; page < s->pages; page++)
		if (bit_get(bitmap, page))
			memcpy((void *)(copy_base + page * PAGE_SIZE),
			       (void *)(s->base + page * PAGE_SIZE), PAGE_SIZE);
}

static void check_copy(void)
{
	unsigned lost = 0;

	copy_dirty(&storm, 0);
	for (unsigned page = 0; page < storm.pages; page++)
		lost += memcmp((void *)(copy_base + page * PAGE_SIZE),
			       (void *)(storm.base + page * PAGE_SIZE), PAGE_SIZE) != 0;
	CHECK_EQ(lost, 0);
}

static void test_copy_by_dirty_log(void)
{
	struct phyllo_mmu_mode mode;

	mmu_mode(&mode);
	for (unsigned style = PHYLLO_DIRTY_STYLE_WRPROT; style <= PHYLLO_DIRTY_STYLE_PML; style++) {
		if (!(mode.dirty_styles >> style & 1))
			continue;
		CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, STORM_SLOT, style, PHYLLO_DIRTY_ALL_SET, 0),
			 0);
		storm_beside(&storm, copy_dirty, rounds / 8 + 2);
		check_copy();
		CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_STOP, STORM_SLOT, 0, 0, 0), 0);
	}
}

static const struct ktap_test tests[] = {
	KTAP(test_same_pages), KTAP(test_disjoint_pages), KTAP(test_unmap), KTAP(test_zap_all),
	KTAP(test_age), KTAP(test_protect), KTAP(test_balloon), KTAP(test_migrate),
	KTAP(test_slots), KTAP(test_copy_by_dirty_log), KTAP(test_everything),
};

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	mib = info_number_or("mib", 6);
	rounds = info_number_or("rounds", 200);
	if (!mib || mib * 256 > ARRAY_SIZE(bitmap) * 64)
		guest_die("mib=%u: 1 to 64", mib);
	smp_init();
	smp_start_all();
	copy_base = ram_take((uint64_t)mib << 20, PAGE_SIZE);
	fresh();
	printf("# %u processors, %u MiB, %u rounds\n", smp_count, mib, rounds);
	return KTAP_MAIN(tests);
}
