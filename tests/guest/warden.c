/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One VM rules another: finds it, works on its memory, pauses it, ends it and starts it again.
 * With the module option "privileged", and victim=NAME; rounds=N.
 *
 * how=victim: the other one.  All its processors write and verify their memory until it is ended.
 * how=plain: without the privilege; everything is refused.
 * how=suicide: a privileged one that destroys itself.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/vms.h"

#define YIELDS_MAX 3000000u /* of a wait: far more than it takes, and it ends */
#define NO_SUCH_VM 77ul
#define NEW_SLOT 200ul

static uint8_t bitmap[4096] __attribute__((aligned(8)));
static struct phyllo_stat stats[256];
static uint64_t victim; /* its id */
static uint32_t rounds;

/* ---- asking -------------------------------------------------------------------------- */

static struct phyllo_vm_info info_of(uint64_t id)
{
	struct phyllo_vm_info i;

	memset(&i, 0xee, sizeof(i));
	CHECK_EQ(vm_info(id, &i), 0);
	return i;
}

static uint64_t find(const char *name, size_t len)
{
	for (uint64_t id = 1; id;) {
		struct phyllo_vm_info i = info_of(id);

		if (strlen(i.name) == len && !strncmp(i.name, name, len))
			return id;
		id = i.next;
	}
	return 0;
}

static unsigned long long stat_of(uint64_t id, const char *name)
{
	long n = hypercall(PHYLLO_HC_STATS_READ, (uintptr_t)stats, sizeof(stats), 0, id);

	CHECK(n > 0 && n <= (long)ARRAY_SIZE(stats));
	for (long i = 0; i < n; i++)
		if (!strcmp(stats[i].name, name))
			return stats[i].value;
	guest_die("no statistic %s", name);
}

static bool is_in(uint64_t id, unsigned state)
{
	return info_of(id).state == state;
}

static void wait_for(uint64_t id, unsigned state)
{
	for (unsigned i = 0; !is_in(id, state); i++) {
		if (i == YIELDS_MAX)
			guest_die("VM %u does not get into state %u", (unsigned)id, state);
		hypercall(PHYLLO_HC_YIELD, 0, 0, 0, 0);
	}
}

/* After a start, or a resume of one that began paused: it may still be in the making. */
static void wait_until_made(uint64_t id)
{
	for (unsigned i = 0; !info_of(id).used_pages; i++) {
		if (i == YIELDS_MAX)
			guest_die("VM %u is not made", (unsigned)id);
		hypercall(PHYLLO_HC_YIELD, 0, 0, 0, 0);
	}
}

/* It runs if it makes hypercalls. */
static void wait_for_progress(uint64_t id)
{
	unsigned long long before = stat_of(id, "hypercalls");

	for (unsigned i = 0; stat_of(id, "hypercalls") < before + 3; i++) {
		if (i == YIELDS_MAX)
			guest_die("VM %u makes no progress", (unsigned)id);
		hypercall(PHYLLO_HC_YIELD, 0, 0, 0, 0);
	}
}

/* ---- the warden ------------------------------------------------------------------------- */

static void test_list(void)
{
	struct phyllo_vm_info me = info_of(0), i;
	unsigned n = 0;

	CHECK(me.flags & PHYLLO_VM_PRIVILEGED);
	CHECK_EQ(me.state, PHYLLO_VM_RUNNING);
	CHECK_EQ(info_of(me.id).id, me.id);
	for (uint64_t id = 1; id; id = i.next, n++) {
		i = info_of(id);
		CHECK_EQ(i.id, id);
		printf("# VM %u is %s: state %u, %u vCPUs, %u MiB, %u starts\n", (unsigned)id, i.name,
		       i.state, i.vcpus, (unsigned)(i.memory >> 20), i.starts);
	}
	CHECK(n >= 2);
	CHECK_EQ(vm_info(NO_SUCH_VM, &i), PHYLLO_ENOENT);
	CHECK_EQ(vm_info(~0ul, &i), PHYLLO_ENOENT);
	CHECK_EQ(vm_info(1ul << 32 | 1, &i), PHYLLO_ENOENT);
	CHECK_EQ(hypercall(PHYLLO_HC_VM_INFO, (uintptr_t)&i, sizeof(i) - 1, 0, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_VM_INFO, (uintptr_t)&i, sizeof(i), 1, 0), PHYLLO_EINVAL);
	CHECK_EQ(hypercall(PHYLLO_HC_VM_INFO, ~0ul - 4096, sizeof(i), 0, 0), PHYLLO_EFAULT);
	CHECK_EQ(vm_control(NO_SUCH_VM, PHYLLO_VM_PAUSE), PHYLLO_ENOENT);
	CHECK_EQ(vm_control(victim, 0), PHYLLO_EINVAL);
	CHECK_EQ(vm_control(victim, 5), PHYLLO_EINVAL);
}

