/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory slots made, moved, changed and removed by the guest itself.
 *
 * how=readonly|deleted: no test but a guest that must be stopped.  mib=N: size of the slots.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define ID 3ul
#define PLACE_A 0x80000000ul /* 2M-aligned, above all RAM of this kernel */
#define PLACE_B 0x90200000ul
#define PLACE_ODD 0xa0003000ul /* the same pages cannot be large here */

static uint64_t bytes = 6 * SIZE_2M;
static uint64_t ram_end; /* of the memory the kernel was given */

static uint64_t word_at(uint64_t offset)
{
	return offset * 0x9e3779b97f4a7c15ull ^ 0x5bd1e995;
}

static void fill(uint64_t base)
{
	for (uint64_t o = 0; o < bytes; o += PAGE_SIZE)
		*(volatile uint64_t *)(base + o + o / 512 % 4088 / 8 * 8) = word_at(o);
}

static void check(uint64_t base, bool zero)
{
	for (uint64_t o = 0; o < bytes; o += PAGE_SIZE) {
		uint64_t have = *(volatile uint64_t *)(base + o + o / 512 % 4088 / 8 * 8);
		uint64_t want = zero ? 0 : word_at(o);

		if (have == want)
			continue;
		ktap_fail(__FILE__, __LINE__, "offset 0x%lx holds 0x%lx, not 0x%lx", o, have, want);
		return;
	}
}

/* Can the hypervisor read there for us? */
static long probe(uint64_t gpa)
{
	return hypercall(PHYLLO_HC_TEST_AGE, gpa, PAGE_SIZE, 0, 0);
}

static void check_slot(uint64_t id, uint64_t gpa, uint64_t size, uint64_t flags)
{
	struct phyllo_slot s;

	CHECK_EQ(slot_info(id, &s), 0);
	CHECK_EQ(s.id, id);
	CHECK_EQ(s.gpa, gpa);
	CHECK_EQ(s.bytes, size);
	CHECK_EQ(s.flags, flags);
}

static void test_create_and_delete(void)
{
	unsigned long long backing = stat_read("backing_pages");

	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(probe(PLACE_A), PHYLLO_ENOENT);
		CHECK_EQ(slot_create(ID, PLACE_A, bytes, 0), 0);
		check_slot(ID, PLACE_A, bytes, 0);
		CHECK(probe(PLACE_A) >= 0);
		check(PLACE_A, true);
		fill(PLACE_A);
		check(PLACE_A, false);
		CHECK(stat_read("backing_pages") >= backing + bytes / PAGE_SIZE);
		CHECK_EQ(audit(), 0);
		CHECK_EQ(slot_delete(ID), 0);
		CHECK_EQ(stat_read("backing_pages"), backing);
		CHECK_EQ(slot_delete(ID), PHYLLO_ENOENT);
		CHECK_EQ(audit(), 0);
	}
}

static void test_move_keeps_contents(void)
{
	static const uint64_t places[] = { PLACE_B, PLACE_ODD, PLACE_A, PLACE_ODD, PLACE_B };
	unsigned long long backing;

	CHECK_EQ(slot_create(ID, PLACE_A, bytes, 0), 0);
	fill(PLACE_A);
	backing = stat_read("backing_pages");
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		struct phyllo_slot s;

		CHECK_EQ(slot_info(ID, &s), 0);
		CHECK_EQ(slot_move(ID, places[i]), 0);
		check_slot(ID, places[i], bytes, 0);
		CHECK_EQ(probe(s.gpa), PHYLLO_ENOENT);
		check(places[i], false);
		CHECK_EQ(stat_read("backing_pages"), backing);
		CHECK_EQ(audit(), 0);
	}
	/* To where it is; and by less than its size, which overlaps itself. */
	CHECK_EQ(slot_move(ID, PLACE_B), 0);
	CHECK_EQ(slot_move(ID, PLACE_B + SIZE_2M), 0);
	check(PLACE_B + SIZE_2M, false);
	CHECK_EQ(slot_move(ID, PLACE_B + SIZE_2M - PAGE_SIZE), 0);
	check(PLACE_B + SIZE_2M - PAGE_SIZE, false);
	CHECK_EQ(slot_delete(ID), 0);
	CHECK_EQ(audit(), 0);
}

static void test_read_only(void)
{
	struct phyllo_stat *s = (struct phyllo_stat *)PLACE_A;

	CHECK_EQ(slot_create(ID, PLACE_A, bytes, 0), 0);
	fill(PLACE_A);
	CHECK_EQ(slot_flags(ID, PHYLLO_SLOT_READONLY), 0);
	check_slot(ID, PLACE_A, bytes, PHYLLO_SLOT_READONLY);
	check(PLACE_A, false);
	/* The hypervisor does not write there for us either. */
	CHECK_EQ(hypercall(PHYLLO_HC_STATS_READ, (uintptr_t)s, 4096, 0, 0), PHYLLO_EFAULT);
	CHECK_EQ(hypercall(PHYLLO_HC_MMU_MODE, PLACE_A, sizeof(struct phyllo_mmu_mode), 0, 0),
		 PHYLLO_EFAULT);
	check(PLACE_A, false);
	CHECK_EQ(slot_flags(ID, 0), 0);
	fill(PLACE_A);
	CHECK(hypercall(PHYLLO_HC_STATS_READ, PLACE_A, 4096, 0, 0) > 0);
	CHECK_EQ(slot_delete(ID), 0);
	CHECK_EQ(slot_create(ID, PLACE_A, bytes, PHYLLO_SLOT_READONLY), 0);
	check(PLACE_A, true);
	CHECK_EQ(slot_delete(ID), 0);
	CHECK_EQ(audit(), 0);
}

