/* SPDX-License-Identifier: GPL-2.0-only */
/* What the operations of mm/mmu.h do, one thread, in every format and page size. */
#include "ktap.h"
#include "mm/backing.h"
#include "mm/memslot.h"
#include "mm/tdp.h"
#include "world.h"

#define CHUNK 512ul

static bool has_2m(const struct world_variant *v)
{
	return v->max_leaf_level >= PG_LEVEL_2M;
}

/* ---- slots ------------------------------------------------------------------- */

/* Ids are the caller's: a new one each time. */
static int add_slot(struct world *w, gfn_t base, uint64_t npages, uint32_t flags)
{
	static unsigned id;
	struct mmu_slot_desc slot = { id++ % MMU_SLOTS_MAX, base, npages, flags, 0 };

	return mmu_slot_create(w->vm, &slot);
}

static void slots(const struct world_variant *v)
{
	struct world w;
	uint64_t changed;

	world_open_empty(&w, v, 0);
	CHECK_EQ(mmu_slot_end(w.vm), 0);
	CHECK_EQ(mmu_unmap(w.vm, 0, 1, 0), -ENOENT);
	CHECK_EQ(add_slot(&w, 0, 0, 0), -EINVAL);
	CHECK_EQ(add_slot(&w, ~0ul, 2, 0), -EINVAL);
	CHECK_EQ(add_slot(&w, 0, 1, 1u << 31), -EINVAL);
	CHECK_EQ(add_slot(&w, (1ul << 34) - 1, 2, 0), -EINVAL); /* 46 bits of address */
	CHECK_EQ(add_slot(&w, (1ul << 34) - 1, 1, 0), 0);
	CHECK_EQ(add_slot(&w, 100, 50, 0), 0);
	CHECK_EQ(add_slot(&w, 149, 1, 0), -EEXIST);
	CHECK_EQ(add_slot(&w, 90, 11, 0), -EEXIST);
	CHECK_EQ(add_slot(&w, 0, 1000, 0), -EEXIST);
	CHECK_EQ(add_slot(&w, 150, 10, 0), 0);
	CHECK_EQ(add_slot(&w, 90, 10, 0), 0);
	CHECK_EQ(mmu_slot_end(w.vm), 1ul << 34);

	/* A range may span slots that touch, and nothing else. */
	CHECK_EQ(mmu_unmap(w.vm, 90, 70, 0), 0);
	CHECK_EQ(mmu_unmap(w.vm, 90, 71, 0), -ENOENT);
	CHECK_EQ(mmu_unmap(w.vm, 89, 2, 0), -ENOENT);
	CHECK_EQ(mmu_unmap(w.vm, 90, 0, 0), -EINVAL);
	CHECK_EQ(mmu_unmap(w.vm, 90, ~0ul, 0), -EINVAL);
	CHECK_EQ(mmu_unmap(w.vm, ~0ul, 1, 0), -EINVAL);
	CHECK_EQ(mmu_unmap(w.vm, 90, 1, 1u << 7), -EINVAL);
	CHECK_EQ(mmu_balloon_out(w.vm, 159, 2, 0, &changed), -ENOENT);
	CHECK_EQ(mmu_balloon_in(w.vm, 159, ~0ul - 200, 0, &changed), -ENOENT);
	CHECK_EQ(changed, 0);
	world_read(&w, (1ul << 34) - 1, 511);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 160 * PAGE_SIZE, ACC_R, &changed), MMU_PF_EMULATE);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 1ul << 46, ACC_R, &changed), MMU_PF_EMULATE);
	world_close(&w);
}

static void test_slots(void)
{
	world_for_each(slots);
}

/* ---- touching memory ------------------------------------------------------------ */

