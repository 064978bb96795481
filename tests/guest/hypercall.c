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
#define FUZZ_ROUNDS 20000

void hypercall_regs(uint64_t regs[16], bool vmcall); /* trap_entry.asm */

static struct region region;
static uint64_t memory_end; /* behind the highest RAM */

static const uint32_t range_calls[] = { PHYLLO_HC_BALLOON_OUT, PHYLLO_HC_BALLOON_IN,
					PHYLLO_HC_UNMAP };

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
		0, 1, 5, 11, ~0ul, PHYLLO_HC_BASE - 1, PHYLLO_HC_BASE + 0xffff, 1ul << 31,
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
		check_registers(PHYLLO_HC_VERSION, i);
		check_registers(PHYLLO_HC_FEATURES, i);
		check_registers(PHYLLO_HC_CONSOLE_WRITE, i);
		check_registers(PHYLLO_HC_BALLOON_OUT, i);
		check_registers(PHYLLO_HC_UNMAP, i);
		check_registers(PHYLLO_HC_STATS_READ, i);
		check_registers(PHYLLO_HC_AUDIT, i);
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

static void check_ranges(const struct bad_range *list, unsigned count)
{
	struct snapshot before = snapshot_take();

	for (unsigned i = 0; i < count; i++) {
		const struct bad_range *b = &list[i];

		for (unsigned c = 0; c < ARRAY_SIZE(range_calls); c++) {
			long ret = hypercall(range_calls[c], b->gpa, b->size, b->flags, b->vm);

			if (ret != b->want)
				report_call(range_calls[c], b, ret);
		}
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
	for (unsigned i = 0; i < 2 * 9; i++) {
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
	for (unsigned i = 0; i < FUZZ_ROUNDS; i++) {
		uint64_t nr = range_calls[random32() % ARRAY_SIZE(range_calls)];
		uint64_t gpa = pick(), size = pick(), flags = random32() & 3 ? i & 1 : pick();
		uint64_t vm = random32() & 3 ? 0 : pick();
		long ret;

		if (legal(gpa, size, flags, vm))
			continue;
		ret = hypercall(nr, gpa, size, flags, vm);
		if (ret != PHYLLO_EINVAL && ret != PHYLLO_ENOENT && ret != PHYLLO_EPERM)
			report_call(nr, &(struct bad_range){ gpa, size, flags, vm, PHYLLO_EINVAL },
				    ret);
	}
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
	KTAP(test_everything_still_works),
};

int guest_main(void)
{
	for (unsigned i = 0; i < info.ram_count; i++)
		if (info.ram[i].base + info.ram[i].size > memory_end)
			memory_end = info.ram[i].base + info.ram[i].size;
	region_take(&region, SIZE_2M);
	return KTAP_MAIN(tests);
}
