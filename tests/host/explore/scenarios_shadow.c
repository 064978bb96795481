/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow paging: reverse maps against those who walk them without mmu_lock, and guests that change
 * their page tables beside each other; the scene is shadow_scene.h's.
 */
#include "mm/backing.h"
#include "mm/rmap.h"
#include "mm/vm.h"
#include "scenarios.h"
#include "shadow_scene.h"

extern __typeof__(mmu_unmap) plain_mmu_unmap;
extern __typeof__(backing_lookup) plain_backing_lookup;

/* ---- ageing and zapping ------------------------------------------------------------------------ */

static void setup_mapped(void)
{
	shadow_scene_open();
	EXPLORE_CHECK(vcpu_reads(0, GVA(5)) == 5 && vcpu_reads(1, GVA(6)) == 6);
	vcpu_leaves(0);
	vcpu_leaves(1);
}

static void uses_pages(void)
{
	vcpu_writes(0, GVA(5) + 8, 1);
	EXPLORE_CHECK(vcpu_reads(0, GVA(5)) == 5);
	EXPLORE_CHECK(vcpu_reads(0, GVA(6)) == 6);
	vcpu_leaves(0);
}

static void ages(void)
{
	uint64_t young;
	bool any;

	EXPLORE_CHECK(mmu_age(shadow_scene.vm, 4, 4, &young) == 0 && young <= 4);
	EXPLORE_CHECK(mmu_test_age(shadow_scene.vm, 5, 1, &any) == 0);
	EXPLORE_CHECK(mmu_age(shadow_scene.vm, 5, 1, &young) == 0 && young <= 1);
}

static void zaps(void)
{
	EXPLORE_CHECK(mmu_unmap(shadow_scene.vm, 5, 1, 0) == 0);
	EXPLORE_CHECK(mmu_unmap(shadow_scene.vm, 4, 4, MMU_MAY_BLOCK) == 0);
}

/* With nothing mapped any more, the backing alone knows. */
NO_THREAD_SAFETY_ANALYSIS
static void finish_dirty(void)
{
	struct backing_page page;

	EXPLORE_CHECK(plain_mmu_unmap(shadow_scene.vm, 0, PAGES, 0) == 0);
	read_lock(&shadow_scene.vm->mmu_lock);
	for (gfn_t gfn = 0; gfn < L4_GFN; gfn++)
		if (shadow_scene.written[gfn] &&
		    (plain_backing_lookup(shadow_scene.vm, gfn, &page) || !page.dirty))
			explore_fail("that gfn 0x%lx was written is lost", gfn);
	read_unlock(&shadow_scene.vm->mmu_lock);
	shadow_scene_close();
}

const struct explore_scenario scenario_shadow_age_zap = {
	.name = "shadow-age-zap",
	.about = "a vCPU without nested paging writes pages that are aged and zapped by rmaps",
	.setup = setup_mapped,
	.thread = { { "vcpu0", uses_pages }, { "age", ages }, { "zap", zaps } },
	.finish = finish_dirty,
};

/* The same page at three addresses: its rmap goes from one entry to many and back to none. */
static void setup_aliases(void)
{
	shadow_scene_open();
	load_entry(ENTRY(7), GVA(5) | P | W);
	load_entry(ENTRY(8), GVA(5) | P | W);
	EXPLORE_CHECK(vcpu_reads(0, GVA(5)) == 5);
	vcpu_leaves(0);
}

static void maps_aliases(void)
{
	EXPLORE_CHECK(vcpu_reads(0, GVA(7)) == 5);
	EXPLORE_CHECK(vcpu_reads(0, GVA(8)) == 5);
	vcpu_writes(0, GVA(7) + 8, 3);
	shadow_scene.written[7] = false;
	shadow_scene.written[5] = true;
	vcpu_leaves(0);
}

static void ages_one(void)
{
	uint64_t young;

	for (unsigned i = 0; i < 3; i++)
		EXPLORE_CHECK(mmu_age(shadow_scene.vm, 5, 1, &young) == 0 && young <= 1);
}

