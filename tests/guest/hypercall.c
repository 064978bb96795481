/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hypercalls with hostile arguments: each must be refused with the documented code and
 * change nothing.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/region.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/x86.h"

#define OTHER_VM 77ul

void hypercall_regs(uint64_t regs[16], bool vmcall); /* trap_entry.asm */

static struct region region;
static uint32_t rounds = 20000; /* rounds=N: of random arguments */
static uint64_t memory_end; /* behind the highest RAM */

/* The calls on ranges, with what they need in rdx, and whether they may block. */
static const struct range_call {
	uint32_t nr, rdx;
	bool may_block;
} range_calls[] = {
	{ PHYLLO_HC_BALLOON_OUT, 0, true },
	{ PHYLLO_HC_BALLOON_IN, 0, true },
	{ PHYLLO_HC_UNMAP, 0, true },
	{ PHYLLO_HC_MIGRATE, 0, true },
	{ PHYLLO_HC_PROTECT, PHYLLO_PROTECT_RO, true },
	{ PHYLLO_HC_AGE, 0, false },
	{ PHYLLO_HC_TEST_AGE, 0, false },
};

/* What a refused call must leave as it was. */
struct snapshot {
	unsigned long long backing, ballooned;
};

static struct snapshot snapshot_take(void)
{
	return (struct snapshot){ stat_read("backing_pages"), stat_read("ballooned_pages") };
}

static void snapshot_check(const struct snapshot *before)
{
	struct snapshot now = snapshot_take();

	CHECK_EQ(now.backing, before->backing);
	CHECK_EQ(now.ballooned, before->ballooned);
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

static void test_version(void)
{
	if (!ktap_need_phyllo())
		return;
	CHECK_EQ(hypercall(PHYLLO_HC_VERSION, 0, 0, 0, 0), PHYLLO_ABI_VERSION);
	CHECK_EQ(hypercall(PHYLLO_HC_VERSION, ~0ul, ~0ul, ~0ul, ~0ul), PHYLLO_ABI_VERSION);
	CHECK_EQ(hypercall(PHYLLO_HC_FEATURES, ~0ul, ~0ul, ~0ul, ~0ul) & PHYLLO_FEATURE_AUDIT,
		 PHYLLO_FEATURE_AUDIT);
}

static void test_both_instructions(void)
{
	if (!ktap_need_phyllo())
		return;
	for (unsigned i = 0; i < 100; i++) {
		CHECK_EQ(hypercall_by(false, PHYLLO_HC_VERSION, 0, 0, 0, 0), PHYLLO_ABI_VERSION);
		CHECK_EQ(hypercall_by(true, PHYLLO_HC_VERSION, 0, 0, 0, 0), PHYLLO_ABI_VERSION);
	}
}

static void test_unknown_numbers(void)
{
	static const uint64_t numbers[] = {
		0, 1, 5, 11, ~0ul, PHYLLO_HC_BASE - 1, PHYLLO_HC_BASE + PHYLLO_HC_COUNT,
		PHYLLO_HC_BASE + 0xffff, 1ul << 31,
		1ul << 32 | PHYLLO_HC_VERSION, 1ul << 63 | PHYLLO_HC_VERSION,
	};

	if (!ktap_need_phyllo())
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
		CHECK_EQ(hypercall_by(false, numbers[i], 0, 0, 0, 0), PHYLLO_ENOSYS);
		CHECK_EQ(hypercall_by(true, numbers[i], 0, 0, 0, 0), PHYLLO_ENOSYS);
	}
}

static void check_registers(uint64_t nr, bool vmcall)
{
	uint64_t regs[16], want[16];

	for (unsigned i = 0; i < 16; i++)
		regs[i] = 0x0123456789abcdefull * (i + 3);
	regs[0] = nr;
	regs[6] = 0; /* rsi: this VM */
	memcpy(want, regs, sizeof(want));
	hypercall_regs(regs, vmcall);
	for (unsigned i = 1; i < 16; i++)
		if (i != 4 && regs[i] != want[i])
			ktap_fail(__FILE__, __LINE__, "call 0x%lx: register %u is 0x%lx, not 0x%lx",
				  nr, i, regs[i], want[i]);
	CHECK_EQ(regs[4] & RFLAGS_CF, 0); /* cmp of 0 or 1 with 0 */
	CHECK_EQ(regs[4] >> 6 & 1, !vmcall); /* ZF */
}