/* A slot of the other one, and what it wrote, in a bitmap of ours. */
static void check_dirty(void)
{
	struct phyllo_slot slot = { .id = 0 };
	struct phyllo_dirty d = { .pages = sizeof(bitmap) * 8, .bitmap = (uintptr_t)bitmap,
				  .flags = PHYLLO_DIRTY_GET_CLEAR };

	CHECK_EQ(hypercall(PHYLLO_HC_SLOT_INFO, (uintptr_t)&slot, sizeof(slot), 0, victim), 0);
	CHECK_EQ(slot.gpa, 0);
	CHECK_EQ(slot.bytes, info_of(victim).memory);
	if (d.pages > slot.bytes / PAGE_SIZE)
		d.pages = slot.bytes / PAGE_SIZE;
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 0, 0, 0, victim), 0);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_START, 0, 0, 0, victim), PHYLLO_EBUSY);
	wait_for_progress(victim);
	CHECK(hypercall(PHYLLO_HC_DIRTY_GET, (uintptr_t)&d, sizeof(d), 0, victim) > 0);
	CHECK_EQ(hypercall(PHYLLO_HC_DIRTY_STOP, 0, 0, 0, victim), 0);
}

static void check_slots(void)
{
	struct phyllo_slot slot = { .id = NEW_SLOT, .gpa = 1ul << 36, .bytes = 16 * PAGE_SIZE };

	CHECK_EQ(hypercall(PHYLLO_HC_SLOT_CREATE, (uintptr_t)&slot, sizeof(slot), 0, victim), 0);
	/* It has it, and we have not. */
	CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, slot.gpa, slot.bytes, 0, victim), 0);
	CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, slot.gpa, slot.bytes, 0, 0), PHYLLO_ENOENT);
	CHECK_EQ(hypercall(PHYLLO_HC_SLOT_DELETE, NEW_SLOT, 0, 0, victim), 0);
}

/* Contents stay, whatever is done from here: it verifies them, and ends as a failure if not. */
static void test_memory_of_another(void)
{
	uint64_t bytes = info_of(victim).memory;

	CHECK_EQ(vm_control(victim, PHYLLO_VM_RESUME), 0);
	wait_until_made(victim);
	wait_for_progress(victim);
	for (uint32_t i = 0; i < rounds; i++) {
		unsigned flags = i & 1 ? PHYLLO_MAY_BLOCK : 0;

		CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, 0, bytes, flags, victim), 0);
		CHECK(hypercall(PHYLLO_HC_AGE, 0, bytes, 0, victim) >= 0);
		CHECK_EQ(hypercall(PHYLLO_HC_ZAP_ALL, 0, 0, 0, victim), 0);
		CHECK(hypercall(PHYLLO_HC_MIGRATE, bytes / 2, SIZE_2M, flags, victim) >= 0);
		CHECK_EQ(hypercall(PHYLLO_HC_AUDIT, 0, 0, 0, victim), 0);
		wait_for_progress(victim);
	}
	CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, bytes, PAGE_SIZE, 0, victim), PHYLLO_ENOENT);
	check_dirty();
	check_slots();
	CHECK(stat_of(victim, "zap_leaf") != stat_read("zap_leaf"));
	CHECK(is_in(victim, PHYLLO_VM_RUNNING));
}

static void test_pause(void)
{
	for (uint32_t i = 0; i < rounds; i++) {
		CHECK_EQ(vm_control(victim, PHYLLO_VM_PAUSE), 0);
		CHECK_EQ(vm_control(victim, PHYLLO_VM_PAUSE), 0);
		wait_for(victim, PHYLLO_VM_PAUSED);
		unsigned long long before = stat_of(victim, "hypercalls");

		for (unsigned n = 0; n < 100; n++)
			hypercall(PHYLLO_HC_YIELD, 0, 0, 0, 0);
		CHECK_EQ(stat_of(victim, "hypercalls"), before);
		CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, 0, SIZE_2M, 0, victim), 0);
		CHECK_EQ(vm_control(victim, PHYLLO_VM_RESUME), 0);
		CHECK_EQ(vm_control(victim, PHYLLO_VM_RESUME), 0);
		wait_for_progress(victim);
	}
}

/* Ended in the middle of whatever it does, and while calls name it. */
static void test_restart_under_load(void)
{
	for (uint32_t i = 0; i < rounds; i++) {
		unsigned starts = info_of(victim).starts;
		long r = 0;

		CHECK_EQ(vm_control(victim, PHYLLO_VM_RESTART), 0);
		for (unsigned n = 0; info_of(victim).starts == starts && n < YIELDS_MAX; n++) {
			r = hypercall(PHYLLO_HC_UNMAP, 0, SIZE_2M, PHYLLO_MAY_BLOCK, victim);
			CHECK(!r || r == PHYLLO_ENOENT);
		}
		CHECK_EQ(info_of(victim).starts, starts + 1);
		/* Often before it has got anywhere. */
		for (unsigned n = 0; n < (i % 4) * 50; n++)
			hypercall(PHYLLO_HC_YIELD, 0, 0, 0, 0);
	}
	CHECK_EQ(info_of(victim).exit_code, ~0ull);
}

