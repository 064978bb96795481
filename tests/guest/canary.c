/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whose bytes are these?  The kernel marks every word of its memory with its own number and the
 * word's address.  After each operation it looks at all of it: a word is its own mark of that place,
 * or zero where it may be, and never anything of anybody else.
 * id=N: this VM's number, rounds=N: how often, mib=N: at most so much memory.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/x86.h"

#define SLOT 6ul
#define SLOT_GPA 0x90000000ul
#define SLOT_BYTES (64 * PAGE_SIZE)
#define LOW_START 0x1000ul /* where C can look */
#define LOW_END 0x9f000ul

static uint64_t base, bytes; /* the marked part */
static uint32_t id, rounds;
static unsigned long words_seen, zeroes_seen;

static uint64_t mark(uint64_t gpa)
{
	return 0xca00000000000000ull | (uint64_t)(id & 0xffff) << 40 | gpa;
}

static void fill(uint64_t start, uint64_t size)
{
	for (uint64_t gpa = start; gpa < start + size; gpa += 8)
		*(volatile uint64_t *)gpa = mark(gpa);
}

/* false, and the running test has failed, when there is a word that is neither. */
static bool scan(uint64_t start, uint64_t size, bool may_be_zero)
{
	for (uint64_t gpa = start; gpa < start + size; gpa += 8) {
		uint64_t have = *(volatile uint64_t *)gpa;

		words_seen++;
		zeroes_seen += !have;
		if (have == mark(gpa) || (!have && may_be_zero))
			continue;
		ktap_fail(__FILE__, __LINE__, "VM %u, gpa 0x%lx holds 0x%lx", id, gpa, have);
		return false;
	}
	return true;
}

static bool is_kept(uint64_t gpa)
{
	for (unsigned i = 0; i < info.keep_count; i++)
		if (gpa >= info.keep[i].base && gpa < info.keep[i].base + info.keep[i].size)
			return true;
	return false;
}

static void scan_low(void)
{
	for (uint64_t gpa = LOW_START; gpa < LOW_END; gpa += PAGE_SIZE)
		if (!is_kept(gpa))
			scan(gpa, PAGE_SIZE, true);
}

static void scan_free_range(uint64_t start, uint64_t size)
{
	if (start < 0x100000000ull)
		scan(start, size, true);
}

/* What nobody has written yet. */
static void test_fresh(void)
{
	scan_low();
	ram_for_each(scan_free_range);
	scan(base, bytes, true);
	CHECK_EQ(zeroes_seen, words_seen);
}

static void test_marks_stay(void)
{
	fill(base, bytes);
	for (unsigned i = 0; i < 2; i++) {
		unmap(base, bytes);
		scan(base, bytes, false);
		zap_all();
		scan(base, bytes, false);
	}
}

static void random_range(uint64_t *gpa, uint64_t *size)
{
	unsigned page = cpu_random_below(bytes / PAGE_SIZE), n = 1 + cpu_random_below(300);

	if (n > bytes / PAGE_SIZE - page)
		n = bytes / PAGE_SIZE - page;
	*gpa = base + page * PAGE_SIZE;
	*size = n * PAGE_SIZE;
}

/* Pages go back to the host, where others may take them; what comes is zero. */
static void test_balloon(void)
{
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t gpa, size;

		random_range(&gpa, &size);
		CHECK(hypercall(PHYLLO_HC_BALLOON_OUT, gpa, size, i & 1, 0) > 0);
		hypercall(PHYLLO_HC_YIELD, 0, 0, 0, 0);
		CHECK(hypercall(PHYLLO_HC_BALLOON_IN, gpa, size, i & 1, 0) > 0);
		for (uint64_t o = 0; o < size; o += PAGE_SIZE)
			CHECK_EQ(*(volatile uint64_t *)(gpa + o), 0);
		scan(base, bytes, true);
		fill(gpa, size);
	}
	scan(base, bytes, false);
}

static void test_slots(void)
{
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t at = SLOT_GPA + i % 3 * PAGE_SIZE;
		unsigned long zeroes = zeroes_seen;

		CHECK_EQ(slot_create(SLOT, at, SLOT_BYTES, 0), 0);
		scan(at, SLOT_BYTES, true);
		CHECK_EQ(zeroes_seen - zeroes, SLOT_BYTES / 8);
		fill(at, SLOT_BYTES);
		scan(at, SLOT_BYTES, false);
		CHECK_EQ(slot_delete(SLOT), 0);
	}
	scan(base, bytes, false);
}

static void test_migrate(void)
{
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t gpa, size;

		random_range(&gpa, &size);
		CHECK(hypercall(PHYLLO_HC_MIGRATE, gpa, size, i & 1, 0) >= 0);
		scan(gpa, size, false);
	}
	scan(base, bytes, false);
	scan_low();
	ram_for_each(scan_free_range);
	printf("# VM %u: %lu words looked at, %lu of them zero\n", id, words_seen, zeroes_seen);
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_fresh), KTAP(test_marks_stay), KTAP(test_balloon), KTAP(test_slots),
	KTAP(test_migrate),
};

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	id = info_number_or("id", 1);
	rounds = info_number_or("rounds", 20);
	smp_init();
	bytes = (uint64_t)info_number_or("mib", 4) << 20;
	base = ram_take(bytes, SIZE_2M);
	if (!base)
		guest_die("no memory");
	return KTAP_MAIN(tests);
}
