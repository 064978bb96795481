/* SPDX-License-Identifier: GPL-2.0-only */
/* See storm.h. */
#include "tests/guest/lib/storm.h"

#include "tests/guest/lib/x86.h"

#define STEPS_BETWEEN 32u /* of the others, between two operations */
#define OTHER_SLOT 6ul
#define OTHER_PLACES 2

static uint64_t page_at(const struct storm *s, unsigned page)
{
	return s->base + page * PAGE_SIZE;
}

static uint64_t any_base(const struct storm *s)
{
	if (!s->aliases)
		return s->base;
	return s->alias_va + cpu_random_below(s->aliases) * (uint64_t)s->pages * PAGE_SIZE;
}

static volatile uint64_t *lane(const struct storm *s, unsigned page, unsigned cpu)
{
	return (volatile uint64_t *)(any_base(s) + page * PAGE_SIZE + cpu * (PAGE_SIZE / SMP_MAX));
}

static uint32_t *salt_of(struct storm *s, unsigned page, unsigned cpu)
{
	return &s->salts[(size_t)cpu * s->pages + page];
}

static uint64_t value(unsigned page, unsigned cpu, uint32_t salt)
{
	return salt ? ((uint64_t)salt << 32 | page << 8 | cpu) * 0x9e3779b97f4a7c15ull : 0;
}

static bool lane_holds(struct storm *s, unsigned page, unsigned cpu)
{
	uint64_t have = *lane(s, page, cpu);
	uint64_t want = value(page, cpu, *salt_of(s, page, cpu));

	if (have != want)
		cpu_fail(__FILE__, __LINE__, "a page keeps its contents", have, want);
	return have == want;
}

void storm_write(struct storm *s, unsigned page)
{
	unsigned cpu = this_cpu()->id;
	uint32_t salt = (uint32_t)cpu_random() | 1;

	*lane(s, page, cpu) = value(page, cpu, salt);
	*salt_of(s, page, cpu) = salt;
}

bool storm_verify(struct storm *s, unsigned page)
{
	return lane_holds(s, page, this_cpu()->id);
}

void storm_step(struct storm *s)
{
	unsigned page = cpu_random_below(s->pages);

	page -= STORM_RESERVED(page);
	storm_verify(s, page);
	if (cpu_random() >> 63)
		storm_write(s, page);
	atomic_fetch_add_explicit(&this_cpu()->progress, 1, memory_order_relaxed);
}

void storm_verify_all(struct storm *s)
{
	for (unsigned page = 0; page < s->pages; page++)
		for (unsigned cpu = 0; cpu < smp_count && !STORM_RESERVED(page); cpu++)
			if (!lane_holds(s, page, cpu))
				return;
}

void storm_place(struct storm *s, uint64_t base, uint64_t bytes)
{
	uint64_t size = (bytes / PAGE_SIZE * smp_count * 4 + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);

	*s = (struct storm){ .base = base, .pages = bytes / PAGE_SIZE };
	s->salts = (uint32_t *)(uintptr_t)ram_take(size, PAGE_SIZE);
	if (!base || !s->salts)
		guest_die("no memory for a storm on %u pages", s->pages);
	memset(s->salts, 0, size);
	for (unsigned i = 0; i < s->pages; i++)
		for (unsigned cpu = 0; cpu < SMP_MAX; cpu++)
			if (*lane(s, i, cpu))
				guest_die("fresh memory is not zero");
}

void storm_create(struct storm *s, uint64_t bytes)
{
	long ret = slot_create(STORM_SLOT, STORM_GPA, bytes, 0);

	if (ret)
		guest_die("no slot for a storm: %ld", ret);
	storm_place(s, STORM_GPA, bytes);
}

/* ---- beside an operation --------------------------------------------------------------------- */

static void operate(struct storm *s)
{
	for (unsigned round = 0; round < s->rounds; round++) {
		s->op(s, round);
		smp_let_others_step(STEPS_BETWEEN);
		for (unsigned i = 0; i < (smp_count > 1 ? 4 : STEPS_BETWEEN); i++)
			storm_step(s);
	}
	atomic_store(&s->stop, true);
}

static void take_part(void *arg)
{
	struct storm *s = arg;

	cpu_ve_start();
	if (s->root)
		write_cr3(s->root);
	if (this_cpu()->id == 0)
		operate(s);
	else
		while (!atomic_load(&s->stop))
			storm_step(s);
}

void storm_beside(struct storm *s, void (*op)(struct storm *s, unsigned round), unsigned rounds)
{
	s->op = op;
	s->rounds = rounds;
	atomic_store(&s->stop, false);
	smp_run_on_all(take_part, s);
	storm_verify_all(s);
	smp_report();
	CHECK_EQ(audit(), 0);
}

/* ---- operations ------------------------------------------------------------------------------- */

