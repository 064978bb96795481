/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memos of guest walks: they hold while nothing changes, and no longer when anything does that another walk
 * would see: an entry, the bytes, the page behind them, the slot, an invalidation that still runs.
 */
#include <string.h>

#include "ktap.h"
#include "mm/invalidate.h"
#include "mm/lock.h"
#include "world.h"

#define P_W_U 7ul
#define CR0_PG_PE ((1ul << 31) | 1)
#define CR4_PAE (1ul << 5)
#define EFER_LONG ((1ul << 8) | (1ul << 10))

#define GUEST_PAGES 64
#define LEVELS 4
#define TABLE(level) ((gpa_t)(level) << 12)
#define CODE TABLE(8)
#define GVA 0x7ff812345678ul /* offset 0x678 */
#define OFFSET (GVA & 0xfff)

static const unsigned char bytes[] = { 0x66, 0x0f, 0xa2 };
static const struct mmu_guest_paging long_mode = {
	.cr0 = CR0_PG_PE, .cr3 = TABLE(LEVELS), .cr4 = CR4_PAE, .efer = EFER_LONG,
};

static struct world w;
static struct mmu_memo memo;

static gpa_t entry_at(unsigned level)
{
	return TABLE(level) + (GVA >> (12 + 9 * (level - 1)) & 511) * 8;
}

static void set_entry(unsigned level, uint64_t entry)
{
	CHECK_EQ(mmu_write_guest(w.vm, entry_at(level), &entry, 8), 0);
}

static void walk_anew(void)
{
	struct mmu_guest_walk walk;

	CHECK_EQ(mmu_guest_translate(w.vm, &long_mode, GVA, ACC_X, &walk), 0);
	CHECK_EQ(walk.count, LEVELS);
	CHECK(mmu_memo_take(w.vm, &walk, bytes, sizeof(bytes), &memo));
}

static bool holds(void)
{
	return mmu_memo_holds(w.vm, &memo);
}

/* Tables, code, and a memo of how one leads to the other. */
static void begin(void)
{
	for (unsigned level = LEVELS; level > 1; level--)
		set_entry(level, TABLE(level - 1) | P_W_U);
	set_entry(1, CODE | P_W_U);
	CHECK_EQ(mmu_write_guest(w.vm, CODE + OFFSET, bytes, sizeof(bytes)), 0);
	walk_anew();
	CHECK(holds());
}

static void each_entry(void)
{
	for (unsigned level = 1; level <= LEVELS; level++) {
		begin();
		uint64_t other = (level > 1 ? TABLE(level - 1) : CODE) | P_W_U;

		/* A bit that changes nothing may end it; one that does must. */
		set_entry(level, other & ~1ul);
		CHECK(!holds());
		set_entry(level, other);
		CHECK(holds());
	}
}

static void each_byte(void)
{
	for (unsigned i = 0; i < sizeof(bytes); i++) {
		unsigned char other = bytes[i] ^ 0x40;

		begin();
		CHECK_EQ(mmu_write_guest(w.vm, CODE + OFFSET + i, &other, 1), 0);
		CHECK(!holds());
	}
	/* What follows them does not matter. */
	begin();
	unsigned char next = 0xcc;

	CHECK_EQ(mmu_write_guest(w.vm, CODE + OFFSET + sizeof(bytes), &next, 1), 0);
	CHECK(holds());
}

static void flip(gpa_t gpa)
{
	unsigned char byte;

	CHECK_EQ(mmu_read_guest(w.vm, gpa, &byte, 1), 0);
	byte ^= 1;
	CHECK_EQ(mmu_write_guest(w.vm, gpa, &byte, 1), 0);
}

/* As many bytes as an instruction may have, wherever words and the page end: they matter, their neighbours do not. */
static void each_place(void)
{
	unsigned char code[PAGE_SIZE];

	begin();
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		code[i] = (unsigned char)(i * 7);
	CHECK_EQ(mmu_write_guest(w.vm, CODE, code, sizeof(code)), 0);
	for (unsigned offset = PAGE_SIZE - 26; offset < PAGE_SIZE; offset++) {
		for (unsigned n = 1; n < 16 && offset + n <= PAGE_SIZE; n++) {
			gva_t gva = (GVA & ~0xffful) | offset;
			struct mmu_guest_walk walk;

			CHECK_EQ(mmu_guest_translate(w.vm, &long_mode, gva, ACC_X, &walk), 0);
			CHECK(mmu_memo_take(w.vm, &walk, code + offset, n, &memo));
			CHECK(holds());
			for (unsigned i = offset - 1; i <= offset + n && i < PAGE_SIZE; i++) {
				flip(CODE + i);
				CHECK_EQ(holds(), i < offset || i >= offset + n);
				flip(CODE + i);
				CHECK(holds());
			}
		}
	}
}

/* The page is another one, and the old one is free: reading it would already be an error (ASan). */
static void each_page(void)
{
	for (unsigned page = 1; page <= CODE >> PAGE_SHIFT; page++) {
		uint64_t changed;

		if (page > LEVELS && page != CODE >> PAGE_SHIFT)
			continue;
		begin();
		CHECK_EQ(mmu_migrate(w.vm, page, 1, 0, &changed), 0);
		CHECK_EQ(changed, 1);
		CHECK(!holds());
		walk_anew();
		CHECK(holds());
		CHECK_EQ(mmu_balloon_out(w.vm, page, 1, 0, &changed), 0);
		CHECK(!holds());
		CHECK_EQ(mmu_balloon_in(w.vm, page, 1, 0, &changed), 0);
		CHECK(!holds());
	}
}

static void each_slot_change(void)
{
	begin();
	CHECK_EQ(mmu_slot_set_flags(w.vm, 0, MMU_SLOT_READONLY), 0);
	CHECK(!holds());
	CHECK_EQ(mmu_slot_set_flags(w.vm, 0, 0), 0);
	begin();
	CHECK_EQ(mmu_slot_delete(w.vm, 0), 0);
	CHECK(!holds());
}

/* A page of the part that is not done may be freed before the sequence tells. */
static void while_invalidating(void)
{
	struct invalidation inv;

	begin();
	mmu_write_lock(w.vm, MMU_OP_UNMAP, 0, 1);
	invalidate_begin(w.vm, &inv, 40, 50);
	mmu_write_unlock(w.vm);
	CHECK(!holds());
	mmu_write_lock(w.vm, MMU_OP_UNMAP, 0, 1);
	invalidate_end(w.vm, &inv);
	mmu_write_unlock(w.vm);
	walk_anew();
	CHECK(holds());
}

static void in_world(const struct world_variant *v, void (*fn)(void))
{
	world_open(&w, v, GUEST_PAGES);
	fn();
	world_close(&w);
}

#define IN_EACH_WORLD(fn)                                      \
	static void fn##_in(const struct world_variant *v)     \
	{                                                      \
		in_world(v, fn);                               \
	}                                                      \
	static void test_##fn(void)                            \
	{                                                      \
		world_for_each(fn##_in);                       \
	}

IN_EACH_WORLD(each_entry)
IN_EACH_WORLD(each_byte)
IN_EACH_WORLD(each_place)
IN_EACH_WORLD(each_page)
IN_EACH_WORLD(each_slot_change)
IN_EACH_WORLD(while_invalidating)

static const struct ktap_test tests[] = {
	KTAP(test_each_entry),
	KTAP(test_each_byte),
	KTAP(test_each_place),
	KTAP(test_each_page),
	KTAP(test_each_slot_change),
	KTAP(test_while_invalidating),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