static void demand(const struct world_variant *v)
{
	struct world w;
	uint64_t npages = 3 * CHUNK, got;

	world_open(&w, v, npages);
	for (gfn_t gfn = 0; gfn < npages; gfn++) {
		CHECK_EQ(world_read(&w, gfn, 7), 0);
		world_write(&w, gfn, 7, gfn ^ 0x1234);
	}
	struct mmu_stats s = world_stats(&w);

	CHECK_EQ(s.pages_4k, has_2m(v) ? 0 : npages);
	CHECK_EQ(s.pages_2m, has_2m(v) ? 3 : 0);
	CHECK_EQ(s.backing_pages, npages);
	CHECK_EQ(s.pf_fixed, has_2m(v) ? 3 : npages);
	CHECK_EQ(s.pf_taken, s.pf_fixed);
	CHECK_EQ(s.tables, v->root_level - (has_2m(v) ? 1u : 0u) + (has_2m(v) ? 0u : 2u));
	for (gfn_t gfn = 0; gfn < npages; gfn++) {
		CHECK_EQ(world_read(&w, gfn, 7), gfn ^ 0x1234);
		CHECK_EQ(mmu_read_guest(w.vm, gfn * PAGE_SIZE + 56, &got, 8), 0);
		CHECK_EQ(got, gfn ^ 0x1234);
	}
	/* Another processor finds the mappings that the first one made. */
	CHECK_EQ(fake_cpu_touch(&w.cpu[1], 56, ACC_X, &got), MMU_PF_FIXED);
	CHECK_EQ(world_stats(&w).pf_taken, s.pf_taken);
	world_close(&w);
}

static void test_demand(void)
{
	world_for_each(demand);
}

/* A fault for what is mapped, as when two processors fault at once. */
static void spurious(const struct world_variant *v)
{
	struct page_fault pf = { .gpa = 0x3000, .access = ACC_W };
	struct world w;

	world_open(&w, v, CHUNK);
	CHECK(fake_cpu_enter(&w.cpu[0]));
	fake_cpu_exit(&w.cpu[0]);
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_FIXED);
	CHECK_EQ(pf.goal_level, v->max_leaf_level);
	CHECK_EQ(mmu_page_fault(&w.cpu[0].mmu, &pf), MMU_PF_SPURIOUS);
	CHECK_EQ(world_stats(&w).pf_spurious, 1);
	world_close(&w);
}

static void test_spurious(void)
{
	world_for_each(spurious);
}

/* 2M pages only where the chunk lies whole in one slot, and the host has one. */
static void huge_rules(const struct world_variant *v)
{
	struct world w;

	world_open_empty(&w, v, 0);
	CHECK_EQ(add_slot(&w, 1, 2 * CHUNK - 1, 0), 0);
	CHECK_EQ(add_slot(&w, 2 * CHUNK, 2 * CHUNK, 0), 0);
	world_read(&w, 1, 0);
	CHECK_EQ(world_stats(&w).pages_4k, 1);
	world_read(&w, CHUNK, 0);
	CHECK_EQ(world_stats(&w).pages_2m, has_2m(v) ? 1 : 0);
	hosted_deny_2m(true);
	world_read(&w, 2 * CHUNK, 0);
	CHECK_EQ(world_stats(&w).pages_4k, has_2m(v) ? 2 : 3);
	hosted_deny_2m(false);
	/* 4K-present: stays so. */
	world_read(&w, 2 * CHUNK + 1, 0);
	CHECK_EQ(world_stats(&w).pages_2m, has_2m(v) ? 1 : 0);
	world_close(&w);
}

static void test_huge_rules(void)
{
	world_for_each(huge_rules);
}

static enum mmu_pf_result map_at(struct world *w, gfn_t gfn, unsigned level)
{
	struct page_fault pf = { .gpa = gfn * PAGE_SIZE, .access = ACC_W };
	struct backing_page page;

	read_lock(&w->vm->mmu_lock);
	CHECK_EQ(backing_lookup(w->vm, gfn, &page), 0);
	page.pfn.n += level_gfn_base(gfn, level) - page.gfn;
	page.gfn = level_gfn_base(gfn, level);
	page.level = (uint8_t)level;
	struct tdp_iter it;
	enum mmu_pf_result r = tdp_map(&w->cpu[0].mmu, &pf, memslot_find(w->vm, gfn), &page,
				       ACC_RWX, &it);

	read_unlock(&w->vm->mmu_lock);
	CHECK(r != MMU_PF_FIXED || pf.goal_level <= level);
	return r;
}

