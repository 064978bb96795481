/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow paging, two processors in one thread: processor 1 sits in guest mode with a full TLB, and steps
 * in where another processor would, which is when it is kicked, or while a fault allocates.
 */
#include "hosted.h"
#include "ktap.h"
#include "shadow_guest.h"

#define GVA   0x40012000ul
#define OTHER 0x40600000ul

static struct shadow_cpu *const first = &sg.cpu[0], *const second = &sg.cpu[1];
static unsigned kicks;
static bool inside;

/* The next thing that processor 1 does before it obeys a kick: a write by its TLB. */
static gva_t late_gva;
static uint64_t late_value;

static gpa_t page_of(unsigned n)
{
	return (gpa_t)(n + 1) * 0x3000;
}

static void number_pages(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t value = 100 + i;

		CHECK_EQ(mmu_write_guest(sg.vm, page_of(i), &value, 8), 0);
	}
}

static bool second_writes(gva_t gva, uint64_t value)
{
	uint32_t error;

	return shadow_cpu_access(second, gva, ACC_W, guest_entry_size(), &value, &error);
}

static void on_kick(struct mmu_vcpu *vcpu)
{
	if (vcpu != &second->mmu || !inside)
		return;
	kicks++;
	if (late_gva)
		CHECK(second_writes(late_gva, late_value));
	late_gva = 0;
	shadow_cpu_exit(second);
	inside = false;
}

static void second_enters(void)
{
	hosted_hooks.kick = on_kick;
	kicks = 0;
	late_gva = 0;
	CHECK(shadow_cpu_enter(second));
	inside = true;
}

static void second_leaves(void)
{
	if (inside)
		shadow_cpu_exit(second);
	inside = false;
}

static void open_two(enum guest_mode mode)
{
	guest_open(&guest_variants[0], mode);
	number_pages(6);
	guest_map(GVA, page_of(0), 1, P | W | U);
	guest_map(GVA + PAGE_SIZE, page_of(1), 1, P | W | U);
}

/* What processor 1 holds in its TLB, it holds because it used it. */
static void second_uses(gva_t gva, unsigned access)
{
	uint64_t value = 0;

	if (access & ACC_W)
		CHECK_EQ(shadow_cpu_touch(second, gva, ACC_R, guest_entry_size(), &value).result,
			 MMU_PF_FIXED);
	CHECK_EQ(shadow_cpu_touch(second, gva, access, guest_entry_size(), &value).result,
		 MMU_PF_FIXED);
}

/*
 * The guest maps another page and tells one processor only.  Then the first page's memory goes: the
 * other processor, which may use the old translation, must not reach what is freed.
 */
static void test_dropped_leaf_is_flushed(void)
{
	uint64_t changed, value;
	uint32_t error;

	open_two(GUEST_4L);
	guest_read(GVA);
	second_uses(GVA, ACC_R);
	gpa_t at = guest_entry_at(GVA, 1);

	guest_put(at, page_of(2) | P | W | U);
	second_enters();
	CHECK(shadow_cpu_access(second, GVA, ACC_R, 8, &value, &error));
	shadow_cpu_flush(first);
	CHECK_EQ(mmu_balloon_out(sg.vm, page_of(0) >> PAGE_SHIFT, 1, 0, &changed), 0);
	if (inside)
		shadow_cpu_access(second, GVA, ACC_R, 8, &value, &error);
	CHECK_EQ(kicks, 1);
	second_leaves();
	guest_close();
}

/* A write between the look at a table and the flush that closes it. */
static void test_write_while_closing(void)
{
	open_two(GUEST_4L);
	CHECK_EQ(guest_read(GVA), 100);
	gva_t at = WINDOW + guest_entry_at(GVA, 1);

	/* Open, and written; a sync that finds nothing new will close it. */
	second_uses(at, ACC_W);
	guest_put(at - WINDOW, page_of(0) | P | W | U | A | D);
	shadow_cpu_flush(first);
	second_enters();
	CHECK(second_writes(at, page_of(0) | P | W | U | A | D));
	late_gva = at;
	late_value = page_of(3) | P | W | U | A | D;
	shadow_cpu_flush(first);
	CHECK_EQ(kicks, 1);
	CHECK_EQ(guest_read(GVA), 103);
	second_leaves();
	guest_close();
}

/*
 * A page becomes a table that another processor can write by its TLB.  It writes at the last moment,
 * or, if nobody stops it, later: the processor that is then told must see it.
 */