static void test_registers_survive(void)
{
	if (!ktap_need_phyllo())
		return;
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned nr = PHYLLO_HC_VERSION; nr < PHYLLO_HC_BASE + PHYLLO_HC_COUNT; nr++)
			if (nr != PHYLLO_HC_EXIT)
				check_registers(nr, i);
		check_registers(12345, i);
	}
}

struct bad_range {
	uint64_t gpa, size, flags, vm;
	long want;
};

static void report_call(uint64_t nr, const struct bad_range *b, long ret)
{
	ktap_fail(__FILE__, __LINE__, "call 0x%lx (0x%lx, 0x%lx, 0x%lx, 0x%lx) gave %ld, not %ld",
		  nr, b->gpa, b->size, b->flags, b->vm, ret, b->want);
}

static void check_range(const struct range_call *c, const struct bad_range *b)
{
	struct bad_range want = *b;
	long ret = hypercall(c->nr, b->gpa, b->size, b->flags | c->rdx, b->vm);

	/* A flag that the call does not know comes before what is wrong with the range. */
	if (!c->may_block && b->flags && want.want == PHYLLO_ENOENT)
		want.want = PHYLLO_EINVAL;
	if (ret != want.want)
		report_call(c->nr, &want, ret);
}

static void check_ranges(const struct bad_range *list, unsigned count)
{
	struct snapshot before = snapshot_take();

	for (unsigned i = 0; i < count; i++) {
		const struct bad_range *b = &list[i];

		for (unsigned c = 0; c < ARRAY_SIZE(range_calls); c++)
			check_range(&range_calls[c], b);
	}
	snapshot_check(&before);
}

static void test_malformed_ranges(void)
{
	uint64_t base = region.base, page = PAGE_SIZE;
	const struct bad_range list[] = {
		{ base, 0, 0, 0, PHYLLO_EINVAL },
		{ base + 1, page, 0, 0, PHYLLO_EINVAL },
		{ base + 2048, page, 0, 0, PHYLLO_EINVAL },
		{ base, page - 1, 0, 0, PHYLLO_EINVAL },
		{ base, 1, 0, 0, PHYLLO_EINVAL },
		{ base, page, 2, 0, PHYLLO_EINVAL },
		{ base, page, 1ul << 63, 0, PHYLLO_EINVAL },
		{ base, page, 1ul << 32 | 1, 0, PHYLLO_EINVAL },
		{ base, page, ~0ul, 0, PHYLLO_EINVAL },
		{ base, -base, 0, 0, PHYLLO_EINVAL },
		{ base, -page, 0, 0, PHYLLO_EINVAL },
		{ -page, page, 0, 0, PHYLLO_EINVAL },
		{ -page, 2 * page, 0, 0, PHYLLO_EINVAL },
		{ 1ul << 63, 1ul << 63, 0, 0, PHYLLO_EINVAL },
		{ ~0ul, ~0ul, ~0ul, 0, PHYLLO_EINVAL },
	};

	if (ktap_need_phyllo())
		check_ranges(list, ARRAY_SIZE(list));
}

static void test_ranges_outside_memory(void)
{
	uint64_t page = PAGE_SIZE;
	const struct bad_range list[] = {
		{ memory_end, page, 0, 0, PHYLLO_ENOENT },
		{ memory_end - page, 2 * page, 0, 0, PHYLLO_ENOENT },
		{ memory_end - page, 2 * page, 1, 0, PHYLLO_ENOENT },
		{ region.base, memory_end, 0, 0, PHYLLO_ENOENT },
		{ 0, memory_end + page, 0, 0, PHYLLO_ENOENT },
		{ 1ul << 40, page, 0, 0, PHYLLO_ENOENT },
		{ 0, 1ul << 62, 0, 0, PHYLLO_ENOENT },
		{ region.base, 1ul << 52, 0, 0, PHYLLO_ENOENT },
	};

	if (ktap_need_phyllo())
		check_ranges(list, ARRAY_SIZE(list));
}