const struct explore_scenario scenario_shadow_aliases = {
	.name = "shadow-aliases",
	.about = "a page is mapped at more and more addresses, aged and zapped",
	.setup = setup_aliases,
	.thread = { { "vcpu0", maps_aliases }, { "age", ages_one }, { "zap", zaps } },
	.finish = finish_dirty,
};

/* Pages that nobody uses any more, mapped by neighbouring entries. */
static void setup_old(void)
{
	uint64_t young;

	shadow_scene_open();
	for (gfn_t gfn = 4; gfn < 8; gfn++)
		EXPLORE_CHECK(vcpu_reads(0, GVA(gfn)) == gfn);
	vcpu_leaves(0);
	EXPLORE_CHECK(mmu_age(shadow_scene.vm, 4, 4, &young) == 0 && young == 4);
}

/* One of the entries maps another page, which is used. */
static void uses_another(void)
{
	vcpu_writes(0, ENTRY(6), LEAF(9));
	vcpu_invlpg(0, GVA(6));
	EXPLORE_CHECK(vcpu_reads(0, GVA(6)) == 9);
	vcpu_leaves(0);
}

static void finds_none_young(void)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t young;

		EXPLORE_CHECK(mmu_age_bitmap(shadow_scene.vm, 4, 4, true, &young) == 0);
		if (young)
			explore_fail("pages that nobody used are young: 0x%lx", young);
	}
}

static void frees_tables(void)
{
	mmu_zap_all(shadow_scene.vm);
	mmu_work_step(shadow_scene.vm);
}

const struct explore_scenario scenario_shadow_age_another = {
	.name = "shadow-age-another",
	.about = "neighbours are aged while the entry of one goes to another page",
	.setup = setup_old,
	.thread = { { "vcpu0", uses_another }, { "age", finds_none_young } },
	.finish = shadow_scene_close,
};

const struct explore_scenario scenario_shadow_age_tables = {
	.name = "shadow-age-tables",
	.about = "neighbours are aged while their table is freed",
	.setup = setup_old,
	.thread = { { "age", finds_none_young }, { "zap", frees_tables } },
	.finish = shadow_scene_close,
};

/* ---- tables that change ---------------------------------------------------------------------------- */

/* Each of two processors owns one entry of the table that both use. */
static void remaps(unsigned i, gfn_t own, gfn_t was, gfn_t other)
{
	vcpu_writes(i, ENTRY(own), LEAF(other));
	uint64_t value = vcpu_reads(i, GVA(own));

	if (value != was && value != other)
		explore_fail("vCPU %u reads page %lu where it mapped %lu or %lu", i, value, was,
			     other);
	if (i)
		vcpu_invlpg(i, GVA(own));
	else
		vcpu_loads_cr3(i);
	value = vcpu_reads(i, GVA(own));
	if (value != other)
		explore_fail("vCPU %u reads page %lu where it has mapped %lu and said so", i, value,
			     other);
}

static void remaps_0(void)
{
	remaps(0, 5, 5, 9);
	vcpu_loads_cr3(0);
	remaps(0, 5, 9, 10);
	vcpu_leaves(0);
}

static void remaps_1(void)
{
	remaps(1, 6, 6, 11);
	vcpu_loads_cr3(1);
	remaps(1, 6, 11, 12);
	vcpu_leaves(1);
}

const struct explore_scenario scenario_shadow_sync = {
	.name = "shadow-sync",
	.about = "two vCPUs change their entries of one table, and say so by INVLPG and CR3",
	.setup = setup_mapped,
	.thread = { { "vcpu0", remaps_0 }, { "vcpu1", remaps_1 } },
	.finish = shadow_scene_close,
};

static void only_loads_cr3(void)
{
	for (unsigned n = 0; n < 4; n++) {
		vcpu_loads_cr3(1);
		EXPLORE_CHECK(vcpu_reads(1, GVA(6)) == 6);
	}
	vcpu_leaves(1);
}

const struct explore_scenario scenario_shadow_close = {
	.name = "shadow-close",
	.about = "a vCPU writes its table while another one's loads of CR3 close it",
	.setup = setup_mapped,
	.thread = { { "vcpu0", remaps_0 }, { "vcpu1", only_loads_cr3 } },
	.finish = shadow_scene_close,
};