/* Now and then all of it, else up to 64 pages anywhere. */
static void pick_range(const struct storm *s, uint64_t *gpa, uint64_t *bytes)
{
	unsigned page = cpu_random_below(s->pages), n = 1 + cpu_random_below(64);

	if (cpu_random_below(8) == 0) {
		page = 0;
		n = s->pages;
	}
	if (n > s->pages - page)
		n = s->pages - page;
	*gpa = page_at(s, page);
	*bytes = n * PAGE_SIZE;
}

void storm_op_unmap(struct storm *s, unsigned round)
{
	uint64_t gpa, bytes;

	pick_range(s, &gpa, &bytes);
	CPU_CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, gpa, bytes, round & PHYLLO_MAY_BLOCK, 0), 0);
}

void storm_op_zap_all(struct storm *s, unsigned round)
{
	CPU_CHECK_EQ(zap_all(), 0);
}

void storm_op_age(struct storm *s, unsigned round)
{
	uint64_t gpa, bytes;
	long young;

	pick_range(s, &gpa, &bytes);
	young = hypercall(PHYLLO_HC_AGE, gpa, bytes, 0, 0);
	CPU_CHECK(young >= 0 && young <= (long)(bytes / PAGE_SIZE));
	young = hypercall(PHYLLO_HC_TEST_AGE, gpa, bytes, 0, 0);
	CPU_CHECK(young == 0 || young == 1);
}

void storm_op_protect(struct storm *s, unsigned round)
{
	unsigned how = cpu_random() >> 63 ? PHYLLO_PROTECT_RO : PHYLLO_PROTECT_NONE;
	uint64_t gpa, bytes;

	pick_range(s, &gpa, &bytes);
	CPU_CHECK_EQ(protect(gpa, bytes, how | (round & PHYLLO_MAY_BLOCK)), 0);
	CPU_CHECK_EQ(protect(gpa, bytes, PHYLLO_PROTECT_RW), 0);
}

static void balloon_one(struct storm *s, unsigned page, unsigned round)
{
	uint64_t gpa = page_at(s, page);
	volatile uint64_t *p = (volatile uint64_t *)gpa;

	*p = gpa;
	CPU_CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_OUT, gpa, PAGE_SIZE, round & PHYLLO_MAY_BLOCK, 0), 1);
	CPU_CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_IN, gpa, PAGE_SIZE, 0, 0), 1);
	CPU_CHECK_EQ(*p, 0);
}

void storm_op_balloon(struct storm *s, unsigned round)
{
	unsigned page = cpu_random_below(s->pages / 16) * 16 + 15;

	for (unsigned i = 0; i < 4 && page < s->pages; i++, page += 16)
		balloon_one(s, page, round);
}

void storm_op_migrate(struct storm *s, unsigned round)
{
	uint64_t gpa, bytes;
	long moved;

	pick_range(s, &gpa, &bytes);
	moved = hypercall(PHYLLO_HC_MIGRATE, gpa, bytes, round & PHYLLO_MAY_BLOCK, 0);
	CPU_CHECK(moved >= 0 && moved <= (long)(bytes / PAGE_SIZE));
}

static void check_words(uint64_t base, uint64_t bytes, uint64_t key)
{
	for (uint64_t o = 0; o < bytes; o += PAGE_SIZE)
		CPU_CHECK_EQ(*(volatile uint64_t *)(base + o), key ? key + o : 0);
}

void storm_op_slots(struct storm *s, unsigned round)
{
	uint64_t bytes = 24 * PAGE_SIZE, at = 0xa0000000 + (round % 5) * 3 * PAGE_SIZE;
	uint64_t key = cpu_random() | 1;

	CPU_CHECK_EQ(slot_create(OTHER_SLOT, at, bytes, 0), 0);
	check_words(at, bytes, 0);
	for (uint64_t o = 0; o < bytes; o += PAGE_SIZE)
		*(volatile uint64_t *)(at + o) = key + o;
	for (unsigned i = 0; i < OTHER_PLACES; i++) {
		at += SIZE_2M + PAGE_SIZE;
		CPU_CHECK_EQ(slot_move(OTHER_SLOT, at), 0);
		check_words(at, bytes, key);
	}
	CPU_CHECK_EQ(slot_delete(OTHER_SLOT), 0);
}

void storm_op_any(struct storm *s, unsigned round)
{
	static void (*const ops[])(struct storm *, unsigned) = {
		storm_op_unmap,   storm_op_zap_all, storm_op_age,  storm_op_protect,
		storm_op_balloon, storm_op_migrate, storm_op_slots,
	};

	ops[cpu_random_below(ARRAY_SIZE(ops))](s, round);
	if (round % 64 == 63)
		CPU_CHECK_EQ(audit(), 0);
}