static void test_other_vm(void)
{
	uint64_t page = PAGE_SIZE;
	const struct bad_range list[] = {
		{ region.base, page, 0, OTHER_VM, PHYLLO_EPERM },
		{ region.base, page, 1, ~0ul, PHYLLO_EPERM },
		{ region.base, page, 0, 1ul << 32, PHYLLO_EPERM },
		{ region.base, page, 0, 1ul << 63, PHYLLO_EPERM },
	};
	struct phyllo_stat stat;

	if (!ktap_need_phyllo())
		return;
	check_ranges(list, ARRAY_SIZE(list));
	CHECK_EQ(hypercall(PHYLLO_HC_AUDIT, 0, 0, 0, OTHER_VM), PHYLLO_EPERM);
	CHECK_EQ(hypercall(PHYLLO_HC_STATS_READ, (uintptr_t)&stat, sizeof(stat), 0, OTHER_VM),
		 PHYLLO_EPERM);
}

static void test_console_arguments(void)
{
	static const char text[] = "# written by hypercall\n";
	uint64_t gpa = (uintptr_t)text;

	if (!ktap_need_phyllo())
		return;
	console_flush();
	CHECK_EQ(hypercall(PHYLLO_HC_CONSOLE_WRITE, gpa, sizeof(text) - 1, 0, 0), sizeof(text) - 1);
	CHECK_EQ(hypercall(PHYLLO_HC_CONSOLE_WRITE, gpa, PHYLLO_CONSOLE_MAX + 1, 0, 0),
		 PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_CONSOLE_WRITE, gpa, ~0ul, 0, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_CONSOLE_WRITE, gpa, 1ul << 32 | 1, 0, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_CONSOLE_WRITE, memory_end, 1, 0, 0), PHYLLO_EFAULT);
	CHECK_EQ(hypercall(PHYLLO_HC_CONSOLE_WRITE, memory_end - 8, 16, 0, 0), PHYLLO_EFAULT);
	CHECK_EQ(hypercall(PHYLLO_HC_CONSOLE_WRITE, 1ul << 52, 16, 0, 0), PHYLLO_EFAULT);
	CHECK(hypercall(PHYLLO_HC_CONSOLE_WRITE, -8ul, 16, 0, 0) < 0);
}

static void test_stats_arguments(void)
{
	static struct phyllo_stat s[128];
	struct snapshot before;
	long count;

	if (!ktap_need_phyllo())
		return;
	before = snapshot_take();
	count = hypercall(PHYLLO_HC_STATS_READ, 0, 0, 0, 0);
	CHECK(count > 10 && count < (long)ARRAY_SIZE(s) - 1);
	/* Only as many as fit are written, and nothing behind them. */
	memset(s, 0xee, sizeof(s));
	CHECK_EQ(hypercall(PHYLLO_HC_STATS_READ, (uintptr_t)s, sizeof(s[0]) * 2 + 31, 0, 0), count);
	CHECK(strlen(s[0].name) < sizeof(s[0].name) && strlen(s[1].name) < sizeof(s[1].name));
	CHECK_EQ((unsigned char)s[2].name[0], 0xee);
	CHECK_EQ(hypercall(PHYLLO_HC_STATS_READ, (uintptr_t)s, sizeof(s), 0, 0), count);
	CHECK_EQ((unsigned char)s[count].name[0], 0xee);
	CHECK_EQ(hypercall(PHYLLO_HC_STATS_READ, (uintptr_t)s, sizeof(s), 1, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_STATS_READ, memory_end, sizeof(s), 0, 0), PHYLLO_EFAULT);
	CHECK_EQ(hypercall(PHYLLO_HC_STATS_READ, memory_end - 40, sizeof(s), 0, 0), PHYLLO_EFAULT);
	CHECK(hypercall(PHYLLO_HC_STATS_READ, -64ul, sizeof(s), 0, 0) < 0);
	snapshot_check(&before);
}

static struct {
	uint64_t nr;
	bool vmcall;
	long result;
} user_job;