/* A page that another processor writes becomes a table. */
static void makes_table(void)
{
	vcpu_writes(0, GVA(L2_GFN) + 8, GVA(SPARE_GFN) | P | W | A);
	uint64_t value = vcpu_reads(0, (1ul << 21) + GVA(3));

	EXPLORE_CHECK(value == 1 || value == 2);
	vcpu_leaves(0);
}

static void writes_table(void)
{
	uint64_t value;

	vcpu_writes(1, GVA(SPARE_GFN) + 3 * 8, LEAF(2));
	/* Its own access may come before the other has linked the table. */
	if (!vcpu_reads(1, GVA(L2_GFN) + 8))
		goto out;
	vcpu_invlpg(1, (1ul << 21) + GVA(3));
	value = vcpu_reads(1, (1ul << 21) + GVA(3));
	if (value != 2)
		explore_fail("vCPU 1 reads page %lu where it has mapped 2 and said so", value);
out:
	vcpu_leaves(1);
}

static void setup_spare(void)
{
	shadow_scene_open();
	load_entry(GVA(SPARE_GFN) + 3 * 8, LEAF(1));
	vcpu_writes(1, GVA(SPARE_GFN), 0);
	vcpu_leaves(1);
}

const struct explore_scenario scenario_shadow_protect = {
	.name = "shadow-protect",
	.about = "a page becomes a page table while another vCPU writes to it",
	.setup = setup_spare,
	.thread = { { "vcpu0", makes_table }, { "vcpu1", writes_table } },
	.finish = shadow_scene_close,
};

static void zaps_all(void)
{
	uint64_t changed;

	mmu_zap_all(shadow_scene.vm);
	mmu_work_step(shadow_scene.vm);
	EXPLORE_CHECK(mmu_migrate(shadow_scene.vm, 5, 2, MMU_MAY_BLOCK, &changed) == 0);
	EXPLORE_CHECK(mmu_unmap(shadow_scene.vm, 0, PAGES, MMU_MAY_BLOCK) == 0);
}

const struct explore_scenario scenario_shadow_zap_all = {
	.name = "shadow-zap-all",
	.about = "two vCPUs change their tables while all shadows, and a page, are exchanged",
	.setup = setup_mapped,
	.thread = { { "vcpu0", remaps_0 }, { "vcpu1", remaps_1 }, { "zap", zaps_all } },
	.finish = shadow_scene_close,
};

/* ---- rmaps by themselves ------------------------------------------------------------------------------ */

static struct rmap rmap;
static struct rmap_reserve reserve;
static spte_cell_t cells[4];

static void setup_rmap(void)
{
	rmap = (struct rmap){ 0 };
	EXPLORE_CHECK(rmap_reserve_fill(&reserve, 3) == 0);
	explore_name(&rmap, sizeof(rmap), "rmap");
}

/* As under mmu_lock: none, one, many, one, none, one. */
static void changes_rmap(void)
{
	rmap_add(&rmap, &cells[0], &reserve);
	rmap_add(&rmap, &cells[1], &reserve);
	rmap_remove(&rmap, &cells[0]);
	rmap_remove_only(&rmap, &cells[1]);
	rmap_add(&rmap, &cells[2], &reserve);
}

static void walks_rmap(void)
{
	for (unsigned n = 0; n < 3; n++) {
		uintptr_t word = rmap_lock_readonly(&rmap);

		for (struct rmap_cursor c = rmap_begin(word); c.cell; rmap_next(&c))
			EXPLORE_CHECK(c.cell >= cells && c.cell < cells + 4);
		rmap_unlock_readonly(&rmap, word);
	}
}

static void finish_rmap(void)
{
	EXPLORE_CHECK(rmap_word(&rmap) == (uintptr_t)&cells[2]);
	EXPLORE_CHECK(atomic_load(&rmap.word) == rmap_word(&rmap));
	rmap_reserve_drain(&reserve);
}

const struct explore_scenario scenario_rmap_walk = {
	.name = "rmap-walk",
	.about = "entries come and go in an rmap that two walk without mmu_lock",
	.setup = setup_rmap,
	.thread = { { "change", changes_rmap }, { "walk0", walks_rmap }, { "walk1", walks_rmap } },
	.finish = finish_rmap,
};
