/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Slots come and go while all processors work on memory beside them, in the manner of KVM's
 * memslot_modification_stress_test.  modifications=N; and those of lib/stress.h.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/stress.h"

#define DUMMY_SLOT (STRESS_SLOT + STRESS_SLOTS_MAX)
#define DUMMY_PAGES 16u
#define STEPS 16u /* of the others, between two modifications */

static uint32_t modifications;
static _Atomic bool done;

static void verify_and_write(unsigned page)
{
	stress_verify(page);
	stress_write(page);
}

/* Fresh each time: zeroes. */
static void use(uint64_t gpa)
{
	for (unsigned i = 0; i < DUMMY_PAGES; i++) {
		volatile uint64_t *word = (volatile uint64_t *)(gpa + i * PAGE_SIZE);

		CPU_CHECK_EQ(*word, 0);
		*word = gpa + i;
	}
}

static void modify(void)
{
	uint64_t end = stress.base + stress_bytes();

	for (unsigned i = 0; i < modifications; i++) {
		uint64_t gpa = end + i % 3 * PAGE_SIZE; /* right behind, and with a gap */

		CPU_CHECK_EQ(slot_create(DUMMY_SLOT, gpa, DUMMY_PAGES * PAGE_SIZE, 0), 0);
		use(gpa);
		CPU_CHECK_EQ(slot_delete(DUMMY_SLOT), 0);
		smp_let_others_step(STEPS);
		if (smp_count == 1)
			for (unsigned n = 0; n < STEPS; n++)
				verify_and_write(cpu_random_below(stress.pages));
	}
}

static void work(void *arg)
{
	stress_each(stress_write);
	if (this_cpu()->id == 0) {
		modify();
		atomic_store(&done, true);
	}
	while (!atomic_load(&done))
		stress_each(verify_and_write);
}

static void test_modifications(void)
{
	unsigned long long backing;

	stress_phase("populate memory", stress_write);
	backing = stat_read("backing_pages");
	stress_phase_job("modifications", work);
	stress_verify_all();
	CHECK_EQ(stat_read("backing_pages"), backing);
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = { KTAP(test_modifications) };

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	modifications = info_number_or("modifications", 200);
	stress_init(16, 1);
	return KTAP_MAIN(tests);
}