static void user_hypercall(void *arg)
{
	user_job.result = hypercall_by(user_job.vmcall, user_job.nr, region.base, PAGE_SIZE, 0, 0);
}

/* EXIT is among them: had it worked, this line of the report would be missing. */
static void test_from_ring_3(void)
{
	struct snapshot before;

	if (!ktap_need_phyllo())
		return;
	before = snapshot_take();
	for (unsigned i = 0; i < 2 * PHYLLO_HC_COUNT; i++) {
		user_job.nr = PHYLLO_HC_BASE + i / 2;
		user_job.vmcall = i & 1;
		user_job.result = 1;
		trap_arm();
		user_call(user_hypercall, NULL);
		CHECK_EQ(user_job.result, PHYLLO_EPERM);
	}
	snapshot_check(&before);
}

static uint64_t pick(void)
{
	static const uint64_t values[] = {
		0, 1, 4095, 4096, 8192, 0x1ff000, 1ul << 30, 1ul << 31, 1ul << 32, 1ul << 47,
		1ul << 51, 1ul << 52, 1ul << 63, -4096ul, -1ul,
	};
	uint32_t r = random32();

	if (r & 1)
		return values[(r >> 8) % ARRAY_SIZE(values)];
	if (r & 2)
		return memory_end + ((r >> 8) % 5) * 4096 - 8192;
	if (r & 4)
		return region.base + (r >> 8) % 5 * 4096;
	return (uint64_t)r << 32 | random32();
}

/*
 * Could the call be a right one, with memory in it that this kernel needs?  Small VM numbers
 * may be our own.
 */
static bool legal(uint64_t gpa, uint64_t size, uint64_t flags, uint64_t vm)
{
	if (size == 0 || (gpa | size) & 4095 || gpa + size < gpa || flags > 1 || vm >= OTHER_VM)
		return false;
	return gpa + size <= memory_end;
}

static void test_random_arguments(void)
{
	struct snapshot before;

	if (!ktap_need_phyllo())
		return;
	before = snapshot_take();
	for (unsigned i = 0; i < rounds; i++) {
		const struct range_call *c = &range_calls[random32() % ARRAY_SIZE(range_calls)];
		uint64_t gpa = pick(), size = pick(), flags = random32() & 3 ? i & 1 : pick();
		uint64_t vm = random32() & 3 ? 0 : pick();
		long ret;

		if (legal(gpa, size, flags, vm))
			continue;
		ret = hypercall(c->nr, gpa, size, flags | c->rdx, vm);
		if (ret != PHYLLO_EINVAL && ret != PHYLLO_ENOENT && ret != PHYLLO_EPERM)
			report_call(c->nr, &(struct bad_range){ gpa, size, flags, vm, PHYLLO_EINVAL },
				    ret);
	}
	snapshot_check(&before);
}

/* ---- calls that take a structure ---------------------------------------------------- */

static uint64_t scratch[4096] __attribute__((aligned(4096))); /* for any bitmap of our memory */

static const struct {
	uint32_t nr, size;
} struct_calls[] = {
	{ PHYLLO_HC_AGE_BITMAP, sizeof(struct phyllo_age_bitmap) },
	{ PHYLLO_HC_DIRTY_GET, sizeof(struct phyllo_dirty) },
	{ PHYLLO_HC_DIRTY_CLEAR, sizeof(struct phyllo_dirty) },
	{ PHYLLO_HC_SLOT_CREATE, sizeof(struct phyllo_slot) },
	{ PHYLLO_HC_SLOT_INFO, sizeof(struct phyllo_slot) },
	{ PHYLLO_HC_LATENCY, sizeof(struct phyllo_latency) },
};

