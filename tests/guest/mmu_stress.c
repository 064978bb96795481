/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All processors write all of memory (run 1); the MMU's context changes by CR0.WP (reset); again (run 2);
 * everything becomes read-only under their writes, each of which is delivered as #VE and
 * stepped over until every page has had one; all is read (ro), and written again (rw); every
 * other slot is deleted and the first half unmapped while they go on.  In the manner of KVM's
 * mmu_stress_test.
 *
 * mib=N slots=N overlap=on order=random (lib/stress.h)
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/stress.h"
#include "tests/guest/lib/x86.h"

static struct barrier barrier;
static _Atomic bool done; /* number 0 has done to the memory what it was to do */
static unsigned long long backing_before;

/* ---- run 1, reset, run 2 -------------------------------------------------------------------- */

static void test_run_1(void)
{
	stress_generation = 1;
	stress_phase("run 1", stress_write);
	stress_verify_all();
	CHECK(mapped_pages() >= stress.pages);
}

static void toggle_wp(void *arg)
{
	for (unsigned i = 0; i < 64; i++) {
		write_cr0(read_cr0() ^ CR0_WP);
		if (stress.pages / smp_count > this_cpu()->id)
			stress_verify(this_cpu()->id);
	}
}

static void test_reset(void)
{
	stress_phase_job("reset", toggle_wp);
	stress_verify_all();
}

static void test_run_2(void)
{
	stress_generation = 2;
	stress_phase("run 2", stress_write);
	stress_verify_all();
	CHECK_EQ(audit(), 0);
}

/* ---- read-only underway ------------------------------------------------------------------------ */

/* The same value as before: it does not matter which writes arrive. */
static void write_underway(unsigned page)
{
	stress_try_rewrite(page);
}

static void must_fault(unsigned page)
{
	CPU_CHECK(stress_try_write(page, 0xbadul << page % 7));
}

static void protect_underway(void *arg)
{
	stress_step_over();
	barrier_wait(&barrier);
	stress_each(write_underway);
	if (this_cpu()->id == 0) {
		CPU_CHECK_EQ(protect(stress.base, stress_bytes(),
				     PHYLLO_PROTECT_RO | PHYLLO_MAY_BLOCK), 0);
		atomic_store(&done, true);
	}
	while (!atomic_load(&done))
		stress_each(write_underway);
	stress_each(must_fault);
}

static void test_protect_underway(void)
{
	unsigned long faults = 0;

	atomic_store(&done, false);
	stress_phase_job("protect", protect_underway);
	for (unsigned i = 0; i < smp_count; i++)
		faults += smp_cpu[i]->ve_count;
	printf("# %lu writes were stepped over, on %u pages\n", faults, stress.pages);
	CHECK(faults >= stress.pages);
	CHECK_EQ(audit(), 0);
}

static void test_ro(void)
{
	unsigned long before = this_cpu()->ve_count;

	stress_phase("ro", stress_verify);
	stress_verify_all();
	CHECK_EQ(this_cpu()->ve_count, before);
}

static void test_rw(void)
{
	unsigned long before = this_cpu()->ve_count;

	CHECK_EQ(protect(stress.base, stress_bytes(), PHYLLO_PROTECT_RW | PHYLLO_MAY_BLOCK), 0);
	stress_generation = 3;
	stress_phase("rw", stress_write);
	stress_verify_all();
	CHECK_EQ(this_cpu()->ve_count, before);
}

/* ---- the memory goes ----------------------------------------------------------------------------- */

static void verify_and_write(unsigned page)
{
	stress_verify(page);
	stress_rewrite(page);
}

static void delete_and_unmap(void)
{
	uint64_t bytes = stress.slot_pages * PAGE_SIZE;

	for (unsigned i = 1; i < stress.slots; i += 2)
		CPU_CHECK_EQ(slot_delete(STRESS_SLOT + i), 0);
	for (unsigned i = 0; i < (stress.slots + 1) / 2; i += 2)
		CPU_CHECK_EQ(unmap(stress.base + i * bytes, bytes), 0);
}

static void memory_goes(void *arg)
{
	barrier_wait(&barrier);
	stress_each(verify_and_write);
	if (this_cpu()->id == 0) {
		delete_and_unmap();
		atomic_store(&done, true);
	}
	while (!atomic_load(&done))
		stress_each(verify_and_write);
	stress_each(verify_and_write);
}

static void test_delete_and_unmap(void)
{
	unsigned long long gone = stress.slots / 2 * stress.slot_pages;

	backing_before = stat_read("backing_pages");
	stress.avoid = 1;
	for (unsigned page = 0; page < stress.pages; page++)
		stress.state[page] = stress_slot_of(page) % 2;
	atomic_store(&done, false);
	stress_phase_job("delete and unmap", memory_goes);
	stress_verify_all();
	CHECK_EQ(stat_read("backing_pages"), backing_before - gone);
}

static void test_finish(void)
{
	struct phyllo_slot slot;

	for (unsigned i = 0; i < stress.slots; i++)
		CHECK_EQ(slot_info(STRESS_SLOT + i, &slot), i % 2 ? PHYLLO_ENOENT : 0);
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_run_1), KTAP(test_reset), KTAP(test_run_2), KTAP(test_protect_underway),
	KTAP(test_ro),    KTAP(test_rw),    KTAP(test_delete_and_unmap), KTAP(test_finish),
};

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	stress_init(32, 8);
	barrier_init(&barrier, smp_count);
	return KTAP_MAIN(tests);
}