/* One processor thinks 2M, the other 4K, in both orders: no table is lost. */
static void huge_vs_4k(const struct world_variant *v)
{
	struct world w;

	world_open(&w, v, 2 * CHUNK);
	for (gfn_t gfn = 0; gfn < 2 * CHUNK; gfn++)
		world_read(&w, gfn, 0);
	CHECK_EQ(mmu_unmap(w.vm, 0, 2 * CHUNK, 0), 0);
	CHECK_EQ(world_stats(&w).tables, 1);
	CHECK_EQ(map_at(&w, 3, PG_LEVEL_4K), MMU_PF_FIXED);
	CHECK_EQ(map_at(&w, 4, v->max_leaf_level), MMU_PF_FIXED);
	CHECK_EQ(world_stats(&w).pages_4k, 2);
	if (has_2m(v)) {
		CHECK_EQ(map_at(&w, CHUNK + 3, PG_LEVEL_2M), MMU_PF_FIXED);
		CHECK_EQ(map_at(&w, CHUNK + 4, PG_LEVEL_4K), MMU_PF_SPURIOUS);
		CHECK_EQ(world_stats(&w).pages_2m, 1);
	}
	world_close(&w);
}

static void test_huge_vs_4k(void)
{
	world_for_each(huge_vs_4k);
}

static void read_only(const struct world_variant *v)
{
	uint64_t value = 0x77;
	struct world w;

	world_open_empty(&w, v, 0);
	CHECK_EQ(add_slot(&w, 0, CHUNK, MMU_SLOT_READONLY), 0);
	CHECK_EQ(mmu_load_guest(w.vm, 64, &value, 8), 0);
	CHECK_EQ(mmu_write_guest(w.vm, 64, &value, 8), -EFAULT);
	CHECK_EQ(world_read(&w, 0, 8), 0x77);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 64, ACC_W, &value), MMU_PF_EMULATE);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 64, ACC_X, &value), MMU_PF_FIXED);
	world_close(&w);
}

static void test_read_only(void)
{
	world_for_each(read_only);
}

static void cap(const struct world_variant *v)
{
	uint64_t value, changed;
	struct world w;

	/*
	 * Tables count, one of each level, and the second chunk's node; another of both where the
	 * first chunk is 4K pages, too.
	 */
	world_open_empty(&w, v, CHUNK + 2 + v->root_level + 1 + 2 * !has_2m(v));
	CHECK_EQ(add_slot(&w, 0, 4 * CHUNK, 0), 0);
	if (has_2m(v)) {
		world_read(&w, 0, 0);
	} else {
		for (gfn_t gfn = 0; gfn < CHUNK; gfn++)
			world_read(&w, gfn, 0);
	}
	/* No second chunk fits, two pages do. */
	world_read(&w, CHUNK, 0);
	world_read(&w, CHUNK + 1, 0);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 3 * CHUNK * PAGE_SIZE, ACC_R, &value), MMU_PF_NOMEM);
	CHECK_EQ(mmu_read_guest(w.vm, 3 * CHUNK * PAGE_SIZE, &value, 8), -ENOMEM);
	CHECK_EQ(world_stats(&w).backing_pages, CHUNK + 2);
	/* For the page, and for the table and the node that come with the split of the first chunk. */
	CHECK_EQ(mmu_balloon_out(w.vm, 0, 3, 0, &changed), 0);
	world_read(&w, 3 * CHUNK, 0);
	CHECK_EQ(fake_cpu_touch(&w.cpu[0], 2 * CHUNK * PAGE_SIZE, ACC_R, &value), MMU_PF_NOMEM);
	world_close(&w);
}

static void test_cap(void)
{
	world_for_each(cap);
}

/* ---- unmap and balloon ------------------------------------------------------------- */