static void test_structures(void)
{
	struct snapshot before;

	if (!ktap_need_phyllo())
		return;
	memset(scratch, 0xff, sizeof(scratch));
	before = snapshot_take();
	for (unsigned i = 0; i < ARRAY_SIZE(struct_calls); i++) {
		uint64_t nr = struct_calls[i].nr, size = struct_calls[i].size;
		uint64_t gpa = (uintptr_t)scratch;

		CHECK_EQ(hypercall(nr, gpa, size - 1, 0, 0), PHYLLO_EINVAL);
		CHECK_EQ(hypercall(nr, gpa, size + 8, 0, 0), PHYLLO_EINVAL);
		CHECK_EQ(hypercall(nr, gpa, 0, 0, 0), PHYLLO_EINVAL);
		CHECK_EQ(hypercall(nr, gpa, 1ul << 32 | size, 0, 0), PHYLLO_EINVAL);
		CHECK_EQ(hypercall(nr, gpa, size, 1, 0), PHYLLO_EINVAL);
		CHECK_EQ(hypercall(nr, gpa, size, 0, OTHER_VM), PHYLLO_EPERM);
		CHECK_EQ(hypercall(nr, memory_end, size, 0, 0), PHYLLO_EFAULT);
		CHECK_EQ(hypercall(nr, memory_end - 8, size, 0, 0), PHYLLO_EFAULT);
		CHECK_EQ(hypercall(nr, -8ul, size, 0, 0), PHYLLO_EFAULT);
		CHECK_EQ(hypercall(nr, 1ul << 60, size, 0, 0), PHYLLO_EFAULT);
		/* All ones in every member; at an odd address. */
		CHECK(hypercall(nr, gpa + 13, size, 0, 0) < 0);
	}
	CHECK_EQ(scratch[0], ~0ull);
	snapshot_check(&before);
}

/* A place for a bitmap that harms nobody. */
static uint64_t pick_bitmap(void)
{
	uint64_t places[] = { (uintptr_t)scratch, (uintptr_t)scratch + 4, memory_end,
			      memory_end - 8, 1ul << 52, -8ul, -64ul };

	return places[random32() % ARRAY_SIZE(places)];
}

static void random_structure(void)
{
	static union {
		struct phyllo_age_bitmap age;
		struct phyllo_dirty dirty;
		struct phyllo_slot slot;
		struct phyllo_latency latency;
	} u;
	unsigned i = random32() % ARRAY_SIZE(struct_calls);
	uint64_t nr = struct_calls[i].nr;
	long ret;

	if (nr == PHYLLO_HC_AGE_BITMAP)
		u.age = (struct phyllo_age_bitmap){ pick(), pick(), pick_bitmap(), random32() & 3 };
	else if (nr == PHYLLO_HC_SLOT_CREATE || nr == PHYLLO_HC_SLOT_INFO)
		u.slot = (struct phyllo_slot){ pick(), pick(), pick(), random32() % 3 };
	else if (nr == PHYLLO_HC_LATENCY)
		u.latency = (struct phyllo_latency){ .kind = random32() % 12, .flags = random32() % 3 };
	else
		u.dirty = (struct phyllo_dirty){ pick(), pick(), pick(), pick_bitmap(),
						 random32() % 3 };
	ret = hypercall(nr, (uintptr_t)&u, struct_calls[i].size, 0, 0);
	if (nr == PHYLLO_HC_SLOT_CREATE && !ret)
		CHECK_EQ(hypercall(PHYLLO_HC_SLOT_DELETE, u.slot.id, 0, 0, 0), 0);
	if (ret < PHYLLO_EINVAL)
		ktap_fail(__FILE__, __LINE__, "call 0x%lx gave %ld", nr, ret);
}

/* Slots that are not there; the one that is there is left alone. */
static void random_slot_call(void)
{
	static const uint32_t calls[] = { PHYLLO_HC_SLOT_DELETE, PHYLLO_HC_SLOT_MOVE,
					  PHYLLO_HC_SLOT_FLAGS, PHYLLO_HC_DIRTY_START,
					  PHYLLO_HC_DIRTY_STOP };
	uint64_t nr = calls[random32() % ARRAY_SIZE(calls)], id = pick() | 1;

	CHECK(hypercall(nr, id, pick(), pick(), 0) < 0);
}

static void test_random_structures(void)
{
	struct snapshot before;

	if (!ktap_need_phyllo())
		return;
	memset(scratch, 0, sizeof(scratch));
	before = snapshot_take();
	for (unsigned logged = 0; logged < 2; logged++) {
		if (logged)
			CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 0, 0, 0, 0), 0);
		for (unsigned i = 0; i < rounds / 4; i++) {
			random_structure();
			random_slot_call();
		}
	}
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_STOP, 0, 0, 0, 0), 0);
	snapshot_check(&before);
}