static void test_destroy(void)
{
	struct phyllo_vm_info i;

	CHECK_EQ(vm_control(victim, PHYLLO_VM_DESTROY), 0);
	wait_for(victim, PHYLLO_VM_OFF);
	i = info_of(victim);
	CHECK_EQ(i.used_pages, 0);
	CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, 0, SIZE_2M, 0, victim), PHYLLO_ENOENT);
	CHECK_EQ(vm_control(victim, PHYLLO_VM_PAUSE), PHYLLO_ENOENT);
	CHECK_EQ(vm_control(victim, PHYLLO_VM_RESUME), PHYLLO_ENOENT);
	CHECK_EQ(vm_control(victim, PHYLLO_VM_DESTROY), PHYLLO_ENOENT);
	CHECK_EQ(vm_control(victim, PHYLLO_VM_RESTART), 0);
	wait_until_made(victim);
	wait_for_progress(victim);
	CHECK_EQ(info_of(victim).starts, i.starts + 1);
	/* Paused, it can be ended as well. */
	CHECK_EQ(vm_control(victim, PHYLLO_VM_PAUSE), 0);
	CHECK_EQ(vm_control(victim, PHYLLO_VM_DESTROY), 0);
	wait_for(victim, PHYLLO_VM_OFF);
}

static const struct ktap_test warden_tests[] = {
	KTAP(test_list),	       KTAP(test_memory_of_another), KTAP(test_pause),
	KTAP(test_restart_under_load), KTAP(test_destroy),
};

/* ---- without the privilege ------------------------------------------------------------------ */

static void test_all_is_refused(void)
{
	struct phyllo_vm_info me = info_of(0), i;

	CHECK(!(me.flags & PHYLLO_VM_PRIVILEGED));
	CHECK_EQ(me.next, 0);
	for (uint64_t id = 1; id < 8; id++) {
		if (id == me.id)
			continue;
		CHECK_EQ(vm_info(id, &i), PHYLLO_EPERM);
		CHECK_EQ(vm_control(id, PHYLLO_VM_DESTROY), PHYLLO_EPERM);
		CHECK_EQ(hypercall(PHYLLO_HC_UNMAP, 0, PAGE_SIZE, 0, id), PHYLLO_EPERM);
		CHECK_EQ(hypercall(PHYLLO_HC_BALLOON_OUT, 0, PAGE_SIZE, 0, id), PHYLLO_EPERM);
		CHECK_EQ(hypercall(PHYLLO_HC_STATS_READ, (uintptr_t)stats, sizeof(stats), 0, id),
			 PHYLLO_EPERM);
		CHECK_EQ(hypercall(PHYLLO_HC_DUMP, 0, PAGE_SIZE, 0, id), PHYLLO_EPERM);
	}
	CHECK_EQ(vm_info(NO_SUCH_VM, &i), PHYLLO_EPERM);
	CHECK_EQ(vm_control(0, PHYLLO_VM_RESTART), PHYLLO_EPERM);
	CHECK_EQ(vm_control(me.id, PHYLLO_VM_PAUSE), PHYLLO_EPERM);
}

static const struct ktap_test plain_tests[] = { KTAP(test_all_is_refused) };

/* ---- the victim -------------------------------------------------------------------------------- */

static uint64_t base, bytes;

static uint64_t word_of(uint64_t gpa, uint64_t round)
{
	return (gpa ^ round << 40) * 0x9e3779b97f4a7c15ull;
}

/* Each has a part to itself. */
static void write_and_verify(void *arg)
{
	uint64_t part = bytes / smp_count, start = base + this_cpu()->id * part;

	for (uint64_t round = 0;; round++) {
		for (uint64_t gpa = start; gpa < start + part; gpa += PAGE_SIZE)
			*(volatile uint64_t *)gpa = word_of(gpa, round);
		hypercall(PHYLLO_HC_VERSION, 0, 0, 0, 0);
		for (uint64_t gpa = start; gpa < start + part; gpa += PAGE_SIZE)
			if (*(volatile uint64_t *)gpa != word_of(gpa, round))
				guest_exit(1);
	}
}

static int run_victim(void)
{
	smp_init();
	smp_start_all();
	bytes = (uint64_t)info_number_or("mib", 4) << 20;
	base = ram_take(bytes, SIZE_2M);
	if (!base)
		guest_die("no memory");
	smp_run_on_all(write_and_verify, NULL);
	return 1;
}

int guest_main(void)
{
	const char *name = info_option("victim");
	size_t len = 0;

	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	rounds = info_number_or("rounds", 20);
	if (info_option_is("how", "victim"))
		return run_victim();
	if (info_option_is("how", "plain"))
		return KTAP_MAIN(plain_tests);
	if (info_option_is("how", "suicide")) {
		vm_control(0, PHYLLO_VM_DESTROY);
		for (;;)
			hypercall(PHYLLO_HC_YIELD, 0, 0, 0, 0);
	}
	while (name && name[len] && name[len] != ' ')
		len++;
	victim = name ? find(name, len) : 0;
	if (!victim)
		guest_die("victim=: no such VM, or no privilege");
	return KTAP_MAIN(warden_tests);
}