static void unmap(const struct world_variant *v)
{
	struct world w;

	world_open(&w, v, 4 * CHUNK);
	for (gfn_t gfn = 0; gfn < 4 * CHUNK; gfn++)
		world_write(&w, gfn, 1, gfn + 1);
	uint64_t pages = hosted_pages_used();
	uint64_t tables = world_stats(&w).tables;

	/* From the middle of one chunk to the middle of another: what is whole goes whole. */
	CHECK_EQ(mmu_unmap(w.vm, CHUNK / 2, 2 * CHUNK, 0), 0);
	struct mmu_stats s = world_stats(&w);

	CHECK_EQ(s.pages_2m, has_2m(v) ? 1 : 0);
	CHECK_EQ(s.pages_4k, has_2m(v) ? 0 : 2 * CHUNK);
	CHECK_EQ(s.zap_leaf, has_2m(v) ? 3 : 2 * CHUNK);
	CHECK_EQ(s.tables, has_2m(v) ? tables : tables - 1);
	CHECK_EQ(s.backing_pages, 4 * CHUNK);
	world_audit(&w);
	for (gfn_t gfn = 0; gfn < 4 * CHUNK; gfn++)
		CHECK_EQ(world_read(&w, gfn, 1), gfn + 1);
	CHECK_EQ(mmu_unmap(w.vm, 0, 4 * CHUNK, MMU_MAY_BLOCK), 0);
	CHECK_EQ(mmu_unmap(w.vm, 0, 4 * CHUNK, MMU_MAY_BLOCK), 0);
	CHECK_EQ(world_stats(&w).tables, 1);
	CHECK(hosted_pages_used() < pages);
	CHECK_EQ(world_read(&w, 5, 1), 6);
	world_close(&w);
}

static void test_unmap(void)
{
	world_for_each(unmap);
}

static void balloon(const struct world_variant *v)
{
	uint64_t changed, value;
	struct world w;

	world_open(&w, v, 4 * CHUNK);
	for (gfn_t gfn = 0; gfn < 3 * CHUNK; gfn++)
		world_write(&w, gfn, 1, gfn + 1);
	uint64_t pages = hosted_pages_used();

	/* The last three quarters of chunk 0, all of 1, a quarter of 2. */
	CHECK_EQ(mmu_balloon_out(w.vm, CHUNK / 4, 2 * CHUNK, MMU_MAY_BLOCK, &changed), 0);
	CHECK_EQ(changed, 2 * CHUNK);
	CHECK_EQ(world_stats(&w).backing_pages, CHUNK);
	CHECK_EQ(world_stats(&w).ballooned_pages, 2 * CHUNK);
	CHECK(hosted_pages_used() <= pages - 2 * CHUNK + 4);
	world_audit(&w);
	for (gfn_t gfn = 0; gfn < CHUNK / 4; gfn++)
		CHECK_EQ(world_read(&w, gfn, 1), gfn + 1);
	for (gfn_t gfn = CHUNK / 4; gfn < 2 * CHUNK + CHUNK / 4; gfn += 37)
		CHECK_EQ(fake_cpu_touch(&w.cpu[0], gfn * PAGE_SIZE, ACC_R, &value), MMU_PF_EMULATE);
	CHECK_EQ(mmu_write_guest(w.vm, CHUNK * PAGE_SIZE, &value, 8), -EFAULT);
	for (gfn_t gfn = 2 * CHUNK + CHUNK / 4; gfn < 3 * CHUNK; gfn++)
		CHECK_EQ(world_read(&w, gfn, 1), gfn + 1);

	/* Again changes nothing; what is not ballooned does not come in. */
	CHECK_EQ(mmu_balloon_out(w.vm, CHUNK, CHUNK, 0, &changed), 0);
	CHECK_EQ(changed, 0);
	CHECK_EQ(mmu_balloon_in(w.vm, 0, 3 * CHUNK, 0, &changed), 0);
	CHECK_EQ(changed, 2 * CHUNK);
	CHECK_EQ(world_stats(&w).ballooned_pages, 0);
	CHECK_EQ(world_read(&w, 3, 1), 4);
	CHECK_EQ(world_read(&w, CHUNK, 1), 0);
	CHECK_EQ(world_read(&w, CHUNK / 4, 1), 0);
	/* Chunk 1 was taken whole and is a 2M page again. */
	CHECK_EQ(world_stats(&w).pages_2m, has_2m(v) ? 1 : 0);
	world_close(&w);
}