/* Some numbers are kept for later calls. */
static bool names_a_vm(unsigned nr)
{
	switch (nr) {
	case PHYLLO_HC_VE_SETUP:
	case PHYLLO_HC_VCPU_START:
	case PHYLLO_HC_VCPU_ID:
	case PHYLLO_HC_YIELD:
		return false;
	default:
		return hypercall(nr, region.base, PAGE_SIZE, 0, OTHER_VM) != PHYLLO_ENOSYS;
	}
}

static void test_other_arguments(void)
{
	uint64_t page = PAGE_SIZE, mode_size = sizeof(struct phyllo_mmu_mode);
	struct snapshot before;

	if (!ktap_need_phyllo())
		return;
	before = snapshot_take();
	/* No protection, an unknown one, one with a bit too many. */
	CHECK_EQ(hypercall(PHYLLO_HC_PROTECT, region.base, page, 0, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_PROTECT, region.base, page, 1, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_PROTECT, region.base, page, 0x400, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_PROTECT, region.base, page, 1ul << 32 | PHYLLO_PROTECT_RO, 0),
		 PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 0, 4, 0, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 0, 1ul << 40, 0, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 0, 0, 4, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 0, 0, 1ul << 33, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 1, 0, 0, 0), PHYLLO_ENOENT);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 1ul << 32, 0, 0, 0), PHYLLO_ENOENT);
	CHECK_EQ(hypercall(PHYLLO_HC_MMU_MODE, (uintptr_t)scratch, mode_size + 1, 0, 0),
		 PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_MMU_MODE, (uintptr_t)scratch, mode_size, 1, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_MMU_MODE, memory_end - 8, mode_size, 0, 0), PHYLLO_EFAULT);
	CHECK_EQ(hypercall(PHYLLO_HC_VE_SETUP, memory_end, 0, 0, 0), PHYLLO_EFAULT);
	CHECK_EQ(hypercall(PHYLLO_HC_VE_SETUP, region.base + 1, 0, 0, 0), PHYLLO_EINVAL);
	for (unsigned nr = PHYLLO_HC_PROTECT; nr < PHYLLO_HC_BASE + PHYLLO_HC_COUNT; nr++)
		if (names_a_vm(nr))
			CHECK_EQ(hypercall(nr, region.base, page, 0, OTHER_VM), PHYLLO_EPERM);
	/* Control needs the privilege, whoever it is about. */
	CHECK_EQ(hypercall(PHYLLO_HC_VM_CONTROL, PHYLLO_VM_RESTART, 0, 0, 0), PHYLLO_EPERM);
	snapshot_check(&before);
}

static void test_everything_still_works(void)
{
	if (!ktap_need_phyllo())
		return;
	CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_OUT, region.base, PAGE_SIZE, 0, 0), 1);
	CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_IN, region.base, PAGE_SIZE, 0, 0), 1);
	region.salt[0] = 0;
	CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, region.base, SIZE_2M, 0, 0), 0);
	region_verify_all(&region);
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_version),
	KTAP(test_both_instructions),
	KTAP(test_unknown_numbers),
	KTAP(test_registers_survive),
	KTAP(test_malformed_ranges),
	KTAP(test_ranges_outside_memory),
	KTAP(test_other_vm),
	KTAP(test_console_arguments),
	KTAP(test_stats_arguments),
	KTAP(test_from_ring_3),
	KTAP(test_random_arguments),
	KTAP(test_structures),
	KTAP(test_random_structures),
	KTAP(test_other_arguments),
	KTAP(test_everything_still_works),
};

int guest_main(void)
{
	for (unsigned i = 0; i < info.ram_count; i++)
		if (info.ram[i].base + info.ram[i].size > memory_end)
			memory_end = info.ram[i].base + info.ram[i].size;
	info_number("rounds", &rounds);
	region_take(&region, SIZE_2M);
	return KTAP_MAIN(tests);
}
