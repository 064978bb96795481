/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What changes of slots cost, in the manner of KVM's memslot_perf_test: map, unmap, unmap chunked, move
 * of an active and of an inactive area, reading and writing.  rounds=N; and those of lib/stress.h.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/stress.h"

#define MOVED_SLOT (STRESS_SLOT + STRESS_SLOTS_MAX)
#define PLACE 0x70000000ul /* and places behind it, up to the stress memory */
#define PLACES 3u

static uint32_t rounds;
static uint64_t moved_bytes;
static _Atomic bool done;

static void each_round(const char *name, void (*op)(unsigned round))
{
	uint64_t begun = stress_begin();

	for (unsigned i = 0; i < rounds; i++)
		op(i);
	stress_end(name, begun);
	smp_report();
	CHECK_EQ(audit(), 0);
}

/* ---- map, unmap, read and write -------------------------------------------------------------- */

static void test_map(void)
{
	stress_phase("map", stress_write);
	stress_verify_all();
	CHECK(mapped_pages() >= stress.pages);
}

static void unmap_slots(unsigned round)
{
	uint64_t bytes = stress.slot_pages * PAGE_SIZE;
	unsigned long long before = mapped_pages();

	for (unsigned i = 0; i < stress.slots; i++)
		CHECK_EQ(unmap(stress.base + i * bytes, bytes), 0);
	CHECK(mapped_pages() <= before - stress.pages);
	stress_generation++;
	stress_run(stress_write);
}

static void test_unmap(void)
{
	each_round("unmap and map", unmap_slots);
	stress_verify_all();
}

/* First every other piece of 2M, then the others. */
static void unmap_chunks(unsigned round)
{
	unsigned long long before = mapped_pages();

	for (unsigned odd = 0; odd < 2; odd++)
		for (uint64_t o = odd * SIZE_2M; o < stress_bytes(); o += 2 * SIZE_2M) {
			uint64_t left = stress_bytes() - o;

			CHECK_EQ(unmap(stress.base + o, left < SIZE_2M ? left : SIZE_2M), 0);
		}
	CHECK(mapped_pages() <= before - stress.pages);
	stress_generation++;
	stress_run(stress_write);
}

static void test_unmap_chunked(void)
{
	each_round("unmap chunked and map", unmap_chunks);
	stress_verify_all();
}

static void test_rw(void)
{
	stress_phase("read", stress_verify);
	stress_phase("write", stress_write);
	stress_verify_all();
}

/* ---- moves ------------------------------------------------------------------------------------- */

static uint64_t moved_to(unsigned round)
{
	return PLACE + round % PLACES * (moved_bytes + PAGE_SIZE);
}

static volatile uint64_t *moved_word(uint64_t gpa, uint64_t offset)
{
	return (volatile uint64_t *)(gpa + offset);
}

static void move(unsigned round)
{
	CPU_CHECK_EQ(slot_move(MOVED_SLOT, moved_to(round)), 0);
}

/* Its pages are in use: read and written at each place. */
static void move_active(unsigned round)
{
	uint64_t gpa = moved_to(round);

	move(round);
	for (uint64_t o = 0; o < moved_bytes; o += PAGE_SIZE) {
		CPU_CHECK_EQ(*moved_word(gpa, o), o ^ round);
		*moved_word(gpa, o) = o ^ (round + 1);
	}
}

static void make_moved(void)
{
	CHECK_EQ(slot_create(MOVED_SLOT, moved_to(PLACES - 1), moved_bytes, 0), 0);
	for (uint64_t o = 0; o < moved_bytes; o += PAGE_SIZE)
		*moved_word(moved_to(PLACES - 1), o) = o;
}

static void verify_and_write(unsigned page)
{
	stress_verify(page);
	stress_write(page);
}

static void moves(void *op)
{
	if (this_cpu()->id == 0) {
		for (unsigned i = 0; i < rounds; i++)
			((void (*)(unsigned))op)(i);
		atomic_store(&done, true);
	}
	while (!atomic_load(&done))
		stress_each(verify_and_write);
}

static void beside_moves(const char *name, void (*op)(unsigned round))
{
	uint64_t begun;

	make_moved();
	atomic_store(&done, false);
	begun = stress_begin();
	smp_run_on_all(moves, op);
	stress_end(name, begun);
	CHECK_EQ(slot_delete(MOVED_SLOT), 0);
	stress_verify_all();
	CHECK_EQ(audit(), 0);
}

static void test_move_active(void)
{
	beside_moves("move active area", move_active);
}

static void test_move_inactive(void)
{
	beside_moves("move inactive area", move);
}

static const struct ktap_test tests[] = {
	KTAP(test_map), KTAP(test_unmap), KTAP(test_unmap_chunked), KTAP(test_rw),
	KTAP(test_move_active), KTAP(test_move_inactive),
};

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	rounds = info_number_or("rounds", 20);
	stress_init(16, 4);
	moved_bytes = stress_bytes() / 4 & ~(PAGE_SIZE - 1);
	if (PLACES * (moved_bytes + PAGE_SIZE) > STRESS_GPA - PLACE)
		guest_die("mib= is too large here");
	return KTAP_MAIN(tests);
}