static void test_balloon(void)
{
	world_for_each(balloon);
}

/* Page by page and back: the chunk folds together and can be 2M once more. */
static void balloon_pages(const struct world_variant *v)
{
	uint64_t changed, sum = 0;
	struct world w;

	world_open(&w, v, CHUNK);
	world_write(&w, 0, 0, 1);
	for (gfn_t gfn = 0; gfn < CHUNK; gfn++) {
		CHECK_EQ(mmu_balloon_out(w.vm, gfn * 3 % CHUNK, 1, 0, &changed), 0);
		sum += changed;
	}
	CHECK_EQ(sum, CHUNK);
	CHECK_EQ(world_stats(&w).backing_pages, 0);
	for (gfn_t gfn = 0; gfn < CHUNK; gfn++)
		CHECK_EQ(mmu_balloon_in(w.vm, gfn * 5 % CHUNK, 1, 0, &changed), 0);
	CHECK_EQ(world_read(&w, 0, 0), 0);
	CHECK_EQ(world_stats(&w).pages_2m, has_2m(v) ? 1 : 0);
	world_close(&w);
}

static void test_balloon_pages(void)
{
	world_for_each(balloon_pages);
}

/* A balloon over memory never touched needs next to none itself. */
static void balloon_untouched(const struct world_variant *v)
{
	uint64_t changed, big = 1ul << 24; /* 64 GiB */
	struct world w;

	world_open(&w, v, big);
	uint64_t pages = hosted_pages_used();

	CHECK_EQ(mmu_balloon_out(w.vm, 3, big - 7, MMU_MAY_BLOCK, &changed), 0);
	CHECK_EQ(changed, big - 7);
	CHECK(hosted_pages_used() <= pages + 8);
	CHECK_EQ(mmu_balloon_in(w.vm, 0, big, 0, &changed), 0);
	CHECK_EQ(changed, big - 7);
	CHECK_EQ(hosted_pages_used(), pages);
	world_close(&w);
}

static void test_balloon_untouched(void)
{
	world_for_each(balloon_untouched);
}

/* ---- the hypervisor's accesses -------------------------------------------------------- */

static void guest_access(const struct world_variant *v)
{
	unsigned char out[3 * PAGE_SIZE], in[3 * PAGE_SIZE];
	struct world w;

	world_open_empty(&w, v, 0);
	CHECK_EQ(add_slot(&w, 0, 2, 0), 0);
	CHECK_EQ(add_slot(&w, 2, 2, 0), 0);
	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (unsigned char)(i * 7 + i / 256);
	/* Every alignment, across pages and slots. */
	for (unsigned shift = 0; shift < 9; shift++) {
		CHECK_EQ(mmu_write_guest(w.vm, shift + 100, out, sizeof(out)), 0);
		CHECK_EQ(mmu_read_guest(w.vm, shift + 100, in, sizeof(in)), 0);
		CHECK(!__builtin_memcmp(in, out, sizeof(in)));
	}
	CHECK_EQ(mmu_read_guest(w.vm, 4 * PAGE_SIZE - 1, in, 1), 0);
	CHECK_EQ(mmu_read_guest(w.vm, 4 * PAGE_SIZE - 1, in, 2), -EFAULT);
	CHECK_EQ(mmu_read_guest(w.vm, ~0ul - 1, in, 8), -EFAULT);
	CHECK_EQ(mmu_read_guest(w.vm, 1ul << 60, in, 0), 0);
	CHECK_EQ(world_stats(&w).pages_4k, 0);
	world_close(&w);
}

static void test_guest_access(void)
{
	world_for_each(guest_access);
}

static const struct ktap_test tests[] = {
	KTAP(test_slots),         KTAP(test_demand),        KTAP(test_spurious),
	KTAP(test_huge_rules),    KTAP(test_huge_vs_4k),    KTAP(test_read_only),
	KTAP(test_cap),           KTAP(test_unmap),         KTAP(test_balloon),
	KTAP(test_balloon_pages), KTAP(test_balloon_untouched), KTAP(test_guest_access),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