static void expect_create(uint64_t id, uint64_t gpa, uint64_t size, uint64_t flags, long want)
{
	long ret = slot_create(id, gpa, size, flags);

	if (ret == want)
		return;
	ktap_fail(__FILE__, __LINE__, "slot %lu, 0x%lx bytes at 0x%lx, flags 0x%lx gave %ld, not %ld",
		  id, size, gpa, flags, ret, want);
	if (!ret)
		slot_delete(id);
}

static void test_hostile_create(void)
{
	struct phyllo_mmu_mode mode;

	mmu_mode(&mode);
	CHECK_EQ(slot_create(ID, PLACE_A, bytes, 0), 0);
	expect_create(ID, PLACE_B, PAGE_SIZE, 0, PHYLLO_EEXIST);
	expect_create(0, PLACE_B, PAGE_SIZE, 0, PHYLLO_EEXIST);
	expect_create(ID + 1, PLACE_A, PAGE_SIZE, 0, PHYLLO_EEXIST);
	expect_create(ID + 1, PLACE_A - PAGE_SIZE, 2 * PAGE_SIZE, 0, PHYLLO_EEXIST);
	expect_create(ID + 1, PLACE_A + bytes - PAGE_SIZE, 2 * PAGE_SIZE, 0, PHYLLO_EEXIST);
	expect_create(ID + 1, PLACE_A - PAGE_SIZE, bytes + 2 * PAGE_SIZE, 0, PHYLLO_EEXIST);
	expect_create(ID + 1, 0, PAGE_SIZE, 0, PHYLLO_EEXIST);
	expect_create(PHYLLO_SLOT_IDS, PLACE_B, PAGE_SIZE, 0, PHYLLO_EINVAL);
	expect_create(1ul << 32 | (ID + 1), PLACE_B, PAGE_SIZE, 0, PHYLLO_EINVAL);
	expect_create(~0ul, PLACE_B, PAGE_SIZE, 0, PHYLLO_EINVAL);
	expect_create(ID + 1, PLACE_B, 0, 0, PHYLLO_EINVAL);
	expect_create(ID + 1, PLACE_B + 8, PAGE_SIZE, 0, PHYLLO_EINVAL);
	expect_create(ID + 1, PLACE_B, PAGE_SIZE + 1, 0, PHYLLO_EINVAL);
	expect_create(ID + 1, -PAGE_SIZE, PAGE_SIZE, 0, PHYLLO_EINVAL);
	expect_create(ID + 1, -PAGE_SIZE, 2 * PAGE_SIZE, 0, PHYLLO_EINVAL);
	expect_create(ID + 1, 1ul << mode.physical_bits, PAGE_SIZE, 0, PHYLLO_EINVAL);
	expect_create(ID + 1, (1ul << mode.physical_bits) - PAGE_SIZE, 2 * PAGE_SIZE, 0,
		      PHYLLO_EINVAL);
	expect_create(ID + 1, PLACE_B, 1ul << 45, 0, PHYLLO_EINVAL);
	expect_create(ID + 1, PLACE_B, PAGE_SIZE, 2, PHYLLO_EINVAL);
	expect_create(ID + 1, PLACE_B, PAGE_SIZE, 1ul << 63, PHYLLO_EINVAL);
	CHECK_EQ(slot_delete(ID), 0);
	CHECK_EQ(audit(), 0);
}

static void test_hostile_changes(void)
{
	CHECK_EQ(slot_create(ID, PLACE_A, bytes, 0), 0);
	CHECK_EQ(slot_create(ID + 1, PLACE_B, SIZE_2M, 0), 0);
	fill(PLACE_A);
	CHECK_EQ(slot_move(ID, PLACE_B), PHYLLO_EEXIST);
	CHECK_EQ(slot_move(ID, PLACE_B - bytes + PAGE_SIZE), PHYLLO_EEXIST);
	CHECK_EQ(slot_move(ID, 0), PHYLLO_EEXIST);
	CHECK_EQ(slot_move(ID, PLACE_B + 1), PHYLLO_EINVAL);
	CHECK_EQ(slot_move(ID, -PAGE_SIZE), PHYLLO_EINVAL);
	CHECK_EQ(slot_move(ID, 1ul << 51), PHYLLO_EINVAL);
	CHECK_EQ(slot_move(ID + 2, PLACE_ODD), PHYLLO_ENOENT);
	CHECK_EQ(slot_flags(ID, 2), PHYLLO_EINVAL);
	CHECK_EQ(slot_flags(ID, 1ul << 40), PHYLLO_EINVAL);
	CHECK_EQ(slot_flags(ID + 2, 0), PHYLLO_ENOENT);
	CHECK_EQ(slot_flags(1ul << 32 | ID, 0), PHYLLO_ENOENT);
	CHECK_EQ(slot_delete(ID + 2), PHYLLO_ENOENT);
	CHECK_EQ(slot_delete(~0ul), PHYLLO_ENOENT);
	CHECK_EQ(slot_delete(PHYLLO_SLOT_IDS), PHYLLO_ENOENT);
	check(PLACE_A, false);
	CHECK_EQ(slot_delete(ID + 1), 0);
	CHECK_EQ(slot_delete(ID), 0);
	CHECK_EQ(audit(), 0);
}