static void page_becomes_table(bool late)
{
	open_two(GUEST_4L);
	guest_read(GVA);
	/* A copy of the table, which nobody uses as one yet. */
	gfn_t copy = guest_new_table();
	gpa_t entry = (copy << PAGE_SHIFT) + (guest_entry_at(GVA, 1) & ~PAGE_MASK);
	gpa_t upper = guest_entry_at(OTHER + 0x12000, 2);

	guest_put(entry, page_of(4) | P | W | U | A | D);
	second_uses(WINDOW + entry, ACC_W);
	guest_put(entry, page_of(4) | P | W | U | A | D);
	guest_put(upper, copy << PAGE_SHIFT | P | W | U);
	second_enters();
	CHECK(second_writes(WINDOW + entry, page_of(4) | P | W | U | A | D));
	late_gva = late ? WINDOW + entry : 0;
	late_value = page_of(5) | P | W | U | A | D;
	uint64_t value = guest_read(OTHER + 0x12000);

	CHECK(value == 104 || value == 105);
	CHECK_EQ(kicks, 1);
	if (inside)
		CHECK(second_writes(WINDOW + entry, late_value));
	second_leaves();
	if (late) {
		shadow_cpu_invlpg(first, OTHER + 0x12000);
		CHECK_EQ(guest_read(OTHER + 0x12000), 105);
	}
	guest_close();
}

static void test_page_becomes_table(void)
{
	page_becomes_table(true);
	page_becomes_table(false);
}

/* A table is open, and an entry changed in it that no processor was told of; by a new way it is seen. */
static void test_new_way_to_an_open_table(void)
{
	open_two(GUEST_4L);
	CHECK_EQ(guest_read(GVA), 100);
	CHECK_EQ(guest_read(GVA + PAGE_SIZE), 101);
	gpa_t at = guest_entry_at(GVA + PAGE_SIZE, 1);
	gpa_t upper = guest_entry_at(OTHER, 2);

	guest_put(at, page_of(2) | P | W | U | A | D);
	guest_put(upper, (at & PAGE_MASK) | P | W | U);
	CHECK_EQ(guest_read(OTHER + 0x12000), 100);
	CHECK_EQ(guest_read(OTHER + 0x13000), 102);
	guest_close();
}

/* ---- between the walk and the lock ------------------------------------------------------------ */

static gpa_t step_in_at;
static uint64_t step_in_value;

/* A fault allocates the page that it maps; it has walked the guest's tables by then. */
static void step_in(unsigned order)
{
	uint64_t entry;

	(void)order;
	if (!step_in_at || mmu_read_guest(sg.vm, step_in_at, &entry, 8) || !(entry & A))
		return;
	gpa_t at = step_in_at;

	step_in_at = 0;
	CHECK_EQ(mmu_write_guest(sg.vm, at, &step_in_value, 8), 0);
}

static void test_entry_changes_behind_the_walk(void)
{
	open_two(GUEST_4L);
	CHECK_EQ(guest_read(GVA + PAGE_SIZE), 101);
	/* Never touched: to be allocated. */
	guest_put(guest_entry_at(GVA, 1), 900ul << PAGE_SHIFT | P | W | U);
	shadow_cpu_flush(first);
	shadow_cpu_flush(first);
	step_in_value = page_of(3) | P | W | U;
	step_in_at = guest_entry_at(GVA, 1);
	hosted_hooks.page_alloc = step_in;
	guest_read(GVA);
	CHECK_EQ(step_in_at, 0);
	shadow_cpu_invlpg(first, GVA);
	guest_audit();
	CHECK_EQ(guest_read(GVA), 103);
	hosted_hooks.page_alloc = NULL;
	guest_close();
}

/* A fault looked its page up before it was migrated. */
static uint64_t migrated;

static void migrate_once(void)
{
	uint64_t changed;

	if (migrated++)
		return;
	CHECK_EQ(mmu_migrate(sg.vm, page_of(0) >> PAGE_SHIFT, 1, 0, &changed), 0);
}

static void test_page_goes_behind_the_look(void)
{
	open_two(GUEST_4L);
	guest_read(GVA + PAGE_SIZE);
	/* Whenever a page is handed out while the fault is on its way. */
	migrated = 0;
	mmu_zap_all(sg.vm);
	mmu_work_flush(sg.vm);
	hosted_hooks.page_alloc_done = migrate_once;
	CHECK_EQ(guest_read(GVA), 100);
	hosted_hooks.page_alloc_done = NULL;
	CHECK(migrated);
	guest_audit();
	guest_close();
}

static const struct ktap_test tests[] = {
	KTAP(test_dropped_leaf_is_flushed),
	KTAP(test_write_while_closing),
	KTAP(test_page_becomes_table),
	KTAP(test_new_way_to_an_open_table),
	KTAP(test_entry_changes_behind_the_walk),
	KTAP(test_page_goes_behind_the_look),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