/* One page each, with a page between them, until there are no ids left. */
static void test_as_many_as_there_are(void)
{
	struct phyllo_slot s;
	uint64_t made = 0;

	for (uint64_t id = 0; id < PHYLLO_SLOT_IDS; id++) {
		if (!slot_info(id, &s))
			continue;
		CHECK_EQ(slot_create(id, PLACE_A + 2 * id * PAGE_SIZE, PAGE_SIZE, 0), 0);
		*(volatile uint64_t *)(PLACE_A + 2 * id * PAGE_SIZE) = id;
		made++;
	}
	CHECK(made > PHYLLO_SLOT_IDS - 8);
	expect_create(PHYLLO_SLOT_IDS, PLACE_ODD, PAGE_SIZE, 0, PHYLLO_EINVAL);
	CHECK_EQ(audit(), 0);
	for (uint64_t id = PHYLLO_SLOT_IDS; id-- > 0;) {
		if (slot_info(id, &s) || s.gpa < PLACE_A)
			continue;
		CHECK_EQ(*(volatile uint64_t *)s.gpa, id);
		CHECK_EQ(slot_delete(id), 0);
		made--;
	}
	CHECK_EQ(made, 0);
	CHECK_EQ(audit(), 0);
}

/* Two slots that touch are one memory for the calls on ranges. */
static void test_neighbours(void)
{
	CHECK_EQ(slot_create(ID, PLACE_A, bytes, 0), 0);
	CHECK_EQ(slot_create(ID + 1, PLACE_A + bytes, bytes, 0), 0);
	fill(PLACE_A);
	fill(PLACE_A + bytes);
	CHECK_EQ(unmap(PLACE_A + PAGE_SIZE, 2 * bytes - 2 * PAGE_SIZE), 0);
	CHECK_EQ(unmap(PLACE_A, 2 * bytes + PAGE_SIZE), PHYLLO_ENOENT);
	check(PLACE_A, false);
	CHECK_EQ(slot_delete(ID), 0);
	check(PLACE_A + bytes, false);
	CHECK_EQ(slot_delete(ID + 1), 0);
	CHECK_EQ(audit(), 0);
}

/* The kernel's own slot cannot be doubled; its flags and place stay. */
static void test_own_slot(void)
{
	struct phyllo_slot s;

	CHECK_EQ(slot_info(0, &s), 0);
	CHECK_EQ(s.gpa, 0);
	CHECK_EQ(s.bytes, ram_end);
	CHECK_EQ(slot_flags(0, 0), 0);
	expect_create(ID, ram_end - PAGE_SIZE, PAGE_SIZE, 0, PHYLLO_EEXIST);
	expect_create(ID, ram_end, PAGE_SIZE, 0, 0);
	CHECK_EQ(slot_delete(ID), 0);
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_create_and_delete),	KTAP(test_move_keeps_contents),
	KTAP(test_read_only),		KTAP(test_hostile_create),
	KTAP(test_hostile_changes),	KTAP(test_as_many_as_there_are),
	KTAP(test_neighbours),		KTAP(test_own_slot),
};

static void be_stopped(const char *how)
{
	printf("KTAP version 1\n1..1\n# to be stopped: %s\n", how);
	slot_create(ID, PLACE_A, bytes, 0);
	fill(PLACE_A);
	if (!strcmp(how, "readonly"))
		slot_flags(ID, PHYLLO_SLOT_READONLY);
	else
		slot_delete(ID);
	fill(PLACE_A);
	printf("not ok 1 the guest outlived it\n");
	guest_exit(1);
}

int guest_main(void)
{
	uint32_t mib;

	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	if (info_number("mib", &mib))
		bytes = (uint64_t)mib << 20;
	for (unsigned i = 0; i < info.ram_count; i++)
		if (info.ram[i].base + info.ram[i].size > ram_end)
			ram_end = info.ram[i].base + info.ram[i].size;
	if (info_option_is("how", "readonly"))
		be_stopped("readonly");
	if (info_option_is("how", "deleted"))
		be_stopped("deleted");
	return KTAP_MAIN(tests);
}
